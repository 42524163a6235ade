//! The span of time that a run was asked for, and what is wrong with one that cannot be meant.
//!
//! Guaranteed: a span that passes [`Span::check`] has begun, has ended, and holds some time. What of it an API still
//! holds, and what is due, is for [`crate::due`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::fault::Fault;
use proto::instant::{self, Digits};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// What the ledger says is missing.
    Due,
    /// The newest so much, whether it was read before or not.
    Last(Duration),
    /// From one instant on and before another, whether it was read before or not.
    Between {
        /// The first instant.
        from: DateTime<Utc>,
        /// The first instant after it.
        to: DateTime<Utc>,
    },
}

impl Span {
    /// Refuses a span that cannot be meant. An end in the future is refused and not clipped: whoever asks for it would
    /// take the answer for more than it is.
    ///
    /// # Errors
    /// With the option that is wrong and what to do about it.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), SpanError> {
        match *self {
            Span::Due => Ok(()),
            Span::Last(last) if last.is_zero() => Err(SpanError::LastIsZero),
            Span::Last(_) => Ok(()),
            Span::Between { from, .. } if from > now => Err(SpanError::FromInFuture { from, now }),
            Span::Between { from, to } if from >= to => Err(SpanError::Inverted { from, to }),
            Span::Between { to, .. } if to > now => Err(SpanError::ToInFuture { to, now }),
            Span::Between { .. } => Ok(()),
        }
    }
}

/// Why a span cannot be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// No time at all.
    #[error("`--last` is 0, which is no time at all: give a length, such as `--last 24h`")]
    LastIsZero,
    /// Has not begun.
    #[error("`--from {}` is in the future, it is {} now: give a `--from` that has passed", text(*.from), text(*.now))]
    FromInFuture {
        /// What was asked for.
        from: DateTime<Utc>,
        /// When it was asked.
        now: DateTime<Utc>,
    },
    /// Ends before it begins, or at once.
    #[error("`--from {}` is not before `--to {}`: give a `--to` that is later than `--from`", text(*.from), text(*.to))]
    Inverted {
        /// The start that was asked for.
        from: DateTime<Utc>,
        /// The end that was asked for.
        to: DateTime<Utc>,
    },
    /// Has not ended.
    #[error("`--to {}` is in the future, it is {} now: give a `--to` that has passed", text(*.to), text(*.now))]
    ToInFuture {
        /// What was asked for.
        to: DateTime<Utc>,
        /// When it was asked.
        now: DateTime<Utc>,
    },
}

impl SpanError {
    /// What it means for what we do next: asking the same again fails the same way.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            SpanError::LastIsZero
            | SpanError::FromInFuture { .. }
            | SpanError::Inverted { .. }
            | SpanError::ToInFuture { .. } => Fault::Poison,
        }
    }
}

fn text(at: DateTime<Utc>) -> String {
    instant::text(at, Digits::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn hour(hour: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, hour, 0, 0).unwrap()
    }

    #[test]
    fn a_span_that_cannot_be_meant_is_refused_with_its_option_and_the_fix() {
        let between = |from, to| Span::Between { from: hour(from), to: hour(to) };
        for (span, words) in [
            (Span::Last(Duration::ZERO), ["`--last` is 0", "`--last 24h`"]),
            (between(13, 14), ["`--from 2026-03-01T13:00:00Z` is in the future", "a `--from` that has passed"]),
            (between(11, 13), ["`--to 2026-03-01T13:00:00Z` is in the future", "a `--to` that has passed"]),
            (between(11, 11), ["`--from 2026-03-01T11:00:00Z` is not before", "later than `--from`"]),
            (between(11, 10), ["is not before `--to 2026-03-01T10:00:00Z`", "later than `--from`"]),
        ] {
            let error = span.check(hour(12)).unwrap_err();
            assert_eq!(error.fault(), Fault::Poison);
            for word in words {
                assert!(error.to_string().contains(word), "{error}");
            }
        }
    }

    #[test]
    fn a_span_up_to_this_very_instant_is_fine() {
        for span in [
            Span::Due,
            Span::Last(Duration::from_secs(1)),
            Span::Last(Duration::MAX),
            Span::Between { from: hour(11), to: hour(12) },
        ] {
            assert_eq!(span.check(hour(12)), Ok(()));
        }
    }
}
