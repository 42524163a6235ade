//! A wrong cursor never ends in success with a part of the rows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backhaul_tests::sandbox::{Sandbox, Setup};
use serde_json::Value;
use simulator::{Fault, Rule, Settings};

/// A dataset whose walks have several pages, and the address of its pages.
struct Walk {
    dataset: &'static str,
    path: &'static str,
    /// Of these the answers that can be told to end too early.
    ends: &'static str,
}

const CALLS: &str = "/8x8/analytics/work/v2/call-records";
const CONTACTS: &str = "/intercom/contacts/search";
const CONVERSATIONS: &str = "/intercom/conversations/search";

const WALKS: [Walk; 4] = [
    Walk { dataset: "8x8CallDetailRecords", path: CALLS, ends: CALLS },
    // A first page without a link states nothing: only with a link was there a total.
    Walk { dataset: "cdr_records", path: "/webex/v1/cdr_feed", ends: "startTimeForNextFetch" },
    Walk { dataset: "contacts", path: CONTACTS, ends: CONTACTS },
    Walk { dataset: "conversations", path: CONVERSATIONS, ends: CONVERSATIONS },
];

/// A day of calls, busy enough for several pages of the 500 records that Webex gives at least.
fn setup(walk: &Walk) -> Setup {
    let mut setup = Setup::of(&[walk.dataset]);
    let calls_per_day = if walk.dataset == "cdr_records" { 3_000 } else { 100 };
    setup.world = Settings { days: 1, calls_per_day, contacts: 100, ..setup.world };
    setup.calls = "page_size = 10";
    setup.desk = "page_size = 10";
    setup
}

#[tokio::test]
async fn a_cursor_that_is_wrong_for_good_ends_in_5_with_both_counts_and_heals_once_it_is_right() {
    for walk in &WALKS {
        for fault in [Fault::RepeatPage, Fault::Short] {
            let sandbox = Sandbox::start(setup(walk)).await;
            let path = if fault == Fault::Short { walk.ends } else { walk.path };
            sandbox.simulator().add([Rule::new(path, fault.clone()).times(u32::MAX)]);
            let what = format!("{} {fault:?}", walk.dataset);
            let run = sandbox.backhaul(&["run"]).await;
            assert_eq!(run.status.code(), Some(5), "{what}: {}", run.said());
            assert!(sandbox.differences()[0].starts_with(walk.dataset), "{what}");
            let counts = match fault {
                Fault::Short => "records and the walk ended after",
                _ => "came before it, in each of 4 walks",
            };
            assert!(run.stderr.contains("the vendor states") && run.stderr.contains(counts), "{what}: {}", run.said());

            let list = sandbox.backhaul(&["dead", "list", "--format", "json"]).await.with_code(0);
            let units = sandbox.ask("SELECT COUNT(*) FROM backhaul_units WHERE whole_at IS NULL");
            assert_eq!(list.stdout.lines().count() as u64, units, "{what}: {}", list.said());
            for line in list.stdout.lines() {
                let dead: Value = serde_json::from_str(line).unwrap();
                assert_eq!(dead["kind"], "unit", "{what}: {dead}");
            }

            sandbox.simulator().clear();
            let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
            let _ = sandbox.resume().await.with_code(0);
            sandbox.prove_newest().await;
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_wrong_once_heals_within_the_run() {
    for walk in &WALKS {
        for fault in [Fault::RepeatPage, Fault::Short] {
            for skip in [0, 1] {
                let sandbox = Sandbox::start(setup(walk)).await;
                let path = if fault == Fault::Short { walk.ends } else { walk.path };
                sandbox.simulator().add([Rule::new(path, fault.clone()).after(skip)]);
                let run = sandbox.backhaul(&["run"]).await;
                assert_eq!(run.status.code(), Some(0), "{} {fault:?} {skip}: {}", walk.dataset, run.said());
                assert_eq!(sandbox.simulator().rules()[0].fired, 1);
                sandbox.prove_newest().await;
            }
        }
    }
}

/// The feed states its total in the link to the next page only: a first page without one is asked for again in another
/// size before it is believed.
#[tokio::test]
async fn a_first_webex_page_that_lost_its_link_is_not_taken_for_the_whole_window() {
    let walk = &WALKS[1];
    let sandbox = Sandbox::start(setup(walk)).await;
    sandbox.simulator().add([Rule::new(walk.path, Fault::Short)]);
    let run = sandbox.backhaul(&["run"]).await;
    assert_eq!(run.status.code(), Some(0), "{}", run.said());
    sandbox.prove_newest().await;

    let sandbox = Sandbox::start(setup(walk)).await;
    sandbox.simulator().add([Rule::new(walk.path, Fault::Short).times(u32::MAX)]);
    let run = sandbox.backhaul(&["run"]).await;
    assert_eq!(run.status.code(), Some(5), "{}", run.said());
    assert!(run.stderr.contains("no link to more, whatever the page size"), "{}", run.said());
    sandbox.simulator().clear();
    let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}
