//! The tables of a queue file and every statement on them. Decides nothing and knows no leases.
//!
//! A row is ready when `visible_at` is 0, handed out when it is -1, and waiting until that time (ms) otherwise. So the
//! next message in order of arrival is one step in the index, however long the backlog. A body lives in a table of its
//! own, so that no change to its message writes it again.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::broker::Depth;
use crate::message::{Kind, Message, Trail};

/// What `PRAGMA user_version` says of a file that this program writes.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// Marks a file as a queue ("BHQ1"), so that a warehouse file is never taken for one.
pub(super) const APPLICATION_ID: i64 = 0x4248_5131;

/// Ready now.
const READY: i64 = 0;
/// Handed out.
const OUT: i64 = -1;

pub(super) const SCHEMA: &str = "
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    format INTEGER NOT NULL,
    about TEXT NOT NULL,
    trail TEXT NOT NULL,
    meta TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    origin TEXT,
    visible_at INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    body INTEGER NOT NULL,
    UNIQUE (queue, id)
) STRICT;
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE INDEX messages_by_turn ON messages (queue, visible_at, seq, bytes);
CREATE INDEX messages_by_origin ON messages (origin) WHERE origin IS NOT NULL;
";

const MESSAGE: &str = "m.seq, m.deliveries, m.id, m.kind, m.format, m.about, m.trail, m.meta, b.body \
                       FROM messages m JOIN bodies b ON b.id = m.body";

/// A message as it lies in the file.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) deliveries: u32,
    pub(super) message: Message,
}

/// As much of a row as a verdict changes.
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) trail: Trail,
    pub(super) bytes: u64,
}

/// The connection to a queue file that has its tables.
pub(super) struct Store {
    connection: Connection,
    durable: bool,
}

type Outcome<T> = rusqlite::Result<T>;

impl Store {
    pub(super) fn new(connection: Connection) -> Store {
        connection.set_prepared_statement_cache_capacity(64);
        Store { connection, durable: true }
    }

    /// Begins a transaction. One that need not survive a loss of power is not synced; the next one that must carries
    /// it along.
    pub(super) fn begin(&mut self, writes: bool, durable: bool) -> Outcome<()> {
        if writes && self.durable != durable {
            // Not `run`: this takes effect when it is compiled, which a cached statement is only once.
            self.connection.execute_batch(if durable {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.durable = durable;
        }
        self.run(if writes { "BEGIN IMMEDIATE" } else { "BEGIN" })
    }

    pub(super) fn commit(&self) -> Outcome<()> {
        self.run("COMMIT")
    }

    /// Ends the transaction without it, if SQLite has not done so already.
    pub(super) fn roll_back(&self) {
        if self.is_in_transaction() && self.run("ROLLBACK").is_err() {
            tracing::debug!("the queue file's transaction ended by itself");
        }
    }

    /// Marks a place in the transaction to return to.
    pub(super) fn set_mark(&self) -> Outcome<()> {
        self.run("SAVEPOINT mark")
    }

    /// Keeps what was done since the mark.
    pub(super) fn keep(&self) -> Outcome<()> {
        self.run("RELEASE mark")
    }

    /// Takes back what was done since the mark, unless SQLite has taken back everything.
    pub(super) fn return_to_mark(&self) -> Outcome<()> {
        if self.is_in_transaction() {
            self.run("ROLLBACK TO mark").and_then(|()| self.run("RELEASE mark"))
        } else {
            Ok(())
        }
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// A number that changes when another connection has written to the file.
    pub(super) fn data_version(&self) -> Outcome<i64> {
        self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Makes what an earlier process had handed out ready again.
    pub(super) fn recover(&self) -> Outcome<usize> {
        self.connection.execute("UPDATE messages SET visible_at = ?1 WHERE visible_at = ?2", params![READY, OUT])
    }

    /// Moves the write-ahead log into the file, as far as readers let it.
    pub(super) fn checkpoint(&self) -> Outcome<()> {
        self.connection.busy_timeout(std::time::Duration::from_millis(100))?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    pub(super) fn find(&self, queue: &str, id: &str) -> Outcome<Option<i64>> {
        self.connection
            .prepare_cached("SELECT seq FROM messages WHERE queue = ?1 AND id = ?2")?
            .query_row(params![queue, id], |row| row.get(0))
            .optional()
    }

    /// Adds a message that is not there yet.
    pub(super) fn insert(
        &self,
        queue: &str,
        message: &Message,
        origin: Option<&str>,
        now: DateTime<Utc>,
    ) -> Outcome<()> {
        self.connection.prepare_cached("INSERT INTO bodies (body) VALUES (?1)")?.execute(params![&message.body[..]])?;
        let body = self.connection.last_insert_rowid();
        let kind = match message.kind {
            Kind::Unit => "unit",
            Kind::Batch => "batch",
        };
        self.connection
            .prepare_cached(
                "INSERT INTO messages (queue, id, kind, format, about, trail, meta, bytes, origin, visible_at, \
                 deliveries, published_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12)",
            )?
            .execute(params![
                queue,
                message.id,
                kind,
                message.format,
                json(&message.about)?,
                json(&message.trail)?,
                message.meta,
                message.size() as i64,
                origin,
                READY,
                now.timestamp_millis(),
                body
            ])?;
        Ok(())
    }

    /// Makes ready what has waited long enough.
    pub(super) fn promote(&self, queue: &str, now: DateTime<Utc>) -> Outcome<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET visible_at = 0 WHERE queue = ?1 AND visible_at > 0 AND visible_at <= ?2",
            )?
            .execute(params![queue, now.timestamp_millis()])?;
        Ok(())
    }

    /// The first message whose turn it is.
    pub(super) fn first_ready(&self, queue: &str) -> Outcome<Option<Stored>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE} WHERE m.queue = ?1 AND m.visible_at = 0 ORDER BY m.seq LIMIT 1"
            ))?
            .query_row(params![queue], stored)
            .optional()
    }

    /// When the next waiting message becomes ready (ms).
    pub(super) fn next_visible(&self, queue: &str) -> Outcome<Option<i64>> {
        self.connection
            .prepare_cached("SELECT MIN(visible_at) FROM messages WHERE queue = ?1 AND visible_at > 0")?
            .query_row(params![queue], |row| row.get(0))
    }

    /// Notes that a message is handed out, and counts it where `counted`.
    pub(super) fn hand_out(&self, seq: i64, counted: bool) -> Outcome<()> {
        self.connection
            .prepare_cached("UPDATE messages SET visible_at = -1, deliveries = deliveries + ?2 WHERE seq = ?1")?
            .execute(params![seq, counted])?;
        Ok(())
    }

    /// Makes a message that is out ready again at its old place, and takes its hand-out back where `uncounted`.
    pub(super) fn take_back(&self, seq: i64, uncounted: bool) -> Outcome<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET visible_at = 0, deliveries = MAX(deliveries - ?2, 0) \
                 WHERE seq = ?1 AND visible_at = -1",
            )?
            .execute(params![seq, uncounted])?;
        Ok(())
    }

    /// Lets a message that is out wait, its hand-out taken back, under a new trail.
    pub(super) fn wait(&self, seq: i64, trail: &Trail, visible_at: i64) -> Outcome<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET visible_at = ?2, deliveries = MAX(deliveries - 1, 0), trail = ?3 \
                 WHERE seq = ?1 AND visible_at = -1",
            )?
            .execute(params![seq, visible_at, json(trail)?])?;
        Ok(())
    }

    pub(super) fn envelope(&self, seq: i64) -> Outcome<Option<Envelope>> {
        self.connection
            .prepare_cached("SELECT id, trail, bytes FROM messages WHERE seq = ?1")?
            .query_row(params![seq], |row| {
                Ok(Envelope { id: row.get(0)?, trail: parsed(row, 1)?, bytes: row.get::<_, i64>(2)? as u64 })
            })
            .optional()
    }

    /// Forgets a message. Answers how many bytes it took, or `None` when it is gone already.
    pub(super) fn remove(&self, seq: i64) -> Outcome<Option<u64>> {
        let gone: Option<(i64, i64)> = self
            .connection
            .prepare_cached("DELETE FROM messages WHERE seq = ?1 RETURNING body, bytes")?
            .query_row(params![seq], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((body, bytes)) = gone else { return Ok(None) };
        self.connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute(params![body])?;
        Ok(Some(bytes as u64))
    }

    /// Moves a message to the end of another queue, ready and with no hand-outs counted. It gets a new number, so that
    /// every tag of it is stale; its body stays where it is.
    pub(super) fn shift(&self, seq: i64, queue: &str, trail: &Trail, origin: Option<&str>) -> Outcome<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO messages (queue, id, kind, format, about, trail, meta, bytes, origin, visible_at, \
                 deliveries, published_at, body) SELECT ?2, id, kind, format, about, ?3, meta, bytes, ?4, 0, 0, \
                 published_at, body FROM messages WHERE seq = ?1",
            )?
            .execute(params![seq, queue, json(trail)?, origin])?;
        self.connection.prepare_cached("DELETE FROM messages WHERE seq = ?1")?.execute(params![seq])?;
        Ok(())
    }

    /// Bytes that the messages of a queue take.
    pub(super) fn bytes(&self, queue: &str) -> Outcome<u64> {
        self.connection
            .prepare_cached("SELECT COALESCE(SUM(bytes), 0) FROM messages WHERE queue = ?1")?
            .query_row(params![queue], |row| row.get::<_, i64>(0))
            .map(|bytes| bytes as u64)
    }

    pub(super) fn depth(&self, queue: &str, now: DateTime<Utc>) -> Outcome<Depth> {
        let dead = self
            .connection
            .prepare_cached("SELECT COUNT(*) FROM messages WHERE origin = ?1")?
            .query_row(params![queue], |row| row.get::<_, i64>(0))?;
        self.connection
            .prepare_cached(
                "SELECT COUNT(*) FILTER (WHERE visible_at BETWEEN 0 AND ?2), COUNT(*) FILTER (WHERE visible_at = -1), \
                 COUNT(*) FILTER (WHERE visible_at > ?2), COALESCE(SUM(bytes), 0) FROM messages WHERE queue = ?1",
            )?
            .query_row(params![queue, now.timestamp_millis()], |row| {
                let number = |column| row.get::<_, i64>(column).map(|n| n as u64);
                let (ready, in_flight, waiting, bytes) = (number(0)?, number(1)?, number(2)?, number(3)?);
                Ok(Depth { ready, in_flight, waiting, dead: dead as u64, bytes })
            })
    }

    pub(super) fn browse(&self, queue: &str, skip: usize, limit: usize) -> Outcome<Vec<Message>> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(&format!("SELECT {MESSAGE} WHERE m.queue = ?1 ORDER BY m.seq LIMIT ?2 OFFSET ?3"))?
            .query_map(params![queue, count(limit), count(skip)], |row| stored(row).map(|stored| stored.message))?
            .collect()
    }

    /// The message, read whole.
    pub(super) fn read(&self, seq: i64) -> Outcome<Message> {
        self.connection
            .prepare_cached(&format!("SELECT {MESSAGE} WHERE m.seq = ?1"))?
            .query_row(params![seq], |row| stored(row).map(|stored| stored.message))
    }

    /// Makes the disk small.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) -> Outcome<()> {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    }

    fn run(&self, statement: &str) -> Outcome<()> {
        self.connection.prepare_cached(statement)?.query([])?.next().map(|_| ())
    }
}

fn stored(row: &Row<'_>) -> Outcome<Stored> {
    let kind = match row.get_ref(3)?.as_str()? {
        "unit" => Kind::Unit,
        "batch" => Kind::Batch,
        other => return Err(unreadable(3, format!("a message of the unknown kind `{other}`").into())),
    };
    let message = Message {
        id: row.get(2)?,
        kind,
        format: row.get(4)?,
        about: parsed(row, 5)?,
        trail: parsed(row, 6)?,
        meta: row.get(7)?,
        body: row.get::<_, Vec<u8>>(8)?.into(),
    };
    Ok(Stored { seq: row.get(0)?, deliveries: row.get(1)?, message })
}

fn parsed<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Outcome<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error.into()))
}

fn json<T: serde::Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn unreadable(column: usize, cause: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause)
}
