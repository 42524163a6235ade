//! What cannot be loaded or read is put aside alone, with its cause; everything else is loaded; and once the cause is
//! gone, a replay heals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backhaul_tests::program::Ended;
use backhaul_tests::sandbox::{Sandbox, Setup};
use serde_json::Value;
use simulator::{Change, Dataset, Fault, FaultBody, Rule};

const REASON: &str = "refused for a test";

async fn dead(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.backhaul(&["dead", "list", "--format", "json"]).await.with_code(0);
    list.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn show(sandbox: &Sandbox, dead: &Value) -> Value {
    let id = dead["id"].as_str().unwrap();
    sandbox.backhaul(&["dead", "show", id, "--format", "json"]).await.with_code(0).json()
}

async fn status(sandbox: &Sandbox, code: i32) -> Value {
    sandbox.backhaul(&["status", "--format", "json"]).await.with_code(code).json()
}

async fn replay(sandbox: &Sandbox) -> Ended {
    sandbox.backhaul(&["dead", "replay"]).await.with_code(0)
}

/// The datasets whose tables do not hold what they must.
fn different(sandbox: &Sandbox) -> Vec<String> {
    sandbox.differences().iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_row_that_the_destination_refuses_is_dead_alone_and_a_replay_heals_it() {
    let sandbox = Sandbox::start(Setup::default()).await;
    let _ = sandbox.backhaul(&["check"]).await.with_code(0);
    let id = a_contact().await;
    sandbox.alter(&format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON contacts WHEN NEW.id = '{id}'
         BEGIN SELECT RAISE(ABORT, '{REASON}'); END"
    ));

    let run = sandbox.backhaul(&["run", "--format", "json"]).await.with_code(5);
    assert_eq!(run.json()["whole"], false);
    assert_eq!(different(&sandbox), ["contacts"]);
    assert_eq!(sandbox.counts()["contacts"], 299);

    let list = dead(&sandbox).await;
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((&list[0]["kind"], &list[0]["dataset"]), (&Value::from("batch"), &Value::from("contacts")));
    assert!(list[0]["cause"].as_str().unwrap().contains(REASON), "{list:?}");
    let shown = show(&sandbox, &list[0]).await;
    assert!(shown["cause"].as_str().unwrap().contains(REASON), "{shown}");
    assert!(shown["rows"][0].to_string().contains(&id), "{shown}");
    let text = sandbox.backhaul(&["dead", "show", list[0]["id"].as_str().unwrap()]).await.with_code(0);
    assert!(text.stdout.contains(REASON) && text.stdout.contains(&id), "{}", text.said());

    let standing = status(&sandbox, 5).await;
    assert_eq!(standing["whole"], false);
    assert_eq!(standing["differences"], serde_json::json!({}));

    // While the cause is there a replay changes nothing: the row dies again, and is still one message.
    let _ = replay(&sandbox).await;
    let _ = sandbox.resume().await.with_code(5);
    let again = dead(&sandbox).await;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0]["replays"], 1);

    sandbox.alter("DROP TRIGGER refuse");
    let _ = replay(&sandbox).await;
    let _ = sandbox.resume().await.with_code(0);
    assert_eq!(status(&sandbox, 0).await["whole"], true);
    sandbox.prove_newest().await;
}

/// The id of a contact: ids follow from the seed.
async fn a_contact() -> String {
    let other = Sandbox::start(Setup::of(&["contacts"])).await;
    let _ = other.backhaul(&["run"]).await.with_code(0);
    other.text("SELECT id FROM contacts ORDER BY id LIMIT 1 OFFSET 100")
}

#[tokio::test]
async fn records_without_their_key_are_dead_alone_and_a_later_run_brings_what_the_vendor_mended() {
    let spoiled = [(Dataset::EightCalls, 5), (Dataset::WebexCalls, 7), (Dataset::Conversations, 9), (Dataset::Tags, 3)];
    let sandbox = Sandbox::start(Setup::default()).await;
    for (dataset, index) in spoiled {
        sandbox.simulator().apply(Change::Poison { dataset, index, patch: None }).unwrap();
    }
    let run = sandbox.backhaul(&["run"]).await.with_code(5);
    assert!(run.stderr.contains("dead"), "{}", run.said());
    assert_eq!(different(&sandbox), ["8x8CallDetailRecords", "cdr_records", "conversations", "tags"]);
    let (counts, truth) = (sandbox.counts(), sandbox.truth());
    for (dataset, _) in spoiled {
        assert_eq!(counts[dataset.name()] + 1, truth.datasets[dataset.name()].count, "{}", dataset.name());
    }
    let list = dead(&sandbox).await;
    assert_eq!(list.len(), spoiled.len(), "{list:?}");
    for one in &list {
        let shown = show(&sandbox, one).await;
        assert_eq!(shown["rows"].as_array().unwrap().len(), 1, "{shown}");
    }
    let groups = sandbox.backhaul(&["dead", "groups", "--format", "json"]).await.with_code(0).json();
    assert_eq!(groups.as_array().unwrap().len(), spoiled.len(), "{groups}");

    sandbox.simulator().apply(Change::Heal { dataset: None }).unwrap();
    // Of calls the look-back reaches 26 hours, of conversations an hour; a time that is asked for reads all of it.
    let _ = sandbox.backhaul(&["run", "--last", "9d"]).await.with_code(0);
    assert_eq!(sandbox.differences(), Vec::<String>::new());
    let discard = ["dead", "discard", "--yes", "--reason", "the vendor mended them"];
    let _ = sandbox.backhaul(&discard).await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_unit_that_the_vendor_rejects_is_dead_alone_and_a_replay_heals_it() {
    for code in [400, 403, 404] {
        let sandbox = Sandbox::start(Setup::default()).await;
        let rejects = Fault::Status { code, retry_after: None, body: FaultBody::Json };
        sandbox.simulator().add([Rule::new("pbxId=acme-europe", rejects).times(u32::MAX)]);
        let run = sandbox.backhaul(&["run"]).await.with_code(5);
        assert!(run.stderr.contains("units were put aside: see `backhaul dead groups`"), "{}", run.said());
        assert_eq!(different(&sandbox), ["8x8CallDetailRecords"]);

        let list = dead(&sandbox).await;
        let units = sandbox.ask("SELECT COUNT(*) FROM backhaul_units WHERE partition = 'acme-europe'");
        assert_eq!(list.len() as u64, units, "{list:?}");
        for one in &list {
            let (kind, cause) = (&one["kind"], one["cause"].as_str().unwrap());
            assert!(kind == "unit" && cause.contains(&format!("HTTP {code}")), "{one}");
        }
        assert_eq!(sandbox.ask("SELECT COUNT(*) FROM backhaul_units WHERE whole_at IS NULL"), units);
        let shown = show(&sandbox, &list[0]).await;
        assert_eq!(shown["content"]["unit"]["partition"], "acme-europe", "{shown}");

        sandbox.simulator().clear();
        let _ = replay(&sandbox).await;
        let _ = sandbox.resume().await.with_code(0);
        sandbox.prove_newest().await;
    }
}

#[tokio::test]
async fn what_a_person_discards_is_noted_and_its_run_is_never_called_whole() {
    let sandbox = Sandbox::start(Setup::of(&["tags"])).await;
    sandbox.simulator().apply(Change::Poison { dataset: Dataset::Tags, index: 3, patch: None }).unwrap();
    let _ = sandbox.backhaul(&["run"]).await.with_code(5);
    let asked = sandbox.backhaul(&["dead", "discard", "--reason", "broken at the vendor"]).await.with_code(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.said());
    assert_eq!(dead(&sandbox).await.len(), 1);
    let _ = sandbox.backhaul(&["dead", "discard", "--yes", "--reason", "broken at the vendor"]).await.with_code(0);
    assert_eq!(dead(&sandbox).await.len(), 0);
    let standing = status(&sandbox, 5).await;
    assert!(standing["faults"].to_string().contains("broken at the vendor"), "{standing}");
    let _ = sandbox.resume().await.with_code(5);
}
