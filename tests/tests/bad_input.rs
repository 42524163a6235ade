//! Bad input: one sentence that names the field and the fix, the right exit code, and nothing lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use backhaul_tests::program::Ended;
use backhaul_tests::sandbox::{SECRETS, Sandbox, Setup};
use simulator::{Change, Dataset};

/// Ended with this code, and said these words; no panic, nothing only a programmer can read, no secret.
#[track_caller]
fn refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.said());
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing: {}", ended.said());
    }
    for dump in ["panicked", "RUST_BACKTRACE", "Err(", "Some(", "Error {", "Failure {", "rusqlite::", "SqliteFailure"] {
        assert!(!ended.stderr.contains(dump), "`{dump}`: {}", ended.said());
    }
    for (name, secret) in SECRETS {
        assert!(!ended.said().contains(secret), "the secret of {name} is shown: {}", ended.said());
    }
    assert!(ended.stdout.is_empty() || code >= 4, "stdout is data: {}", ended.said());
    let sentences = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(sentences, 1, "one sentence: {}", ended.said());
}

/// A sandbox whose data was loaded once, and its counts.
async fn loaded() -> Sandbox {
    let sandbox = Sandbox::start(Setup::of(&["8x8CallDetailRecords", "contacts", "tags"])).await;
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox
}

/// What was loaded is as it was, and a further run works.
async fn nothing_was_lost(sandbox: &Sandbox) {
    assert_eq!(sandbox.differences(), Vec::<String>::new());
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_command_line_that_cannot_be_meant_is_refused_with_2() {
    let sandbox = loaded().await;
    for (line, words) in [
        ("run --dataset contcats", ["--dataset", "contcats", "contacts"]),
        ("run --source zoom", ["--source", "zoom", "intercom"]),
        ("run --account nobody", ["--account", "nobody", "calls, desk"]),
        ("run --account desk --source 8x8", ["--source", "--account", "leave one of them out"]),
        ("run --last 0d", ["--last", "0d", "more than 0"]),
        ("run --last soon", ["--last", "soon", "3d"]),
        ("run --from 2099-01-01", ["--from", "2099-01-01", "future"]),
        ("run --from 2026-11-02 --to 2026-11-01", ["--from", "--to", "before"]),
        ("run --source 8x8 --from 1990-01-01 --to 1990-01-02", ["8x8CallDetailRecords", "1990-01-01", "within"]),
        ("run --resume no-such-run", ["--resume", "no-such-run", "status"]),
        ("status no-such-run", ["no-such-run", "backhaul.db", "status"]),
        ("dead show no-such-id", ["no-such-id", "dead message", "dead list"]),
        ("dead list --where colour=red", ["--where", "colour", "account"]),
    ] {
        let ended = sandbox.backhaul(&line.split(' ').collect::<Vec<_>>()).await;
        println!("{line}: {}", ended.stderr.trim());
        refused(&ended, 2, &words);
    }
    nothing_was_lost(&sandbox).await;
}

#[tokio::test]
async fn a_missing_configuration_or_secret_is_refused_with_3() {
    let sandbox = loaded().await;
    let ended = sandbox.backhaul(&["run", "--config", "nowhere.toml"]).await;
    refused(&ended, 3, &["nowhere.toml", "does not exist", "--config"]);

    let ended = sandbox.call(&["run"]).without("SIMULATOR_INTERCOM_TOKEN").end().await;
    refused(&ended, 3, &["accounts.desk.token", "SIMULATOR_INTERCOM_TOKEN", "set it"]);
    let ended =
        sandbox.call(&["run"]).without("SIMULATOR_INTERCOM_TOKEN").without("SIMULATOR_8X8_PASSWORD").end().await;
    refused(&ended, 3, &["accounts.desk.token", "accounts.calls.password"]);

    let good = sandbox.configuration();
    for (from, to, words) in [
        ("source = \"intercom\"", "source = \"zoom\"", ["accounts.desk.source", "zoom", "intercom"]),
        ("[worker]", "[wroker]", ["wroker", "backhaul.toml", "worker"]),
        ("zone = \"America/New_York\"", "zone = \"Mars\"", ["accounts.calls.zone", "Mars", "Europe/Paris"]),
        (
            "token = { env = \"SIMULATOR_INTERCOM_TOKEN\" }",
            "token = \"dG9rOg\"",
            ["accounts.desk.token", "env", "file"],
        ),
        (
            "datasets = [\"contacts\", \"tags\"]",
            "datasets = [\"contcats\"]",
            ["accounts.desk.datasets", "contcats", "users"],
        ),
    ] {
        assert!(good.contains(from), "{from}: {good}");
        sandbox.configure(&good.replace(from, to));
        let ended = sandbox.backhaul(&["run"]).await;
        println!("{to}: {}", ended.stderr.trim());
        refused(&ended, 3, &words);
        assert!(!ended.stderr.contains("dG9rOg"), "{}", ended.said());
    }
    sandbox.configure(&good.replace("[queue]", "[queue"));
    refused(&sandbox.backhaul(&["run"]).await, 3, &["backhaul.toml", "line ", "TOML"]);
    sandbox.configure(&good);
    nothing_was_lost(&sandbox).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_refused_with_3() {
    let sandbox = loaded().await;
    let good = sandbox.configuration();
    for (from, to, words) in [
        (
            "path = \"backhaul.db\"",
            "path = \"no/such/backhaul.db\"",
            ["no/such/backhaul.db", "directory", "destination.path"],
        ),
        ("path = \"queue.db\"", "path = \"no/such/queue.db\"", ["no/such/queue.db", "queue.path", "directory"]),
        // Where nobody may write, whoever runs this.
        ("path = \"backhaul.db\"", "path = \"/proc/backhaul.db\"", ["/proc/backhaul.db", "write", "destination.path"]),
        ("path = \"queue.db\"", "path = \"/proc/queue.db\"", ["/proc/queue.db", "queue.path", "name another file"]),
        // Each in the place of the other.
        ("path = \"queue.db\"", "path = \"backhaul.db\"", ["backhaul.db", "queue.path", "file"]),
        ("path = \"backhaul.db\"", "path = \"backhaul.toml\"", ["backhaul.toml", "SQLite", "destination.path"]),
    ] {
        sandbox.configure(&good.replace(from, to));
        let ended = sandbox.backhaul(&["run"]).await;
        println!("{to}: {}", ended.stderr.trim());
        refused(&ended, 3, &words);
    }
    sandbox.configure(&good);
    nothing_was_lost(&sandbox).await;
}

#[tokio::test]
async fn a_queue_that_another_process_works_on_is_left_alone() {
    let mut setup = Setup::of(&["contacts"]);
    setup.world.latency = std::time::Duration::from_millis(100);
    setup.desk = "page_size = 20";
    let sandbox = Sandbox::start(setup).await;
    let mut working = sandbox.call(&["run"]).start();
    let began = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(2));
        while sandbox.simulator().requests().total < 2 && working.is_running() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), began).await.unwrap();
    refused(&sandbox.backhaul(&["run"]).await, 3, &["queue.path", "another"]);
    assert!(working.is_running(), "the first was over before the second was refused");
    let _ = working.end().await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_corrupt_queue_is_refused_with_3_and_the_runs_go_on_with_a_new_one() {
    let sandbox = Sandbox::start(Setup::of(&["contacts", "tags"])).await;
    // A run with its units on the queue.
    let _ = sandbox.backhaul(&["plan"]).await.with_code(0);
    std::fs::write(sandbox.queue(), b"this was a queue once, and is none any more: ".repeat(200)).unwrap();
    refused(&sandbox.backhaul(&["run"]).await, 3, &["queue.path", "queue.db"]);
    refused(&sandbox.resume().await, 3, &["queue.path", "queue.db"]);
    refused(&sandbox.backhaul(&["dead", "list"]).await, 3, &["queue.path", "queue.db"]);
    // The fix: the damaged file goes, and what was on it is planned units, which the ledger still knows.
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let _ = std::fs::remove_file(sandbox.folder().join(name));
    }
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_table_with_a_wrong_column_is_refused_with_3_and_left_as_it_is() {
    let sandbox = loaded().await;
    sandbox.alter("ALTER TABLE tags RENAME TO kept; CREATE TABLE tags (id TEXT NOT NULL, name BLOB); INSERT INTO tags VALUES ('1', x'00')");
    let words = ["destination", "tags", "`name`", "BLOB", "destination.tables"];
    refused(&sandbox.backhaul(&["run"]).await, 3, &words);
    assert_eq!(sandbox.ask("SELECT COUNT(*) FROM tags"), 1);
    sandbox.alter("DROP TABLE tags; ALTER TABLE kept RENAME TO tags");
    nothing_was_lost(&sandbox).await;
}

#[tokio::test]
async fn a_table_that_is_changed_under_a_run_is_refused_and_resumed_after_the_fix() {
    let sandbox = loaded().await;
    let _ = sandbox.simulator().apply(Change::Shift { dataset: Dataset::Tags, insert: 3, touch: 0 });
    sandbox.alter("ALTER TABLE tags RENAME COLUMN name TO title");
    // A column that is missing is added: the rows that are there keep theirs under its other name.
    let _ = sandbox.backhaul(&["run"]).await.with_code(0);
    assert_eq!(sandbox.ask("SELECT COUNT(*) FROM tags WHERE title IS NULL AND name IS NOT NULL"), 3);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn wrong_credentials_end_in_4_with_the_rest_loaded_and_resume_goes_on_after_the_fix() {
    for (name, account, dataset) in [
        ("SIMULATOR_8X8_PASSWORD", "calls", "8x8CallDetailRecords"),
        ("SIMULATOR_8X8_API_KEY", "calls", "8x8CallDetailRecords"),
        ("SIMULATOR_WEBEX_CLIENT_SECRET", "meetings", "cdr_records"),
        ("SIMULATOR_WEBEX_REFRESH_TOKEN", "meetings", "cdr_records"),
        ("SIMULATOR_INTERCOM_TOKEN", "desk", "contacts"),
    ] {
        let sandbox = Sandbox::start(Setup::default()).await;
        let ended = sandbox.call(&["run"]).env(name, "wr0ng-s3cret").end().await;
        println!("{name}: {}", ended.stderr.trim());
        refused(&ended, 4, &[&format!("error: {account}: ")]);
        assert!(!ended.said().contains("wr0ng"), "{}", ended.said());
        let counts = sandbox.counts();
        assert_eq!(counts[dataset], 0);
        assert!(counts.iter().any(|(_, count)| *count > 0), "{counts:?}");
        let check = sandbox.call(&["check"]).env(name, "wr0ng-s3cret").end().await.with_code(4);
        assert!(check.stdout.contains("FAILS"), "{}", check.said());

        let resumed = sandbox.resume().await;
        if account == "calls" {
            // Which PBXes there are is asked while a run is planned: this run has no units of theirs, and says so.
            assert_eq!(resumed.status.code(), Some(5), "{}", resumed.said());
            assert!(
                resumed.stderr.contains("left out when the run was planned: calls (refused)"),
                "{}",
                resumed.said()
            );
            let _ = sandbox.backhaul(&["run"]).await.with_code(0);
        } else {
            assert_eq!(resumed.status.code(), Some(0), "{}", resumed.said());
        }
        sandbox.prove_newest().await;
    }
}

#[tokio::test]
async fn credentials_that_are_revoked_in_mid_run_end_in_4_and_resume_goes_on() {
    let mut setup = Setup::of(&["contacts", "conversations", "tags"]);
    setup.desk = "page_size = 20";
    let sandbox = Sandbox::start(setup).await;
    let revoked = simulator::Fault::Status { code: 401, retry_after: None, body: simulator::FaultBody::Json };
    sandbox.simulator().add([simulator::Rule::new("/intercom/contacts/search", revoked).after(4).times(u32::MAX)]);
    let ended = sandbox.backhaul(&["run"]).await;
    refused(&ended, 4, &["error: desk: ", "HTTP 401", "make a new one"]);
    sandbox.simulator().clear();
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}
