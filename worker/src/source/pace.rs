//! The pace of one account: how many requests it may send in how much time, over all its units, and pauses that the
//! vendor asks for.
//!
//! Guarantees: in no stretch of a rate's time are more requests let through than the rate allows, however the
//! vendor counts (fixed or sliding windows). A bucket that refills would allow twice as many in the first stretch,
//! which a vendor that counts ten a minute refuses. A caller that is dropped while it waits takes nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// At most this many requests in this much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 is taken as 1.
    pub requests: u32,
    /// In how much time; zero is no limit.
    pub per: Duration,
}

impl Rate {
    /// `number` requests a second; fractions are allowed, what is not positive or not finite is no limit.
    #[must_use]
    pub fn per_second(number: f64) -> Rate {
        if !number.is_finite() || number <= 0.0 {
            return Rate { requests: 1, per: Duration::ZERO };
        }
        let requests = number.clamp(1.0, 1e6).floor();
        let per = Duration::try_from_secs_f64(requests / number).unwrap_or(Duration::MAX);
        Rate { requests: requests as u32, per }
    }
}

/// What was let through in the newest stretch of a rate's time, oldest first.
#[derive(Debug)]
struct Lane {
    rate: Rate,
    sent: VecDeque<Instant>,
}

impl Lane {
    /// Lets a request through at `now`, or says when to ask again.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.rate.per.is_zero() {
            return Ok(());
        }
        if self.sent.len() >= self.rate.requests.max(1) as usize {
            let free = self.sent.front().map_or(now, |oldest| *oldest + self.rate.per);
            if free > now {
                return Err(free);
            }
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        Ok(())
    }
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    paused_until: Option<Instant>,
}

/// The pace of one account, shared by all its requests.
#[derive(Debug)]
pub(super) struct Pace {
    // A plain lock, never held while anything is awaited.
    state: Mutex<State>,
    patience: Duration,
}

impl Pace {
    /// A pace of these rates, by lane. `patience` is the longest that [`Pace::wait`] waits.
    pub(super) fn new(rates: &[Rate], patience: Duration) -> Pace {
        let lanes = rates.iter().map(|rate| Lane { rate: *rate, sent: VecDeque::new() }).collect();
        Pace { state: Mutex::new(State { lanes, paused_until: None }), patience }
    }

    /// Waits until a request of this lane may be sent, and counts it. In no order among those that wait.
    ///
    /// # Errors
    /// With what is left to wait, when that is known to be beyond the patience; at once, not after it.
    pub(super) async fn wait(&self, lane: usize) -> Result<(), Duration> {
        let end = Instant::now() + self.patience;
        loop {
            let now = Instant::now();
            let Err(free) = self.take(lane, now) else { return Ok(()) };
            if free > end {
                return Err(free - now);
            }
            sleep_until(free).await;
        }
    }

    /// Lets no request through for `wait` from now on. A shorter pause does not end a longer one.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(Duration::from_secs(86_400));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.paused_until = Some(state.paused_until.map_or(until, |other| other.max(until)));
    }

    fn take(&self, lane: usize, now: Instant) -> Result<(), Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Err(until);
        }
        state.lanes.get_mut(lane).map_or(Ok(()), |lane| lane.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn no_stretch_of_time_sees_more_than_the_rate() {
        let pace = Pace::new(&[Rate { requests: 3, per: MINUTE }], HOUR);
        let start = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..9 {
            pace.wait(0).await.unwrap();
            sent.push(start.elapsed().as_secs());
        }
        assert_eq!(sent, [0, 0, 0, 60, 60, 60, 120, 120, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_do_not_wait_for_each_other_but_pauses_hold_all() {
        let pace = Pace::new(&[Rate { requests: 1, per: MINUTE }, Rate { requests: 10, per: MINUTE }], HOUR);
        let start = Instant::now();
        pace.wait(0).await.unwrap();
        pace.wait(1).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.pause(Duration::from_secs(90));
        pace.pause(Duration::from_secs(5));
        pace.wait(1).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_comes_while_waiting_is_kept_too() {
        let pace = Pace::new(&[Rate { requests: 1, per: MINUTE }], HOUR);
        let start = Instant::now();
        pace.wait(0).await.unwrap();
        let (waited, ()) = tokio::join!(pace.wait(0), async {
            tokio::time::advance(Duration::from_secs(30)).await;
            pace.pause(MINUTE);
        });
        waited.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_patience_is_refused_at_once() {
        let pace = Pace::new(&[Rate { requests: 1, per: HOUR }], MINUTE);
        let start = Instant::now();
        pace.wait(0).await.unwrap();
        assert_eq!(pace.wait(0).await, Err(HOUR));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_dropped_while_waiting_takes_nothing() {
        let pace = Pace::new(&[Rate { requests: 1, per: MINUTE }], HOUR);
        let start = Instant::now();
        pace.wait(0).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), pace.wait(0)).await.is_err());
        pace.wait(0).await.unwrap();
        assert_eq!(start.elapsed(), MINUTE);
    }

    #[test]
    fn a_rate_per_second_may_be_a_fraction() {
        assert_eq!(Rate::per_second(10.0), Rate { requests: 10, per: Duration::from_secs(1) });
        assert_eq!(Rate::per_second(0.5), Rate { requests: 1, per: Duration::from_secs(2) });
        assert_eq!(Rate::per_second(2.5), Rate { requests: 2, per: Duration::from_millis(800) });
        assert_eq!(Rate::per_second(0.0).per, Duration::ZERO);
        assert_eq!(Rate::per_second(f64::INFINITY).per, Duration::ZERO);
    }
}
