//! The ground truth: how many records a perfect sync holds and a digest of all of them that does not depend on order.
//!
//! The digest of a row is the xxh3 hash of its canonical form: parsed, fields sorted by name, written compactly. The
//! digest of a dataset is the wrapping sum of its rows' digests. So two holders of the same rows agree whatever order,
//! spacing or escapes they were written with, and a row held twice or lost shows.

use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

use crate::arena::split;
use crate::contacts::Contacts;
use crate::dataset::{Dataset, Set};
use crate::world::World;

/// What a perfect sync of everything up to now holds, by dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The datasets by name.
    pub datasets: BTreeMap<String, DatasetTruth>,
}

/// What a perfect sync holds of one dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetTruth {
    /// How many rows.
    pub count: u64,
    /// The sum of their digests, as 16 hexadecimal digits.
    pub digest: String,
}

/// Adds up rows to compare them with the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    sum: u64,
    count: u64,
}

impl Digest {
    /// Adds a row.
    pub fn add(&mut self, raw_json: &str) -> Result<(), serde_json::Error> {
        self.sum = self.sum.wrapping_add(row_digest(raw_json)?);
        self.count += 1;
        Ok(())
    }

    /// How many rows were added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the rows' digests.
    pub fn finish(&self) -> DatasetTruth {
        DatasetTruth { count: self.count, digest: format!("{:016x}", self.sum) }
    }

    fn join(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.count += other.count;
    }

    fn take(&mut self, other: Self) {
        self.sum = self.sum.wrapping_sub(other.sum);
        self.count -= other.count;
    }
}

/// The digest of one row: xxh3 of its canonical form.
pub fn row_digest(raw_json: &str) -> Result<u64, serde_json::Error> {
    let node: Node<'_> = serde_json::from_str(raw_json)?;
    let mut canonical = Vec::with_capacity(raw_json.len());
    node.write(&mut canonical)?;
    Ok(xxh3_64(&canonical))
}

/// Parsed JSON that borrows what it can.
enum Node<'a> {
    Scalar(serde_json::Value),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Fields(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::Scalar(value) => serde_json::to_writer(out, value)?,
            Self::Text(text) => serde_json::to_writer(out, text)?,
            Self::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out)?;
                }
                out.push(b']');
            }
            Self::Fields(fields) => {
                out.push(b'{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, name)?;
                    out.push(b':');
                    value.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Node::Scalar(number.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Scalar(serde_json::Value::Null))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some(name) = entries.next_key::<Node<'de>>()? {
            let Node::Text(name) = name else { return Err(A::Error::custom("a field name is a string")) };
            fields.push((name, entries.next_value()?));
        }
        // Of a name given twice the last counts, as in every common parser.
        fields.reverse();
        fields.sort_by(|left, right| left.0.cmp(&right.0));
        fields.dedup_by(|later, kept| later.0 == kept.0);
        Ok(Node::Fields(fields))
    }
}

/// The digests of a set as it was made: all of it and, of contacts, the users.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    all: Digest,
    users: Digest,
}

impl Tally {
    fn add(&mut self, set: Set, index: u64, raw: &[u8]) {
        let mut one = Digest::default();
        let text = std::str::from_utf8(raw).expect("records are made of UTF-8");
        one.add(text).expect("records are made as JSON");
        self.all.join(one);
        if set == Set::Contacts && Contacts::is_user(index) {
            self.users.join(one);
        }
    }
}

impl World {
    /// What a perfect sync holds now. The first call makes and reads every record; later ones only what was changed.
    pub(crate) fn truth(&self) -> Truth {
        let datasets = Dataset::ALL.into_iter().map(|dataset| {
            let tally = self.tally(dataset.set());
            let digest = if dataset == Dataset::Users { tally.users } else { tally.all };
            (dataset.name().to_owned(), digest.finish())
        });
        Truth { datasets: datasets.collect() }
    }

    fn tally(&self, set: Set) -> Tally {
        const CHUNK: u64 = 1_024;
        let count = self.line(set).count;
        let shape = self.true_shape();
        let mut tally = *self.tallies[set.slot()].get_or_init(|| {
            let chunks = split(count.div_ceil(CHUNK), |chunk| {
                let (mut tally, mut raw) = (Tally::default(), Vec::new());
                for index in chunk * CHUNK..((chunk + 1) * CHUNK).min(count) {
                    raw.clear();
                    self.write(set, self.made(set, index), shape, &mut raw);
                    tally.add(set, index, &raw);
                }
                tally
            });
            chunks.into_iter().fold(Tally::default(), |mut sum, chunk| {
                sum.all.join(chunk.all);
                sum.users.join(chunk.users);
                sum
            })
        });
        self.look(set, |view| {
            let (mut gone, mut come, mut raw) = (Tally::default(), Tally::default(), Vec::new());
            for index in view.overlay.departures(count) {
                raw.clear();
                self.write(set, self.made(set, index), shape, &mut raw);
                gone.add(set, index, &raw);
            }
            for (_, index) in view.overlay.changed(..) {
                if let Some(entry) = view.entry(index) {
                    raw.clear();
                    self.write(set, entry, shape, &mut raw);
                    come.add(set, index, &raw);
                }
            }
            tally.all.take(gone.all);
            tally.users.take(gone.users);
            tally.all.join(come.all);
            tally.users.join(come.users);
        });
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_ignores_order_spacing_and_escapes() {
        let one = row_digest(r#"{"a":1,"b":{"x":"é","y":[1,2]}}"#).unwrap();
        let other = row_digest("{ \"b\": {\"y\": [1, 2], \"x\": \"\\u00e9\"}, \"a\": 1 }").unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_digest_sees_types_and_order_of_lists() {
        let digest = |text| row_digest(text).unwrap();
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":"1"}"#));
        assert_ne!(digest(r#"{"a":[1,2]}"#), digest(r#"{"a":[2,1]}"#));
        assert_ne!(digest(r#"{"a":null}"#), digest("{}"));
    }

    #[test]
    fn canonical_form_is_what_a_sorted_parser_writes() {
        let text = r#"{"b":1.50,"a":"x\ny","b":[true,null,-3,{"d":1,"c":2}]}"#;
        assert_eq!(row_digest(text).unwrap(), xxh3_64(br#"{"a":"x\ny","b":[true,null,-3,{"c":2,"d":1}]}"#));
    }

    #[test]
    fn no_json_is_an_error() {
        assert!(row_digest("{").is_err());
        assert!(Digest::default().add("x").is_err());
    }

    #[test]
    fn sums_do_not_depend_on_order() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        for row in [r#"{"a":1}"#, r#"{"a":2}"#] {
            one.add(row).unwrap();
        }
        for row in [r#"{"a":2}"#, r#"{"a":1}"#] {
            other.add(row).unwrap();
        }
        assert_eq!(one.finish(), other.finish());
    }
}
