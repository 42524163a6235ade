//! What a script has changed in a set: new, changed, hidden, removed and spoiled records. Small; everything else is made
//! on the fly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::chance::Chance;

/// How one record differs from the way it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) time: i64,
    pub(crate) revision: u32,
}

/// The changes of one set.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Grows with each change.
    pub(crate) generation: u64,
    /// Records beyond those the set was made with.
    inserted: u64,
    changed: BTreeMap<u64, Version>,
    order: BTreeSet<(i64, u64)>,
    hidden: BTreeSet<u64>,
    /// Records that were hidden once, and when they came to light, in milliseconds.
    released: BTreeMap<u64, i64>,
    removed: BTreeMap<u64, i64>,
    spoiled: BTreeMap<u64, Map<String, Value>>,
}

impl Overlay {
    /// True when the record is served as it was made, apart from being spoiled.
    pub(crate) fn is_untouched(&self, index: u64) -> bool {
        (self.changed.is_empty() || !self.changed.contains_key(&index)) && !self.is_gone(index)
    }

    /// True when the record is not to be seen.
    pub(crate) fn is_gone(&self, index: u64) -> bool {
        (!self.hidden.is_empty() && self.hidden.contains(&index))
            || (!self.removed.is_empty() && self.removed.contains_key(&index))
    }

    pub(crate) fn version(&self, index: u64) -> Option<Version> {
        self.changed.get(&index).copied()
    }

    pub(crate) fn spoil(&self, index: u64) -> Option<&Map<String, Value>> {
        if self.spoiled.is_empty() { None } else { self.spoiled.get(&index) }
    }

    pub(crate) fn released(&self, index: u64) -> Option<i64> {
        self.released.get(&index).copied()
    }

    /// The records that came to light in this time, in milliseconds.
    pub(crate) fn released_in(&self, low: i64, high: i64) -> impl Iterator<Item = u64> + '_ {
        self.released.iter().filter(move |(_, time)| (low..=high).contains(time)).map(|(index, _)| *index)
    }

    /// The changed records that can be seen, with times in the range, by time.
    pub(crate) fn changed(
        &self,
        range: impl std::ops::RangeBounds<(i64, u64)>,
    ) -> impl DoubleEndedIterator<Item = (i64, u64)> {
        self.order.range(range).copied().filter(|(_, index)| !self.is_gone(*index))
    }

    /// Every index that is not served as it was made, among the first `count`.
    pub(crate) fn departures(&self, count: u64) -> BTreeSet<u64> {
        let all = self.changed.keys().chain(&self.hidden).chain(self.removed.keys());
        all.copied().filter(|index| *index < count).collect()
    }

    /// The removed records and when they were, newest first.
    pub(crate) fn removed(&self) -> Vec<(i64, u64)> {
        let mut all: Vec<_> = self.removed.iter().map(|(index, time)| (*time, *index)).collect();
        all.sort_unstable_by(|left, right| right.cmp(left));
        all
    }

    pub(crate) fn insert(&mut self, count: u64, wanted: u64, mut time: impl FnMut(u64) -> i64) {
        self.generation += 1;
        for step in 0..wanted {
            let index = count + self.inserted;
            self.inserted += 1;
            self.set(index, Version { time: time(step), revision: 0 });
        }
    }

    /// Changes `wanted` records of the first `count`; `time` says the new time of one.
    pub(crate) fn touch(&mut self, count: u64, wanted: u64, mut time: impl FnMut(u64) -> i64) {
        self.generation += 1;
        let mut chance = Chance::new(self.generation, 0x70_0c4, count);
        for _ in 0..wanted.min(count) {
            let index = chance.below(count);
            if !self.is_gone(index) {
                let revision = self.changed.get(&index).map_or(0, |version| version.revision) + 1;
                self.set(index, Version { time: time(index), revision });
            }
        }
    }

    fn set(&mut self, index: u64, version: Version) {
        if let Some(old) = self.changed.insert(index, version) {
            self.order.remove(&(old.time, index));
        }
        self.order.insert((version.time, index));
    }

    /// Hides `wanted` records, evenly spread over the first `count`.
    pub(crate) fn hide(&mut self, count: u64, wanted: u64) {
        self.generation += 1;
        let wanted = wanted.min(count);
        self.hidden.extend((0..wanted).map(|step| (2 * step + 1) * count / (2 * wanted)));
    }

    pub(crate) fn release(&mut self, now: i64) {
        self.generation += 1;
        for index in std::mem::take(&mut self.hidden) {
            self.released.insert(index, now);
        }
    }

    pub(crate) fn remove(&mut self, index: u64, now: i64) {
        self.generation += 1;
        self.removed.insert(index, now);
    }

    pub(crate) fn poison(&mut self, index: u64, patch: Map<String, Value>) {
        self.generation += 1;
        self.spoiled.insert(index, patch);
    }

    pub(crate) fn heal(&mut self) {
        self.generation += 1;
        self.spoiled.clear();
    }
}

/// Lays `patch` over the JSON in `raw`: `null` takes a field away, objects are merged, all else replaces.
pub(crate) fn patched(raw: &[u8], patch: &Map<String, Value>) -> Vec<u8> {
    let Ok(mut record) = serde_json::from_slice::<Value>(raw) else { return raw.to_vec() };
    merge(&mut record, &Value::Object(patch.clone()));
    record.to_string().into_bytes()
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_takes_away_and_replaces() {
        let Value::Object(patch) = serde_json::json!({"id": null, "a": {"b": 2}}) else { panic!() };
        assert_eq!(patched(br#"{"id":"1","a":{"b":1,"c":3}}"#, &patch), br#"{"a":{"b":2,"c":3}}"#);
    }

    #[test]
    fn hidden_records_are_as_many_as_asked_for() {
        let mut overlay = Overlay::default();
        overlay.hide(100, 7);
        assert_eq!(overlay.departures(100).len(), 7);
        overlay.release(5);
        assert!(overlay.departures(100).is_empty());
    }
}
