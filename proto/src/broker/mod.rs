//! Carries messages between the programs, at least once.
//!
//! Four verbs and a look, and two more for what died. What a broker promises is in the doc comments here, and each
//! promise is a test of the contract suite (`contract`, behind the feature of that name) that every implementation runs.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod embedded;
mod queue;

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

pub use self::queue::Queue;
use crate::fault::{Fault, Verdict};
use crate::message::Message;

/// Names one delivery. Settling consumes it: nothing is settled twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag {
    /// The broker's own number of the message.
    pub(crate) message: u64,
    /// Unique per delivery: tells a stale tag from the current one.
    pub(crate) delivery: u64,
}

impl Tag {
    /// A tag of message number `message`, unlike all before.
    #[must_use]
    pub(crate) fn new(message: u64) -> Tag {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Tag { message, delivery: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

/// A message in our hands until it is settled, or the broker takes it back.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// What to settle.
    pub tag: Tag,
    /// How often it was handed out before and came back unsettled: 0 the first time. A crash counts, `Later` and
    /// `Return` do not.
    pub returns: u32,
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    /// Could be received now.
    pub ready: u64,
    /// Received and not settled.
    pub in_flight: u64,
    /// Will be ready later.
    pub waiting: u64,
    /// Died in this queue and are on a dead queue now.
    pub dead: u64,
    /// Bytes that count towards the queue's limit.
    pub bytes: u64,
}

impl Depth {
    /// Whether the queue holds nothing that is still to be done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ready + self.in_flight + self.waiting == 0
    }
}

/// Why a broker did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The queue is at its limit and did not drain in time. Nothing was taken.
    #[error("queue `{queue}` is full and did not drain within {waited} s")]
    Full {
        /// The queue.
        queue: String,
        /// How long it was tried, in seconds.
        waited: u64,
    },
    /// The broker cannot be reached, or failed; whether it took the message is unknown.
    #[error("the broker at {place} failed: {reason}")]
    Failed {
        /// Where it is, without secrets.
        place: String,
        /// What happened, in its words.
        reason: String,
    },
    /// What the broker keeps cannot be read.
    #[error(
        "{place} is not a readable queue file: {reason}; name another file in `queue.path`, or move it away if it was the queue: `backhaul run --resume` issues again what is missing"
    )]
    Corrupt {
        /// The file.
        place: String,
        /// What happened.
        reason: String,
    },
    /// Another process works on this queue file.
    #[error("another backhaul process works on {place}: wait until it is done, or name another file in `queue.path`")]
    Taken {
        /// The file.
        place: String,
    },
    /// We are stopping.
    #[error("the broker is closed")]
    Closed,
}

impl BrokerError {
    /// What it means for what we do next.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            BrokerError::Full { .. } | BrokerError::Failed { .. } => Fault::Transient { after: None },
            BrokerError::Corrupt { .. } | BrokerError::Taken { .. } => Fault::Fatal,
            BrokerError::Closed => Fault::Stopped,
        }
    }
}

/// Carries messages between the programs, at least once.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Returns only when the broker has taken responsibility for the message: it survives the end of the process. On a
    /// queue at its limit it waits, a bounded time.
    ///
    /// # Errors
    /// [`BrokerError::Full`] when the queue did not drain in time: nothing was taken. On any other error the message may
    /// have been taken; publishing it again is safe.
    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError>;

    /// Waits for the next delivery; may be dropped at any await without losing a message.
    ///
    /// # Errors
    /// When the broker is closed or fails.
    async fn receive(&self, queue: &Queue) -> Result<Delivery, BrokerError>;

    /// Decides what becomes of a delivery. A stale tag does nothing.
    ///
    /// # Errors
    /// When the broker fails: the message comes again.
    async fn settle(&self, tag: Tag, verdict: Verdict) -> Result<(), BrokerError>;

    /// Messages ready, in flight, waiting and dead.
    ///
    /// # Errors
    /// When the broker fails.
    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError>;

    /// Looks at up to `limit` messages after the first `skip`, oldest first, without taking, counting or reordering
    /// them. Messages that are in flight may be left out.
    ///
    /// # Errors
    /// When the broker fails.
    async fn browse(&self, queue: &Queue, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError>;
}

/// What a person does with messages that died. Both name a message by its id on a dead queue; on any other queue they
/// find nothing, so that work which is still to be done cannot be thrown away by a slip.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Sends a dead message round again: it is ready at once on the queue it died in, behind what is there, and its
    /// trail counts the replay, starts its attempts anew and keeps its history. A limit of that queue does not hold it
    /// up. Answers where it went, or `None` when no such message is there.
    ///
    /// A crash in the middle loses nothing: the message is on one of the two queues, at worst on both. Where the other
    /// queue holds the same id already, that one stays and the dead one goes.
    ///
    /// # Errors
    /// When the broker fails; replaying again is safe.
    async fn replay(&self, dead: &Queue, id: &str) -> Result<Option<Queue>, BrokerError>;

    /// Forgets a dead message for good. Answers whether it was there.
    ///
    /// # Errors
    /// When the broker fails; discarding again is safe.
    async fn discard(&self, dead: &Queue, id: &str) -> Result<bool, BrokerError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_fault() {
        let place = || String::from("queue.db");
        let reason = || String::from("why");
        for (error, fault) in [
            (BrokerError::Full { queue: place(), waited: 30 }, Fault::Transient { after: None }),
            (BrokerError::Failed { place: place(), reason: reason() }, Fault::Transient { after: None }),
            (BrokerError::Corrupt { place: place(), reason: reason() }, Fault::Fatal),
            (BrokerError::Taken { place: place() }, Fault::Fatal),
            (BrokerError::Closed, Fault::Stopped),
        ] {
            assert_eq!(error.fault(), fault, "{error}");
        }
    }
}
