//! Who has what in hand. Leases live in memory: the process owns the file, so when it ends they end.
//!
//! Changes are noted until the transaction they belong to is committed, so that they can be taken back with it.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::broker::{Queue, Tag};

/// A message in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) delivery: u64,
    pub(super) queue: Queue,
    pub(super) expires: Instant,
}

enum Change {
    Granted(u64),
    Ended(u64, Lease),
}

/// All leases, by the number of their message.
#[derive(Default)]
pub(super) struct Leases {
    held: HashMap<u64, Lease>,
    by_expiry: BTreeSet<(Instant, u64)>,
    changes: Vec<Change>,
}

impl Leases {
    /// Notes that `tag` is in somebody's hands.
    pub(super) fn grant(&mut self, tag: &Tag, queue: &Queue, expires: Instant) {
        self.put(tag.message, Lease { delivery: tag.delivery, queue: queue.clone(), expires });
        self.changes.push(Change::Granted(tag.message));
    }

    /// Ends the lease that `tag` names. `None` when the tag is stale.
    pub(super) fn end(&mut self, tag: &Tag) -> Option<Lease> {
        if self.held.get(&tag.message)?.delivery != tag.delivery {
            return None;
        }
        let lease = self.drop(tag.message)?;
        self.changes.push(Change::Ended(tag.message, lease.clone()));
        Some(lease)
    }

    /// Ends one lease that is over.
    pub(super) fn end_expired(&mut self, now: Instant) -> Option<(u64, Lease)> {
        let (_, message) = self.by_expiry.first().copied().filter(|(expires, _)| *expires <= now)?;
        let lease = self.drop(message)?;
        self.changes.push(Change::Ended(message, lease.clone()));
        Some((message, lease))
    }

    /// Makes the lease that `tag` names be over now: the tag is used up, but settling it failed.
    pub(super) fn abandon(&mut self, tag: &Tag, now: Instant) {
        if self.held.get(&tag.message).is_some_and(|lease| lease.delivery == tag.delivery)
            && let Some(lease) = self.drop(tag.message)
        {
            self.put(tag.message, Lease { expires: now, ..lease });
        }
    }

    /// When the next lease is over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(expires, _)| *expires)
    }

    /// Where in its changes it is, to come back to.
    pub(super) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// The transaction is committed: its changes stay.
    pub(super) fn commit(&mut self) {
        self.changes.clear();
    }

    /// Takes back all changes since `mark`. A lease whose end did not come about is over at once: whoever held it has
    /// given it up, and the message must come again.
    pub(super) fn roll_back(&mut self, mark: usize, now: Instant) {
        while self.changes.len() > mark {
            match self.changes.pop() {
                Some(Change::Granted(message)) => {
                    self.drop(message);
                }
                Some(Change::Ended(message, lease)) => self.put(message, Lease { expires: now, ..lease }),
                None => return,
            }
        }
    }

    fn put(&mut self, message: u64, lease: Lease) {
        self.drop(message);
        self.by_expiry.insert((lease.expires, message));
        self.held.insert(message, lease);
    }

    fn drop(&mut self, message: u64) -> Option<Lease> {
        let lease = self.held.remove(&message)?;
        self.by_expiry.remove(&(lease.expires, message));
        Some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_transaction_that_fails_takes_its_grants_along_and_what_it_settled_comes_again_at_once() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        let (old, new) = (Tag::new(1), Tag::new(2));
        leases.grant(&old, &Queue::DeadUnits, later);
        leases.commit();
        leases.grant(&new, &Queue::DeadUnits, later);
        assert!(leases.end(&old).is_some());
        assert!(leases.end(&old).is_none(), "settled twice");
        leases.roll_back(0, now);
        assert!(leases.end(&new).is_none(), "a hand-out that was never committed");
        assert_eq!(leases.end_expired(now).map(|(message, _)| message), Some(1));
        assert_eq!(leases.next_expiry(), None);
    }

    #[test]
    fn a_tag_of_an_earlier_delivery_is_stale() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        let (first, second) = (Tag::new(1), Tag::new(1));
        leases.grant(&first, &Queue::DeadUnits, now);
        assert!(leases.end_expired(now).is_some());
        leases.grant(&second, &Queue::DeadUnits, now);
        assert!(leases.end(&first).is_none());
        assert!(leases.end(&second).is_some());
    }
}
