//! Batches: rows of one unit on their way to the destination, encoded once.
//!
//! The payload is NDJSON under zstd: one line per row, made by the worker, handed to a load job as it is or read column
//! by column by [`crate::row::LineReader`]. What a loader must know without opening it is in [`BatchMeta`], which
//! travels in the message's properties.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{BatchId, UnitId};
use crate::message::{FORMAT, Kind, Message, OpenError, Trail};
use crate::unit::Unit;

/// Everything about a batch but its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMeta {
    /// Its identity: random, so that no two passes share one.
    pub id: BatchId,
    /// The unit its rows belong to.
    pub unit: Unit,
    /// How many rows (lines) it holds.
    pub rows: u32,
    /// How many bytes the lines take uncompressed.
    pub bytes: u64,
    /// Vendor answers read for it, so that the ledger counts those of broken-off passes too.
    pub pages: u32,
    /// Requests sent for it.
    pub requests: u32,
    /// Fields that the catalog does not know or could not convert, with how often each was seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, u64>,
    /// On the last batch of a pass: what the pass consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// On the one-row batch of a dead row that is sent round again: the batch it was dead in. It adds no fetched row;
    /// it turns a dead one into a loaded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heals: Option<BatchId>,
    /// When it was cut.
    pub cut_at: DateTime<Utc>,
}

/// What one complete pass over a unit consists of. A unit is whole when every batch that some manifest of it lists is
/// in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// All batches of the pass, the one that carries this among them.
    pub batches: Vec<BatchId>,
    /// Vendor answers read.
    pub pages: u64,
    /// Requests sent, failed ones too.
    pub requests: u64,
    /// Rows in those answers.
    pub rows: u64,
    /// Rows that stood on the page before already.
    pub repeats: u64,
    /// The total that the vendor stated, where it states one.
    pub stated: Option<u64>,
    /// When the pass began.
    pub began: DateTime<Utc>,
    /// When the pass ended.
    pub ended: DateTime<Utc>,
}

/// A batch as a loader holds it: still compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Everything but the rows.
    pub meta: BatchMeta,
    /// The lines under zstd.
    pub payload: Bytes,
}

impl Batch {
    /// The message that carries it.
    #[must_use]
    pub fn to_message(&self) -> Message {
        Message {
            format: FORMAT,
            id: self.meta.id.to_string(),
            kind: Kind::Batch,
            about: self.meta.unit.about(),
            trail: Trail::default(),
            // Plain data with string keys: serialising it cannot fail.
            meta: serde_json::to_string(&self.meta).unwrap_or_default(),
            body: self.payload.clone(),
        }
    }

    /// Reads what [`Batch::to_message`] made; the payload stays compressed.
    ///
    /// # Errors
    /// When the message is of another kind or a newer format, does not read, or names an unknown dataset.
    pub fn open(message: &Message) -> Result<Batch, OpenError> {
        message.expect(Kind::Batch)?;
        let meta: BatchMeta = serde_json::from_str(&message.meta).map_err(OpenError::Malformed)?;
        meta.unit.dataset()?;
        Ok(Batch { meta, payload: message.body.clone() })
    }

    /// The unit of the batch.
    #[must_use]
    pub fn unit(&self) -> &UnitId {
        &self.meta.unit.id
    }

    /// The lines one after another, decompressed as they are asked for: memory is one line and zstd's window.
    ///
    /// # Errors
    /// When the payload is not zstd.
    pub fn lines(&self) -> io::Result<Lines<'_>> {
        let decoder = zstd::stream::read::Decoder::with_buffer(&self.payload[..])?;
        Ok(Lines { from: io::BufReader::with_capacity(64 << 10, decoder), line: Vec::new() })
    }

    /// The one-row batch that carries row `row`, whose line is `line`, out of this batch.
    ///
    /// # Errors
    /// When zstd fails, which it does only for want of memory.
    pub fn of_row(&self, row: u32, line: &[u8], now: DateTime<Utc>) -> io::Result<Batch> {
        let mut writer = PayloadWriter::new()?;
        writer.push(line)?;
        let meta = BatchMeta {
            id: self.meta.id.of_row(row),
            unit: self.meta.unit.clone(),
            rows: 1,
            bytes: line.len() as u64,
            pages: 0,
            requests: 0,
            drift: BTreeMap::new(),
            manifest: None,
            heals: Some(self.meta.id.clone()),
            cut_at: now,
        };
        Ok(Batch { meta, payload: writer.finish()? })
    }
}

/// The lines of a batch.
pub struct Lines<'a> {
    from: io::BufReader<zstd::stream::read::Decoder<'static, &'a [u8]>>,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line without its newline, or `None` at the end.
    ///
    /// # Errors
    /// When the payload is damaged.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        if self.from.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        Ok(Some(&self.line))
    }
}

/// Compresses lines as they come.
pub struct PayloadWriter {
    into: zstd::stream::write::Encoder<'static, Vec<u8>>,
    bytes: u64,
}

/// The lowest level that still halves NDJSON several times over: measured 14 % of the size at about 1 GB/s.
const LEVEL: i32 = 1;

impl PayloadWriter {
    /// An empty payload.
    ///
    /// # Errors
    /// When zstd cannot be set up, which it fails at only for want of memory.
    pub fn new() -> io::Result<PayloadWriter> {
        let mut into = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        into.include_checksum(true)?;
        Ok(PayloadWriter { into, bytes: 0 })
    }

    /// Adds a line, and the newline that ends it unless it brings one.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn push(&mut self, line: &[u8]) -> io::Result<()> {
        self.into.write_all(line)?;
        self.bytes += line.len() as u64;
        if line.last() != Some(&b'\n') {
            self.into.write_all(b"\n")?;
            self.bytes += 1;
        }
        Ok(())
    }

    /// How many bytes were added, before compression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes the compressed part takes so far; up to about 128 KiB of lines may still be inside zstd.
    #[must_use]
    pub fn compressed(&self) -> usize {
        self.into.get_ref().len()
    }

    /// The compressed payload.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(Bytes::from(self.into.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_damage_is_noticed() {
        let mut writer = PayloadWriter::new().unwrap();
        let lines: Vec<Vec<u8>> = (0..5000).map(|n| format!("{{\"id\":\"{n}\"}}").into_bytes()).collect();
        for line in &lines {
            writer.push(line).unwrap();
        }
        let payload = writer.finish().unwrap();
        let batch = batch(payload.clone());
        let mut read = batch.lines().unwrap();
        for line in &lines {
            assert_eq!(read.next_line().unwrap(), Some(&line[..]));
        }
        assert_eq!(read.next_line().unwrap(), None);

        let mut damaged = payload.to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        let batch = self::batch(damaged.into());
        let mut read = batch.lines().unwrap();
        let outcome = loop {
            match read.next_line() {
                Ok(Some(_)) => {}
                other => break other.map(|line| line.map(<[u8]>::to_vec)),
            }
        };
        assert!(outcome.is_err(), "{outcome:?}");
    }

    #[test]
    fn a_batch_travels_unchanged_and_its_rows_can_travel_alone() {
        let mut writer = PayloadWriter::new().unwrap();
        writer.push(b"{\"a\":1}").unwrap();
        let batch = batch(writer.finish().unwrap());
        assert_eq!(Batch::open(&batch.to_message()).unwrap(), batch);
        let alone = batch.of_row(0, b"{\"a\":1}", Utc::now()).unwrap();
        assert_eq!(alone.meta.heals.as_ref(), Some(&batch.meta.id));
        assert_eq!(alone.lines().unwrap().next_line().unwrap(), Some(&b"{\"a\":1}"[..]));
    }

    fn batch(payload: Bytes) -> Batch {
        let now = Utc::now();
        let window = crate::unit::Window { from: now, to: now };
        let account = crate::id::AccountName::parse("main").unwrap();
        let unit = Unit::new(crate::id::RunId::new(), account, crate::catalog::ALL[0], "p".into(), window);
        let meta = BatchMeta {
            id: BatchId::new(),
            unit,
            rows: 1,
            bytes: 7,
            pages: 1,
            requests: 1,
            drift: BTreeMap::new(),
            manifest: None,
            heals: None,
            cut_at: now,
        };
        Batch { meta, payload }
    }
}
