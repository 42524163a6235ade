//! What the destination already holds: runs, units, batches, faults. Lives beside the data, in the same transaction
//! where the destination has them.
//!
//! Only a sink's commit can write that a unit is whole; everything here notes intentions and failures, or reads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::dataset::{Dataset, SourceName};
use crate::fault::Fault;
use crate::id::{AccountName, BatchId, RunId, UnitId};
use crate::unit::{Partition, Unit, Window};

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Planned; no pass over it is complete in the ledger.
    Pending,
    /// Every batch of some complete pass is in the ledger.
    Whole,
    /// Put aside with its cause; a person can replay it.
    Dead,
}

/// A planned unit that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The unit.
    pub unit: Unit,
    /// How often it was issued to the broker; 0 if the planner stopped before that.
    pub issued: u32,
    /// Whether it was put aside.
    pub dead: bool,
}

/// What a planner needs to know of one (account, dataset, partition).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The end of the newest whole window.
    pub newest_whole: Option<DateTime<Utc>>,
    /// Windows that were planned in whatever run, are not whole, and are not covered by whole ones; and time between
    /// whole windows that was jumped over going forward.
    pub holes: Vec<Window>,
}

impl History {
    /// The end of the newest window such that every earlier one is whole. A failure never moves it.
    #[must_use]
    pub fn watermark(&self) -> Option<DateTime<Utc>> {
        let newest = self.newest_whole?;
        Some(self.holes.iter().map(|hole| hole.from).min().map_or(newest, |first| first.min(newest)))
    }
}

/// One failure worth a line in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultNote {
    /// The run.
    pub run: RunId,
    /// The unit.
    pub unit: UnitId,
    /// The batch, where a loader failed.
    pub batch: Option<BatchId>,
    /// The vendor.
    pub source: SourceName,
    /// The account.
    pub account: AccountName,
    /// The dataset's name.
    pub dataset: String,
    /// What it means: `transient`, `poison`, `fatal`.
    pub fault: Fault,
    /// What became of the message: `later`, `dead`, `return`.
    pub verdict: &'static str,
    /// Why, in one sentence without personal data.
    pub cause: String,
    /// Whether the unit cannot become whole without a person: its message, or a whole batch of it, was put aside.
    pub buries: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// A failure that stopped an account or put something aside, as `status` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultLine {
    /// The account.
    pub account: String,
    /// The dataset's name.
    pub dataset: String,
    /// `transient`, `poison` or `fatal`.
    pub fault: String,
    /// What became of the message.
    pub verdict: String,
    /// Why.
    pub cause: String,
    /// When it was noticed last.
    pub at: String,
    /// How often it was noted.
    pub times: u64,
}

/// The figures of one dataset in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasetFigures {
    /// The dataset's name.
    pub dataset: String,
    /// The table it goes to.
    pub table: String,
    /// Planned units.
    pub units: u64,
    /// Units that are whole.
    pub whole: u64,
    /// Units that were put aside.
    pub dead_units: u64,
    /// Vendor answers read.
    pub pages: u64,
    /// Requests sent.
    pub requests: u64,
    /// Rows in those answers.
    pub fetched: u64,
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that replaced an older version.
    pub updated: u64,
    /// Repeats and older versions: rows that changed nothing.
    pub unchanged: u64,
    /// Rows that were put aside.
    pub dead: u64,
    /// The sum of the totals that the vendor stated for whole units, where it states one.
    pub stated: Option<u64>,
    /// Fields that the catalog does not know or could not convert, with how often each was seen.
    pub drift: BTreeMap<String, u64>,
}

impl DatasetFigures {
    /// Rows fetched less all that became of them: anything but 0 is a bug in us.
    #[must_use]
    pub fn difference(&self) -> i64 {
        self.fetched as i64 - (self.inserted + self.updated + self.unchanged + self.dead) as i64
    }
}

/// The figures of one unit, for a look at conservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitFigures {
    /// The unit's id.
    pub unit: String,
    /// The account.
    pub account: String,
    /// The dataset's name.
    pub dataset: String,
    /// The partition.
    pub partition: String,
    /// The window's start.
    pub from: String,
    /// The window's end.
    pub to: String,
    /// Where it stands.
    pub standing: Standing,
    /// Rows fetched.
    pub fetched: u64,
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that replaced an older version.
    pub updated: u64,
    /// Rows that changed nothing.
    pub unchanged: u64,
    /// Rows that were put aside.
    pub dead: u64,
    /// The total that the vendor stated.
    pub stated: Option<u64>,
}

/// One run as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFigures {
    /// Its id.
    pub run: String,
    /// When it was planned.
    pub planned_at: String,
    /// What was asked for, as the planner noted it.
    pub asked: String,
    /// Whether planning is finished: all its units are noted.
    pub planned: bool,
    /// Whether every planned unit is whole and nothing is dead.
    pub whole: bool,
    /// From planning to the newest commit, in seconds.
    pub seconds: f64,
    /// The datasets, in the catalog's order.
    pub datasets: Vec<DatasetFigures>,
    /// What went wrong and is not healed, newest first, at most 20.
    pub faults: Vec<FaultLine>,
}

/// Why the ledger did not answer. The destination's own words are in the source.
#[derive(Debug, thiserror::Error)]
#[error("the ledger at {place} did not answer: {reason}")]
pub struct LedgerError {
    /// Where the ledger is, without secrets.
    pub place: String,
    /// What happened, in the destination's words.
    pub reason: String,
    /// What it means for what we do next.
    pub fault: Fault,
}

impl LedgerError {
    /// What it means for what we do next.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

/// What the destination already holds.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Notes a run. Noting it again changes what was asked for until it is planned, and nothing after that.
    async fn note_run(&self, run: &RunId, asked: &str, now: DateTime<Utc>) -> Result<(), LedgerError>;

    /// Notes planned units; those noted before stay as they are.
    async fn note_units(&self, units: &[Unit], now: DateTime<Utc>) -> Result<(), LedgerError>;

    /// Notes that all units of the run are noted: from now on the run can be whole.
    async fn note_planned(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError>;

    /// Notes that the broker has taken responsibility for these units (once more).
    async fn note_issued(&self, units: &[UnitId], now: DateTime<Utc>) -> Result<(), LedgerError>;

    /// Notes a failure. One that buries its unit makes it stand as dead.
    async fn note_fault(&self, fault: &FaultNote) -> Result<(), LedgerError>;

    /// Notes that a dead unit was sent round again: it stands as pending.
    async fn note_replayed(&self, units: &[UnitId], now: DateTime<Utc>) -> Result<(), LedgerError>;

    /// Notes that a person gave something up: who, when, why. What was dead stays dead.
    async fn note_discarded(
        &self,
        message: &str,
        unit: &UnitId,
        who: &str,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError>;

    /// Whether the unit is whole.
    async fn is_whole(&self, unit: &UnitId) -> Result<bool, LedgerError>;

    /// The units of a run that are not whole, in the order in which they were noted.
    async fn pending(&self, run: &RunId) -> Result<Vec<Pending>, LedgerError>;

    /// What was read so far of one (account, dataset, partition).
    async fn history(
        &self,
        account: &AccountName,
        dataset: &'static Dataset,
        partition: &Partition,
    ) -> Result<History, LedgerError>;

    /// The newest run, if there is one.
    async fn newest_run(&self) -> Result<Option<RunId>, LedgerError>;

    /// The figures of a run, `None` if there is no such run.
    async fn figures(&self, run: &RunId) -> Result<Option<RunFigures>, LedgerError>;

    /// The figures of each unit of a run.
    async fn unit_figures(&self, run: &RunId) -> Result<Vec<UnitFigures>, LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_hole_holds_the_watermark_back_and_nothing_else_moves_it() {
        let hour = |h| Utc.with_ymd_and_hms(2026, 1, 1, h, 0, 0).unwrap();
        let hole = |from, to| Window { from: hour(from), to: hour(to) };
        for (newest, holes, watermark) in [
            (None, vec![], None),
            (Some(5), vec![], Some(5)),
            (Some(5), vec![hole(3, 4)], Some(3)),
            (Some(5), vec![hole(6, 7)], Some(5)),
            (None, vec![hole(3, 4)], None),
        ] {
            let history = History { newest_whole: newest.map(hour), holes };
            assert_eq!(history.watermark(), watermark.map(hour));
        }
    }
}
