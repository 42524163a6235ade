//! The SQLite destination keeps the contract, in a file and in memory, and says clearly what is wrong with a file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backhaul_loader::sink::contract::{self, Subject};
use backhaul_loader::sink::sqlite::{Settings, Sqlite};
use backhaul_loader::sink::{Sink, SinkError};
use proto::catalog;
use proto::ledger::Ledger;

struct File {
    sqlite: Arc<Sqlite>,
    directory: tempfile::TempDir,
}

impl File {
    async fn fresh() -> File {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&directory.path().join("data.db"), Settings::default()).unwrap();
        sqlite.prepare(&catalog::ALL).await.unwrap();
        File { sqlite, directory }
    }

    fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("data.db")).unwrap()
    }
}

#[async_trait]
impl Subject for File {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sqlite.clone()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.sqlite.clone()
    }

    async fn rows(&self) -> Vec<(String, String, String)> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT _account, id, name FROM tags ORDER BY 1, 2").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    async fn refuse(&self, id: &str, yes: bool) {
        let connection = self.connection();
        connection.execute_batch("DROP TRIGGER IF EXISTS refuse").unwrap();
        if yes {
            let sql = format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON tags WHEN NEW.id = '{id}' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            );
            connection.execute_batch(&sql).unwrap();
        }
    }
}

#[tokio::test]
async fn twice_is_once() {
    contract::twice_is_once(&File::fresh().await).await;
}

#[tokio::test]
async fn the_newest_version_wins_in_any_order() {
    contract::the_newest_version_wins_in_any_order(&File::fresh().await).await;
}

#[tokio::test]
async fn a_repeat_moves_the_version_on() {
    contract::a_repeat_moves_the_version_on(&File::fresh().await).await;
}

#[tokio::test]
async fn accounts_do_not_mix() {
    contract::accounts_do_not_mix(&File::fresh().await).await;
}

#[tokio::test]
async fn a_refused_load_leaves_no_trace() {
    contract::a_refused_load_leaves_no_trace(&File::fresh().await).await;
}

#[tokio::test]
async fn a_dead_row_is_counted_and_healed_once() {
    contract::a_dead_row_is_counted_and_healed_once(&File::fresh().await).await;
}

#[tokio::test]
async fn a_stale_letter_heals_nothing() {
    contract::a_stale_letter_heals_nothing(&File::fresh().await).await;
}

#[tokio::test]
async fn history_knows_what_was_jumped_over() {
    contract::history_knows_what_was_jumped_over(&File::fresh().await).await;
}

#[tokio::test]
async fn a_unit_is_whole_by_one_manifest() {
    contract::a_unit_is_whole_by_one_manifest(&File::fresh().await).await;
}

#[tokio::test]
async fn an_empty_unit_is_whole() {
    contract::an_empty_unit_is_whole(&File::fresh().await).await;
}

#[tokio::test]
async fn notes_are_kept() {
    contract::notes_are_kept(&File::fresh().await).await;
}

#[tokio::test]
async fn history_knows_the_holes() {
    contract::history_knows_the_holes(&File::fresh().await).await;
}

#[tokio::test]
async fn preparing_again_changes_nothing() {
    contract::preparing_again_changes_nothing(&File::fresh().await).await;
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "this is not a database, it is a shopping list: milk, eggs, bread and a newspaper").unwrap();
    for (path, words) in
        [(directory.path().join("missing").join("data.db"), "create its directory"), (text, "not an SQLite database")]
    {
        let Err(error) = Sqlite::open(&path, Settings::default()) else { panic!("{} was opened", path.display()) };
        let text = error.to_string();
        assert!(
            matches!(error, SinkError::Refused { .. }) && text.contains(words) && text.contains("destination.path"),
            "{text}"
        );
    }
    assert!(Sqlite::open_existing(Path::new("/nonexistent/x.db"), Settings::default()).is_err());
}

#[tokio::test]
async fn the_queries_of_older_tools_run_on_the_views() {
    let file = File::fresh().await;
    contract::twice_is_once(&file).await;
    let connection = file.connection();
    for sql in [
        "SELECT last_successful_end_time_utc, records_fetched, sync_duration_seconds, api_calls_made, notes, created_at \
         FROM cdr_sync_state ORDER BY id DESC LIMIT 10",
        "SELECT error_type, COUNT(*), MAX(error_timestamp) FROM cdr_sync_errors WHERE recovered = 0 GROUP BY error_type",
    ] {
        connection.prepare(sql).unwrap();
    }
    let (records, seconds, calls): (i64, f64, i64) = connection
        .query_row("SELECT records_fetched, sync_duration_seconds, api_calls_made FROM cdr_sync_state", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((records, seconds, calls), (2, 3600.0, 1));
}
