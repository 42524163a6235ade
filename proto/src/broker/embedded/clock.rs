//! What time it is for a queue: the wall's for a file; in memory the runtime's, so that a test's paused time moves it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// One reading of the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The time of day, for what is written down.
    pub(super) wall: DateTime<Utc>,
    /// The time since some start, for leases: nobody sets it back.
    pub(super) instant: Instant,
}

impl Moment {
    /// The time of day this long after, in ms, rounded up; never 0 or below, which mean something else in the file.
    pub(super) fn plus(&self, after: Duration) -> i64 {
        let after = i64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        self.wall.timestamp_millis().saturating_add(after).max(1)
    }

    /// How long it is until this time of day (ms).
    pub(super) fn until(&self, at: i64) -> Duration {
        Duration::from_millis(u64::try_from(at.saturating_sub(self.wall.timestamp_millis())).unwrap_or(0))
    }
}

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// The system's clocks.
    System,
    /// `base` at `start`, and from there on as the runtime's time goes.
    From { base: DateTime<Utc>, start: Instant },
}

impl Clock {
    pub(super) fn now(&self) -> Moment {
        let instant = Instant::now();
        let wall = match self {
            Clock::System => Utc::now(),
            Clock::From { base, start } => *base + instant.saturating_duration_since(*start),
        };
        Moment { wall, instant }
    }
}
