//! A vendor API as the planner and the workers see it: partitions, and pages pulled one by one.
//!
//! Pull: the caller drives, so backpressure and stopping need no machinery. A source never retries for long and never
//! decides what a failure means for a message; it says what happened, precisely.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::dataset::Dataset;
use crate::fault::Fault;
use crate::unit::{Cursor, Partition, Unit};

/// One vendor answer: its records as they came, and where the next page begins.
#[derive(Debug, Clone)]
pub struct Page {
    /// The answer's body, UTF-8.
    pub body: Bytes,
    /// Where in the body each record (one JSON object) stands.
    pub records: Vec<Range<usize>>,
    /// Where the next page begins; `None` is the last page.
    pub next: Option<Cursor>,
    /// How many records the vendor says the whole walk has, where it says so. Comparable with the rows of the walk.
    pub stated: Option<u64>,
    /// Requests sent for this page, failed ones too.
    pub requests: u32,
    /// When the answer was complete.
    pub fetched_at: DateTime<Utc>,
}

/// A vendor API with one account's credentials.
#[async_trait]
pub trait Source: Send + Sync {
    /// The parts of a dataset that are read on their own, in a stable order; one empty name where there is only one.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    async fn partitions(&self, dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError>;

    /// Reads one page of a unit. Rows may repeat across pages and calls; they may not be missing. May be dropped at any
    /// await and called again with the same cursor, where the cursor is resumable.
    ///
    /// # Errors
    /// With what happened, after the short retry inside the HTTP client.
    async fn fetch(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<Page, SourceError>;

    /// Asks the vendor whether the credentials work, as cheaply as it can.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    async fn check(&self) -> Result<String, SourceError>;
}

/// What happened when a vendor was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The credentials, the licence or a grant of the whole account was refused.
    Refused,
    /// This unit is refused, others of the account may not be (no access to one PBX; a request the vendor calls wrong).
    Rejected,
    /// Too many requests.
    Busy {
        /// How long the vendor asked to wait.
        after: Option<Duration>,
    },
    /// The vendor failed (5xx), or did not answer in time, or the connection broke.
    Unavailable {
        /// How long the vendor asked to wait.
        after: Option<Duration>,
    },
    /// The answer was not what the API promises: cut off, HTML, a missing field.
    Malformed,
    /// The walk cannot go on from this cursor and must start anew (an expired scroll).
    Restart {
        /// How long to wait before that.
        after: Option<Duration>,
    },
    /// The walk is wrong: it goes in a circle, or ended with fewer records than the vendor states.
    Incomplete,
    /// We are stopping.
    Stopped,
}

/// A failed question to a vendor: what happened, where, and in the vendor's own words. Never holds a secret or a
/// payload.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{account}: {endpoint}: {message}{}", self.hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct SourceError {
    /// What happened.
    pub trouble: Trouble,
    /// The account.
    pub account: String,
    /// Method and path, without query.
    pub endpoint: String,
    /// Status, vendor's message and tracking id, in one line.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<&'static str>,
    /// Requests that were sent in vain.
    pub requests: u32,
}

impl SourceError {
    /// What it means for what we do next.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.trouble {
            Trouble::Refused => Fault::Fatal,
            Trouble::Rejected => Fault::Poison,
            Trouble::Busy { after } | Trouble::Unavailable { after } | Trouble::Restart { after } => {
                Fault::Transient { after }
            }
            Trouble::Malformed | Trouble::Incomplete => Fault::Transient { after: None },
            Trouble::Stopped => Fault::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_its_fault() {
        let after = Some(Duration::from_secs(3));
        for (trouble, fault) in [
            (Trouble::Refused, Fault::Fatal),
            (Trouble::Rejected, Fault::Poison),
            (Trouble::Busy { after }, Fault::Transient { after }),
            (Trouble::Unavailable { after }, Fault::Transient { after }),
            (Trouble::Restart { after }, Fault::Transient { after }),
            (Trouble::Malformed, Fault::Transient { after: None }),
            (Trouble::Incomplete, Fault::Transient { after: None }),
            (Trouble::Stopped, Fault::Stopped),
        ] {
            let error = SourceError {
                trouble,
                account: "main".into(),
                endpoint: "GET /me".into(),
                message: "HTTP 401".into(),
                hint: Some("make a new token"),
                requests: 1,
            };
            assert_eq!(error.fault(), fault);
            assert_eq!(error.to_string(), "main: GET /me: HTTP 401 (make a new token)");
        }
    }
}
