//! Bad input, given to the program as it is: one sentence that names the field and the fix, the right exit code, and
//! nothing lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ACCOUNT: &str = "[accounts.desk]\nsource = \"intercom\"\nbase_url = \"http://127.0.0.1:9\"\ntoken = { file = \"token\" }\n[http]\ntries = 1\n";

fn backhaul(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backhaul"));
    command.current_dir(dir).env_remove("BACKHAUL_CONFIG").env_remove("NO_SUCH_TOKEN");
    command.args(line.split_whitespace()).output().unwrap()
}

/// A folder with a configuration and its secret.
fn folder(config: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("backhaul.toml"), config).unwrap();
    fs::write(dir.path().join("token"), "hunter2").unwrap();
    dir
}

/// Checks the exit code and that the one sentence on stderr holds `words`; stdout stays empty.
fn refused(dir: &Path, line: &str, code: i32, words: &[&str]) {
    let output = backhaul(dir, line);
    let (said, data) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    for word in words {
        assert!(said.contains(word), "{line}: {said}\nshould contain: {word}");
    }
    assert_eq!(data, "", "{line}: stdout is for data");
    for never in ["panicked", "RUST_BACKTRACE", "hunter2", "Error {"] {
        assert!(!said.contains(never), "{line}: {said}");
    }
}

#[test]
fn an_unknown_dataset_account_or_source_is_a_usage_error() {
    let dir = folder(ACCOUNT);
    refused(dir.path(), "run --dataset faxes", 2, &["faxes", "possible values", "cdr_records"]);
    refused(dir.path(), "run --source zoom", 2, &["zoom", "8x8, webex, intercom"]);
    refused(dir.path(), "run --account nobody", 2, &["`nobody` is no account of backhaul.toml: use desk"]);
    refused(dir.path(), "check --account nobody", 2, &["use desk"]);
    refused(dir.path(), "run --resume r1 --last 3d", 2, &["cannot be used with"]);
    assert!(!dir.path().join("backhaul.db").exists(), "nothing was made");
}

#[test]
fn an_impossible_window_or_a_future_from_is_a_usage_error() {
    let dir = folder(ACCOUNT);
    refused(dir.path(), "run --from 2999-01-01", 2, &["`--from 2999-01-01T00:00:00Z` is in the future"]);
    refused(dir.path(), "run --from 2026-02-01 --to 2026-01-01", 2, &["is not before `--to"]);
    refused(dir.path(), "plan --dry-run --last 3", 2, &["such as 90s or 3d"]);
}

#[test]
fn an_unknown_run_is_a_usage_error() {
    let dir = folder(ACCOUNT);
    refused(dir.path(), "status", 3, &["backhaul.db does not exist"]);
    rusqlite::Connection::open(dir.path().join("backhaul.db")).unwrap().execute_batch("VACUUM").unwrap();
    refused(dir.path(), "status", 2, &["there is no run in", "yet"]);
    refused(dir.path(), "status r1", 2, &["there is no run `r1`"]);
    refused(dir.path(), "run --resume r1", 2, &["--resume: there is no run `r1`"]);
}

#[test]
fn a_missing_configuration_or_secret_is_a_configuration_error() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), "run", 3, &["backhaul.toml does not exist: copy backhaul.example.toml"]);
    let dir = folder(&ACCOUNT.replace("{ file = \"token\" }", "{ env = \"NO_SUCH_TOKEN\" }"));
    refused(dir.path(), "run", 3, &["accounts.desk.token: the environment variable NO_SUCH_TOKEN is not set"]);
    let dir = folder(&ACCOUNT.replace("\"token\"", "\"no-token\""));
    refused(dir.path(), "plan --dry-run", 3, &["accounts.desk.token: the file no-token does not read"]);
    let dir = folder(&format!("{ACCOUNT}tires = 1"));
    refused(dir.path(), "run", 3, &["http.tires: there is no such field here"]);
}

#[test]
fn a_corrupt_queue_file_is_a_configuration_error_and_stays_as_it_is() {
    let dir = folder(ACCOUNT);
    let queue = dir.path().join("backhaul-queue.db");
    fs::write(&queue, "this is no queue file at all, only some words that fill a page").unwrap();
    refused(dir.path(), "run", 3, &["queue.path: ", "is not a readable queue file", "move it away"]);
    refused(dir.path(), "dead list", 3, &["queue.path: "]);
    assert!(fs::read_to_string(&queue).unwrap().starts_with("this is no queue file"));
}

#[test]
fn a_table_with_a_wrong_column_is_a_configuration_error_and_stays_as_it_is() {
    let dir = folder(ACCOUNT);
    let database = rusqlite::Connection::open(dir.path().join("backhaul.db")).unwrap();
    database.execute_batch("CREATE TABLE tags (id TEXT, name INTEGER); INSERT INTO tags VALUES ('1', 2)").unwrap();
    drop(database);
    refused(dir.path(), "run", 3, &["table `tags`", "name"]);
    let database = rusqlite::Connection::open(dir.path().join("backhaul.db")).unwrap();
    assert_eq!(database.query_row("SELECT count(*) FROM tags", [], |row| row.get::<_, i64>(0)), Ok(1));
}

#[test]
fn a_folder_that_cannot_be_used_is_a_configuration_error() {
    // A file where a folder should be fails for every user, root included.
    let dir = folder(&format!("[destination]\npath = \"token/backhaul.db\"\n{ACCOUNT}"));
    refused(dir.path(), "run", 3, &["destination: ", "token/backhaul.db"]);
    let dir = folder(&format!("[queue]\npath = \"token/queue.db\"\n{ACCOUNT}"));
    refused(dir.path(), "run", 3, &["queue.path: ", "token/queue.db"]);
    refused(dir.path(), "demo --dir token/demo", 3, &["--dir: ", "token/demo"]);
}

#[test]
fn a_wrong_filter_or_an_unknown_id_is_a_usage_error() {
    let dir = folder(ACCOUNT);
    refused(dir.path(), "dead list --where colour=red", 2, &["use one of source, account"]);
    refused(dir.path(), "dead list", 3, &["backhaul-queue.db does not exist"]);
}

#[test]
fn help_and_version_are_data() {
    let dir = tempfile::tempdir().unwrap();
    for line in ["--help", "run --help", "--version"] {
        let output = backhaul(dir.path(), line);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{line}");
    }
}
