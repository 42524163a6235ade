//! What a failure means for what happens next, and the one place that turns it into a verdict.
//!
//! Every error enum of the programs answers `fault()` exhaustively; [`Patience`] decides from that answer and from the
//! trail of the message. Nothing here waits or logs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::message::Trail;

/// What a failure means for what we do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It may work later: the message climbs the ladder of delays. `after` is the least wait the remote asked for.
    Transient {
        /// The least wait that the remote asked for, where it did.
        after: Option<Duration>,
    },
    /// It will fail each time: the message is put aside with its cause.
    Poison,
    /// The whole account (or destination) is refused: bad token, missing grant. The message is given back untouched
    /// and the account stops.
    Fatal,
    /// We are stopping: the message is given back uncounted.
    Stopped,
}

impl Fault {
    /// The name used in metrics, in the ledger and in `--where fault=`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Transient { .. } => "transient",
            Fault::Poison => "poison",
            Fault::Fatal => "fatal",
            Fault::Stopped => "stopped",
        }
    }
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The work is durable; forget the message.
    Done,
    /// Deliver again after this long, counted as an attempt.
    Later {
        /// How long the message stays invisible.
        after: Duration,
        /// Why, in one sentence without personal data.
        cause: String,
    },
    /// Put aside with its cause, for a person.
    Dead {
        /// Why, in one sentence without personal data.
        cause: String,
    },
    /// Give back at once, uncounted: we are stopping.
    Return,
}

impl Verdict {
    /// The name used in metrics and in the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Later { .. } => "later",
            Verdict::Dead { .. } => "dead",
            Verdict::Return => "return",
        }
    }
}

/// How long a transient failure is put up with: by age, not by count, so that an evening's outage does not bury the
/// backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// The delays after the first, second, ... failure; the last one repeats. Never empty.
    pub ladder: Vec<Duration>,
    /// A message whose first failure is older than this goes to dead.
    pub give_up: Duration,
}

impl Default for Patience {
    /// 10 s, 30 s, 2 min, 10 min, 30 min, 2 h, and giving up after a day.
    fn default() -> Self {
        Patience { ladder: [10, 30, 120, 600, 1800, 7200].map(Duration::from_secs).to_vec(), give_up: DAY }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

impl Patience {
    /// The verdict on a message that failed with `fault` because of `cause`, given what happened to it before.
    #[must_use]
    pub fn verdict(&self, fault: &Fault, cause: String, trail: &Trail, now: DateTime<Utc>) -> Verdict {
        match fault {
            Fault::Stopped | Fault::Fatal => Verdict::Return,
            Fault::Poison => Verdict::Dead { cause },
            Fault::Transient { after } => {
                let age =
                    trail.first_failed_at.map_or(Duration::ZERO, |first| (now - first).to_std().unwrap_or_default());
                if age >= self.give_up {
                    let cause =
                        format!("gave up after {} attempts in {} s: {cause}", trail.attempts + 1, age.as_secs());
                    return Verdict::Dead { cause };
                }
                let rung = (trail.attempts as usize).min(self.ladder.len().saturating_sub(1));
                let delay = self.ladder.get(rung).copied().unwrap_or(Duration::from_secs(10));
                // A remote may ask for any wait; none is longer than what is put up with in all.
                let asked = after.unwrap_or_default().min(self.give_up);
                Verdict::Later { after: delay.max(asked), cause }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(attempts: u32, seconds_ago: i64, now: DateTime<Utc>) -> Trail {
        Trail { attempts, first_failed_at: Some(now - chrono::Duration::seconds(seconds_ago)), ..Trail::default() }
    }

    #[test]
    fn each_fault_has_its_verdict() {
        let patience = Patience { ladder: vec![Duration::from_secs(1), Duration::from_secs(5)], give_up: DAY };
        let now = Utc::now();
        let verdict = |fault: Fault, trail: &Trail| patience.verdict(&fault, "why".into(), trail, now);
        let transient = |after: Option<u64>| Fault::Transient { after: after.map(Duration::from_secs) };
        let later = |s| Verdict::Later { after: Duration::from_secs(s), cause: "why".into() };
        for (fault, trail, expected) in [
            (Fault::Stopped, Trail::default(), Verdict::Return),
            (Fault::Fatal, Trail::default(), Verdict::Return),
            (Fault::Poison, Trail::default(), Verdict::Dead { cause: "why".into() }),
            (transient(None), Trail::default(), later(1)),
            (transient(None), failed(1, 1, now), later(5)),
            (transient(None), failed(99, 60, now), later(5)),
            (transient(Some(60)), Trail::default(), later(60)),
            (transient(Some(1 << 40)), Trail::default(), later(86_400)),
        ] {
            assert_eq!(verdict(fault, &trail), expected);
        }
    }

    #[test]
    fn a_transient_failure_dies_of_age_and_not_of_count() {
        let patience = Patience::default();
        let now = Utc::now();
        let transient = Fault::Transient { after: None };
        assert!(matches!(
            patience.verdict(&transient, "x".into(), &failed(5000, 3600, now), now),
            Verdict::Later { .. }
        ));
        let old = patience.verdict(&transient, "x".into(), &failed(2, 86_401, now), now);
        let Verdict::Dead { cause } = old else { panic!("{old:?}") };
        assert!(cause.contains("3 attempts") && cause.ends_with(": x"), "{cause}");
    }
}
