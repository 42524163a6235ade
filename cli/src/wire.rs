//! The only place that turns the configuration into parts: brokers, destinations and sources.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use loader::sink::sqlite::{self, Sqlite};
use loader::sink::{Sink, SinkError};
use proto::broker::BrokerError;
use proto::broker::embedded::EmbeddedBroker;
use proto::ledger::Ledger;
use proto::secret::Secret;
use proto::source::Source;
use worker::source::{
    Clock, EightByEight, EightByEightSettings, HttpSettings, Intercom, IntercomSettings, Rate, Webex, WebexCredentials,
    WebexSettings,
};

use crate::account::{Account, Pace, Vendor, WebexPlaces};
use crate::config::{Config, Destination};
use crate::exit::{Failure, chain};
use crate::secret::SecretPlace;

/// Where rows go, as each of its users sees it.
#[derive(Clone)]
pub(crate) struct Store {
    /// Takes loads.
    pub sink: Arc<dyn Sink>,
    /// Knows what was taken.
    pub ledger: Arc<dyn Ledger>,
    /// The file itself.
    pub file: Arc<Sqlite>,
}

/// The destination; its file is made where there is none.
///
/// # Errors
/// When it cannot be used as it is configured.
pub(crate) fn store(config: &Config) -> Result<Store, Failure> {
    let Destination::Sqlite { path, tables } = &config.destination;
    let file = Sqlite::open(path, sqlite::Settings { tables: tables.clone() }).map_err(|error| sink_failure(&error))?;
    Ok(Store { sink: file.clone(), ledger: file.clone(), file })
}

/// The ledger of a destination that must be there already.
///
/// # Errors
/// When there is none, or it cannot be used as it is configured.
pub(crate) fn ledger(config: &Config) -> Result<Arc<dyn Ledger>, Failure> {
    let Destination::Sqlite { path, tables } = &config.destination;
    if !path.exists() {
        let place = config.destination.place();
        let what = "does not exist: `backhaul run` makes it, or correct destination.path";
        return Err(Failure::configuration(format!("{place} {what} in {}", config.name)));
    }
    let settings = sqlite::Settings { tables: tables.clone() };
    let file = Sqlite::open_existing(path, settings).map_err(|error| sink_failure(&error))?;
    Ok(file)
}

/// The queue, to work on it.
///
/// # Errors
/// When another process works on it, or it cannot be used.
pub(crate) fn broker(config: &Config) -> Result<Arc<EmbeddedBroker>, Failure> {
    EmbeddedBroker::open(&config.queue.path, config.queue.settings).map_err(|error| broker_failure(&error))
}

/// The queue, to look at what lies there and to replay or discard what is dead, beside whoever works on it.
///
/// # Errors
/// When there is none, or it cannot be used.
pub(crate) fn visit(config: &Config) -> Result<Arc<EmbeddedBroker>, Failure> {
    let queue = &config.queue;
    if !queue.path.exists() {
        let place = queue.path.display();
        let what = "does not exist: `backhaul run` makes it, or correct queue.path";
        return Err(Failure::configuration(format!("{place} {what} in {}", config.name)));
    }
    EmbeddedBroker::inspect(&queue.path, queue.settings).map_err(|error| broker_failure(&error))
}

/// The sources of these accounts, in their order. `now` is the time that vendors' limits refer to, where it is not the
/// machine's.
///
/// # Errors
/// With every secret that is missing, at once.
pub(crate) fn sources(
    config: &Config,
    accounts: &[Account],
    now: Option<DateTime<Utc>>,
) -> Result<Vec<Arc<dyn Source>>, Failure> {
    let clock = now.map_or_else(Clock::default, |now| Clock::new(move || now));
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for account in accounts {
        match source(account, &config.http, &clock) {
            Ok(source) => sources.push(source),
            Err(more) => {
                problems
                    .extend(more.into_iter().map(|(field, what)| format!("accounts.{}.{field}: {what}", account.name)));
            }
        }
    }
    match problems.len() {
        0 => Ok(sources),
        1 => Err(Failure::configuration(problems.remove(0))),
        many => Err(Failure::configuration(format!("{many} settings cannot be used:\n  {}", problems.join("\n  ")))),
    }
}

type Trouble = (&'static str, String);

fn source(account: &Account, http: &HttpSettings, clock: &Clock) -> Result<Arc<dyn Source>, Vec<Trouble>> {
    let (name, http) = (account.name.clone(), http.clone());
    let mut secrets = Secrets::default();
    match &account.vendor {
        Vendor::EightByEight { base_url, api_key, username, password, pbx_path } => {
            let api_key = secrets.read("api_key", api_key);
            let username = secrets.read("username", username);
            let password = secrets.read("password", password);
            secrets.end()?;
            let mut settings = EightByEightSettings::new(api_key, username, password, account.zone);
            set(&mut settings.base_url, base_url.as_ref());
            set(&mut settings.page_size, account.page_size.as_ref());
            settings.pbx_path = *pbx_path;
            settings.rate = account.pace.map_or(settings.rate, rate);
            let source = EightByEight::new(name, settings, http).map_err(|error| vec![("base_url", chain(&error))])?;
            Ok(Arc::new(source))
        }
        Vendor::Webex { base_url, auth_url, credentials } => {
            let credentials = match credentials {
                WebexPlaces::Access(token) => WebexCredentials::Access(secrets.read("access_token", token)),
                WebexPlaces::Refresh { client_id, client_secret, refresh_token } => WebexCredentials::Refresh {
                    client_id: secrets.read("client_id", client_id),
                    client_secret: secrets.read("client_secret", client_secret),
                    refresh_token: secrets.read("refresh_token", refresh_token),
                },
            };
            secrets.end()?;
            let mut settings = WebexSettings::new(credentials);
            set(&mut settings.api_url, base_url.as_ref());
            set(&mut settings.auth_url, auth_url.as_ref());
            set(&mut settings.page_size, account.page_size.as_ref());
            settings.clock = clock.clone();
            if let Some(pace) = account.pace {
                settings.initial_rate = rate(pace);
                settings.page_rate = Rate { requests: pace.pages, per: pace.per };
            }
            let source = Webex::new(name, settings, http).map_err(|error| vec![("base_url", chain(&error))])?;
            Ok(Arc::new(source))
        }
        Vendor::Intercom { base_url, version, scroll_idle, token } => {
            let token = secrets.read("token", token);
            secrets.end()?;
            let mut settings = IntercomSettings::new(token);
            set(&mut settings.base_url, base_url.as_ref());
            set(&mut settings.version, version.as_ref());
            set(&mut settings.scroll_idle, scroll_idle.as_ref());
            set(&mut settings.page_size, account.page_size.as_ref());
            settings.rate = account.pace.map_or(settings.rate, rate);
            let source = Intercom::new(name, settings, http).map_err(|error| vec![("base_url", chain(&error))])?;
            Ok(Arc::new(source))
        }
    }
}

/// Reads secrets and keeps what was wrong with them, so that all of it is told at once.
#[derive(Default)]
struct Secrets(Vec<Trouble>);

impl Secrets {
    /// The secret, or a stand-in that never gets past [`Secrets::end`].
    fn read(&mut self, field: &'static str, place: &SecretPlace) -> Secret {
        place.read().unwrap_or_else(|what| {
            self.0.push((field, what));
            Secret::new("")
        })
    }

    fn end(self) -> Result<(), Vec<Trouble>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

fn rate(pace: Pace) -> Rate {
    Rate { requests: pace.requests, per: pace.per }
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// What a destination's error means for the command.
#[must_use]
pub(crate) fn sink_failure(error: &SinkError) -> Failure {
    match error {
        SinkError::Schema { .. } | SinkError::Refused { .. } => Failure::configuration(format!("destination: {error}")),
        SinkError::Rows { .. } | SinkError::Failed { .. } => Failure::unexpected(chain(error)),
    }
}

/// What a broker's error means for the command.
#[must_use]
pub(crate) fn broker_failure(error: &BrokerError) -> Failure {
    match error {
        // Opening fails for what the configuration names: a folder that is not there, a file that may not be written.
        BrokerError::Corrupt { .. } | BrokerError::Taken { .. } | BrokerError::Failed { .. } => {
            Failure::configuration(format!("queue.path: {}", chain(error)))
        }
        BrokerError::Full { .. } | BrokerError::Closed => Failure::unexpected(chain(error)),
    }
}

/// Makes the folder that files go to.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn folder(path: &Path, field: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        let shown = path.display();
        Failure::configuration(format!(
            "{field}: the folder {shown} cannot be made ({error}): make it, or name another"
        ))
    })
}
