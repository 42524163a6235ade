//! Asks vendors for the partitions of their datasets, and chooses those to read.
//!
//! Guaranteed: a vendor is asked a bounded number of times, with bounded waits and bounded time for each answer. What
//! an account that does not answer means for the run is for [`crate::run`].

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use proto::dataset::{Dataset, Slicing, SourceName, Timing};
use proto::fault::Fault;
use proto::id::AccountName;
use proto::source::{Source, SourceError, Trouble};
use proto::unit::Partition;

/// What is planned of one account, and how.
pub struct Terms {
    /// The account.
    pub account: AccountName,
    /// Its vendor.
    pub source: SourceName,
    /// The zone whose calendar days are its units.
    pub zone: Tz,
    /// Its datasets, and what is true of their API for this account.
    pub datasets: Vec<(&'static Dataset, Timing)>,
    /// Only these partitions of the datasets that have some; `None` is all.
    pub partitions: Option<Vec<Partition>>,
    /// Its vendor's API.
    pub adapter: Arc<dyn Source>,
}

/// How patiently a vendor is asked for partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// How often it is asked before its account is left out. At least once.
    pub tries: u32,
    /// How long to wait before it is asked again, unless it says so itself.
    pub wait: Duration,
    /// How long to wait at most, whatever it says.
    pub longest_wait: Duration,
    /// How long one answer may take.
    pub answer_within: Duration,
}

impl Default for Discovery {
    /// 3 tries of 2 minutes, 5 s to 1 minute apart.
    fn default() -> Self {
        let [wait, longest_wait, answer_within] = [5, 60, 120].map(Duration::from_secs);
        Discovery { tries: 3, wait, longest_wait, answer_within }
    }
}

impl Discovery {
    /// How long to wait before asking again, when the vendor asked for `after`.
    fn pause(&self, after: Option<Duration>) -> Duration {
        after.unwrap_or(self.wait).min(self.longest_wait)
    }

    /// The partitions of each dataset of an account, in the order of its datasets. Asking reads only.
    ///
    /// # Errors
    /// With the last failure, when a dataset's partitions are refused or were not told in as many tries.
    pub(crate) async fn ask(&self, terms: &Terms) -> Result<Vec<Vec<Partition>>, SourceError> {
        let mut all = Vec::with_capacity(terms.datasets.len());
        for (dataset, _) in &terms.datasets {
            all.push(self.ask_for(terms, dataset).await?);
        }
        Ok(all)
    }

    async fn ask_for(&self, terms: &Terms, dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
        let (mut tries, most) = (0, self.tries.max(1));
        loop {
            tries += 1;
            let answer = tokio::time::timeout(self.answer_within, terms.adapter.partitions(dataset)).await;
            let mut error = match answer.unwrap_or_else(|_| Err(no_answer(terms, dataset, self.answer_within))) {
                Ok(partitions) => return Ok(partitions),
                Err(error) => error,
            };
            let Fault::Transient { after } = error.fault() else { return Err(error) };
            if tries >= most {
                error.message = format!("{}, in {tries} of {most} tries", error.message);
                return Err(error);
            }
            tokio::time::sleep(self.pause(after)).await;
        }
    }
}

/// The partitions to read, each once, and those that were asked for and are not there. Datasets without partitions of
/// their own have none to choose from.
pub(crate) fn choose(
    dataset: &Dataset,
    wanted: Option<&[Partition]>,
    found: &[Partition],
) -> (Vec<Partition>, Vec<Partition>) {
    let mut chosen: Vec<Partition> = Vec::with_capacity(found.len());
    let wanted = wanted.filter(|_| matches!(dataset.slicing, Slicing::PartitionDay));
    for partition in found {
        if !chosen.contains(partition) && wanted.is_none_or(|wanted| wanted.contains(partition)) {
            chosen.push(partition.clone());
        }
    }
    let missing = wanted.unwrap_or_default().iter().filter(|partition| !found.contains(partition));
    (chosen, missing.cloned().collect())
}

fn no_answer(terms: &Terms, dataset: &Dataset, within: Duration) -> SourceError {
    SourceError {
        trouble: Trouble::Unavailable { after: None },
        account: terms.account.to_string(),
        endpoint: format!("partitions of {}", dataset.name),
        message: format!("no answer within {} s", within.as_secs()),
        hint: None,
        requests: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_sets_the_wait_between_tries_up_to_the_longest() {
        let discovery = Discovery::default();
        let seconds = Duration::from_secs;
        for (after, wait) in [(None, 5), (Some(0), 0), (Some(30), 30), (Some(3600), 60)] {
            assert_eq!(discovery.pause(after.map(seconds)), seconds(wait));
        }
    }
}
