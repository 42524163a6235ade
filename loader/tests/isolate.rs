//! A row that the destination refuses is put aside alone, whether the destination says which row it is or not, and
//! whether the row is bad by itself or clashes with another of its batch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use backhaul_loader::load::{Load, Receipt};
use backhaul_loader::run::{Loader, Outcome, Settings};
use backhaul_loader::sink::sqlite::{self, Sqlite};
use backhaul_loader::sink::{Sink, SinkError};
use chrono::Utc;
use proto::batch::{Batch, BatchMeta, PayloadWriter};
use proto::broker::embedded::{EmbeddedBroker, EmbeddedSettings};
use proto::broker::{Broker, Queue};
use proto::catalog;
use proto::dataset::Dataset;
use proto::id::{AccountName, BatchId, RunId};
use proto::unit::{Unit, Window};
use tokio_util::sync::CancellationToken;

/// A destination that does not say which row it refuses, as SQL Server's bulk load does not.
struct Vague(Arc<Sqlite>);

fn vague(error: SinkError) -> SinkError {
    match error {
        SinkError::Rows { table, reason, .. } => SinkError::Rows { table, reason, row: None },
        other => other,
    }
}

#[async_trait]
impl Sink for Vague {
    async fn prepare(&self, datasets: &[&'static Dataset]) -> Result<(), SinkError> {
        self.0.prepare(datasets).await
    }

    async fn commit(&self, load: &Load) -> Result<Receipt, SinkError> {
        self.0.commit(load).await.map_err(vague)
    }

    async fn probe(&self, batch: &Batch, upto: u32, refused: &[u32]) -> Result<(), SinkError> {
        self.0.probe(batch, upto, refused).await.map_err(vague)
    }
}

fn batch(rows: &[(&str, &str)]) -> Batch {
    let dataset = catalog::find("tags").unwrap();
    let window = Window { from: Utc::now(), to: Utc::now() };
    let unit = Unit::new(RunId::new(), AccountName::parse("main").unwrap(), dataset, String::new(), window);
    let mut payload = PayloadWriter::new().unwrap();
    for (id, name) in rows {
        let line = format!(
            r#"{{"_account":"main","_version":1,"_digest":1,"id":"{id}","name":"{name}","_fetched_at":"x","raw":{{}}}}"#
        );
        payload.push(line.as_bytes()).unwrap();
    }
    let meta = BatchMeta {
        id: BatchId::new(),
        unit,
        rows: rows.len() as u32,
        bytes: payload.bytes(),
        pages: 1,
        requests: 1,
        drift: BTreeMap::new(),
        manifest: None,
        heals: None,
        cut_at: Utc::now(),
    };
    Batch { meta, payload: payload.finish().unwrap() }
}

/// Loads `batches` into a table that `sql` made picky. Gives the names that were loaded and the causes of the dead.
async fn load(batches: &[Batch], sql: &str, is_vague: bool) -> (Vec<String>, Vec<String>) {
    let dataset = catalog::find("tags").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let sqlite = Sqlite::open(&path, sqlite::Settings::default()).unwrap();
    sqlite.prepare(&[dataset]).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    let broker = EmbeddedBroker::in_memory(EmbeddedSettings::default()).unwrap();
    for batch in batches {
        broker.publish(&Queue::load(dataset), batch.to_message()).await.unwrap();
    }
    let loader = Loader {
        sink: if is_vague { Arc::new(Vague(Arc::clone(&sqlite))) } else { sqlite.clone() },
        ledger: sqlite.clone(),
        broker: broker.clone(),
        progress: Arc::default(),
        settings: Settings::default(),
    };
    let stop = CancellationToken::new();
    let done = async {
        while !broker.depth(&Queue::load(dataset)).await.unwrap().is_idle() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(loader.run(dataset, stop.clone()), done);
    assert_eq!(outcome, Outcome::Stopped);
    let mut statement = connection.prepare("SELECT name FROM tags ORDER BY id").unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let dead = broker.browse(&Queue::DeadBatches, 0, 100).await.unwrap();
    for message in &dead {
        let letter = Batch::open(message).unwrap();
        assert!(letter.meta.rows == 1 && letter.meta.heals.is_some(), "only a row is put aside: {message:?}");
    }
    (names, dead.iter().map(|message| message.trail.cause().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_row_that_is_refused_is_put_aside_alone() {
    let picky = "CREATE TRIGGER picky BEFORE INSERT ON tags WHEN NEW.name LIKE 'bad%'
        BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    for is_vague in [false, true] {
        let good = batch(&[("0", "good")]);
        let mixed = batch(&[("1", "bad 1"), ("2", "a"), ("3", "b"), ("4", "bad 2"), ("5", "c"), ("6", "bad 3")]);
        let (names, causes) = load(&[good, mixed], picky, is_vague).await;
        assert_eq!(names, ["good", "a", "b", "c"], "vague: {is_vague}");
        assert_eq!(causes.len(), 3, "{causes:?}");
        assert!(causes.iter().all(|cause| cause.contains("not this one")), "{causes:?}");
    }
}

#[tokio::test]
async fn of_two_rows_that_clash_with_each_other_one_is_put_aside() {
    for is_vague in [false, true] {
        let rows = [("1", "x"), ("2", "a"), ("3", "b"), ("4", "c"), ("5", "d"), ("6", "x")];
        let (names, causes) = load(&[batch(&rows)], "CREATE UNIQUE INDEX picky ON tags (name)", is_vague).await;
        assert_eq!((names.join(" "), causes.len()), ("x a b c d".into(), 1), "vague: {is_vague}; {causes:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_bad_throughout_leaves_a_letter_for_each_row() {
    let nothing = "CREATE TRIGGER picky BEFORE INSERT ON tags BEGIN SELECT RAISE(ABORT, 'closed'); END";
    for is_vague in [false, true] {
        let (names, causes) = load(&[batch(&[("1", "a"), ("2", "b"), ("3", "c")])], nothing, is_vague).await;
        assert_eq!((names.len(), causes.len()), (0, 3), "vague: {is_vague}");
    }
}
