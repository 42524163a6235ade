//! Misfortune by rule: which requests go wrong, when, how often and how.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dataset::Dataset;

/// One misfortune. Of all rules that fit a request the first that is due happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only requests of this method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path, with its query, contains this.
    #[serde(default)]
    pub path: String,
    /// How many fitting requests to let pass first.
    #[serde(default)]
    pub skip: u32,
    /// How often it happens.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub fault: Fault,
}

const fn once() -> u32 {
    1
}

impl Rule {
    /// Happens once, at the first request whose path contains `path`.
    pub fn new(path: &str, fault: Fault) -> Self {
        Self { method: None, path: path.to_owned(), skip: 0, times: 1, fault }
    }

    /// Lets `skip` fitting requests pass first.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Happens `times` times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Fits requests of this method only.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The request is not done; an error is answered.
    Status {
        /// The HTTP status.
        code: u16,
        /// Seconds for a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u32>,
        /// What the body looks like.
        #[serde(default)]
        body: FaultBody,
    },
    /// The request is done; half of the answer is sent, then the connection breaks.
    Reset,
    /// The request is done; the answer is complete HTTP with half of its JSON.
    Truncate,
    /// The request is done after a wait.
    Stall {
        /// Milliseconds.
        ms: u64,
    },
    /// Every token issued so far becomes invalid, and this request is answered with 401.
    ExpireTokens,
    /// The request is not done; 200 with an empty body is answered.
    EmptyOk,
    /// The data changes, then the request is done.
    Change(Change),
    /// The answer's cursor leads to the same page again.
    RepeatPage,
    /// The answer claims to be the last page, whatever is left.
    Short,
}

/// What the body of an error looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultBody {
    /// The vendor's error as JSON.
    #[default]
    Json,
    /// The page of a proxy.
    Html,
    /// Nothing.
    Empty,
}

/// A change of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Records appear and records change, so that pages move under a walk. Intercom records take the current time;
    /// calls appear half an hour before now and change in place.
    Shift {
        /// Where.
        dataset: Dataset,
        /// How many appear.
        #[serde(default)]
        insert: u64,
        /// How many change.
        #[serde(default)]
        touch: u64,
    },
    /// Records are hidden until they are released: written late.
    Late {
        /// Where.
        dataset: Dataset,
        /// How many.
        count: u64,
    },
    /// Hidden records come to light, with the times they always had.
    Release {
        /// Where; everywhere unless said.
        #[serde(default)]
        dataset: Option<Dataset>,
    },
    /// A record is served spoiled. The truth does not change.
    Poison {
        /// Where.
        dataset: Dataset,
        /// Which, by its index.
        index: u64,
        /// Laid over the record (`null` takes a field away); without it the record loses its key.
        #[serde(default)]
        patch: Option<Map<String, Value>>,
    },
    /// Spoiled records are served as they should be.
    Heal {
        /// Where; everywhere unless said.
        #[serde(default)]
        dataset: Option<Dataset>,
    },
    /// A record is deleted for good.
    Remove {
        /// Where.
        dataset: Dataset,
        /// Which, by its index.
        index: u64,
    },
}

/// What `POST /misfortune` takes: rules to add and changes to make at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Rules to add.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Changes to make now.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// A rule and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// How many requests fitted.
    pub seen: u32,
    /// How often it happened.
    pub fired: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Misfortune {
    rules: Mutex<Vec<RuleReport>>,
}

impl Misfortune {
    fn lock(&self) -> MutexGuard<'_, Vec<RuleReport>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, rules: impl IntoIterator<Item = Rule>) {
        self.lock().extend(rules.into_iter().map(|rule| RuleReport { rule, seen: 0, fired: 0 }));
    }

    pub(crate) fn reports(&self) -> Vec<RuleReport> {
        self.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// What happens to this request. Each fitting rule counts it, the first that is due happens.
    pub(crate) fn strike(&self, method: &str, path: &str) -> Option<Fault> {
        let mut struck = None;
        for report in self.lock().iter_mut() {
            let rule = &report.rule;
            if rule.method.as_deref().is_some_and(|wanted| wanted != method) || !path.contains(&rule.path) {
                continue;
            }
            report.seen += 1;
            if struck.is_none() && report.seen > rule.skip && report.fired < rule.times {
                report.fired += 1;
                struck = Some(rule.fault.clone());
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_skips_then_happens_so_many_times() {
        let misfortune = Misfortune::default();
        misfortune.add([Rule::new("/a", Fault::Reset).after(1).times(2).method("GET")]);
        let strikes: Vec<_> = (0..4).map(|_| misfortune.strike("GET", "/x/a?y").is_some()).collect();
        assert_eq!(strikes, [false, true, true, false]);
        assert_eq!(misfortune.strike("POST", "/a"), None);
        assert_eq!(misfortune.reports()[0].fired, 2);
    }

    #[test]
    fn one_request_suffers_one_misfortune() {
        let misfortune = Misfortune::default();
        misfortune.add([Rule::new("", Fault::Reset), Rule::new("", Fault::Short)]);
        assert_eq!(misfortune.strike("GET", "/"), Some(Fault::Reset));
        assert_eq!(misfortune.strike("GET", "/"), Some(Fault::Short));
        assert_eq!(misfortune.strike("GET", "/"), None);
    }

    #[test]
    fn a_script_is_read_from_json() {
        let script: Script = serde_json::from_str(
            r#"{"rules":[{"path":"cdr","fault":{"status":{"code":429,"retry_after":1}}},{"fault":"reset"}],
                "changes":[{"late":{"dataset":"cdr_records","count":3}},{"release":{}}]}"#,
        )
        .unwrap();
        let status = Fault::Status { code: 429, retry_after: Some(1), body: FaultBody::Json };
        assert_eq!(script.rules, [Rule::new("cdr", status), Rule::new("", Fault::Reset)]);
        assert_eq!(script.changes[0], Change::Late { dataset: Dataset::WebexCalls, count: 3 });
        assert!(serde_json::from_str::<Script>(r#"{"rule":[]}"#).is_err());
    }
}
