//! Resume is by page, not by unit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use backhaul_tests::sandbox::{Sandbox, Setup};
use simulator::{Fault, Rule, Settings};
use tokio::time::{interval, timeout};

const PAGES: u32 = 400;

/// 60,000 contacts in 400 pages. A `kill -9` when `served` of them were served, while the next one is asked for; then
/// `run --resume`. Answers how many pages the vendor was asked for in all.
async fn pages_asked_for(served: u32) -> u32 {
    let mut setup = Setup::of(&["contacts"]);
    setup.world = Settings { contacts: 60_000, ..setup.world };
    let sandbox = Sandbox::start(setup).await;
    let simulator = sandbox.simulator();
    // The next page is held back until the process is gone, so that the kill lands exactly there.
    simulator.add([Rule::new("/contacts/search", Fault::Stall { ms: 600_000 }).after(served)]);

    let mut working = sandbox.call(&["run"]).start();
    let held_back = async {
        let mut ticks = interval(Duration::from_millis(5));
        while simulator.rules()[0].fired == 0 && working.is_running() {
            ticks.tick().await;
        }
    };
    timeout(Duration::from_secs(100), held_back).await.unwrap();
    let ended = working.kill().await;
    assert!(ended.was_killed(), "{}", ended.said());
    assert_eq!(simulator.requests().data_pages["contacts"], u64::from(served));

    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
    simulator.rules()[0].seen
}

#[tokio::test]
async fn after_a_kill_half_way_at_most_a_slice_of_pages_is_asked_for_again() {
    let asked = pages_asked_for(PAGES / 2).await;
    println!("{asked} pages");
    assert!((PAGES..=PAGES + 20).contains(&asked), "{asked}");
}

#[tokio::test]
async fn after_a_kill_at_the_end_of_a_slice_at_most_that_slice_is_asked_for_again() {
    // Slices are of 16 pages: all but the last of the 12th was served.
    let asked = pages_asked_for(12 * 16 - 1).await;
    println!("{asked} pages");
    assert!((PAGES..=PAGES + 20).contains(&asked), "{asked}");
}
