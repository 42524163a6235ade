//! Log lines on stderr. Payloads, personal data and secrets are never logged, at any level.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::{Format, Global};

/// The crates that are ours: `-v` is about them.
const OURS: [&str; 5] = ["backhaul", "backhaul_planner", "backhaul_worker", "backhaul_loader", "backhaul_proto"];

/// What is logged, given `-q` and `-v`: by itself and with `-q` warnings, with `-v` what is done, with `-vv` each step.
fn filter(verbose: u8) -> String {
    let ours = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let ours = OURS.map(|name| format!("{name}={ours}")).join(",");
    format!("warn,{ours}")
}

/// Sends log lines to stderr from now on.
pub(crate) fn start(global: &Global) {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter(global.verbose))).with_writer(io::stderr);
    // A subscriber that is already there (a test's) stays.
    let _ = match global.log_format {
        Format::Text => builder.with_target(false).with_ansi(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
