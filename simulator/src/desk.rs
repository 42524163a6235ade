//! The small lists of an Intercom workspace: admins, teams, tags and segments.

use crate::chance::Chance;
use crate::contacts::scrambled;
use crate::json::{Object, array, push, quote};
use crate::words;
use crate::world::Entry;

const ADMINS: u64 = 0xad;
const SEGMENTS: u64 = 0x5e6;

pub(crate) const fn admin_id(index: u64) -> u64 {
    7_939_621 + index
}

pub(crate) const fn team_id(index: u64) -> u64 {
    5_017_691 + index
}

pub(crate) const fn tag_id(index: u64) -> u64 {
    10_313_875 + index
}

pub(crate) fn admin_name(seed: u64, index: u64) -> String {
    let mut chance = Chance::new(seed, ADMINS, index);
    match index {
        0 => "Operator".to_owned(),
        _ => format!("{} {}", chance.pick(words::FIRST), chance.pick(words::LAST)),
    }
}

pub(crate) fn write_tag(index: u64, out: &mut Vec<u8>) {
    let mut object = Object::new(out);
    object.text("type", "tag");
    object.plain("id", format_args!("{}", tag_id(index)));
    let name = ["Feature Request", "Manual tag", "VIP, gold", "Größe", "said \"no\""][(index % 5) as usize];
    object.with("name", |out| quote(out, &format!("{name} {index}")));
    object.end();
}

/// A tag as the small list gives it. A changed tag has a new name.
pub(crate) fn write_listed_tag(entry: Entry, out: &mut Vec<u8>) {
    if entry.revision == 0 {
        return write_tag(entry.index, out);
    }
    let mut object = Object::new(out);
    object.text("type", "tag");
    object.plain("id", format_args!("{}", tag_id(entry.index)));
    object.plain("name", format_args!("Renamed {} times", entry.revision));
    object.end();
}

pub(crate) fn write_admin(seed: u64, entry: Entry, teams: u64, out: &mut Vec<u8>) {
    let index = entry.index;
    let mut chance = Chance::new(seed, ADMINS ^ 0x1, index);
    let mut object = Object::new(out);
    object.text("type", "admin");
    object.plain("id", format_args!("{}", admin_id(index)));
    object.text("name", &admin_name(seed, index));
    match index {
        0 => object.text("email", "operator+s3r1c48t@intercom.io"),
        _ => object.plain("email", format_args!("admin{index}@example.com")),
    }
    if chance.one_in(2) {
        object.text("job_title", chance.pick(&["Support Lead", "Engineer, L2", "Büroleitung"]));
    }
    object.flag("away_mode_enabled", chance.one_in(5) ^ (entry.revision % 2 == 1));
    object.flag("away_mode_reassign", false);
    object.flag("has_inbox_seat", index > 0);
    let own = chance.below(3).min(teams);
    let first = chance.below(teams);
    let list = |out: &mut Vec<u8>| {
        array(out, 0..own, |out, step| push(out, format_args!("{}", team_id((first + step) % teams))));
    };
    object.with("team_ids", list);
    object.with("team_priority_level", |out| {
        let mut level = Object::new(out);
        if own > 0 {
            level.with("primary_team_ids", list);
        }
        level.end();
    });
    object.end();
}

pub(crate) fn write_team(seed: u64, entry: Entry, admins: u64, out: &mut Vec<u8>) {
    let mut chance = Chance::new(seed, ADMINS ^ 0x7ea, entry.index);
    let members = chance.below(6).min(admins);
    let first = chance.below(admins);
    let mut object = Object::new(out);
    object.text("type", "team");
    object.plain("id", format_args!("{}", team_id(entry.index)));
    object.plain("name", format_args!("Team № {}", entry.index + 1));
    object.with("admin_ids", |out| {
        array(out, 0..members, |out, step| push(out, format_args!("{}", admin_id((first + step) % admins))));
    });
    if chance.one_in(2) {
        object.int("assignment_limit", 10 + i64::from(entry.revision));
    }
    object.text("distribution_method", chance.pick(&["round_robin", "load_balanced"]));
    object.end();
}

pub(crate) fn write_segment(seed: u64, entry: Entry, count: bool, out: &mut Vec<u8>) {
    let mut chance = Chance::new(seed, SEGMENTS, entry.index);
    let mut object = Object::new(out);
    object.text("type", "segment");
    object.text("id", &scrambled(seed ^ SEGMENTS, entry.index));
    let name = ["New", "Active", "Slipping Away", "Größte Kunden", "\"Quoted\""][(entry.index % 5) as usize];
    object.with("name", |out| quote(out, &format!("{name} {}", entry.index)));
    object.int("created_at", entry.time - chance.below(9_000_000) as i64);
    object.int("updated_at", entry.time);
    object.text("person_type", chance.pick(&["user", "contact"]));
    if count {
        object.int("count", chance.below(5_000) as i64);
    }
    object.end();
}
