//! The `backhaul` command: the command line, the configuration, and the whole fleet in one process.
//!
//! What a planner, worker, loader or broker does is theirs; this crate wires them together, decides when a run is
//! settled, and says so: data on stdout, talk on stderr, and an exit code that can be relied on.

mod account;
mod args;
mod commands;
mod config;
mod exit;
mod filter;
mod fleet;
mod logging;
mod moment;
mod output;
mod progress;
mod reader;
mod report;
mod secret;
mod selection;
mod session;
mod stop;
mod table;
mod wire;

use clap::Parser;

use crate::args::{Args, Command};
pub use crate::exit::Exit;
use crate::exit::Failure;
use crate::output::{Output, complain};

/// Does what the command line says.
#[must_use]
pub fn main() -> Exit {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.exit_code() == 0 { Exit::Whole } else { Exit::Usage };
        }
    };
    logging::start(&args.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("no threads could be started ({error}): free some memory or processes"));
            return Exit::Unexpected;
        }
    };
    let exit = runtime.block_on(dispatch(args)).unwrap_or_else(|failure| {
        complain(&failure.message);
        failure.exit
    });
    // A blocking thread that hangs in the file system must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    exit
}

async fn dispatch(args: Args) -> Result<Exit, Failure> {
    let global = args.global;
    let output = Output { format: global.format, quiet: global.quiet };
    match args.command {
        Command::Demo(demo) => commands::demo::demo(&global, output, &demo).await,
        Command::Run(run) => commands::run::run(&global, output, &run).await,
        Command::Plan(plan) => commands::plan::plan(&global, output, &plan).await,
        Command::Status(status) => commands::status::status(&global, output, &status).await,
        Command::Check(check) => commands::check::check(&global, output, &check).await,
        Command::Simulate(simulate) => commands::simulate::simulate(output, &simulate).await,
        Command::Dead(dead) => commands::dead::dead(&global, output, &dead).await,
    }
}
