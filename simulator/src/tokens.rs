//! Access tokens the simulator has given out, and how long they live.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chance::Chance;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Valid,
    Expired,
    Unknown,
}

/// The tokens of one vendor.
#[derive(Debug)]
pub(crate) struct Tokens {
    seed: u64,
    prefix: &'static str,
    issued: Mutex<HashMap<String, Instant>>,
}

impl Tokens {
    pub(crate) fn new(seed: u64, prefix: &'static str) -> Self {
        Self { seed, prefix, issued: Mutex::default() }
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token that lives for `life`.
    pub(crate) fn issue(&self, life: Duration) -> String {
        let mut issued = self.issued();
        let mut chance = Chance::new(self.seed, 0x70_ce, issued.len() as u64);
        let token = format!("{}{:016x}{:016x}", self.prefix, chance.bits(), chance.bits());
        issued.insert(token.clone(), Instant::now() + life);
        token
    }

    pub(crate) fn standing(&self, token: &str) -> Standing {
        match self.issued().get(token) {
            Some(end) if *end > Instant::now() => Standing::Valid,
            Some(_) => Standing::Expired,
            None => Standing::Unknown,
        }
    }

    /// Every token given out is expired from now on.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        for end in self.issued().values_mut() {
            *end = now.min(*end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_live_until_their_end() {
        let tokens = Tokens::new(1, "t");
        let (long, short) = (tokens.issue(Duration::from_secs(60)), tokens.issue(Duration::ZERO));
        assert_ne!(long, short);
        assert_eq!(tokens.standing(&long), Standing::Valid);
        assert_eq!(tokens.standing(&short), Standing::Expired);
        assert_eq!(tokens.standing("other"), Standing::Unknown);
        tokens.expire();
        assert_eq!(tokens.standing(&long), Standing::Expired);
    }
}
