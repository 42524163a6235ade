//! The envelope around everything that crosses a process: what it is, what it is about, what happened to it so far.
//!
//! An envelope carries a format version. A program that meets a newer one puts the message aside instead of guessing.
//! Payloads may hold personal data: nothing here prints a body.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::dataset::SourceName;
use crate::id::{AccountName, RunId, UnitId};

/// The format this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A slice of a unit to fetch; the body is JSON.
    Unit,
    /// Rows to load; the body is NDJSON under zstd, [`Message::meta`] is a `BatchMeta`.
    Batch,
}

/// What a message is about: enough to filter and group by without opening the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The vendor.
    pub source: SourceName,
    /// The account.
    pub account: AccountName,
    /// The dataset's name.
    pub dataset: String,
    /// The run that asked for it.
    pub run: RunId,
    /// The unit it belongs to.
    pub unit: UnitId,
}

/// One failure in the life of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mishap {
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// Why, in one sentence without personal data.
    pub cause: String,
}

/// What happened to a message so far. The broker keeps it; it survives restarts and travels with the message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trail {
    /// Failures that were answered with `Later` since the message was made or replayed.
    pub attempts: u32,
    /// When the first of them was.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// The newest failures, oldest first, at most [`Trail::KEEP`].
    pub history: Vec<Mishap>,
    /// How often a person replayed it from the dead.
    pub replays: u32,
    /// The queue it died in, for a message on a dead queue.
    pub origin: Option<String>,
    /// When it died, for a message on a dead queue.
    pub died_at: Option<DateTime<Utc>>,
}

impl Trail {
    /// How many failures the history keeps.
    pub const KEEP: usize = 10;
    /// The longest cause that is kept, in characters.
    pub const LONGEST: usize = 1000;

    /// Notes a failure that will be tried again.
    pub fn failed(&mut self, cause: &str, at: DateTime<Utc>) {
        self.attempts += 1;
        self.first_failed_at.get_or_insert(at);
        self.push(cause, at);
    }

    /// Notes that the message is put aside.
    pub fn died(&mut self, origin: &str, cause: &str, at: DateTime<Utc>) {
        self.origin = Some(origin.to_owned());
        self.died_at = Some(at);
        self.push(cause, at);
    }

    /// Notes that a person sends it round again: attempts start anew, the history stays.
    pub fn replayed(&mut self) {
        *self = Trail { replays: self.replays + 1, history: std::mem::take(&mut self.history), ..Trail::default() };
    }

    /// The newest failure.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.history.last().map(|mishap| mishap.cause.as_str())
    }

    fn push(&mut self, cause: &str, at: DateTime<Utc>) {
        if self.history.len() >= Self::KEEP {
            self.history.remove(0);
        }
        self.history.push(Mishap { at, cause: cause.chars().take(Self::LONGEST).collect() });
    }
}

/// One message. The id is its identity on a queue: publishing the same id again while it is there changes nothing on
/// brokers that can tell, and is harmless on those that cannot.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The format version, [`FORMAT`] for new messages.
    pub format: u32,
    /// Its identity on a queue.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub about: About,
    /// What happened to it so far.
    pub trail: Trail,
    /// The properties of a batch as JSON; empty for a unit.
    pub meta: String,
    /// The payload.
    pub body: Bytes,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("about", &self.about)
            .field("trail", &self.trail)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a message cannot be opened. All of these are poison: the message is put aside.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer program.
    #[error("message format {0} is newer than {FORMAT}, the newest this program reads: upgrade it, then replay")]
    Newer(u32),
    /// Not of the kind that belongs on this queue.
    #[error("a {0:?} message does not belong on this queue")]
    Misplaced(Kind),
    /// Names a dataset that this program does not have.
    #[error("dataset `{0}` is not in this program's catalog: upgrade it, then replay")]
    UnknownDataset(String),
    /// Not what it says it is.
    #[error("the message's content does not read")]
    Malformed(#[source] serde_json::Error),
}

impl Message {
    /// Refuses a message that this program cannot read.
    ///
    /// # Errors
    /// When the format is newer than [`FORMAT`] or the kind is not `kind`.
    pub fn expect(&self, kind: Kind) -> Result<(), OpenError> {
        if self.format > FORMAT {
            Err(OpenError::Newer(self.format))
        } else if self.kind != kind {
            Err(OpenError::Misplaced(self.kind))
        } else {
            Ok(())
        }
    }

    /// How many bytes of a queue's limit it takes.
    #[must_use]
    pub fn size(&self) -> u64 {
        (self.body.len() + self.meta.len() + 256) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_keeps_the_newest_ten_causes_and_a_replay_starts_the_count_anew() {
        let mut trail = Trail::default();
        let at = Utc::now();
        for n in 0..12 {
            trail.failed(&format!("cause {n} {}", "x".repeat(2000)), at);
        }
        assert_eq!((trail.attempts, trail.history.len()), (12, Trail::KEEP));
        assert!(trail.cause().is_some_and(|c| c.starts_with("cause 11") && c.chars().count() == Trail::LONGEST));
        trail.died("load.users", "the end", at);
        trail.replayed();
        assert_eq!((trail.attempts, trail.replays, trail.origin.as_deref()), (0, 1, None));
        assert_eq!(trail.cause(), Some("the end"));
    }
}
