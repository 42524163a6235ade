//! The whole program against a simulator of the test's own: accounts that are refused, and runs that are planned first.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use simulator::{Rates, Running, Settings, credentials};
use tempfile::TempDir;

fn backhaul(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backhaul"));
    command.current_dir(dir).env_remove("BACKHAUL_CONFIG");
    command.args(line.split_whitespace()).output().unwrap()
}

fn json(dir: &Path, line: &str, code: i32) -> Value {
    let output = backhaul(dir, &format!("{line} --format json"));
    assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A simulator, and a folder with an account at 8x8 and one at Intercom.
async fn world() -> (Running, TempDir) {
    let settings = Settings { days: 2, calls_per_day: 40, contacts: 100, rates: Rates::OFF, ..Settings::default() };
    let running = simulator::start(settings, (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let addr = running.addr();
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        r#"[accounts.calls]
source = "8x8"
base_url = "http://{addr}/8x8/analytics/work"
api_key = {{ file = "key" }}
username = "{}"
password = {{ file = "password" }}
holds = "4d"
[accounts.desk]
source = "intercom"
base_url = "http://{addr}/intercom"
token = {{ file = "token" }}
"#,
        credentials::EIGHT_USERNAME
    );
    for (name, text) in [
        ("backhaul.toml", config.as_str()),
        ("key", credentials::EIGHT_API_KEY),
        ("password", credentials::EIGHT_PASSWORD),
        ("token", credentials::INTERCOM_TOKEN),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    (running, dir)
}

fn figure(report: &Value, dataset: &str, figure: &str) -> u64 {
    let lines = report["datasets"].as_array().unwrap();
    let line = lines.iter().find(|line| line["dataset"] == dataset).unwrap();
    line[figure].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_account_stops_alone_and_its_run_goes_on_when_it_is_let_in() {
    let (running, dir) = world().await;
    fs::write(dir.path().join("token"), "wrong").unwrap();
    let refused = json(dir.path(), "run -q", 4);
    assert_eq!(refused["whole"], Value::Bool(false));
    assert_eq!(figure(&refused, "8x8CallDetailRecords", "inserted"), 80, "{refused}");
    assert_eq!(figure(&refused, "contacts", "inserted"), 0);
    let checked = json(dir.path(), "check", 4);
    let works: Vec<_> = checked.as_array().unwrap().iter().map(|part| part["works"].as_bool().unwrap()).collect();
    assert_eq!(works, [true, true, true, false], "{checked}");
    json(dir.path(), "status", 5);

    fs::write(dir.path().join("token"), credentials::INTERCOM_TOKEN).unwrap();
    let healed = json(dir.path(), &format!("run -q --resume {}", refused["run"].as_str().unwrap()), 0);
    assert_eq!(figure(&healed, "contacts", "inserted"), 100, "{healed}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_refused_when_it_is_planned_is_left_out_and_the_run_is_not_whole() {
    let (running, dir) = world().await;
    fs::write(dir.path().join("key"), "wrong").unwrap();
    let refused = json(dir.path(), "run -q", 4);
    assert_eq!(refused["whole"], Value::Bool(false), "{refused}");
    assert_eq!(figure(&refused, "contacts", "inserted"), 100);
    assert_eq!(json(dir.path(), "status", 5)["whole"], Value::Bool(false));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_writes_nothing_when_it_is_dry_and_is_worked_on_by_a_resumed_run() {
    let (running, dir) = world().await;
    let dry = json(dir.path(), "plan --dry-run --dataset contacts --last 4w", 0);
    assert_eq!((&dry["run"], &dry["units"]), (&Value::Null, &Value::from(1)), "{dry}");
    assert_eq!(backhaul(dir.path(), "status").status.code(), Some(2), "there is no run yet");
    let planned = json(dir.path(), "plan -q --dataset contacts --dataset tags", 0);
    let run = planned["run"].as_str().unwrap();
    json(dir.path(), &format!("status {run}"), 5);
    let worked = json(dir.path(), &format!("run -q --resume {run}"), 0);
    assert_eq!(figure(&worked, "contacts", "inserted"), 100, "{worked}");
    assert_eq!(worked["datasets"].as_array().unwrap().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_no_api_answers_for_and_a_pbx_that_is_not_there_are_refused_before_anything_begins() {
    let (running, dir) = world().await;
    let old = backhaul(dir.path(), "run --source 8x8 --from 2001-01-01 --to 2001-01-02");
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    assert_eq!(old.status.code(), Some(2), "{said}");
    assert!(said.contains("its API answers for"), "{said}");
    let path = dir.path().join("backhaul.toml");
    let config = fs::read_to_string(&path).unwrap().replace("holds =", "partitions = [\"no-such-pbx\"]\nholds =");
    fs::write(&path, config).unwrap();
    let missing = backhaul(dir.path(), "run --source 8x8");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(3), "{said}");
    assert!(said.contains("accounts.calls.partitions: the vendor has no `no-such-pbx`"), "{said}");
    assert_eq!(backhaul(dir.path(), "status").status.code(), Some(2), "there is no run yet");
    running.stop().await;
}
