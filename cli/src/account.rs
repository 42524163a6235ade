//! The accounts of the configuration: one set of credentials at one source each, and how it is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use proto::catalog;
use proto::dataset::{Dataset, SourceName, Timing};
use proto::id::AccountName;
use proto::secret::Secret;
use toml::{Table, Value};
use url::Url;
use worker::source::PbxPath;

use crate::moment;
use crate::reader::{Problems, Section};
use crate::secret::SecretPlace;

/// One set of credentials at one source, and how it is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    /// Its name.
    pub name: AccountName,
    /// The zone that decides what a day is.
    pub zone: Tz,
    /// The datasets to read, in the catalog's order.
    pub datasets: Vec<&'static Dataset>,
    /// The partitions (8x8: PBXes) to read; all that there are, unless given.
    pub partitions: Option<Vec<String>>,
    /// Units that are worked on at once.
    pub in_flight: usize,
    /// How many requests in how much time at most; the source's own default, unless given.
    pub pace: Option<Pace>,
    /// Records a page; the source's own default, unless given.
    pub page_size: Option<u32>,
    /// What differs from the catalog's timing.
    pub timing: TimingChange,
    /// What only this source has.
    pub vendor: Vendor,
}

/// So many requests in so much time at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Requests; of Webex those for a first page.
    pub requests: u32,
    /// Webex only: requests for a following page.
    pub pages: u32,
    /// The time that they are counted over.
    pub per: Duration,
}

/// What differs from the catalog's timing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimingChange {
    /// How far before the watermark a run starts again.
    pub look_back: Option<Duration>,
    /// How old a record must be before it can be expected to be seen.
    pub settles: Option<Duration>,
    /// How far back the API still answers.
    pub holds: Option<Duration>,
}

impl TimingChange {
    /// The timing of a dataset of this account.
    #[must_use]
    pub(crate) fn apply(&self, timing: Timing) -> Timing {
        Timing {
            holds: self.holds.or(timing.holds),
            settles: self.settles.unwrap_or(timing.settles),
            look_back: self.look_back.unwrap_or(timing.look_back),
        }
    }
}

/// What only one source has. A base address is `None` where the vendor's own is meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Vendor {
    /// 8x8 Analytics for Work.
    EightByEight {
        /// The API's address.
        base_url: Option<String>,
        /// The key of the app.
        api_key: SecretPlace,
        /// Who signs in.
        username: SecretPlace,
        /// With what.
        password: SecretPlace,
        /// Where PBXes are looked for first.
        pbx_path: PbxPath,
    },
    /// Webex Calling.
    Webex {
        /// The address of the call records, which depends on the region.
        base_url: Option<String>,
        /// The address that tokens come from.
        auth_url: Option<String>,
        /// How it proves itself.
        credentials: WebexPlaces,
    },
    /// Intercom.
    Intercom {
        /// The API's address, which depends on the region.
        base_url: Option<String>,
        /// The version of the API to ask for.
        version: Option<String>,
        /// How long the vendor keeps an idle company scroll.
        scroll_idle: Option<Duration>,
        /// The access token.
        token: SecretPlace,
    },
}

/// How a Webex account proves itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WebexPlaces {
    /// With tokens that are made as they are needed.
    Refresh {
        /// The integration's id.
        client_id: SecretPlace,
        /// The integration's secret.
        client_secret: SecretPlace,
        /// The token that access tokens are made with.
        refresh_token: SecretPlace,
    },
    /// With a fixed token.
    Access(SecretPlace),
}

impl Account {
    /// The vendor.
    #[must_use]
    pub(crate) fn source(&self) -> SourceName {
        match self.vendor {
            Vendor::EightByEight { .. } => SourceName::EightByEight,
            Vendor::Webex { .. } => SourceName::Webex,
            Vendor::Intercom { .. } => SourceName::Intercom,
        }
    }
}

/// Reads one `[accounts.NAME]`. `None` when its name or source is wrong; other problems are only collected.
pub(crate) fn read(name: &str, mut section: Section<'_>, folder: &Path, problems: &Problems) -> Option<Account> {
    let named = AccountName::parse(name).map_err(|error| problems.add(&format!("accounts.{name}"), error)).ok();
    let all = SourceName::ALL.map(SourceName::as_str).join(", ");
    let source = section.parsed("source", |text| {
        SourceName::find(text).ok_or_else(|| format!("`{text}` is no source: use one of {all}"))
    });
    let Some(source) = source else {
        if !section.complained("source") {
            section.wrong("source", format!("is missing: use one of {all}"));
        }
        // What else may stand here depends on the source, so there is nothing more to say.
        return None;
    };
    let zone = section.parsed("zone", |text| {
        text.parse::<Tz>().map_err(|_| format!("`{text}` is no IANA time zone: write one such as \"Europe/Paris\""))
    });
    let datasets = datasets(&mut section, source);
    let partitions = if source == SourceName::EightByEight { section.list("partitions") } else { None };
    let in_flight = section.count("in_flight", 1, 64).map_or(default_in_flight(source), |n| n as usize);
    let pace = pace(&mut section, source);
    let (least, most) = page_sizes(source);
    let page_size = section.count("page_size", least, most).and_then(|size| u32::try_from(size).ok());
    let timing = TimingChange {
        look_back: section.length("look_back", moment::length),
        settles: section.length("settles", moment::length),
        holds: section.length("holds", moment::stretch),
    };
    let vendor = vendor(&mut section, source, folder);
    section.finish();
    Some(Account {
        name: named?,
        zone: zone.unwrap_or(Tz::UTC),
        datasets,
        partitions,
        in_flight,
        pace,
        page_size,
        timing,
        vendor,
    })
}

fn vendor(section: &mut Section<'_>, source: SourceName, folder: &Path) -> Vendor {
    match source {
        SourceName::EightByEight => Vendor::EightByEight {
            base_url: address(section, "base_url"),
            api_key: secret(section, "api_key", folder),
            username: name_or_secret(section, "username", folder),
            password: secret(section, "password", folder),
            pbx_path: pbx_path(section),
        },
        SourceName::Webex => Vendor::Webex {
            base_url: address(section, "base_url"),
            auth_url: address(section, "auth_url"),
            credentials: webex_credentials(section, folder),
        },
        SourceName::Intercom => Vendor::Intercom {
            base_url: address(section, "base_url"),
            version: section.text("version"),
            scroll_idle: section.length("scroll_idle", moment::length),
            token: secret(section, "token", folder),
        },
    }
}

fn webex_credentials(section: &mut Section<'_>, folder: &Path) -> WebexPlaces {
    if section.has("access_token") {
        return WebexPlaces::Access(secret(section, "access_token", folder));
    }
    section.know("access_token");
    WebexPlaces::Refresh {
        client_id: name_or_secret(section, "client_id", folder),
        client_secret: secret(section, "client_secret", folder),
        refresh_token: secret(section, "refresh_token", folder),
    }
}

fn pbx_path(section: &mut Section<'_>) -> PbxPath {
    let path = section.parsed("pbx_path", |text| match text {
        "documented" => Ok(PbxPath::Documented),
        "customer-data" => Ok(PbxPath::CustomerData),
        _ => Err(format!("`{text}` is no such path: use \"documented\" or \"customer-data\"")),
    });
    path.unwrap_or_default()
}

/// Webex allows one request for a first page a minute, so there is nothing to do at once.
fn default_in_flight(source: SourceName) -> usize {
    match source {
        SourceName::EightByEight | SourceName::Intercom => 16,
        SourceName::Webex => 1,
    }
}

/// What the vendors take.
fn page_sizes(source: SourceName) -> (u64, u64) {
    match source {
        SourceName::EightByEight => (1, 7000),
        SourceName::Webex => (500, 5000),
        SourceName::Intercom => (1, 150),
    }
}

fn datasets(section: &mut Section<'_>, source: SourceName) -> Vec<&'static Dataset> {
    let offered: Vec<&'static Dataset> = catalog::of(source).collect();
    let Some(wanted) = section.list("datasets") else { return offered };
    for name in &wanted {
        if !offered.iter().any(|dataset| dataset.name == name) {
            let names: Vec<_> = offered.iter().map(|dataset| dataset.name).collect();
            section.wrong("datasets", format!("`{name}` is no dataset of {source}: use {}", names.join(", ")));
        }
    }
    offered.into_iter().filter(|dataset| wanted.iter().any(|name| name == dataset.name)).collect()
}

fn pace(section: &mut Section<'_>, source: SourceName) -> Option<Pace> {
    if !section.has("pace") {
        section.know("pace");
        return None;
    }
    let mut pace = section.section("pace");
    let requests = pace.count("requests", 1, 1_000_000);
    let pages = if source == SourceName::Webex { pace.count("pages", 1, 1_000_000) } else { requests };
    let per = pace.length("per", moment::stretch);
    if requests.is_none() && !pace.complained("requests") {
        pace.wrong("requests", "is missing: write how many requests are allowed");
    }
    if per.is_none() && !pace.complained("per") {
        pace.wrong("per", "is missing: write the time they are allowed in, such as \"1m\"");
    }
    pace.finish();
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let requests = narrow(requests?);
    Some(Pace { requests, pages: pages.map_or(requests, narrow), per: per? })
}

fn address(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    section.parsed(key, |text| match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is no address: write one such as \"https://api.example.com\"")),
    })
}

/// A name that is no secret may stand as it is; it may be kept with the secrets too.
fn name_or_secret(section: &mut Section<'_>, key: &'static str, folder: &Path) -> SecretPlace {
    match section.take(key) {
        Some(Value::String(name)) if !name.trim().is_empty() => SecretPlace::Given(Secret::new(&name)),
        other => place(section, key, other, folder),
    }
}

fn secret(section: &mut Section<'_>, key: &'static str, folder: &Path) -> SecretPlace {
    let value = section.take(key);
    place(section, key, value, folder)
}

const FORMS: &str = "write { env = \"NAME\" }, { file = \"PATH\" } or { keyring = \"SERVICE/USER\" }";

/// The place that a value names. A stand-in where it names none: the problem that is added keeps it from being read.
fn place(section: &Section<'_>, key: &'static str, value: Option<Value>, folder: &Path) -> SecretPlace {
    let nowhere = SecretPlace::File(PathBuf::new());
    let table = match value {
        Some(Value::Table(table)) => table,
        Some(Value::String(_)) => {
            section.wrong(key, format!("a secret does not belong into this file: {FORMS}"));
            return nowhere;
        }
        Some(_) => {
            section.wrong(key, format!("is no place of a secret: {FORMS}"));
            return nowhere;
        }
        None => {
            section.wrong(key, format!("is missing: {FORMS}"));
            return nowhere;
        }
    };
    named_place(&table, folder).unwrap_or_else(|| {
        section.wrong(key, format!("is no place of a secret: {FORMS}"));
        nowhere
    })
}

fn named_place(table: &Table, folder: &Path) -> Option<SecretPlace> {
    let mut fields = table.iter();
    let (Some((kind, Value::String(text))), None) = (fields.next(), fields.next()) else { return None };
    if text.trim().is_empty() {
        return None;
    }
    match kind.as_str() {
        "env" => Some(SecretPlace::Env(text.clone())),
        "file" => Some(SecretPlace::File(folder.join(text))),
        "keyring" => {
            let (service, user) = text.split_once('/')?;
            Some(SecretPlace::Keyring { service: service.to_owned(), user: user.to_owned() })
        }
        _ => None,
    }
}
