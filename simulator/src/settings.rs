//! What a simulated world looks like and how faithfully it is served.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// The time the data and the allowed windows refer to. Token life, rate windows and the scroll lock always follow the
/// machine's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time stands still.
    Fixed(DateTime<Utc>),
    /// The machine's clock. The data is laid out for the moment of the start.
    System,
}

impl Clock {
    /// The current time.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            Self::Fixed(time) => time,
            Self::System => Utc::now(),
        }
    }
}

/// How many requests Webex allows in `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebexRate {
    /// Requests without a page cursor.
    pub initial: u32,
    /// Requests for a following page.
    pub pages: u32,
    /// The time these are counted over.
    pub per: Duration,
}

/// The request rates each vendor allows; `None` turns a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// 8x8: requests in a time. None is documented.
    pub eight_by_eight: Option<(u32, Duration)>,
    /// Webex: one initial request and ten page requests a minute.
    pub webex: Option<WebexRate>,
    /// Intercom: requests in a window of ten seconds.
    pub intercom: Option<u32>,
}

impl Rates {
    /// No limits at all.
    pub const OFF: Self = Self { eight_by_eight: None, webex: None, intercom: None };
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            eight_by_eight: None,
            webex: Some(WebexRate { initial: 1, pages: 10, per: Duration::from_secs(60) }),
            intercom: Some(1_667),
        }
    }
}

/// Which time of a Webex record the feed's window is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    /// When the call started.
    Start,
    /// When the call was over.
    Report,
}

/// Switches for what two public sources tell differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// 8x8 `callLegCount` is an integer instead of a string. Changes the truth.
    pub eight_leg_count_integer: bool,
    /// 8x8 lists PBXes with `_links` and `page` inside `_embedded`.
    pub eight_links_nested: bool,
    /// Webex writes the next link as `<<url>` with a doubled bracket.
    pub webex_doubled_bracket: bool,
    /// Webex answers an empty window with 200 and no items instead of 404.
    pub webex_empty_is_ok: bool,
    /// What the Webex feed's window filters.
    pub webex_filter: TimeField,
    /// Each use of the Webex refresh token replaces it.
    pub webex_rotates_refresh_token: bool,
    /// Intercom ends a company scroll with 404 instead of an empty page.
    pub scroll_ends_with_404: bool,
    /// Intercom's `>` and `<` on conversations include the bound.
    pub conversation_bounds_inclusive: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            eight_leg_count_integer: false,
            eight_links_nested: false,
            webex_doubled_bracket: true,
            webex_empty_is_ok: false,
            webex_filter: TimeField::Start,
            webex_rotates_refresh_token: false,
            scroll_ends_with_404: false,
            conversation_bounds_inclusive: false,
        }
    }
}

/// A simulated world. The same settings with a fixed clock give the same bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where all chance comes from.
    pub seed: u64,
    /// The time of the world.
    pub now: Clock,
    /// How many days of calls there are.
    pub days: u32,
    /// How many records a day each call source has.
    pub calls_per_day: u32,
    /// How many Intercom contacts there are; four of five are users.
    pub contacts: u64,
    /// Companies; a tenth of the contacts unless said.
    pub companies: Option<u64>,
    /// Conversations; half of the contacts unless said.
    pub conversations: Option<u64>,
    /// Admins, the bot among them; 12 unless said.
    pub admins: Option<u64>,
    /// Teams; 5 unless said.
    pub teams: Option<u64>,
    /// Tags; 40 unless said.
    pub tags: Option<u64>,
    /// Segments; 12 unless said.
    pub segments: Option<u64>,
    /// The zone of the 8x8 account: the truth holds its wall clock strings in this zone.
    pub zone: Tz,
    /// The zone of the Intercom workspace, which decides what a day is in a contact search.
    pub workspace_zone: Tz,
    /// The names of the 8x8 PBXes.
    pub pbxes: Vec<String>,
    /// Waited before each page of data is answered.
    pub latency: Duration,
    /// Make every contact once at the start and serve copies: for benchmarks. Costs about 1.1 KB a contact.
    pub prerender: bool,
    /// How long an 8x8 access token lives.
    pub eight_token_life: Duration,
    /// How long a Webex access token lives.
    pub webex_token_life: Duration,
    /// How long a company scroll may stay idle before it expires.
    pub scroll_idle: Duration,
    /// The request rates.
    pub rates: Rates,
    /// Where sources disagree.
    pub quirks: Quirks,
}

impl Settings {
    pub(crate) fn company_count(&self) -> u64 {
        self.companies.unwrap_or(self.contacts.div_ceil(10))
    }

    pub(crate) fn conversation_count(&self) -> u64 {
        self.conversations.unwrap_or(self.contacts.div_ceil(2))
    }

    pub(crate) fn admin_count(&self) -> u64 {
        self.admins.unwrap_or(12)
    }

    pub(crate) fn team_count(&self) -> u64 {
        self.teams.unwrap_or(5)
    }

    pub(crate) fn tag_count(&self) -> u64 {
        self.tags.unwrap_or(40)
    }

    pub(crate) fn segment_count(&self) -> u64 {
        self.segments.unwrap_or(12)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            now: Clock::System,
            days: 7,
            calls_per_day: 400,
            contacts: 2_000,
            companies: None,
            conversations: None,
            admins: None,
            teams: None,
            tags: None,
            segments: None,
            zone: Tz::America__New_York,
            workspace_zone: Tz::America__Los_Angeles,
            pbxes: vec!["acmecorppbx".to_owned(), "acme-europe".to_owned()],
            latency: Duration::ZERO,
            prerender: false,
            eight_token_life: Duration::from_secs(1_800),
            webex_token_life: Duration::from_secs(1_209_600),
            scroll_idle: Duration::from_secs(60),
            rates: Rates::default(),
            quirks: Quirks::default(),
        }
    }
}
