//! SQLite as a destination: rows and ledger in one transaction of one file.
//!
//! One connection writes, another reads (WAL), so that looking never waits for a load. Commits are `synchronous=FULL`:
//! what is settled survives a loss of power. Statements run on the runtime's blocking threads.

mod figures;
mod history;
mod ledger;
mod rows;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use proto::batch::Batch;
use proto::dataset::Dataset;
use proto::mark;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use self::rows::RowError;
use self::table::Table;
use super::{Sink, SinkError};
use crate::load::{Load, LoadBatch, Receipt};

/// How the destination is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Table names that differ from the catalog's, by dataset.
    pub tables: BTreeMap<String, String>,
}

/// An SQLite file as sink and ledger.
pub struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    place: String,
    settings: Settings,
    write: Arc<Mutex<Connection>>,
    read: Arc<Mutex<Connection>>,
    /// In memory a statement never waits for a disk: it runs where it is called, so that simulations are deterministic.
    inline: bool,
    tables: Mutex<HashMap<&'static str, Arc<Table>>>,
}

/// The page cache of each connection, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

impl Sqlite {
    /// Opens the file, creating it if need be, and makes the ledger ready.
    ///
    /// # Errors
    /// When the directory is missing or not writable, or the file is not a database of ours to use.
    pub fn open(path: &Path, settings: Settings) -> Result<Arc<Sqlite>, SinkError> {
        Self::connect(path, settings, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a file that must be there already.
    ///
    /// # Errors
    /// As [`Sqlite::open`], and when there is no such file.
    pub fn open_existing(path: &Path, settings: Settings) -> Result<Arc<Sqlite>, SinkError> {
        Self::connect(path, settings, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// A destination in memory, for tests and simulations.
    ///
    /// # Errors
    /// When SQLite fails, for want of memory.
    pub fn in_memory(settings: Settings) -> Result<Arc<Sqlite>, SinkError> {
        let place = String::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| open_error(&place, &error))?;
        let write = Arc::new(Mutex::new(connection));
        let inner = Inner { place, settings, read: Arc::clone(&write), write, inline: true, tables: Mutex::default() };
        inner.set_up()?;
        Ok(Arc::new(Sqlite { inner: Arc::new(inner) }))
    }

    fn connect(path: &Path, settings: Settings, flags: OpenFlags) -> Result<Arc<Sqlite>, SinkError> {
        let place = path.display().to_string();
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |flags| Connection::open_with_flags(path, flags).map_err(|error| open_error(&place, &error));
        let write = open(flags)?;
        let pragmas = format!(
            "PRAGMA page_size = 32768; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA wal_autocheckpoint = 1000; PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 30000;"
        );
        write.execute_batch(&pragmas).map_err(|error| open_error(&place, &error))?;
        let read = open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        read.execute_batch("PRAGMA cache_size = -2048; PRAGMA busy_timeout = 30000;")
            .map_err(|error| open_error(&place, &error))?;
        let (write, read) = (Arc::new(Mutex::new(write)), Arc::new(Mutex::new(read)));
        let inner = Inner { place, settings, write, read, inline: false, tables: Mutex::default() };
        inner.set_up()?;
        Ok(Arc::new(Sqlite { inner: Arc::new(inner) }))
    }

    /// Calls `each` with what the vendor sent for every row of the dataset's table, in the table's order.
    ///
    /// # Errors
    /// When the table is missing or cannot be read.
    pub async fn raws(
        &self,
        dataset: &'static Dataset,
        mut each: impl FnMut(&str) + Send + 'static,
    ) -> Result<(), SinkError> {
        self.blocking(move |inner| {
            let table = inner.table(dataset);
            let sql = format!("SELECT {} FROM {}", table::quoted(dataset.raw), table::quoted(&table.name));
            let connection = lock(&inner.read);
            let failed = |error: rusqlite::Error| inner.error(&table.name, &error);
            let mut statement = connection.prepare(&sql).map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                each(row.get_ref(0).and_then(|value| Ok(value.as_str()?)).map_err(failed)?);
            }
            Ok(())
        })
        .await
    }

    /// The table that a dataset goes to.
    #[must_use]
    pub fn table_name(&self, dataset: &'static Dataset) -> String {
        self.inner.table(dataset).name.clone()
    }

    /// Runs `work` on a blocking thread. Work that has begun is carried to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let inner = Arc::clone(&self.inner);
        if inner.inline {
            return work(&inner);
        }
        let place = inner.place.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(SinkError::Failed { place, reason: error.to_string() }))
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic in the middle of a transaction rolled it back: the connection is as good as before.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn set_up(&self) -> Result<(), SinkError> {
        lock(&self.write).execute_batch(table::LEDGER).map_err(|error| open_error(&self.place, &error))?;
        lock(&self.write).set_prepared_statement_cache_capacity(64);
        Ok(())
    }

    fn table(&self, dataset: &'static Dataset) -> Arc<Table> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.entry(dataset.name).or_insert_with(|| {
            let name = self.settings.tables.get(dataset.name).cloned().unwrap_or_else(|| dataset.table.to_owned());
            Arc::new(Table::new(dataset, name))
        });
        Arc::clone(table)
    }

    fn prepare(&self, datasets: &[&'static Dataset]) -> Result<(), SinkError> {
        let mut connection = lock(&self.write);
        let mut statements = Vec::new();
        for dataset in datasets {
            let table = self.table(dataset);
            statements.push((table.name.clone(), table.migration(&connection)?));
        }
        let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begin.map_err(|error| self.error("", &error))?;
        for (table, statements) in statements {
            for statement in statements {
                transaction.execute_batch(&statement).map_err(|error| match error.sqlite_error_code() {
                    Some(ErrorCode::ConstraintViolation) => SinkError::Schema {
                        table: table.clone(),
                        problem: String::from("it holds several rows with one key: remove the doubles, or name another table in `destination.tables`"),
                    },
                    _ => self.error(&table, &error),
                })?;
            }
        }
        transaction.commit().map_err(|error| self.error("", &error))
    }

    fn commit(&self, load: &Load) -> Result<Receipt, SinkError> {
        let table = self.table(load.dataset);
        let mut connection = lock(&self.write);
        let failed = |error: rusqlite::Error| self.error(&table.name, &error);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut receipt = Receipt::default();
        for LoadBatch { batch, refused } in &load.batches {
            if ledger::has_batch(&transaction, &batch.meta.id).map_err(failed)? {
                continue;
            }
            let applied = rows::apply(&transaction, &table, batch, batch.meta.rows, refused);
            let applied = applied.map_err(|error| self.row_error(&table.name, &error))?;
            mark::reached("sink.rows-written");
            ledger::write_batch(&transaction, &batch.meta, refused, applied).map_err(failed)?;
            receipt.add(applied);
        }
        for LoadBatch { batch, .. } in &load.batches {
            ledger::settle_unit(&transaction, batch.unit()).map_err(failed)?;
        }
        mark::reached("sink.ledger-written");
        transaction.commit().map_err(failed)?;
        mark::reached("sink.committed");
        Ok(receipt)
    }

    fn probe(&self, batch: &Batch, upto: u32, refused: &[u32]) -> Result<(), SinkError> {
        let dataset = batch.meta.unit.dataset().map_err(|error| SinkError::Rows {
            table: batch.meta.unit.dataset.clone(),
            reason: error.to_string(),
            row: None,
        })?;
        let table = self.table(dataset);
        let mut connection = lock(&self.write);
        let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        // Dropping the transaction rolls it back.
        let transaction = begin.map_err(|error| self.error(&table.name, &error))?;
        let applied = rows::apply(&transaction, &table, batch, upto, refused);
        applied.map(|_| ()).map_err(|error| self.row_error(&table.name, &error))
    }

    fn row_error(&self, table: &str, error: &RowError) -> SinkError {
        let rows = |reason: String, row| SinkError::Rows { table: table.to_owned(), reason, row };
        match error {
            RowError::Line { row, error } => rows(error.to_string(), Some(*row)),
            RowError::Payload(error) => rows(format!("the batch is damaged: {error}"), None),
            RowError::Sqlite { row, error } => match self.error(table, error) {
                SinkError::Rows { reason, .. } => rows(reason, Some(*row)),
                other => other,
            },
            RowError::Prepare(error) => match error.sqlite_error_code() {
                // The statement names a column or table that is not there.
                Some(ErrorCode::Unknown) => SinkError::Schema {
                    table: table.to_owned(),
                    problem: format!(
                        "{error}: the table was changed since the start; start again to have it checked and widened"
                    ),
                },
                _ => self.error(table, error),
            },
        }
    }

    /// Sorts SQLite's errors into ours. Its messages name tables and columns, never values.
    fn error(&self, table: &str, error: &rusqlite::Error) -> SinkError {
        let place = self.place.clone();
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange,
            ) => SinkError::Rows { table: table.to_owned(), reason, row: None },
            Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied
                | ErrorCode::CannotOpen,
            ) => open_error(&place, error),
            _ => SinkError::Failed { place, reason },
        }
    }
}

fn open_error(place: &str, error: &rusqlite::Error) -> SinkError {
    let problem = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => String::from(
            "cannot be opened: create its directory and let this user write there, or change `destination.path`",
        ),
        Some(ErrorCode::NotADatabase) => {
            String::from("is not an SQLite database: name another file in `destination.path`")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            String::from("is damaged: restore it, or name another file in `destination.path`")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => String::from(
            "cannot be written: let this user write the file and its directory, or change `destination.path`",
        ),
        _ => format!("cannot be used: {error}"),
    };
    SinkError::Refused { place: place.to_owned(), problem }
}

#[async_trait]
impl Sink for Sqlite {
    async fn prepare(&self, datasets: &[&'static Dataset]) -> Result<(), SinkError> {
        let datasets = datasets.to_vec();
        self.blocking(move |inner| inner.prepare(&datasets)).await
    }

    async fn commit(&self, load: &Load) -> Result<Receipt, SinkError> {
        let load = load.clone();
        self.blocking(move |inner| inner.commit(&load)).await
    }

    async fn probe(&self, batch: &Batch, upto: u32, refused: &[u32]) -> Result<(), SinkError> {
        let (batch, refused) = (batch.clone(), refused.to_vec());
        self.blocking(move |inner| inner.probe(&batch, upto, &refused)).await
    }
}
