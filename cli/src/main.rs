//! The `backhaul` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    backhaul::main().into()
}
