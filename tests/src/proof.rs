//! The proof that a run lost nothing: what the database holds, beside the truth, the ledger's own figures and what still
//! lies on the queue. Reads the files as any other program would, and trusts nothing that `backhaul` says of them.

use std::collections::BTreeMap;

use proto::dataset::{ACCOUNT, Dataset};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use simulator::truth::{DatasetTruth, Digest};

use crate::sandbox::Sandbox;

impl Sandbox {
    /// Proves that the database holds what the vendors hold, that the ledger says so, and that nothing is left over.
    ///
    /// After a crash a whole run may leave messages on the queue whose work was done under another one. The next run
    /// clears them away and changes nothing: that is proved then.
    ///
    /// # Panics
    /// With everything that is not as it must be.
    pub async fn prove(&self, run: &str) {
        let mut problems = self.differences();
        problems.extend(self.unproved(run).await);
        let left_over = self.left_over();
        if !left_over.is_empty() && left_over.iter().all(|queue| !queue.starts_with("dead")) {
            let _ = self.backhaul(&["run"]).await.with_code(0);
            problems.extend(self.differences());
        }
        problems.extend(self.left_over());
        assert!(problems.is_empty(), "run {run}:\n  {}", problems.join("\n  "));
    }

    /// Proves the newest run.
    ///
    /// # Panics
    /// As [`Sandbox::prove`].
    pub async fn prove_newest(&self) {
        let run = self.newest_run().await.unwrap();
        self.prove(&run).await;
    }

    /// Where the database differs from the truth: a count, a digest, a key that is there twice, or rows that the ledger
    /// does not account for.
    ///
    /// # Panics
    /// When the database does not read.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let (database, truth) = (self.open_database(), self.truth());
        let mut problems = Vec::new();
        for dataset in self.datasets() {
            let (held, must) = (held(&database, dataset), &truth.datasets[dataset.name]);
            if held != *must {
                problems.push(format!("{}: {held:?} is there and must be {must:?}", dataset.name));
            }
            let twice = keys_twice(&database, dataset);
            if twice > 0 {
                problems.push(format!("{}: {twice} keys are there more than once", dataset.name));
            }
            let sql = "SELECT COALESCE(SUM(inserted), 0) FROM backhaul_batches WHERE dataset = ?";
            let inserted: u64 = database.query_row(sql, [dataset.name], count).unwrap();
            if inserted != held.count {
                let count = held.count;
                problems.push(format!("{}: {count} rows, and the ledger says {inserted} were inserted", dataset.name));
            }
        }
        problems
    }

    /// Where `status` does not say that the run is whole and every unit of it accounted for.
    ///
    /// # Panics
    /// When `status` does not answer.
    pub async fn unproved(&self, run: &str) -> Vec<String> {
        let ended = self.backhaul(&["status", run, "-v", "--format", "json"]).await;
        let mut problems = Vec::new();
        if ended.status.code() != Some(0) {
            problems.push(format!("status: {}", ended.said()));
        }
        let status = ended.json();
        if status["whole"] != true || status["differences"] != Value::Object(serde_json::Map::new()) {
            problems.push(format!("status: whole {}, differences {}", status["whole"], status["differences"]));
        }
        for unit in status["units"].as_array().into_iter().flatten() {
            let figure = |name: &str| unit[name].as_u64().unwrap_or(u64::MAX / 8);
            let came: u64 = ["inserted", "updated", "unchanged", "dead"].into_iter().map(figure).sum();
            if unit["standing"] != "whole" || figure("fetched") != came || figure("dead") > 0 {
                problems.push(format!("unit: {unit}"));
            }
        }
        problems
    }

    /// What still lies on the queue, by queue.
    ///
    /// # Panics
    /// When the queue does not read.
    #[must_use]
    pub fn left_over(&self) -> Vec<String> {
        let connection = read_only(&self.queue());
        let mut statement = connection.prepare("SELECT queue, COUNT(*) FROM messages GROUP BY queue").unwrap();
        let lines = statement
            .query_map([], |row| Ok(format!("{}: {} messages", row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
            .unwrap();
        let mut problems: Vec<String> = lines.map(Result::unwrap).collect();
        let orphans = "SELECT COUNT(*) FROM bodies WHERE id NOT IN (SELECT body FROM messages)";
        let orphans: u64 = connection.query_row(orphans, [], count).unwrap();
        if orphans > 0 {
            problems.push(format!("{orphans} bodies without a message"));
        }
        problems
    }

    /// How many rows each dataset has.
    ///
    /// # Panics
    /// When the database does not read.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let database = self.open_database();
        self.datasets().map(|dataset| (dataset.name, held(&database, dataset).count)).collect()
    }

    /// The first number that a query on the database gives.
    ///
    /// # Panics
    /// When it gives none.
    #[must_use]
    pub fn ask(&self, sql: &str) -> u64 {
        self.open_database().query_row(sql, [], count).unwrap()
    }

    /// The first text that a query on the database gives.
    ///
    /// # Panics
    /// When it gives none.
    #[must_use]
    pub fn text(&self, sql: &str) -> String {
        self.open_database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Changes the database behind the back of `backhaul`.
    ///
    /// # Panics
    /// When the statements fail.
    pub fn alter(&self, sql: &str) {
        Connection::open(self.database()).unwrap().execute_batch(sql).unwrap();
    }

    fn open_database(&self) -> Connection {
        read_only(&self.database())
    }
}

fn read_only(path: &std::path::Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 10000").unwrap();
    connection
}

fn count(row: &Row<'_>) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap())
}

fn held(database: &Connection, dataset: &Dataset) -> DatasetTruth {
    let sql = format!("SELECT \"{}\" FROM \"{}\"", dataset.raw, dataset.table);
    let mut statement = database.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut digest = Digest::default();
    while let Some(row) = rows.next().unwrap() {
        digest.add(row.get_ref(0).unwrap().as_str().unwrap()).unwrap();
    }
    digest.finish()
}

fn keys_twice(database: &Connection, dataset: &Dataset) -> u64 {
    let key: Vec<String> = dataset.key.iter().chain(&[ACCOUNT]).map(|column| format!("\"{column}\"")).collect();
    let key = key.join(", ");
    // Not by the unique index of the table, which is what is to be proved.
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT {key}, COUNT(*) AS times FROM \"{}\" NOT INDEXED GROUP BY {key} HAVING times > 1)",
        dataset.table
    );
    database.query_row(&sql, [], count).unwrap()
}
