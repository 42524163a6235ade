//! Memory is bounded by what is under way, not by how much there is.
//!
//! This file has one test, so that the process it starts is the only child whose memory is measured.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backhaul_tests::sandbox::{Sandbox, Setup};
use nix::sys::resource::{UsageWho, getrusage};
use simulator::Settings;

/// KiB of resident memory, at the peak of the largest child that ended.
fn peak() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss()
}

#[tokio::test]
async fn two_hundred_thousand_rows_need_less_than_a_hundred_megabytes() {
    let mut setup = Setup::of(&["contacts"]);
    setup.world = Settings { contacts: 200_000, ..setup.world };
    let sandbox = Sandbox::start(setup).await;
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    let peak = peak();
    println!("peak: {peak} KiB");
    assert!(peak < 100_000, "{peak} KiB");
    sandbox.prove_newest().await;
}
