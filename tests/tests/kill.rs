//! `kill -9` at any moment, then `run --resume`: the database equals the truth, with no row twice.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says how far it came")]

use std::time::Duration;

use backhaul_tests::program::Ended;
use backhaul_tests::sandbox::{Sandbox, Setup};
use proto::mark::POINTS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use simulator::Settings;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A point, a pass early in a run, and one late in it.
type Passes = (&'static str, u32, u32);

/// Planning comes by most of its points once: there are fewer units than it notes at a time.
const PLANNER: [Passes; 4] = [
    ("planner.run-noted", 1, 1),
    ("planner.units-noted", 1, 1),
    ("planner.unit-published", 1, 20),
    ("planner.issued-noted", 1, 1),
];
const WORKER: [Passes; 6] = [
    ("worker.received", 1, 30),
    ("worker.page-fetched", 1, 45),
    ("worker.batch-published", 1, 20),
    ("worker.continuation-published", 1, 8),
    ("worker.last-published", 1, 20),
    ("worker.settled", 1, 35),
];
const LOADER: [Passes; 6] = [
    ("loader.gathered", 1, 12),
    ("sink.rows-written", 1, 30),
    ("sink.ledger-written", 1, 12),
    ("sink.committed", 1, 12),
    ("loader.committed", 1, 12),
    ("loader.settled", 1, 30),
];
/// Comes after a row was refused.
const PUT_ASIDE: Passes = ("loader.row-put-aside", 1, 3);

/// All datasets in small pages, slices, batches and loads, so that a run comes by each point often.
fn setup() -> Setup {
    let world = Settings { days: 1, contacts: 200, ..Setup::default().world };
    Setup {
        world,
        calls: "page_size = 7",
        desk: "page_size = 20",
        worker: "slice = { pages = 2 }\nbatch = { rows = 15 }",
        loader: "rows = 40\nlinger = \"5ms\"",
        ..Setup::default()
    }
}

#[track_caller]
fn must_be_killed(ended: &Ended, point: &str, times: u32) {
    assert!(
        ended.was_killed(),
        "it was not killed at {point}:{times}: the scenario does not come by so often, or backhaul was built without \
         marks (run `cargo build --workspace` first): {}",
        ended.said()
    );
}

async fn killed_once_and_resumed(point: &str, times: u32) {
    let sandbox = Sandbox::start(setup()).await;
    let killed = sandbox.call(&["run"]).kill_at(point, times).end().await;
    must_be_killed(&killed, point, times);
    let _ = sandbox.resume().await.with_code(0);
    println!("{point}:{times}");
    sandbox.prove_newest().await;
}

async fn killed_at_each(passes: &[Passes]) {
    for (point, early, late) in passes {
        killed_once_and_resumed(point, *early).await;
        if late != early {
            killed_once_and_resumed(point, *late).await;
        }
    }
}

#[test]
fn every_marked_point_is_killed_at_here() {
    let mut here: Vec<&str> =
        PLANNER.iter().chain(&WORKER).chain(&LOADER).chain([&PUT_ASIDE]).map(|(point, ..)| *point).collect();
    here.sort_unstable();
    let mut all = POINTS.to_vec();
    all.sort_unstable();
    assert_eq!(here, all);
}

#[tokio::test]
async fn a_kill_in_the_planner_loses_nothing_and_doubles_nothing() {
    killed_at_each(&PLANNER).await;
}

#[tokio::test]
async fn a_kill_in_a_worker_loses_nothing_and_doubles_nothing() {
    killed_at_each(&WORKER).await;
}

#[tokio::test]
async fn a_kill_in_a_loader_or_a_commit_loses_nothing_and_doubles_nothing() {
    killed_at_each(&LOADER).await;
}

#[tokio::test]
async fn a_kill_while_rows_are_put_aside_leaves_each_of_them_dead_once_and_a_replay_heals() {
    let (point, early, late) = PUT_ASIDE;
    for times in [early, late] {
        let sandbox = Sandbox::start(setup()).await;
        let _ = sandbox.backhaul(&["check"]).await.with_code(0);
        sandbox.alter(
            "CREATE TRIGGER refuse BEFORE INSERT ON tags WHEN CAST(NEW.id AS INTEGER) % 7 = 3
             BEGIN SELECT RAISE(ABORT, 'refused for a test'); END",
        );
        let killed = sandbox.call(&["run"]).kill_at(point, times).end().await;
        must_be_killed(&killed, point, times);
        let _ = sandbox.resume().await.with_code(5);

        let dead = sandbox.backhaul(&["dead", "list", "--format", "json"]).await.with_code(0);
        let missing = 40 - sandbox.counts()["tags"];
        assert!(missing > 3, "the trigger refuses {missing} rows");
        assert_eq!(dead.stdout.lines().count() as u64, missing, "{}", dead.said());
        assert_eq!(sandbox.ask("SELECT SUM(dead) FROM backhaul_batches"), missing);

        sandbox.alter("DROP TRIGGER refuse");
        let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
        let _ = sandbox.resume().await.with_code(0);
        sandbox.prove_newest().await;
    }
}

#[tokio::test]
async fn a_replay_that_is_killed_on_the_way_heals_when_it_is_resumed() {
    for (point, times) in
        [("loader.gathered", 1), ("sink.ledger-written", 1), ("sink.committed", 1), ("loader.settled", 2)]
    {
        let sandbox = Sandbox::start(Setup { datasets: vec!["tags"], ..setup() }).await;
        let _ = sandbox.backhaul(&["check"]).await.with_code(0);
        sandbox.alter(
            "CREATE TRIGGER refuse BEFORE INSERT ON tags WHEN CAST(NEW.id AS INTEGER) % 7 = 3
             BEGIN SELECT RAISE(ABORT, 'refused for a test'); END",
        );
        let _ = sandbox.backhaul(&["run"]).await.with_code(5);
        sandbox.alter("DROP TRIGGER refuse");
        let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
        let killed = sandbox.resume_call().await.kill_at(point, times).end().await;
        must_be_killed(&killed, point, times);
        let _ = sandbox.resume().await.with_code(0);
        sandbox.prove_newest().await;
    }
}

/// Kills one run at each of these passes, one after another.
async fn history_of_kills(passes: &[(&str, u32)]) -> Sandbox {
    let sandbox = Sandbox::start(setup()).await;
    for (point, times) in passes {
        let killed = sandbox.resume_call().await.kill_at(point, *times).end().await;
        must_be_killed(&killed, point, *times);
    }
    sandbox
}

#[tokio::test]
async fn a_history_of_kills_in_every_part_ends_whole() {
    let sandbox = history_of_kills(&[
        ("planner.run-noted", 1),
        ("planner.unit-published", 5),
        ("worker.page-fetched", 3),
        ("sink.rows-written", 1),
        ("worker.continuation-published", 2),
        ("sink.committed", 1),
        ("worker.last-published", 2),
        ("loader.settled", 1),
    ])
    .await;
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn what_was_at_hand_in_too_many_kills_is_fetched_again_and_its_messages_stay_to_be_looked_at() {
    let passes: Vec<_> = (1..=12).map(|pass| ("worker.page-fetched", 1 + pass % 3)).collect();
    let sandbox = history_of_kills(&passes).await;
    let _ = sandbox.resume().await.with_code(0);
    let run = sandbox.newest_run().await.unwrap();
    assert_eq!(sandbox.differences(), Vec::<String>::new());
    assert_eq!(sandbox.unproved(&run).await, Vec::<String>::new());

    let dead = sandbox.backhaul(&["dead", "list", "--format", "json"]).await.with_code(0);
    for line in dead.stdout.lines() {
        assert!(line.contains("delivery limit: handed out 10 times and never settled"), "{line}");
    }
    assert!(!dead.stdout.is_empty(), "the delivery limit was not reached");
    let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_kill_from_outside_at_any_moment_loses_nothing_and_doubles_nothing() {
    for seed in 0..6 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut setup = setup();
        setup.world.latency = Duration::from_millis(4);
        let sandbox = Sandbox::start(setup).await;
        let mut asked = 0;
        for _ in 0..3 {
            asked += chance.random_range(1..18);
            let mut working = sandbox.resume_call().await.start();
            let seen = async {
                let mut ticks = interval(Duration::from_millis(1));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                while sandbox.simulator().requests().total < asked && working.is_running() {
                    ticks.tick().await;
                }
            };
            timeout(Duration::from_secs(60), seen).await.unwrap();
            let ended = working.kill().await;
            assert!(ended.was_killed(), "seed {seed}: it ended before request {asked}: {}", ended.said());
            asked = sandbox.simulator().requests().total;
        }
        let _ = sandbox.resume().await.with_code(0);
        sandbox.prove_newest().await;
    }
}

#[tokio::test]
async fn a_polite_stop_hands_the_work_on_and_resume_ends_whole() {
    let mut setup = setup();
    setup.world.latency = Duration::from_millis(4);
    let sandbox = Sandbox::start(setup).await;
    let mut working = sandbox.call(&["run"]).start();
    let seen = async {
        let mut ticks = interval(Duration::from_millis(1));
        while sandbox.simulator().requests().total < 40 && working.is_running() {
            ticks.tick().await;
        }
    };
    timeout(Duration::from_secs(60), seen).await.unwrap();
    working.interrupt();
    let ended = working.end().await.with_code(5);
    assert!(ended.stderr.contains("run --resume"), "{}", ended.said());
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}
