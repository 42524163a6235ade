//! Counts of the requests the vendors' addresses got.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;

/// What was asked and how it was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All requests.
    pub total: u64,
    /// By method and path, ids folded to `{id}`, then by status; an answer cut off on purpose counts as `reset`.
    pub by: BTreeMap<String, BTreeMap<String, u64>>,
    /// Whole pages of data served, by dataset.
    pub data_pages: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    counts: Mutex<Counts>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: String, outcome: String, page: Option<Dataset>) {
        let mut counts = self.lock();
        counts.total += 1;
        *counts.by.entry(what).or_default().entry(outcome).or_default() += 1;
        if let Some(dataset) = page {
            *counts.data_pages.entry(dataset.name().to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub(crate) fn reset(&self) {
        *self.lock() = Counts::default();
    }
}
