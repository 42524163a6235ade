//! All records of the simulated world: how many there are, when they happened, in which order, and their bytes.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::arena::Arena;
use crate::companies::Companies;
use crate::contacts::Contacts;
use crate::conversations::Conversations;
use crate::dataset::Set;
use crate::desk;
use crate::eight_calls::{self, EightCalls};
use crate::overlay::{Overlay, patched};
use crate::settings::Settings;
use crate::timeline::Timeline;
use crate::truth::Tally;
use crate::webex_calls::{self, WebexCalls};

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// A record at one moment: which, when (its set's own unit), and how often it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) time: i64,
    pub(crate) revision: u32,
}

/// In which order a walk goes by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

impl Order {
    /// A place before every record.
    pub(crate) const fn start(self) -> (i64, u64) {
        match self {
            Self::Ascending => (i64::MIN, 0),
            Self::Descending => (i64::MAX, u64::MAX),
        }
    }
}

/// What the bytes of a record depend on besides the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The zone of 8x8 wall clocks.
    pub(crate) zone: Tz,
    /// Intercom 2.16 or newer.
    pub(crate) modern: bool,
    /// Segments with their size.
    pub(crate) count: bool,
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) eight: EightCalls,
    pub(crate) webex: WebexCalls,
    pub(crate) contacts: Contacts,
    pub(crate) companies: Companies,
    pub(crate) conversations: Conversations,
    admins: Timeline,
    teams: Timeline,
    tags: Timeline,
    segments: Timeline,
    overlays: [RwLock<Overlay>; Set::COUNT],
    arena: OnceLock<Arena>,
    pub(crate) tallies: [OnceLock<Tally>; Set::COUNT],
    counts: Mutex<HashMap<String, u64>>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = settings.now.now().timestamp();
        let (seed, days) = (settings.seed, i64::from(settings.days));
        let calls = |stream, days: i64, start: i64, longest: i64, groups| Timeline {
            seed,
            stream,
            count: days as u64 * u64::from(settings.calls_per_day),
            start: start * 1_000,
            span: ((now - HOUR - start) * 1_000 - longest).max(1) as u64,
            groups,
        };
        let spread = days.max(1) * 4 * DAY;
        let records = |stream, count, groups| Timeline {
            seed,
            stream,
            count,
            start: now - HOUR - spread,
            span: spread as u64,
            groups,
        };
        let (admins, teams, tags) = (settings.admin_count(), settings.team_count(), settings.tag_count());
        let mut eight = EightCalls {
            line: calls(EightCalls::stream(), days, now - days * DAY, eight_calls::LONGEST, EightCalls::GROUPS),
            pbxes: settings.pbxes.clone(),
            leg_count_integer: settings.quirks.eight_leg_count_integer,
        };
        if eight.pbxes.is_empty() {
            eight.line.count = 0;
        }
        let held = (now - days * DAY).max(now - 30 * DAY + HOUR);
        let webex = WebexCalls {
            line: calls(WebexCalls::stream(), days.min(30), held, webex_calls::LONGEST, WebexCalls::GROUPS),
        };
        Self {
            eight,
            webex,
            contacts: Contacts {
                line: records(Contacts::stream(), settings.contacts, Contacts::GROUPS),
                companies: settings.company_count(),
                tags,
                admins,
            },
            companies: Companies { line: records(Companies::stream(), settings.company_count(), &[1]), tags },
            conversations: Conversations {
                line: records(Conversations::stream(), settings.conversation_count(), Conversations::GROUPS),
                admins,
                teams,
                tags,
            },
            admins: records(0x1, admins, &[1]),
            teams: records(0x2, teams, &[1]),
            tags: records(0x3, tags, &[1]),
            segments: records(0x4, settings.segment_count(), &[1]),
            overlays: Default::default(),
            arena: OnceLock::new(),
            tallies: Default::default(),
            counts: Mutex::default(),
            settings,
        }
    }

    /// Makes every contact now, to serve copies later.
    pub(crate) fn prerender(&self) {
        self.arena.get_or_init(|| Arena::new(self, Set::Contacts));
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.settings.now.now()
    }

    pub(crate) const fn line(&self, set: Set) -> &Timeline {
        match set {
            Set::EightCalls => &self.eight.line,
            Set::WebexCalls => &self.webex.line,
            Set::Contacts => &self.contacts.line,
            Set::Companies => &self.companies.line,
            Set::Admins => &self.admins,
            Set::Conversations => &self.conversations.line,
            Set::Teams => &self.teams,
            Set::Tags => &self.tags,
            Set::Segments => &self.segments,
        }
    }

    /// The shape the truth is told in.
    pub(crate) const fn true_shape(&self) -> Shape {
        Shape { zone: self.settings.zone, modern: true, count: true }
    }

    /// The record as it was made.
    pub(crate) fn made(&self, set: Set, index: u64) -> Entry {
        Entry { index, time: self.line(set).time(index), revision: 0 }
    }

    /// Writes a record as it truly is.
    pub(crate) fn write(&self, set: Set, entry: Entry, shape: Shape, out: &mut Vec<u8>) {
        let seed = self.settings.seed;
        match set {
            Set::EightCalls => self.eight.write(entry, shape.zone, out),
            Set::WebexCalls => self.webex.write(entry, out),
            Set::Contacts => self.contacts.write(entry, shape.modern, |company| self.companies.id(company), out),
            Set::Companies => self.companies.write(entry, out),
            Set::Admins => desk::write_admin(seed, entry, self.teams.count, out),
            Set::Conversations => self.conversations.write(entry, shape.modern, &self.contacts, false, out),
            Set::Teams => desk::write_team(seed, entry, self.admins.count, out),
            Set::Tags => desk::write_listed_tag(entry, out),
            Set::Segments => desk::write_segment(seed, entry, shape.count, out),
        }
    }

    /// Looks at a set while no script changes it.
    pub(crate) fn look<R>(&self, set: Set, look: impl FnOnce(&View<'_>) -> R) -> R {
        let overlay = self.overlays[set.slot()].read().unwrap_or_else(PoisonError::into_inner);
        look(&View { world: self, set, overlay: &overlay })
    }

    /// Changes a set.
    pub(crate) fn change(&self, set: Set, change: impl FnOnce(&mut Overlay)) {
        change(&mut self.overlays[set.slot()].write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A set as it is now.
pub(crate) struct View<'a> {
    pub(crate) world: &'a World,
    pub(crate) set: Set,
    pub(crate) overlay: &'a Overlay,
}

impl View<'_> {
    /// The records after `place`, which is not among them.
    pub(crate) fn entries(&self, order: Order, place: (i64, u64)) -> Box<dyn Iterator<Item = Entry> + '_> {
        use std::ops::Bound::{Excluded, Unbounded};
        let line = self.world.line(self.set);
        let made = |index: u64| (line.time(index), index);
        let kept = |(_, index): &(i64, u64)| self.overlay.is_untouched(*index);
        match order {
            Order::Ascending => {
                let first = partition(line.count, |index| made(index) <= place);
                let base = (first..line.count).map(made).filter(kept);
                let changed = self.overlay.changed((Excluded(place), Unbounded));
                Box::new(merged(base, changed, |base, changed| base < changed).map(|(_, index)| self.known(index)))
            }
            Order::Descending => {
                let end = partition(line.count, |index| made(index) < place);
                let base = (0..end).rev().map(made).filter(kept);
                let changed = self.overlay.changed((Unbounded, Excluded(place))).rev();
                Box::new(merged(base, changed, |base, changed| base > changed).map(|(_, index)| self.known(index)))
            }
        }
    }

    fn known(&self, index: u64) -> Entry {
        match self.overlay.version(index) {
            Some(version) => Entry { index, time: version.time, revision: version.revision },
            None => self.world.made(self.set, index),
        }
    }

    /// The record with this index, unless it is gone or never was.
    pub(crate) fn entry(&self, index: u64) -> Option<Entry> {
        let exists = index < self.world.line(self.set).count || self.overlay.version(index).is_some();
        (exists && !self.overlay.is_gone(index)).then(|| self.known(index))
    }

    /// Writes a record as it is served.
    pub(crate) fn serve(&self, entry: Entry, shape: Shape, out: &mut Vec<u8>) {
        if let Some(patch) = self.overlay.spoil(entry.index) {
            let mut raw = Vec::new();
            self.world.write(self.set, entry, shape, &mut raw);
            return out.extend_from_slice(&patched(&raw, patch));
        }
        if self.set == Set::Contacts
            && shape.modern
            && entry.revision == 0
            && let Some(made) = self.world.arena.get().and_then(|arena| arena.get(entry.index))
        {
            return out.extend_from_slice(made);
        }
        self.world.write(self.set, entry, shape, out);
    }

    /// A count that is costly to have: remembered under `question` until the set changes.
    pub(crate) fn count(&self, question: &str, count: impl FnOnce() -> u64) -> u64 {
        const REMEMBERED: usize = 4_096;
        let key = format!("{:?} {} {question}", self.set, self.overlay.generation);
        let lock = || self.world.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return *known;
        }
        let counted = count();
        let mut counts = lock();
        if counts.len() >= REMEMBERED {
            counts.clear();
        }
        counts.insert(key, counted);
        counted
    }
}

/// How many indexes, from 0, `holds` is true for; it must not become true again.
fn partition(count: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn merged<T: Copy>(
    left: impl Iterator<Item = T>,
    right: impl Iterator<Item = T>,
    left_first: impl Fn(T, T) -> bool,
) -> impl Iterator<Item = T> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(one), Some(other)) if left_first(*one, *other) => left.next(),
        (_, Some(_)) => right.next(),
        (Some(_), None) => left.next(),
        (None, None) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Clock;

    fn world() -> World {
        let now = Clock::Fixed("2026-11-20T12:00:00Z".parse().unwrap());
        World::new(Settings { now, contacts: 500, ..Settings::default() })
    }

    fn bytes(world: &World, set: Set, index: u64) -> String {
        let mut out = Vec::new();
        world.write(set, world.made(set, index), world.true_shape(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_walk_in_steps_is_the_walk_at_once_even_with_changes() {
        let world = world();
        world.change(Set::Contacts, |overlay| {
            overlay.touch(500, 30, |_| 1_790_000_000);
            overlay.insert(500, 10, |_| 1_789_000_000);
            overlay.hide(500, 5);
        });
        world.look(Set::Contacts, |view| {
            for order in [Order::Ascending, Order::Descending] {
                let whole: Vec<_> = view.entries(order, order.start()).collect();
                assert_eq!(whole.len(), 505);
                let mut place = order.start();
                for entry in whole {
                    assert_eq!(view.entries(order, place).next(), Some(entry));
                    place = (entry.time, entry.index);
                }
                assert_eq!(view.entries(order, place).next(), None);
            }
        });
    }

    #[test]
    fn every_record_is_json_with_its_key() {
        let world = world();
        for set in [
            Set::EightCalls,
            Set::WebexCalls,
            Set::Contacts,
            Set::Companies,
            Set::Admins,
            Set::Conversations,
            Set::Teams,
            Set::Tags,
            Set::Segments,
        ] {
            for index in 0..world.line(set).count {
                let text = bytes(&world, set, index);
                let value: serde_json::Value =
                    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
                assert!(value[set.key()].is_string(), "{text}");
            }
        }
    }

    #[test]
    fn an_empty_world_is_a_world() {
        let none = Some(0);
        let world = World::new(Settings {
            pbxes: Vec::new(),
            contacts: 0,
            admins: none,
            teams: none,
            tags: none,
            segments: none,
            days: 0,
            ..Settings::default()
        });
        assert!(world.truth().datasets.values().all(|dataset| dataset.count == 0));
    }

    #[test]
    fn a_contact_is_about_a_kilobyte() {
        let world = world();
        let total: usize = (0..500).map(|index| bytes(&world, Set::Contacts, index).len()).sum();
        assert!((1_000..1_130).contains(&(total / 500)), "{}", total / 500);
    }

    #[test]
    fn a_webex_record_has_87_keys() {
        let world = world();
        let value: serde_json::Value = serde_json::from_str(&bytes(&world, Set::WebexCalls, 3)).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 87);
    }

    #[test]
    fn calls_are_over_an_hour_before_now() {
        let world = world();
        let end = world.now().timestamp_millis() - 3_600_000;
        let last = world.eight.line.count - 1;
        let value: serde_json::Value = serde_json::from_str(&bytes(&world, Set::EightCalls, last)).unwrap();
        assert!(value["disconnectedTimeUTC"].as_i64().unwrap() <= end);
        assert!(world.made(Set::WebexCalls, last).time + world.webex.length(last) <= end);
    }
}
