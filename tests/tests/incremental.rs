//! A later run brings what is new, changed or late, and never passes by what failed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backhaul_tests::sandbox::{Sandbox, Setup};
use simulator::{Change, Dataset, Fault, FaultBody, Rule};

/// The datasets whose records change, and whose later runs read a part only.
const CHANGING: [Dataset; 5] =
    [Dataset::EightCalls, Dataset::WebexCalls, Dataset::Contacts, Dataset::Conversations, Dataset::Companies];

/// The pages served of a dataset since the count began.
fn pages(sandbox: &Sandbox, dataset: Dataset) -> u64 {
    sandbox.simulator().requests().data_pages.get(dataset.name()).copied().unwrap_or(0)
}

fn paged() -> Setup {
    Setup { calls: "page_size = 10", desk: "page_size = 20", ..Setup::default() }
}

#[tokio::test]
async fn a_second_run_reads_a_part_and_inserts_nothing_where_nothing_is_new() {
    let sandbox = Sandbox::start(paged()).await;
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    let first = sandbox.simulator().requests().data_pages;
    sandbox.simulator().reset_requests();
    let second = sandbox.backhaul(&["run", "--format", "json"]).await.with_code(0).json();
    for line in second["datasets"].as_array().unwrap() {
        assert!(line["inserted"] == 0 && line["updated"] == 0 && line["dead"] == 0, "{line}");
    }
    for dataset in [Dataset::EightCalls, Dataset::Contacts, Dataset::Users, Dataset::Conversations] {
        let (first, second) = (first[dataset.name()], pages(&sandbox, dataset));
        assert!(second < first, "{}: {first} pages, then {second}", dataset.name());
    }
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_second_run_brings_new_and_changed_records() {
    let sandbox = Sandbox::start(paged()).await;
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
    for dataset in CHANGING {
        // Calls that change lie anywhere in the past, where no look-back reaches.
        let touch = if matches!(dataset, Dataset::EightCalls | Dataset::WebexCalls) { 0 } else { 9 };
        sandbox.simulator().apply(Change::Shift { dataset, insert: 7, touch }).unwrap();
    }
    assert_eq!(sandbox.differences().len(), CHANGING.len() + 1, "users are contacts");
    let second = sandbox.backhaul(&["run", "--format", "json"]).await.with_code(0).json();
    let figure = |dataset: Dataset, name: &str| {
        let lines = second["datasets"].as_array().unwrap();
        let line = lines.iter().find(|line| line["dataset"] == dataset.name()).unwrap();
        line[name].as_u64().unwrap()
    };
    for dataset in CHANGING {
        assert_eq!(figure(dataset, "inserted"), 7, "{}", dataset.name());
    }
    assert!((1..=9).contains(&figure(Dataset::Contacts, "updated")), "{second}");
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn calls_that_change_are_updated_where_the_look_back_reaches_them() {
    let mut setup = Setup::of(&["8x8CallDetailRecords", "cdr_records"]);
    setup.world.days = 1;
    let sandbox = Sandbox::start(setup).await;
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    for dataset in [Dataset::EightCalls, Dataset::WebexCalls] {
        sandbox.simulator().apply(Change::Shift { dataset, insert: 0, touch: 20 }).unwrap();
    }
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn records_that_come_late_are_fetched_within_the_look_back() {
    let mut setup = paged();
    setup.world.days = 1;
    let sandbox = Sandbox::start(setup).await;
    for dataset in [Dataset::EightCalls, Dataset::WebexCalls, Dataset::Companies, Dataset::Tags] {
        sandbox.simulator().apply(Change::Late { dataset, count: 6 }).unwrap();
    }
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
    sandbox.simulator().apply(Change::Release { dataset: None }).unwrap();
    let second = sandbox.backhaul(&["run", "--format", "json"]).await.with_code(0).json();
    let inserted: u64 =
        second["datasets"].as_array().unwrap().iter().map(|line| line["inserted"].as_u64().unwrap()).sum();
    assert_eq!(inserted, 24, "{second}");
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn the_watermark_does_not_pass_a_unit_that_died_and_the_next_run_fetches_it() {
    let mut setup = Setup::of(&["8x8CallDetailRecords"]);
    setup.world.days = 6;
    let sandbox = Sandbox::start(setup).await;
    // One day of one PBX, older than any look-back.
    let day = chrono::Utc::now().with_timezone(&sandbox.setup.world.zone).date_naive() - chrono::Days::new(4);
    let one = format!("pbxId=acme-europe&startTime={day}");
    let rejects = Fault::Status { code: 403, retry_after: None, body: FaultBody::Json };
    sandbox.simulator().add([Rule::new(&one, rejects).times(u32::MAX)]);
    let _ = sandbox.backhaul(&["run"]).await.with_code(5);
    assert!(sandbox.simulator().rules()[0].fired > 0, "the request of that day looks different");
    let first = sandbox.newest_run().await.unwrap();
    assert_eq!(sandbox.ask("SELECT COUNT(*) FROM backhaul_units WHERE dead_at IS NOT NULL"), 1);

    sandbox.simulator().clear();
    sandbox.simulator().apply(Change::Shift { dataset: Dataset::EightCalls, insert: 5, touch: 0 }).unwrap();
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    let second = sandbox.newest_run().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(sandbox.differences(), Vec::<String>::new());
    assert_eq!(sandbox.unproved(&second).await, Vec::<String>::new());
    let late = format!("SELECT COUNT(*) FROM backhaul_units WHERE run_id = '{second}' AND partition = 'acme-europe'");
    assert_eq!(sandbox.ask(&late), 1 + sandbox.ask(&late.replace("acme-europe", "acmecorppbx")));

    // The first run still has its dead unit; a replay finishes it too.
    let _ = sandbox.backhaul(&["status", &first]).await.with_code(5);
    let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
    let _ = sandbox.backhaul(&["run", "--resume", &first]).await.with_code(0);
    sandbox.prove(&first).await;
}

#[tokio::test]
async fn a_run_that_an_account_was_left_out_of_is_not_done_and_the_next_one_brings_all_of_it() {
    let sandbox = Sandbox::start(Setup::default()).await;
    let down = Fault::Status { code: 403, retry_after: None, body: FaultBody::Json };
    sandbox.simulator().add([Rule::new("/8x8/analytics/work/v2/", down).times(u32::MAX)]);
    let run = sandbox.backhaul(&["run"]).await.with_code(4);
    assert!(run.stderr.contains("calls: "), "{}", run.said());
    sandbox.simulator().clear();
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
}
