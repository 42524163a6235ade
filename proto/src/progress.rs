//! How far the programs of one process are: counters that a display reads when it likes.
//!
//! Counters only: whether a run is whole is never read from here, but from the ledger.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::catalog;
use crate::dataset::Dataset;

/// Counters of one dataset.
#[derive(Debug, Default)]
pub struct Counters {
    /// Vendor answers read.
    pub pages: AtomicU64,
    /// Rows read.
    pub fetched: AtomicU64,
    /// Rows committed, whatever became of them.
    pub committed: AtomicU64,
}

/// Counters of all datasets, and a signal that something was committed or went wrong.
#[derive(Debug)]
pub struct Progress {
    datasets: Vec<Counters>,
    changed: watch::Sender<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            datasets: catalog::ALL.iter().map(|_| Counters::default()).collect(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Progress {
    /// The counters of a dataset.
    #[must_use]
    pub fn of(&self, dataset: &Dataset) -> &Counters {
        &self.datasets[catalog::index(dataset)]
    }

    /// A page was read.
    pub fn page(&self, dataset: &Dataset, rows: u64) {
        let counters = self.of(dataset);
        counters.pages.fetch_add(1, Ordering::Relaxed);
        counters.fetched.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows were committed.
    pub fn committed(&self, dataset: &Dataset, rows: u64) {
        self.of(dataset).committed.fetch_add(rows, Ordering::Relaxed);
        self.changed();
    }

    /// Something that the ledger knows of has changed: a commit, a fault, an account that stopped.
    pub fn changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Wakes at each [`Progress::changed`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
