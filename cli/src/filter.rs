//! Which dead messages are meant: `--where source=8x8,since=2h`. Pure.

use chrono::{DateTime, Utc};
use proto::catalog;
use proto::dataset::SourceName;
use proto::message::Message;

use crate::exit::Failure;
use crate::moment::{self, Moment};

/// The keys that `--where` knows.
const KEYS: &str = "source, account, dataset, fault, since, run, id";

/// Which dead messages are meant: those for which everything given here holds. Of one key given several times one
/// value must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    source: Vec<String>,
    account: Vec<String>,
    dataset: Vec<String>,
    fault: Vec<String>,
    run: Vec<String>,
    id: Vec<String>,
    since: Option<DateTime<Utc>>,
}

impl Filter {
    /// Reads `key=value` pairs. `since` is a length before `now`, a date (UTC) or an instant.
    ///
    /// # Errors
    /// With the pair that is wrong and what may stand there.
    pub(crate) fn parse(pairs: &[String], now: DateTime<Utc>) -> Result<Filter, Failure> {
        let mut filter = Filter::default();
        for pair in pairs {
            let wrong = |what: &str| Failure::usage(format!("--where: `{pair}`: {what}"));
            let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                return Err(wrong(&format!("write key=value with one of {KEYS}")));
            };
            let value = value.trim().to_owned();
            match key.trim() {
                "source" => {
                    let names = SourceName::ALL.map(SourceName::as_str);
                    known(&names, &value).map_err(|what| wrong(&what))?;
                    filter.source.push(value);
                }
                "dataset" => {
                    let names = catalog::ALL.map(|dataset| dataset.name);
                    known(&names, &value).map_err(|what| wrong(&what))?;
                    filter.dataset.push(value);
                }
                "fault" => {
                    known(&["transient", "poison"], &value).map_err(|what| wrong(&what))?;
                    filter.fault.push(value);
                }
                "account" => filter.account.push(value),
                "run" => filter.run.push(value),
                "id" => filter.id.push(value),
                "since" => filter.since = Some(since(&value, now).map_err(|what| wrong(&what))?),
                _ => return Err(wrong(&format!("there is no such key: use one of {KEYS}"))),
            }
        }
        Ok(filter)
    }

    /// Whether the message is meant.
    #[must_use]
    pub(crate) fn fits(&self, message: &Message) -> bool {
        let about = &message.about;
        let one_of = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|one| one == value);
        let begins =
            |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|one| value.starts_with(one));
        one_of(&self.source, about.source.as_str())
            && one_of(&self.account, about.account.as_str())
            && one_of(&self.dataset, &about.dataset)
            && one_of(&self.fault, fault(message))
            && begins(&self.run, about.run.as_str())
            && begins(&self.id, &message.id)
            && self.since.is_none_or(|since| message.trail.died_at.is_some_and(|died| died >= since))
    }
}

fn known(names: &[&str], value: &str) -> Result<(), String> {
    if names.contains(&value) { Ok(()) } else { Err(format!("use one of {}", names.join(", "))) }
}

fn since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(length) = moment::length(text) {
        return Ok(chrono::Duration::from_std(length).ok().and_then(|ago| now.checked_sub_signed(ago)).unwrap_or(now));
    }
    let at = Moment::parse(text).map_err(|_| "write a length (2h), a date (2026-11-20) or an instant".to_owned())?;
    Ok(at.at(chrono_tz::Tz::UTC))
}

/// What put the message aside: `transient` where we gave up after many attempts, else `poison`.
#[must_use]
pub(crate) fn fault(message: &Message) -> &'static str {
    if message.trail.cause().is_some_and(|cause| cause.starts_with("gave up after")) { "transient" } else { "poison" }
}

/// The cause with its numbers left out, so that causes that differ only in them are one.
#[must_use]
pub(crate) fn shape(cause: &str) -> String {
    let mut shape = String::with_capacity(cause.len());
    for letter in cause.chars() {
        if !letter.is_ascii_digit() {
            shape.push(letter);
        } else if !shape.ends_with('#') {
            shape.push('#');
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use proto::id::{AccountName, RunId};
    use proto::unit::{Slice, Unit, Window};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T08:00:00Z".parse().unwrap()
    }

    fn dead(cause: &str) -> Message {
        let window = Window { from: now(), to: now() };
        let dataset = catalog::find("users").unwrap();
        let unit =
            Unit::new(RunId::parse("r1").unwrap(), AccountName::parse("desk").unwrap(), dataset, String::new(), window);
        let mut message = Slice::first(unit, 0).to_message();
        message.trail.died("fetch.intercom.desk", cause, now() - chrono::Duration::hours(1));
        message
    }

    fn fits(pairs: &[&str]) -> bool {
        let pairs: Vec<String> = pairs.iter().map(|&pair| pair.to_owned()).collect();
        Filter::parse(&pairs, now()).unwrap().fits(&dead("HTTP 400"))
    }

    #[test]
    fn all_keys_must_hold_and_one_value_of_each() {
        assert!(fits(&[]));
        assert!(fits(&["source=intercom", "account=desk", "dataset=users", "fault=poison", "run=r1", "since=2h"]));
        assert!(fits(&["account=other", "account=desk"]));
        assert!(fits(&["since=2026-11-20"]) && fits(&["since=2026-11-20T06:30:00Z"]));
        for wrong in ["source=8x8", "account=other", "dataset=tags", "fault=transient", "run=r2", "since=30m", "id=zz"]
        {
            assert!(!fits(&["source=intercom", wrong]) || wrong == "source=8x8", "{wrong}");
        }
        assert!(!fits(&["source=8x8"]));
    }

    #[test]
    fn a_wrong_pair_is_a_usage_error_that_lists_what_may_stand_there() {
        for (pair, words) in [
            ("source", "write key=value with one of source, account"),
            ("source=", "write key=value"),
            ("colour=red", "use one of source, account, dataset, fault, since, run, id"),
            ("source=zoom", "use one of 8x8, webex, intercom"),
            ("dataset=faxes", "8x8CallDetailRecords"),
            ("fault=bad", "use one of transient, poison"),
            ("since=monday", "2026-11-20"),
        ] {
            let failure = Filter::parse(&[pair.to_owned()], now()).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn what_was_given_up_is_transient_and_causes_differ_by_more_than_numbers() {
        assert_eq!(fault(&dead("gave up after 9 attempts in 86400 s: HTTP 503")), "transient");
        assert_eq!(fault(&dead("HTTP 400")), "poison");
        assert_eq!(shape("HTTP 503 in 12 of 345 s"), "HTTP # in # of # s");
        assert_eq!(shape(""), "");
    }
}
