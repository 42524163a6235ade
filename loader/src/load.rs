//! What one commit takes.

use proto::batch::Batch;
use proto::dataset::Dataset;

/// A batch on its way into a commit, less the rows that the destination refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBatch {
    /// The batch.
    pub batch: Batch,
    /// Rows, counted from 0 and in order, that are put aside and not committed; the ledger counts them as dead.
    pub refused: Vec<u32>,
}

/// The batches that one commit takes, all of one dataset, each id once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The dataset.
    pub dataset: &'static Dataset,
    /// The batches.
    pub batches: Vec<LoadBatch>,
}

/// What a commit did, over all batches of the load that were not in the ledger already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that replaced an older version.
    pub updated: u64,
    /// Repeats and older versions.
    pub unchanged: u64,
    /// Rows that were put aside.
    pub dead: u64,
}

impl Receipt {
    /// All rows that it accounts for.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.dead
    }

    /// Adds another receipt's figures.
    pub fn add(&mut self, other: Receipt) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.dead += other.dead;
    }
}
