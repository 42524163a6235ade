//! How many requests a vendor takes: a sliding window by the monotonic clock, and Intercom's fixed ten seconds.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most so many in any stretch of time.
#[derive(Debug, Default)]
pub(crate) struct Sliding {
    taken: Mutex<VecDeque<Instant>>,
}

impl Sliding {
    /// Takes one, or says how long to wait.
    pub(crate) fn take(&self, limit: u32, per: Duration, now: Instant) -> Result<(), Duration> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.front().is_some_and(|first| now.saturating_duration_since(*first) >= per) {
            taken.pop_front();
        }
        if taken.len() < limit as usize {
            taken.push_back(now);
            return Ok(());
        }
        let first = taken.front().copied().unwrap_or(now);
        Err(per.saturating_sub(now.saturating_duration_since(first)))
    }
}

/// The length of a window, in seconds.
const WINDOW: u64 = 10;

/// Where a request stands in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Unix seconds of the window's end.
    pub(crate) reset: u64,
    pub(crate) exceeded: bool,
}

/// Windows of ten seconds, aligned to unix time.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    current: Mutex<(u64, u32)>,
}

impl Windows {
    pub(crate) fn take(&self, limit: u32, unix: u64) -> Quota {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let start = unix - unix % WINDOW;
        if current.0 != start {
            *current = (start, 0);
        }
        let exceeded = current.1 >= limit;
        current.1 += u32::from(!exceeded);
        Quota { limit, remaining: limit - current.1, reset: start + WINDOW, exceeded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_window_frees_what_is_old() {
        let (window, start, per) = (Sliding::default(), Instant::now(), Duration::from_secs(60));
        assert_eq!(window.take(2, per, start), Ok(()));
        assert_eq!(window.take(2, per, start + Duration::from_secs(10)), Ok(()));
        assert_eq!(window.take(2, per, start + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert_eq!(window.take(2, per, start + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn fixed_windows_start_anew_every_ten_seconds() {
        let windows = Windows::default();
        assert_eq!(windows.take(1, 1_003).remaining, 0);
        let refused = windows.take(1, 1_009);
        assert!(refused.exceeded);
        assert_eq!(refused.reset, 1_010);
        assert!(!windows.take(1, 1_010).exceeded);
    }
}
