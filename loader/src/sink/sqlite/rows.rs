//! Applies the lines of a batch to its table, inside the caller's transaction.
//!
//! A row whose key is new is inserted by one statement. For a key that is there, the newer of the two versions stays:
//! by the vendor's version, then the time of fetching, then the digest, so the outcome does not depend on the order in
//! which versions come. A repeat of what is there only moves the time of fetching on.

use proto::batch::Batch;
use proto::row::{LineError, LineReader, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql};

use super::table::Table;
use crate::load::Receipt;

/// Why a row, or the statement on it, failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("row {row}: {error}")]
    Line { row: u32, error: LineError },
    #[error("row {row}: {error}")]
    Sqlite { row: u32, error: rusqlite::Error },
    #[error("the batch is damaged: {0}")]
    Payload(#[from] std::io::Error),
    #[error("{0}")]
    Prepare(rusqlite::Error),
}

/// What `find` gives: row number, version, time of fetching, digest.
type Stored = (i64, Option<i64>, Option<String>, Option<i64>);

struct Param<'a>(Value<'a>);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match &self.0 {
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Json(json) => ValueRef::Text(json.as_bytes()),
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Boolean(yes) => ValueRef::Integer(i64::from(*yes)),
            Value::Float(number) => ValueRef::Real(*number),
        }))
    }
}

/// Applies the first `upto` rows of `batch` less those in `refused` (counted from 0, sorted).
///
/// # Errors
/// With the row that failed; the caller rolls back.
pub(super) fn apply(
    connection: &Connection,
    table: &Table,
    batch: &Batch,
    upto: u32,
    refused: &[u32],
) -> Result<Receipt, RowError> {
    let reader = LineReader::new(table.dataset);
    let mut insert = connection.prepare_cached(&table.insert).map_err(RowError::Prepare)?;
    let mut receipt = Receipt::default();
    let mut lines = batch.lines()?;
    let mut refused = refused.iter().copied().peekable();
    let mut row = 0;
    while row < upto {
        let Some(line) = lines.next_line()? else { break };
        let skip = refused.next_if_eq(&row).is_some();
        if skip {
            receipt.dead += 1;
        } else {
            let failed = |error| RowError::Sqlite { row, error };
            bind(&reader, line, &mut insert).map_err(|error| error.at(row))?;
            if insert.raw_execute().map_err(failed)? == 1 {
                receipt.inserted += 1;
            } else if replace(connection, table, &reader, line).map_err(|error| error.at(row))? {
                receipt.updated += 1;
            } else {
                receipt.unchanged += 1;
            }
        }
        row += 1;
    }
    Ok(receipt)
}

/// A failure before its row is known.
enum Failure {
    Line(LineError),
    Sqlite(rusqlite::Error),
}

impl Failure {
    fn at(self, row: u32) -> RowError {
        match self {
            Failure::Line(error) => RowError::Line { row, error },
            Failure::Sqlite(error) => RowError::Sqlite { row, error },
        }
    }
}

impl From<LineError> for Failure {
    fn from(error: LineError) -> Failure {
        Failure::Line(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

fn bind(reader: &LineReader, line: &[u8], statement: &mut CachedStatement<'_>) -> Result<(), Failure> {
    statement.clear_bindings();
    reader.read(line, |column, value| {
        statement.raw_bind_parameter(column + 1, Param(value))?;
        Ok(())
    })
}

/// The key is there: puts the row in its place if it is newer, and says whether it changed anything but meta columns.
fn replace(connection: &Connection, table: &Table, reader: &LineReader, line: &[u8]) -> Result<bool, Failure> {
    let mut key: Vec<Option<Value<'_>>> = vec![None; table.key.len()];
    let (mut version, mut digest, mut fetched_at) = (0, 0, String::new());
    reader.read::<Failure>(line, |column, value| {
        let name = table.columns[column].name;
        match (&value, name) {
            (Value::Integer(number), proto::dataset::VERSION) => version = *number,
            (Value::Integer(number), proto::dataset::DIGEST) => digest = *number,
            (Value::Text(text), name) if name == table.dataset.fetched_at => fetched_at = text.to_string(),
            _ => {}
        }
        if let Some(place) = table.key.iter().position(|n| *n == column) {
            key[place] = Some(value);
        }
        Ok(())
    })?;
    let params = key.into_iter().flatten().map(Param).collect::<Vec<_>>();
    let mut find = connection.prepare_cached(&table.find)?;
    let stored: Option<Stored> = find
        .query_row(rusqlite::params_from_iter(params), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((row, old_version, old_fetched_at, old_digest)) = stored else {
        // Nothing was inserted and the key is not there: some other unique index of the operator's refuses the row.
        return Err(Failure::Sqlite(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE),
            Some(String::from("another unique index of the table holds a row like it")),
        )));
    };
    let new = (Some(version), Some(fetched_at.as_str()), Some(digest));
    if new <= (old_version, old_fetched_at.as_deref(), old_digest) {
        return Ok(false);
    }
    if old_digest == Some(digest) {
        connection.prepare_cached(&table.touch)?.execute(rusqlite::params![version, fetched_at, row])?;
        return Ok(false);
    }
    let mut update = connection.prepare_cached(&table.update)?;
    bind(reader, line, &mut update)?;
    update.raw_bind_parameter(table.columns.len() + 1, row)?;
    update.raw_execute()?;
    Ok(true)
}
