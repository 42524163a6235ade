//! Units of work and how a delivery carries one: window, cursor, and the progress of the pass so far.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::dataset::{Dataset, SourceName};
use crate::id::{AccountName, BatchId, RunId, UnitId};
use crate::instant::{self, Digits};
use crate::message::{About, FORMAT, Kind, Message, OpenError, Trail};

/// A stretch of time, from `from` on and before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// The first instant in it.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
}

impl Window {
    /// Whether it holds no instant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// A part of a dataset that is read on its own: the name of a PBX for 8x8 call records, empty where there is only one.
pub type Partition = String;

/// One dataset of one account, one partition, one window, of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Derived from all that follows.
    pub id: UnitId,
    /// The run that asked for it.
    pub run: RunId,
    /// The vendor.
    pub source: SourceName,
    /// The account.
    pub account: AccountName,
    /// The dataset's name.
    pub dataset: String,
    /// The partition, empty where there is only one.
    pub partition: Partition,
    /// The window.
    pub window: Window,
}

impl Unit {
    /// The unit of these parts, under its derived id.
    #[must_use]
    pub fn new(run: RunId, account: AccountName, dataset: &Dataset, partition: Partition, window: Window) -> Unit {
        let (from, to) = (instant::text(window.from, Digits::Micros), instant::text(window.to, Digits::Micros));
        let id = UnitId::derive(&[run.as_str(), account.as_str(), dataset.name, &partition, &from, &to]);
        Unit { id, run, source: dataset.source, account, dataset: dataset.name.to_owned(), partition, window }
    }

    /// The dataset that it names.
    ///
    /// # Errors
    /// When this program's catalog does not have it.
    pub fn dataset(&self) -> Result<&'static Dataset, OpenError> {
        catalog::find(&self.dataset).ok_or_else(|| OpenError::UnknownDataset(self.dataset.clone()))
    }

    /// What a message of this unit is about.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            source: self.source,
            account: self.account.clone(),
            dataset: self.dataset.clone(),
            run: self.run.clone(),
            unit: self.id.clone(),
        }
    }
}

/// Where the next page of a walk begins, in the vendor's own terms. Opaque to all but the source that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The vendor's cursor, link or offset.
    pub value: String,
    /// Whether the walk may go on from here in another process and later. `false` where the vendor keeps the place
    /// itself (Intercom's scroll): a walk that was broken off there starts anew.
    pub resumable: bool,
}

/// What one pass over a unit has done so far. Travels in each continuation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Vendor answers that were read.
    pub pages: u64,
    /// Requests that were sent, failed ones too.
    pub requests: u64,
    /// Rows in those answers.
    pub rows: u64,
    /// Rows that stood on the page before already.
    pub repeats: u64,
    /// The batches that were published, in order.
    pub batches: Vec<BatchId>,
    /// The total that the vendor stated on the newest page that stated one, where it states one.
    pub stated: Option<u64>,
    /// Digests of the newest pages, oldest first: a walk that meets one of them again goes in a circle.
    pub seen: Vec<u64>,
    /// Digests of the keys at the end of the newest page, to tell repeats at a page boundary.
    pub tail: Vec<u64>,
    /// When the pass began.
    pub began: Option<DateTime<Utc>>,
}

/// As much of a unit as one delivery works on; what is left continues as a new slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The unit.
    pub unit: Unit,
    /// 0 for the first slice of a pass.
    pub index: u32,
    /// Counts the passes that planning asked for: 0 at first, one more each time the unit is issued again.
    pub pass: u32,
    /// Counts the times that a worker had to begin the walk anew: an expired cursor, or fewer records than stated.
    #[serde(default)]
    pub round: u32,
    /// Where this slice begins; `None` is the start of the walk.
    pub cursor: Option<Cursor>,
    /// What the pass has done so far.
    pub progress: Progress,
}

impl Slice {
    /// The start of a pass.
    #[must_use]
    pub fn first(unit: Unit, pass: u32) -> Slice {
        Slice { unit, index: 0, pass, round: 0, cursor: None, progress: Progress::default() }
    }

    /// The walk begun anew: whatever this pass did so far is not part of it.
    #[must_use]
    pub fn anew(&self) -> Slice {
        Slice { round: self.round + 1, ..Slice::first(self.unit.clone(), self.pass) }
    }

    /// The message that carries it.
    #[must_use]
    pub fn to_message(&self) -> Message {
        // A slice is plain data with string keys: serialising it cannot fail.
        let body = serde_json::to_vec(self).unwrap_or_default();
        Message {
            format: FORMAT,
            id: format!("{}.{}.{}.{}", self.unit.id, self.pass, self.round, self.index),
            kind: Kind::Unit,
            about: self.unit.about(),
            trail: Trail::default(),
            meta: String::new(),
            body: Bytes::from(body),
        }
    }

    /// Reads what [`Slice::to_message`] made.
    ///
    /// # Errors
    /// When the message is of another kind or a newer format, does not read, or names an unknown dataset.
    pub fn open(message: &Message) -> Result<Slice, OpenError> {
        message.expect(Kind::Unit)?;
        let slice: Slice = serde_json::from_slice(&message.body).map_err(OpenError::Malformed)?;
        slice.unit.dataset()?;
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn unit(partition: &str) -> Unit {
        let window = Window {
            from: Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap(),
            to: Utc.with_ymd_and_hms(2026, 3, 2, 0, 0, 0).unwrap(),
        };
        let account = AccountName::parse("main").unwrap();
        Unit::new(RunId::parse("r1").unwrap(), account, catalog::ALL[0], partition.into(), window)
    }

    #[test]
    fn the_same_unit_has_the_same_id_and_another_partition_another() {
        assert_eq!(unit("a").id, unit("a").id);
        assert_ne!(unit("a").id, unit("b").id);
    }

    #[test]
    fn a_slice_travels_unchanged() {
        let mut slice = Slice::first(unit("pbx"), 2);
        slice.cursor = Some(Cursor { value: "c".into(), resumable: true });
        slice.progress.batches.push(BatchId::new());
        assert_eq!(Slice::open(&slice.to_message()).unwrap(), slice);
    }

    #[test]
    fn a_slice_of_a_newer_format_or_an_unknown_dataset_says_what_to_do() {
        let mut message = Slice::first(unit("p"), 0).to_message();
        message.format = FORMAT + 1;
        assert!(Slice::open(&message).unwrap_err().to_string().contains("upgrade it, then replay"));
        let mut other = unit("p");
        other.dataset = "faxes".into();
        let error = Slice::open(&Slice::first(other, 0).to_message()).unwrap_err().to_string();
        assert!(error.contains("`faxes`"), "{error}");
    }
}
