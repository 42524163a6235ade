//! What a dataset is, as data: its columns, key, version, and how it is sliced. The datasets themselves are in
//! [`crate::catalog`]. Adding a column is adding a line there; encoders, sinks and the docs follow from it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SourceName {
    /// 8x8 Analytics for Work.
    #[serde(rename = "8x8")]
    EightByEight,
    /// Webex Calling.
    #[serde(rename = "webex")]
    Webex,
    /// Intercom.
    #[serde(rename = "intercom")]
    Intercom,
}

impl SourceName {
    /// All sources.
    pub const ALL: [SourceName; 3] = [SourceName::EightByEight, SourceName::Webex, SourceName::Intercom];

    /// The name used in the configuration, in queues, metrics and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SourceName::EightByEight => "8x8",
            SourceName::Webex => "webex",
            SourceName::Intercom => "intercom",
        }
    }

    /// The source of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<SourceName> {
        SourceName::ALL.into_iter().find(|source| source.as_str() == name)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The type of a column, in the terms all destinations share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// UTF-8 text. BigQuery STRING.
    Text,
    /// A signed 64-bit integer. BigQuery INTEGER.
    Integer,
    /// A 64-bit float. BigQuery FLOAT.
    Float,
    /// True or false. BigQuery BOOLEAN.
    Boolean,
    /// An instant, written in UTC as RFC 3339 with a `Z`. BigQuery TIMESTAMP.
    Timestamp,
    /// Any JSON value, kept as the vendor wrote it. BigQuery JSON.
    Json,
}

/// How a vendor's value becomes a column's. What cannot be converted is NULL and counted as drift; it stays in raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    /// A string as it is; a number or boolean as its JSON text.
    Text,
    /// As `Text`, but `"0"` and `0` mean that it did not happen: NULL (8x8 times of unconnected calls).
    TextOrZero,
    /// As `Text`, but `""`, `"NA"` and `"na"` mean that there is none: NULL (Webex).
    TextOrBlank,
    /// A number, or a string that holds one.
    Integer,
    /// As `Integer`, but `""` means that there is none: NULL (Webex durations are numbers or strings).
    IntegerOrBlank,
    /// A JSON number.
    Float,
    /// `true`, `false`, or a string that says so in any case; `""` and `"NA"` are NULL.
    Boolean,
    /// Seconds since 1970. Values beyond 1e11 are milliseconds stored by mistake (seen at Intercom). RFC 3339 strings
    /// are taken too.
    Seconds,
    /// Milliseconds since 1970; `0` means that it did not happen: NULL (8x8).
    Millis,
    /// `2026-09-24T07:49:10.939Z`, or the older `2023-10-12 21:22:32.621` (Webex release time); `""` is NULL.
    Iso,
    /// An array of strings, joined by a comma (8x8 departments and branches).
    Joined,
    /// Any JSON value but `null`.
    Json,
}

/// One column that comes from a field of the vendor's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The column's name in every destination.
    pub name: &'static str,
    /// The vendor's field it comes from.
    pub field: &'static str,
    /// How the value is converted; it decides the type.
    pub convert: Convert,
    /// One sentence about it.
    pub doc: &'static str,
}

impl Column {
    /// The column's type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.convert {
            Convert::Text | Convert::TextOrZero | Convert::TextOrBlank | Convert::Joined => Kind::Text,
            Convert::Integer | Convert::IntegerOrBlank => Kind::Integer,
            Convert::Float => Kind::Float,
            Convert::Boolean => Kind::Boolean,
            Convert::Seconds | Convert::Millis | Convert::Iso => Kind::Timestamp,
            Convert::Json => Kind::Json,
        }
    }
}

/// How a dataset is split into units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slicing {
    /// One unit per partition and calendar day of the account's time zone.
    PartitionDay,
    /// Windows of at most this long.
    Windows(Duration),
    /// The whole entity, from the window's start on.
    Entity,
}

/// What is true of a vendor's API over time. All are defaults that the configuration of an account may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How far back the API still answers; `None` where it has no end.
    pub holds: Option<Duration>,
    /// How old a record must be before a read can be expected to see it.
    pub settles: Duration,
    /// How far before the watermark the next run starts again, for records that come late.
    pub look_back: Duration,
}

/// A table-shaped thing that a source offers.
#[derive(Debug)]
pub struct Dataset {
    /// Its name on the command line, in queues, metrics and the ledger.
    pub name: &'static str,
    /// The vendor.
    pub source: SourceName,
    /// The table it goes to unless the configuration names another.
    pub table: &'static str,
    /// The columns that come from the vendor's fields, in the table's order.
    pub columns: &'static [Column],
    /// The columns that identify a record within one account.
    pub key: &'static [&'static str],
    /// The vendor's field that grows with each change of a record, where there is one; else the time of fetching
    /// decides which of two versions is newer.
    pub version: Option<&'static str>,
    /// The time column that never changes for a key: what destinations partition by.
    pub time: Option<&'static str>,
    /// How it is split into units.
    pub slicing: Slicing,
    /// What is true of the API over time.
    pub timing: Timing,
    /// Fields that are known and have no column: they stay in raw and are not counted as drift.
    pub known: &'static [&'static str],
    /// Whether field names differ in case between the documentation and the wire (Webex).
    pub any_case: bool,
    /// The column that holds the vendor's record as it came.
    pub raw: &'static str,
    /// The column that says when the record was fetched.
    pub fetched_at: &'static str,
    /// One sentence about it.
    pub doc: &'static str,
}

/// The account a row came from: together with the key it identifies a row, so that two accounts may share a table.
pub const ACCOUNT: &str = "_account";
/// The vendor's version of the row as an integer, 0 where the vendor has none.
pub const VERSION: &str = "_version";
/// A 64-bit digest of the vendor's record, to tell a repeat from a change.
pub const DIGEST: &str = "_digest";

/// One column of a table, vendor's or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it is never NULL.
    pub required: bool,
}

impl Dataset {
    /// All columns of the dataset's table in the order in which a row's line holds them: account, version and digest,
    /// then the vendor's columns, then the time of fetching, and raw last, so that a reader can take the rest of the
    /// line for it.
    #[must_use]
    pub fn table_columns(&self) -> Vec<TableColumn> {
        let ours = |name, kind| TableColumn { name, kind, required: true };
        let mut all = vec![ours(ACCOUNT, Kind::Text), ours(VERSION, Kind::Integer), ours(DIGEST, Kind::Integer)];
        all.extend(self.columns.iter().map(|column| TableColumn {
            name: column.name,
            kind: column.kind(),
            required: self.key.contains(&column.name),
        }));
        all.push(ours(self.fetched_at, Kind::Timestamp));
        all.push(ours(self.raw, Kind::Json));
        all
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Dataset {}
