//! The datasets by the names the truth uses, and the sets of records behind them.

use serde::{Deserialize, Serialize};

/// A dataset as the truth, the request counts and the scripts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dataset {
    /// 8x8 call records.
    #[serde(rename = "8x8CallDetailRecords")]
    EightCalls,
    /// Webex call detail records.
    #[serde(rename = "cdr_records")]
    WebexCalls,
    /// Intercom contacts whose role is `user`.
    #[serde(rename = "users")]
    Users,
    /// Intercom companies.
    #[serde(rename = "companies")]
    Companies,
    /// All Intercom contacts, users and leads.
    #[serde(rename = "contacts")]
    Contacts,
    /// Intercom admins.
    #[serde(rename = "admins")]
    Admins,
    /// Intercom conversations, as search returns them.
    #[serde(rename = "conversations")]
    Conversations,
    /// Intercom teams.
    #[serde(rename = "teams")]
    Teams,
    /// Intercom tags.
    #[serde(rename = "tags")]
    Tags,
    /// Intercom segments.
    #[serde(rename = "segments")]
    Segments,
}

impl Dataset {
    /// Every dataset.
    pub const ALL: [Self; 10] = [
        Self::EightCalls,
        Self::WebexCalls,
        Self::Users,
        Self::Companies,
        Self::Contacts,
        Self::Admins,
        Self::Conversations,
        Self::Teams,
        Self::Tags,
        Self::Segments,
    ];

    /// The name in `/truth`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EightCalls => "8x8CallDetailRecords",
            Self::WebexCalls => "cdr_records",
            Self::Users => "users",
            Self::Companies => "companies",
            Self::Contacts => "contacts",
            Self::Admins => "admins",
            Self::Conversations => "conversations",
            Self::Teams => "teams",
            Self::Tags => "tags",
            Self::Segments => "segments",
        }
    }

    pub(crate) const fn set(self) -> Set {
        match self {
            Self::EightCalls => Set::EightCalls,
            Self::WebexCalls => Set::WebexCalls,
            Self::Users | Self::Contacts => Set::Contacts,
            Self::Companies => Set::Companies,
            Self::Admins => Set::Admins,
            Self::Conversations => Set::Conversations,
            Self::Teams => Set::Teams,
            Self::Tags => Set::Tags,
            Self::Segments => Set::Segments,
        }
    }
}

/// A set of records. `users` and `contacts` are two views of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    EightCalls,
    WebexCalls,
    Contacts,
    Companies,
    Admins,
    Conversations,
    Teams,
    Tags,
    Segments,
}

impl Set {
    pub(crate) const COUNT: usize = 9;

    pub(crate) const fn slot(self) -> usize {
        self as usize
    }

    /// The field that identifies a record.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::EightCalls => "callId",
            Self::WebexCalls => "Report ID",
            Self::Contacts
            | Self::Companies
            | Self::Admins
            | Self::Conversations
            | Self::Teams
            | Self::Tags
            | Self::Segments => "id",
        }
    }
}
