//! A destination that takes a load whole.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod sqlite;

use async_trait::async_trait;
use proto::batch::Batch;
use proto::dataset::Dataset;
use proto::fault::Fault;

use crate::load::{Load, Receipt};

/// Why a destination did not take a load.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Rows of the load can never be taken as they are. Nothing of the load is visible.
    #[error("the destination refuses rows of {table}: {reason}")]
    Rows {
        /// The table.
        table: String,
        /// The destination's words, without values of the row.
        reason: String,
        /// The row that it stumbled over, counted from 0 in its batch, where the destination says so.
        row: Option<u32>,
    },
    /// A table is not as it must be.
    #[error("table `{table}`: {problem}")]
    Schema {
        /// The table.
        table: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// The destination cannot be opened or used as it is configured.
    #[error("{place}: {problem}")]
    Refused {
        /// Where it is, without secrets.
        place: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// It may work later; whether the load was committed is unknown.
    #[error("the destination {place} failed: {reason}")]
    Failed {
        /// Where it is, without secrets.
        place: String,
        /// Its words.
        reason: String,
    },
}

impl SinkError {
    /// What it means for what we do next.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            SinkError::Rows { .. } => Fault::Poison,
            SinkError::Schema { .. } | SinkError::Refused { .. } => Fault::Fatal,
            SinkError::Failed { .. } => Fault::Transient { after: None },
        }
    }
}

/// A destination that takes a load whole.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Makes the tables of these datasets and of the ledger ready: creates what is missing, adds missing columns.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// [`SinkError::Schema`] when a table has a column of another type: nothing was changed then.
    async fn prepare(&self, datasets: &[&'static Dataset]) -> Result<(), SinkError>;

    /// Rows and ledger entries together. Applying a load twice changes nothing; of two versions of a row the newer
    /// stays, in whatever order they come; on error nothing of the load is visible, or all of it is and only the answer
    /// was lost: the caller applies it again.
    ///
    /// # Errors
    /// [`SinkError::Rows`] when rows are to blame; the caller narrows the load down.
    async fn commit(&self, load: &Load) -> Result<Receipt, SinkError>;

    /// Whether the destination would take the first `upto` rows of the batch less those in `refused` (counted from 0,
    /// sorted). Leaves no trace.
    ///
    /// # Errors
    /// [`SinkError::Rows`] when it would not; otherwise as [`Sink::commit`].
    async fn probe(&self, batch: &Batch, upto: u32, refused: &[u32]) -> Result<(), SinkError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_fault() {
        let text = || String::from("x");
        for (error, fault) in [
            (SinkError::Rows { table: text(), reason: text(), row: None }, Fault::Poison),
            (SinkError::Schema { table: text(), problem: text() }, Fault::Fatal),
            (SinkError::Refused { place: text(), problem: text() }, Fault::Fatal),
            (SinkError::Failed { place: text(), reason: text() }, Fault::Transient { after: None }),
        ] {
            assert_eq!(error.fault(), fault);
        }
    }
}
