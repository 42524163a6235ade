//! The short retry: how long to wait before the next try of a request, and when to hand the failure up to the broker's
//! ladder. The only module that uses the `backoff` crate.
//!
//! `backoff` is unmaintained (RUSTSEC-2025-0012) and was named by the project's owner. It is confined here, and only
//! its schedule of delays is used: no clock, no timers, no futures of it. Replacing it means replacing `Retry::new`.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use proto::source::Trouble;

use super::settings::HttpSettings;

/// The tries of one request.
pub(super) struct Retry {
    delays: ExponentialBackoff,
    longest: Duration,
    tries: u32,
    limit: u32,
    spent: Duration,
    patience: Duration,
}

impl Retry {
    /// Before the first try.
    pub(super) fn new(settings: &HttpSettings) -> Retry {
        let delays = ExponentialBackoffBuilder::new()
            .with_initial_interval(settings.first_delay)
            .with_max_interval(settings.longest_delay)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            // The time that trying takes is counted below, without the time spent waiting for the account's pace.
            .with_max_elapsed_time(None)
            .build();
        let (longest, patience) = (settings.longest_delay, settings.patience);
        Retry { delays, longest, tries: 0, limit: settings.tries, spent: Duration::ZERO, patience }
    }

    /// How often the request was tried.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// After a try that took `took` and ended in `trouble`: how long to wait before the next one, `None` to give up.
    /// Only what may pass within seconds is tried again, and never sooner than the vendor asks.
    pub(super) fn next(&mut self, took: Duration, trouble: &Trouble) -> Option<Duration> {
        self.tries += 1;
        self.spent += took;
        let asked = match trouble {
            Trouble::Busy { after } | Trouble::Unavailable { after } => after.unwrap_or_default(),
            Trouble::Malformed => Duration::ZERO,
            Trouble::Refused | Trouble::Rejected | Trouble::Restart { .. } | Trouble::Incomplete | Trouble::Stopped => {
                return None;
            }
        };
        if self.tries >= self.limit || self.spent > self.patience || asked > self.patience {
            return None;
        }
        let delay = self.delays.next_backoff()?.min(self.longest).max(asked);
        self.spent += delay;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Trouble = Trouble::Unavailable { after: None };

    fn retry() -> Retry {
        Retry::new(&HttpSettings::default())
    }

    #[test]
    fn delays_grow_within_their_bounds_and_end_after_the_last_try() {
        let mut retry = Retry::new(&HttpSettings { tries: 9, patience: Duration::MAX, ..HttpSettings::default() });
        for most in [300, 600, 1200, 2400, 4800, 5000, 5000, 5000] {
            let delay = retry.next(Duration::ZERO, &NONE).unwrap();
            assert!(
                delay >= Duration::from_millis(most / 4) && delay <= Duration::from_millis(most),
                "{delay:?} {most}"
            );
        }
        assert_eq!(retry.next(Duration::ZERO, &NONE), None);
        assert_eq!(retry.tries(), 9);
    }

    #[test]
    fn a_wait_that_the_vendor_asks_for_is_kept_up_to_the_patience() {
        let asking = |seconds| Trouble::Busy { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(retry().next(Duration::ZERO, &asking(20)), Some(Duration::from_secs(20)));
        assert_eq!(retry().next(Duration::ZERO, &asking(21)), None);
    }

    #[test]
    fn trying_ends_when_it_took_too_long() {
        assert!(retry().next(Duration::from_secs(19), &NONE).is_some());
        assert_eq!(retry().next(Duration::from_secs(21), &NONE), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (trouble, again) in [
            (Trouble::Busy { after: None }, true),
            (NONE, true),
            (Trouble::Malformed, true),
            (Trouble::Refused, false),
            (Trouble::Rejected, false),
            (Trouble::Restart { after: None }, false),
            (Trouble::Incomplete, false),
            (Trouble::Stopped, false),
        ] {
            assert_eq!(retry().next(Duration::ZERO, &trouble).is_some(), again, "{trouble:?}");
        }
    }
}
