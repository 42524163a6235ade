//! The whole program against simulated vendors: what a newcomer does first, and what an operator does when a row is
//! refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;

const SMALL: &str = "--days 2 --calls-per-day 60 --contacts 200";

fn backhaul(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backhaul"));
    command.current_dir(dir).env_remove("BACKHAUL_CONFIG");
    command.args(line.split_whitespace()).output().unwrap()
}

/// Runs, checks the exit code and reads the JSON object on stdout.
fn json(dir: &Path, line: &str, code: i32) -> Value {
    let output = backhaul(dir, &format!("{line} --format json"));
    assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One figure of each dataset.
fn figures(report: &Value, figure: &str) -> BTreeMap<String, u64> {
    let lines = report["datasets"].as_array().unwrap();
    let named = |line: &Value| (line["dataset"].as_str().unwrap().to_owned(), line[figure].as_u64().unwrap());
    lines.iter().map(named).collect()
}

fn all_match(report: &Value) -> bool {
    let lines = report["datasets"].as_array().unwrap();
    lines.len() == 10 && lines.iter().all(|line| line["matches_truth"] == Value::Bool(true))
}

#[test]
fn a_demo_matches_the_truth_and_a_second_one_inserts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = json(dir.path(), &format!("demo --dir d {SMALL} -q"), 0);
    assert!(all_match(&first) && first["whole"] == Value::Bool(true), "{first}");
    assert_eq!(figures(&first, "inserted")["contacts"], 200);
    let second = json(dir.path(), &format!("demo --dir d {SMALL} -q"), 0);
    assert!(all_match(&second), "{second}");
    assert_eq!(figures(&second, "inserted").values().sum::<u64>(), 0, "{second}");
    let other = backhaul(dir.path(), "demo --dir d --days 3");
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("use another --dir"));
}

#[test]
fn a_rough_demo_ends_equal_to_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let report = json(dir.path(), &format!("demo --dir d {SMALL} --misfortune rough -q"), 0);
    assert!(all_match(&report), "{report}");
}

#[test]
fn quiet_says_nothing_and_the_text_says_what_was_proved() {
    let dir = tempfile::tempdir().unwrap();
    let output = backhaul(dir.path(), &format!("demo --dir d {SMALL} -q"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("compared with the ground truth: every row is there"), "{text}");
    for query in text.lines().filter_map(|line| line.trim().strip_prefix("sqlite3 d/backhaul.db '")) {
        let database = Connection::open(dir.path().join("d/backhaul.db")).unwrap();
        assert!(database.prepare(query.trim_end_matches('\'')).unwrap().query([]).unwrap().next().unwrap().is_some());
    }
}

#[test]
fn a_refused_row_dies_alone_is_shown_and_heals_when_it_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &format!("demo --dir d {SMALL} -q"), 0);
    let database = Connection::open(dir.path().join("d/backhaul.db")).unwrap();
    let id: String = database.query_row("SELECT id FROM tags LIMIT 1", [], |row| row.get(0)).unwrap();
    let guard = "BEGIN SELECT RAISE(ABORT, 'refused'); END";
    database
        .execute_batch(&format!(
            "DELETE FROM tags; CREATE TRIGGER guard BEFORE INSERT ON tags WHEN NEW.id = '{id}' {guard}"
        ))
        .unwrap();
    let hurt = json(dir.path(), &format!("demo --dir d {SMALL} -q"), 5);
    assert_eq!((figures(&hurt, "dead")["tags"], figures(&hurt, "inserted")["tags"]), (1, 39), "{hurt}");
    let run = hurt["run"].as_str().unwrap();

    let at = "--config d/backhaul.toml";
    assert_eq!(json(dir.path(), &format!("{at} status"), 5)["whole"], Value::Bool(false));
    let groups = json(dir.path(), &format!("{at} dead groups"), 0);
    assert_eq!((groups.as_array().unwrap().len(), &groups[0]["dataset"]), (1, &Value::from("tags")), "{groups}");
    let listed = json(dir.path(), &format!("{at} dead list --where dataset=tags,fault=poison"), 0);
    let shown = json(dir.path(), &format!("{at} dead show {}", listed["id"].as_str().unwrap()), 0);
    assert_eq!(shown["rows"][0]["id"].as_str(), Some(id.as_str()), "{shown}");
    let exported = json(dir.path(), &format!("{at} dead export"), 0);
    assert_eq!(exported["rows"], shown["rows"]);
    let dry = json(dir.path(), &format!("{at} dead replay --dry-run"), 0);
    assert_eq!((&dry["dry_run"], dry["messages"].as_array().unwrap().len()), (&Value::Bool(true), 1));

    database.execute_batch("DROP TRIGGER guard").unwrap();
    let replayed = json(dir.path(), &format!("{at} dead replay"), 0);
    assert_eq!(replayed["runs"][0].as_str(), Some(run));
    let healed = json(dir.path(), &format!("{at} run --resume {run} -q"), 0);
    assert_eq!((&healed["whole"], figures(&healed, "dead")["tags"]), (&Value::Bool(true), 0), "{healed}");
    assert_eq!(json(dir.path(), &format!("{at} status {run}"), 0)["whole"], Value::Bool(true));
    let held: i64 = database.query_row("SELECT count(*) FROM tags", [], |row| row.get(0)).unwrap();
    assert_eq!(held, 40);
}

#[test]
fn what_is_given_up_is_gone_noted_and_keeps_the_run_from_being_whole() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &format!("demo --dir d {SMALL} -q"), 0);
    let database = Connection::open(dir.path().join("d/backhaul.db")).unwrap();
    database
        .execute_batch(
            "DELETE FROM teams; CREATE TRIGGER guard BEFORE INSERT ON teams BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    json(dir.path(), &format!("demo --dir d {SMALL} -q"), 5);
    let at = "--config d/backhaul.toml";
    let unasked = backhaul(dir.path(), &format!("{at} dead discard --reason test"));
    assert_eq!(unasked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("add --yes"));
    let done = json(dir.path(), &format!("{at} dead discard --reason test --yes"), 0);
    assert_eq!(done["messages"].as_array().unwrap().len(), 5, "{done}");
    assert_eq!(backhaul(dir.path(), &format!("{at} dead list --format json")).stdout, b"");
    assert_eq!(json(dir.path(), &format!("{at} status"), 5)["whole"], Value::Bool(false));
}

#[test]
fn a_vendor_that_is_gone_fails_the_check_and_is_no_refusal() {
    // The demo's configuration points at a simulator that ended with it.
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &format!("demo --dir d {SMALL} -q"), 0);
    let config = fs::read_to_string(dir.path().join("d/backhaul.toml")).unwrap();
    fs::write(dir.path().join("d/backhaul.toml"), format!("{config}\n[http]\ntries = 1\nconnect_timeout = \"1s\"\n"))
        .unwrap();
    let checked = json(dir.path(), "--config d/backhaul.toml check --account desk", 1);
    assert_eq!(checked[2]["works"], Value::Bool(false), "{checked}");
}
