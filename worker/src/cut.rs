//! Cuts the rows of a walk into batches: at most so many rows and bytes each, encoded and compressed as they come.
//!
//! Memory is one page, one chunk of lines and one compressed batch, whatever the size of the walk.

use std::io;

use chrono::{DateTime, Utc};
use proto::batch::{Batch, BatchMeta, Manifest, PayloadWriter};
use proto::dataset::Dataset;
use proto::id::BatchId;
use proto::source::Page;
use proto::unit::Unit;

use crate::encode::{Digests, Encoder};

/// How large a batch may grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows; at least 1.
    pub rows: u32,
    /// Bytes of lines before compression; a single row may be larger.
    pub bytes: u64,
    /// Bytes after compression, about: a batch is cut at the first chunk of lines beyond it.
    pub compressed: usize,
}

impl Default for BatchLimits {
    /// 5,000 rows, 16 MiB, 640 KiB compressed: below the 1 MiB that a broker carries comfortably.
    fn default() -> Self {
        BatchLimits { rows: 5000, bytes: 16 << 20, compressed: 640 << 10 }
    }
}

/// Lines are handed to the compressor in chunks of about this size.
const CHUNK: usize = 64 << 10;

/// Cuts the rows of one slice.
pub struct Cutter {
    unit: Unit,
    limits: BatchLimits,
    encoder: Encoder,
    lines: Vec<u8>,
    payload: PayloadWriter,
    rows: u32,
    pages: u32,
    requests: u32,
}

impl Cutter {
    /// A cutter for rows of `unit`, which is one of `dataset`.
    ///
    /// # Errors
    /// When the compressor cannot be set up, for want of memory.
    pub fn new(unit: Unit, dataset: &'static Dataset, limits: BatchLimits) -> io::Result<Cutter> {
        let encoder = Encoder::new(dataset, unit.account.as_str());
        let payload = PayloadWriter::new()?;
        let lines = Vec::with_capacity(CHUNK * 2);
        Ok(Cutter { unit, limits, encoder, lines, payload, rows: 0, pages: 0, requests: 0 })
    }

    /// Counts a page that was read and the requests it took.
    pub fn begin_page(&mut self, page: &Page) {
        self.pages += 1;
        self.requests += page.requests;
        self.encoder.begin_page(page.fetched_at);
    }

    /// Counts requests that brought no page.
    pub fn add_requests(&mut self, requests: u32) {
        self.requests += requests;
    }

    /// Adds records of the page from number `from` on, until the batch is full or the page ends. Appends their
    /// digests to `digests` and gives the number of the first record that was not added.
    ///
    /// # Errors
    /// When the compressor fails, for want of memory.
    pub fn add(&mut self, page: &Page, from: usize, digests: &mut Vec<Digests>) -> io::Result<usize> {
        // The source validated the body as UTF-8; a source that did not yields lossless text or an empty record.
        let body = &page.body;
        for (n, range) in page.records.iter().enumerate().skip(from) {
            let record = simdutf8::basic::from_utf8(&body[range.clone()]).unwrap_or_default();
            digests.push(self.encoder.encode(record, &mut self.lines));
            self.rows += 1;
            if self.lines.len() >= CHUNK {
                self.flush()?;
            }
            if self.is_full() {
                return Ok(n + 1);
            }
        }
        Ok(page.records.len())
    }

    /// Whether the batch is at one of its limits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows >= self.limits.rows
            || self.payload.bytes() + self.lines.len() as u64 >= self.limits.bytes
            || self.payload.compressed() >= self.limits.compressed
    }

    /// Whether there is anything to cut: rows, or pages that the ledger should count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.pages == 0 && self.requests == 0
    }

    /// Cuts what was added since the last cut. With a manifest it is the last batch of its pass.
    ///
    /// # Errors
    /// When the compressor fails, for want of memory.
    pub fn cut(&mut self, id: BatchId, manifest: Option<Manifest>, now: DateTime<Utc>) -> io::Result<Batch> {
        self.flush()?;
        let payload = std::mem::replace(&mut self.payload, PayloadWriter::new()?);
        let meta = BatchMeta {
            id,
            unit: self.unit.clone(),
            rows: std::mem::take(&mut self.rows),
            bytes: payload.bytes(),
            pages: std::mem::take(&mut self.pages),
            requests: std::mem::take(&mut self.requests),
            drift: self.encoder.take_drift(),
            manifest,
            heals: None,
            cut_at: now,
        };
        Ok(Batch { meta, payload: payload.finish()? })
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            self.payload.push(&self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proto::catalog;
    use proto::id::{AccountName, RunId};
    use proto::unit::Window;

    fn page(ids: std::ops::Range<u32>) -> Page {
        let mut body = Vec::new();
        let mut records = Vec::new();
        for id in ids {
            let start = body.len();
            body.extend_from_slice(format!(r#"{{"id":"{id}","name":"n"}}"#).as_bytes());
            records.push(start..body.len());
        }
        Page { body: Bytes::from(body), records, next: None, stated: None, requests: 2, fetched_at: Utc::now() }
    }

    fn cutter(limits: BatchLimits) -> Cutter {
        let dataset = catalog::find("tags").unwrap();
        let window = Window { from: Utc::now(), to: Utc::now() };
        let unit = Unit::new(RunId::new(), AccountName::parse("main").unwrap(), dataset, String::new(), window);
        Cutter::new(unit, dataset, limits).unwrap()
    }

    #[test]
    fn every_row_is_in_exactly_one_batch_and_no_batch_is_beyond_its_limits() {
        let mut cutter = cutter(BatchLimits { rows: 7, ..BatchLimits::default() });
        let mut got = Vec::new();
        let mut sizes = Vec::new();
        for n in 0..5 {
            let page = page(n * 10..n * 10 + 10);
            cutter.begin_page(&page);
            let mut at = 0;
            let mut keys = Vec::new();
            while at < page.records.len() {
                at = cutter.add(&page, at, &mut keys).unwrap();
                if cutter.is_full() {
                    got.push(cutter.cut(BatchId::new(), None, Utc::now()).unwrap());
                }
            }
            assert_eq!(keys.len(), 10);
        }
        got.push(cutter.cut(BatchId::new(), None, Utc::now()).unwrap());
        let mut ids = Vec::new();
        for batch in &got {
            let mut lines = batch.lines().unwrap();
            let mut rows = 0;
            while let Some(line) = lines.next_line().unwrap() {
                rows += 1;
                let row: serde_json::Value = serde_json::from_slice(line).unwrap();
                ids.push(row["id"].as_str().unwrap().parse::<u32>().unwrap());
            }
            assert_eq!(rows, batch.meta.rows);
            sizes.push(rows);
        }
        assert_eq!(ids, (0..50).collect::<Vec<_>>());
        assert_eq!(sizes, [7, 7, 7, 7, 7, 7, 7, 1]);
        assert_eq!(
            got.iter().map(|b| (b.meta.pages, b.meta.requests)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (5, 10)
        );
        assert!(cutter.is_empty());
    }

    #[test]
    fn a_batch_is_cut_by_bytes_before_and_after_compression() {
        for limits in [
            BatchLimits { rows: u32::MAX, bytes: 300, compressed: usize::MAX },
            BatchLimits { rows: u32::MAX, bytes: u64::MAX, compressed: 1 },
        ] {
            let mut cutter = cutter(limits);
            let page = page(0..4000);
            cutter.begin_page(&page);
            let added = cutter.add(&page, 0, &mut Vec::new()).unwrap();
            assert!(added < 4000 && cutter.is_full(), "{added}");
        }
    }
}
