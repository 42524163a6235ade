//! What an adapter must be told. Defaults are what the vendors document; nothing here is read from a file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use proto::secret::Secret;
use url::Url;

use super::pace::Rate;

/// Settings that no adapter can work with.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// A base address is not an absolute `http` or `https` URL without query.
    #[error("`{0}` is not an http(s) address")]
    Address(String),
    /// A number is outside what the vendor takes.
    #[error("{name} is {value}, and must be between {least} and {most}")]
    OutOfBounds {
        /// Which setting.
        name: &'static str,
        /// What it is.
        value: u32,
        /// The least that is taken.
        least: u32,
        /// The most that is taken.
        most: u32,
    },
    /// The HTTP client could not be made: no TLS, for example.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// How requests are sent, the same for all vendors.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The longest time that making a connection may take.
    pub connect_timeout: Duration,
    /// The longest time from sending a request to the end of its answer.
    pub timeout: Duration,
    /// The largest body that is read, in bytes.
    pub body_limit: usize,
    /// How many unused connections are kept.
    pub idle_connections: usize,
    /// How often one request is sent at most; at least 1.
    pub tries: u32,
    /// About how long is waited after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait between two tries, unless the vendor asks for more.
    pub longest_delay: Duration,
    /// The longest time a vendor may ask to wait (`Retry-After`) and be waited for here, and how long trying goes on
    /// in all. Beyond it the failure is handed up, with the wait that was asked for.
    pub patience: Duration,
    /// The longest time a request waits for the account's pace before it is handed up as busy.
    pub pace_patience: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            body_limit: 64 << 20,
            idle_connections: 8,
            tries: 4,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
            patience: Duration::from_secs(20),
            pace_patience: Duration::from_secs(300),
        }
    }
}

/// Where the time comes from that a vendor's limits refer to ("at most 30 days ago").
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl Default for Clock {
    /// The machine's clock.
    fn default() -> Self {
        Clock::new(Utc::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Where the PBXes of an 8x8 account are listed. Two paths are attested; when the first answers 404 the other is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PbxPath {
    /// `/v2/pbxes/`, of the vendor's OpenAPI document.
    #[default]
    Documented,
    /// `/v2/customer-data/pbxes`, of running code; not in the public document.
    CustomerData,
}

/// An 8x8 Analytics for Work account.
#[derive(Debug, Clone)]
pub struct EightByEightSettings {
    /// The base address. The vendor has one for all regions.
    pub base_url: String,
    /// The key that is sent as `8x8-apikey`.
    pub api_key: Secret,
    /// A user with the access level "Analytics: Supervisor", who has opened Analytics for Work in a browser once.
    pub username: Secret,
    /// That user's password.
    pub password: Secret,
    /// The zone of the windows and of the wall clock times in the answers.
    pub zone: Tz,
    /// Records per page: 1 to 7000, the vendor's documented maximum.
    pub page_size: u32,
    /// Where PBXes are looked for first.
    pub pbx_path: PbxPath,
    /// The most requests. None is documented.
    pub rate: Rate,
}

impl EightByEightSettings {
    /// The vendor's address, 1000 records per page, 10 requests per second.
    #[must_use]
    pub fn new(api_key: Secret, username: Secret, password: Secret, zone: Tz) -> Self {
        EightByEightSettings {
            base_url: "https://api.8x8.com/analytics/work".to_owned(),
            api_key,
            username,
            password,
            zone,
            page_size: 1000,
            pbx_path: PbxPath::default(),
            rate: Rate { requests: 10, per: Duration::from_secs(1) },
        }
    }
}

/// How a Webex account proves itself.
#[derive(Debug, Clone)]
pub enum WebexCredentials {
    /// The refresh-token grant of an integration or a service app.
    Refresh {
        /// The client id.
        client_id: Secret,
        /// The client secret.
        client_secret: Secret,
        /// The refresh token. One that the vendor returns in its place is kept in memory only.
        refresh_token: Secret,
    },
    /// A fixed access token. When it is refused, nothing can be done here.
    Access(Secret),
}

/// A Webex Calling account.
#[derive(Debug, Clone)]
pub struct WebexSettings {
    /// The host of the call history. A 451 answer that names another one of `webexapis.com` is followed.
    pub api_url: String,
    /// The host of the access tokens.
    pub auth_url: String,
    /// The credentials.
    pub credentials: WebexCredentials,
    /// Records per page: 500 to 5000; the vendor silently changes what is outside.
    pub page_size: u32,
    /// The most requests without a page cursor. Documented: one a minute per user token.
    pub initial_rate: Rate,
    /// The most requests for following pages. Documented: ten a minute per user token.
    pub page_rate: Rate,
    /// The time that the vendor's limits (30 days, 5 minutes) refer to.
    pub clock: Clock,
}

impl WebexSettings {
    /// The hosts of the US and Canada, 5000 records per page, the documented rates with a second to spare: what is
    /// sent a minute apart may arrive a little less apart.
    #[must_use]
    pub fn new(credentials: WebexCredentials) -> Self {
        let minute = Duration::from_secs(61);
        WebexSettings {
            api_url: "https://analytics-calling.webexapis.com".to_owned(),
            auth_url: "https://webexapis.com".to_owned(),
            credentials,
            page_size: 5000,
            initial_rate: Rate { requests: 1, per: minute },
            page_rate: Rate { requests: 10, per: minute },
            clock: Clock::default(),
        }
    }
}

/// An Intercom workspace.
#[derive(Debug, Clone)]
pub struct IntercomSettings {
    /// The host: `https://api.intercom.io`, `https://api.eu.intercom.io` or `https://api.au.intercom.io`.
    pub base_url: String,
    /// The access token of a private app, or an OAuth token. It does not expire by time.
    pub token: Secret,
    /// The `Intercom-Version` header; without one the vendor falls back to what the app was made with, even 1.0.
    pub version: String,
    /// Records per page of a search: 1 to 150, the documented maximum. Halved while the vendor is too slow for it.
    pub page_size: u32,
    /// How long the vendor keeps an idle company scroll, which is how long a new one must wait for a broken one.
    pub scroll_idle: Duration,
    /// The most requests; the vendor's own headers hold it back further.
    pub rate: Rate,
}

impl IntercomSettings {
    /// The US host, API version 2.16, 150 records per page, and the documented rate of a private app: 10,000 a
    /// minute, counted by the vendor in windows of ten seconds.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        IntercomSettings {
            base_url: "https://api.intercom.io".to_owned(),
            token,
            version: "2.16".to_owned(),
            page_size: 150,
            scroll_idle: Duration::from_secs(60),
            rate: Rate { requests: 1_600, per: Duration::from_secs(10) },
        }
    }
}

/// The base address that `text` is.
pub(super) fn base(text: &str) -> Result<Url, BadSettings> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none())
        .ok_or_else(|| BadSettings::Address(text.to_owned()))
}

/// The address of `path`, which begins with a slash, under `base`.
pub(super) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Whether `value` is within what the vendor takes.
pub(super) fn within(name: &'static str, value: u32, least: u32, most: u32) -> Result<u32, BadSettings> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(BadSettings::OutOfBounds { name, value, least, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_under_the_base_whether_it_ends_in_a_slash_or_not() {
        for text in ["http://h:1/8x8/analytics/work", "http://h:1/8x8/analytics/work/"] {
            assert_eq!(at(&base(text).unwrap(), "/v2/x").as_str(), "http://h:1/8x8/analytics/work/v2/x");
        }
        assert_eq!(at(&base("https://h").unwrap(), "/me").as_str(), "https://h/me");
    }

    #[test]
    fn what_is_no_address_or_out_of_bounds_is_refused_in_words() {
        assert_eq!(base("api.8x8.com").unwrap_err().to_string(), "`api.8x8.com` is not an http(s) address");
        assert!(base("ftp://h").is_err() && base("http://h?a=b").is_err());
        let error = within("page_size", 9000, 1, 7000).unwrap_err().to_string();
        assert_eq!(error, "page_size is 9000, and must be between 1 and 7000");
    }

    #[test]
    fn settings_print_no_secret() {
        let secret = || Secret::new("hunter2");
        let eight = EightByEightSettings::new(secret(), secret(), secret(), Tz::UTC);
        let webex = WebexSettings::new(WebexCredentials::Access(secret()));
        let intercom = IntercomSettings::new(secret());
        assert!(!format!("{eight:?} {webex:?} {intercom:?}").contains("hunter2"));
    }
}
