//! The state behind the addresses, and the handle that scripts it in process.

use std::sync::{Mutex, PoisonError};

use crate::credentials;
use crate::dataset::{Dataset, Set};
use crate::intercom_scroll::Scroll;
use crate::misfortune::{Change, Misfortune, Rule, RuleReport, Script};
use crate::rates::{Sliding, Windows};
use crate::requests::{Counts, Requests};
use crate::settings::Settings;
use crate::tokens::Tokens;
use crate::truth::Truth;
use crate::world::World;

/// A simulated world and its misfortunes.
pub struct Simulator {
    pub(crate) world: World,
    pub(crate) misfortune: Misfortune,
    pub(crate) requests: Requests,
    pub(crate) eight_tokens: Tokens,
    pub(crate) webex_tokens: Tokens,
    pub(crate) webex_refresh: Mutex<String>,
    pub(crate) eight_rate: Sliding,
    pub(crate) webex_initial: Sliding,
    pub(crate) webex_pages: Sliding,
    pub(crate) intercom_windows: Windows,
    pub(crate) scroll: Scroll,
}

/// A change names a record that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dataset} has no record {index}")]
pub struct UnknownRecord {
    dataset: &'static str,
    index: u64,
}

impl Simulator {
    pub(crate) fn new(settings: Settings) -> Self {
        let seed = settings.seed;
        Self {
            misfortune: Misfortune::default(),
            requests: Requests::default(),
            eight_tokens: Tokens::new(seed, "eyJhbGciOiJSUzI1NiJ9."),
            webex_tokens: Tokens::new(seed, "webex-access-"),
            webex_refresh: Mutex::new(credentials::WEBEX_REFRESH_TOKEN.to_owned()),
            eight_rate: Sliding::default(),
            webex_initial: Sliding::default(),
            webex_pages: Sliding::default(),
            intercom_windows: Windows::default(),
            scroll: Scroll::new(seed),
            world: World::new(settings),
        }
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &Settings {
        &self.world.settings
    }

    /// Adds rules of misfortune.
    pub fn add(&self, rules: impl IntoIterator<Item = Rule>) {
        self.misfortune.add(rules);
    }

    /// The rules and how often each happened.
    pub fn rules(&self) -> Vec<RuleReport> {
        self.misfortune.reports()
    }

    /// Forgets all rules. What they changed stays changed.
    pub fn clear(&self) {
        self.misfortune.clear();
    }

    /// What a perfect sync holds now. The first call reads every record: of millions it takes seconds.
    pub fn truth(&self) -> Truth {
        self.world.truth()
    }

    /// The requests so far.
    pub fn requests(&self) -> Counts {
        self.requests.counts()
    }

    /// Counts requests anew.
    pub fn reset_requests(&self) {
        self.requests.reset();
    }

    /// Every token that the vendor at `path` has issued so far becomes invalid.
    pub(crate) fn expire_tokens(&self, path: &str) {
        if path.starts_with("/8x8") {
            self.eight_tokens.expire();
        } else if path.starts_with("/webex") {
            self.webex_tokens.expire();
        }
    }

    /// The refresh token Webex takes now.
    pub fn webex_refresh_token(&self) -> String {
        self.webex_refresh.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn run(&self, script: Script) -> Result<(), UnknownRecord> {
        self.add(script.rules);
        script.changes.into_iter().try_for_each(|change| self.apply(change))
    }

    /// Changes the data.
    pub fn apply(&self, change: Change) -> Result<(), UnknownRecord> {
        let world = &self.world;
        let now = world.now().timestamp_millis();
        let count = |dataset: Dataset| world.line(dataset.set()).count;
        match change {
            Change::Shift { dataset, insert, touch } => {
                let set = dataset.set();
                let calls = matches!(set, Set::EightCalls | Set::WebexCalls);
                world.change(set, |overlay| {
                    let appear = if calls { now - 1_800_000 } else { now / 1_000 };
                    overlay.insert(count(dataset), insert, |step| if calls { appear + step as i64 } else { appear });
                    let place = |index| if calls { world.line(set).time(index) } else { now / 1_000 };
                    overlay.touch(count(dataset), touch, place);
                });
            }
            Change::Late { dataset, count: wanted } => {
                world.change(dataset.set(), |overlay| overlay.hide(count(dataset), wanted));
            }
            Change::Release { dataset } => each(dataset, |set| world.change(set, |overlay| overlay.release(now))),
            Change::Heal { dataset } => each(dataset, |set| world.change(set, crate::overlay::Overlay::heal)),
            Change::Poison { dataset, index, patch } => {
                self.find(dataset, index)?;
                let without_key = || [(dataset.set().key().to_owned(), serde_json::Value::Null)].into_iter().collect();
                let patch = patch.unwrap_or_else(without_key);
                world.change(dataset.set(), |overlay| overlay.poison(index, patch));
            }
            Change::Remove { dataset, index } => {
                self.find(dataset, index)?;
                world.change(dataset.set(), |overlay| overlay.remove(index, now / 1_000));
            }
        }
        Ok(())
    }

    fn find(&self, dataset: Dataset, index: u64) -> Result<(), UnknownRecord> {
        let found = self.world.look(dataset.set(), |view| view.entry(index).is_some());
        if found { Ok(()) } else { Err(UnknownRecord { dataset: dataset.name(), index }) }
    }
}

/// Once per set: `users` and `contacts` are one.
fn each(dataset: Option<Dataset>, act: impl FnMut(Set)) {
    match dataset {
        Some(dataset) => [dataset.set()].into_iter().for_each(act),
        None => Dataset::ALL.into_iter().filter(|dataset| *dataset != Dataset::Users).map(Dataset::set).for_each(act),
    }
}
