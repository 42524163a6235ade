//! The queues by their meaning. Names are the same on every broker.

use std::fmt;

use crate::dataset::{Dataset, SourceName};
use crate::id::AccountName;

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Units to fetch, one queue per account.
    Fetch(SourceName, AccountName),
    /// Batches to load, one queue per dataset.
    Load(&'static str),
    /// Units that were put aside.
    DeadUnits,
    /// Batches, and single rows of batches, that were put aside.
    DeadBatches,
}

impl Queue {
    /// The queue of batches of a dataset.
    #[must_use]
    pub fn load(dataset: &Dataset) -> Queue {
        // The catalog's own name, which lives as long as the program.
        Queue::Load(crate::catalog::find(dataset.name).map_or("unknown", |known| known.name))
    }

    /// Where messages of this queue go when they die.
    #[must_use]
    pub fn dead(&self) -> Queue {
        match self {
            Queue::Fetch(..) | Queue::DeadUnits => Queue::DeadUnits,
            Queue::Load(_) | Queue::DeadBatches => Queue::DeadBatches,
        }
    }

    /// Whether what lies there waits for a person: no limit, no deliveries counted.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self, Queue::DeadUnits | Queue::DeadBatches)
    }

    /// The queue of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Queue> {
        match name {
            "dead.units" => return Some(Queue::DeadUnits),
            "dead.batches" => return Some(Queue::DeadBatches),
            _ => {}
        }
        let (kind, rest) = name.split_once('.')?;
        match kind {
            "fetch" => {
                let (source, account) = rest.split_once('.')?;
                Some(Queue::Fetch(SourceName::find(source)?, AccountName::parse(account).ok()?))
            }
            "load" => crate::catalog::find(rest).map(Queue::load),
            _ => None,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queue::Fetch(source, account) => write!(f, "fetch.{source}.{account}"),
            Queue::Load(dataset) => write!(f, "load.{dataset}"),
            Queue::DeadUnits => f.write_str("dead.units"),
            Queue::DeadBatches => f.write_str("dead.batches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_found_again_by_its_name() {
        let account = AccountName::parse("main-2").unwrap();
        for queue in [
            Queue::Fetch(SourceName::EightByEight, account),
            Queue::load(crate::catalog::ALL[0]),
            Queue::DeadUnits,
            Queue::DeadBatches,
        ] {
            assert_eq!(Queue::find(&queue.to_string()), Some(queue));
        }
        assert_eq!(Queue::find("load.faxes"), None);
    }
}
