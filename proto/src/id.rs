//! Identities, each its own type so that one can never stand in for another.
//!
//! A [`UnitId`] is derived from what the unit is, so planning twice gives the same ids. [`RunId`] and [`BatchId`] are
//! random: two passes over one unit can never be mixed into one that looks complete.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct IdError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

const NAME_RULE: &str = "1 to 64 of the characters a-z, A-Z, 0-9, `-` and `_`";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Names one run. Sorts by the time the run was made (a version 7 UUID).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new identity, never given before.
    #[must_use]
    pub fn new() -> Self {
        RunId(uuid::Uuid::now_v7().simple().to_string())
    }

    /// Takes an identity that a person or another process wrote.
    ///
    /// # Errors
    /// When it is not 1 to 64 letters, digits, `-` or `_`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if is_name(text) {
            Ok(RunId(text.to_owned()))
        } else {
            Err(IdError { what: "a run id", text: text.to_owned(), rule: NAME_RULE })
        }
    }
}

impl Default for RunId {
    fn default() -> Self {
        RunId::new()
    }
}

/// Names one set of credentials at one source, as the configuration spells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

impl AccountName {
    /// Takes a name from the configuration or the command line.
    ///
    /// # Errors
    /// When it is not 1 to 64 letters, digits, `-` or `_`: it becomes a part of queue names.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if is_name(text) {
            Ok(AccountName(text.to_owned()))
        } else {
            Err(IdError { what: "an account name", text: text.to_owned(), rule: NAME_RULE })
        }
    }
}

/// Names one unit: derived from run, account, dataset, partition and window, so planning twice gives the same id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitId(String);

impl UnitId {
    /// The identity of what `parts` describe, in their order. The parts are length-prefixed, so no two lists collide
    /// by shifting text from one part to the next.
    #[must_use]
    pub fn derive(parts: &[&str]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        UnitId(format!("{:032x}", xxh3_128(&bytes)))
    }

    /// Takes an identity back from where [`UnitId::as_str`] was stored.
    #[must_use]
    pub fn stored(text: String) -> UnitId {
        UnitId(text)
    }
}

/// Names one batch: random, except for the one-row batch of a dead row, which is derived from where the row stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    /// A new identity, never given before.
    #[must_use]
    pub fn new() -> Self {
        BatchId(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The identity of the one-row batch that holds row `row` of this batch. Isolating the same row twice gives the
    /// same id, so a crash in the middle of putting it aside leaves one dead letter and not two.
    #[must_use]
    pub fn of_row(&self, row: u32) -> BatchId {
        BatchId(format!("{:032x}", xxh3_128(format!("{}#{row}", self.0).as_bytes())))
    }

    /// Takes an identity back from where [`BatchId::as_str`] was stored.
    #[must_use]
    pub fn stored(text: String) -> BatchId {
        BatchId(text)
    }
}

impl Default for BatchId {
    fn default() -> Self {
        BatchId::new()
    }
}

impl TryFrom<String> for RunId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        RunId::parse(&text)
    }
}

impl TryFrom<String> for AccountName {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        AccountName::parse(&text)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

impl From<AccountName> for String {
    fn from(id: AccountName) -> String {
        id.0
    }
}

impl RunId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UnitId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BatchId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_depends_on_where_one_part_ends() {
        assert_ne!(UnitId::derive(&["ab", "c"]), UnitId::derive(&["a", "bc"]));
        assert_eq!(UnitId::derive(&["ab", "c"]), UnitId::derive(&["ab", "c"]));
    }

    #[test]
    fn a_name_that_could_break_a_queue_name_is_refused_with_the_rule() {
        let error = AccountName::parse("a.b").unwrap_err().to_string();
        assert!(error.contains("`a.b` is not an account name") && error.contains("a-z"), "{error}");
        assert!(AccountName::parse("").is_err() && AccountName::parse(&"x".repeat(65)).is_err());
        assert!(serde_json::from_str::<RunId>("\"a b\"").is_err());
    }

    #[test]
    fn a_dead_row_has_the_same_id_each_time_it_is_isolated() {
        let batch = BatchId::new();
        assert_eq!(batch.of_row(3), batch.of_row(3));
        assert_ne!(batch.of_row(3), batch.of_row(4));
    }
}
