//! Intercom conversations as search and list give them, and their parts.

use crate::chance::Chance;
use crate::contacts::Contacts;
use crate::desk::{admin_id, admin_name, team_id, write_tag};
use crate::json::{Object, array, push, quote};
use crate::timeline::Timeline;
use crate::words;
use crate::world::Entry;

const STREAM: u64 = 0xc04e;
const FIRST_ID: u64 = 215_469_000_000;
/// The API shows no more than this many parts of a conversation, the newest.
const SHOWN_PARTS: u64 = 500;

/// Makes conversations.
#[derive(Clone, Debug)]
pub(crate) struct Conversations {
    pub(crate) line: Timeline,
    pub(crate) admins: u64,
    pub(crate) teams: u64,
    pub(crate) tags: u64,
}

impl Conversations {
    /// Bulk actions touch many at once: a group can be larger than a page.
    pub(crate) const GROUPS: &'static [u64] = &[1, 1, 3, 12, 64, 256];

    pub(crate) const fn stream() -> u64 {
        STREAM
    }

    pub(crate) const fn id(index: u64) -> u64 {
        FIRST_ID + index
    }

    pub(crate) fn index(id: &str) -> Option<u64> {
        id.parse::<u64>().ok()?.checked_sub(FIRST_ID)
    }

    pub(crate) fn created(&self, index: u64, updated: i64) -> i64 {
        let first = if index < self.line.count { self.line.time(index) } else { updated };
        first - Chance::new(self.line.seed, STREAM ^ 0xc4, index).below(20 * 86_400) as i64
    }

    fn parts(&self, entry: Entry) -> u64 {
        let mut chance = Chance::new(self.line.seed, STREAM ^ 0x9a, entry.index);
        let many = chance.one_in(300);
        chance.below(12) + u64::from(entry.revision) + if many { 520 } else { 0 }
    }

    /// `modern` is the shape of version 2.16: no assignee is 0 and there are five priorities.
    pub(crate) fn write(&self, entry: Entry, modern: bool, contacts: &Contacts, parts: bool, out: &mut Vec<u8>) {
        let index = entry.index;
        let mut chance = Chance::new(self.line.seed, STREAM, index);
        let created = self.created(index, entry.time);
        let state = chance.pick(&["open", "closed", "closed", "snoozed"]);
        let admin = (!chance.one_in(4)).then(|| chance.below(self.admins));
        let team = (!chance.one_in(3)).then(|| chance.below(self.teams));
        let none = if modern { Some(0) } else { None };

        let mut object = Object::new(out);
        object.text("type", "conversation");
        object.plain("id", format_args!("{}", Self::id(index)));
        object.int("created_at", created);
        object.int("updated_at", entry.time);
        object.maybe_int("waiting_since", (state == "open").then_some(entry.time - 20));
        object.maybe_int("snoozed_until", (state == "snoozed").then_some(entry.time + 86_400));
        object.with("source", |out| source(&mut chance, index, out));
        let person = chance.below(contacts.line.count);
        object.with("contacts", |out| {
            let id = contacts.id(person);
            let external = if Contacts::is_user(person) { format!("\"u-{person}\"") } else { "null".to_owned() };
            push(
                out,
                format_args!(
                    r#"{{"type":"contact.list","contacts":[{{"type":"contact","id":"{id}","external_id":{external}}}]}}"#
                ),
            );
        });
        object.raw("first_contact_reply", "null");
        object.maybe_int("admin_assignee_id", admin.map(|admin| admin_id(admin) as i64).or(none));
        object.maybe_int("team_assignee_id", team.map(|team| team_id(team) as i64).or(none));
        object.flag("open", state == "open");
        object.text("state", state);
        object.flag("read", chance.one_in(2));
        let tags = chance.below(3).min(self.tags);
        let first = chance.below(self.tags);
        object.with("tags", |out| {
            let mut list = Object::new(out);
            list.text("type", "tag.list");
            list.with("tags", |out| array(out, 0..tags, |out, step| write_tag((first + step) % self.tags, out)));
            list.end();
        });
        let urgent = chance.below(5) as usize;
        if modern {
            object.text("priority", ["none", "low", "medium", "high", "urgent"][urgent]);
        } else {
            object.text("priority", if urgent > 2 { "priority" } else { "not_priority" });
        }
        object.raw("sla_applied", "null");
        object.with("statistics", |out| self.statistics(&mut chance, entry, out));
        if chance.one_in(6) {
            object.with("conversation_rating", |out| {
                let rating = 1 + chance.below(5);
                push(out, format_args!(r#"{{"rating":{rating},"remark":"so \"so\" 🙂","created_at":{}}}"#, entry.time));
            });
        } else {
            object.raw("conversation_rating", "null");
        }
        object.with("teammates", |out| match admin {
            Some(admin) => {
                push(
                    out,
                    format_args!(r#"{{"type":"admin.list","admins":[{{"type":"admin","id":"{}"}}]}}"#, admin_id(admin)),
                );
            }
            None => out.extend_from_slice(b"null"),
        });
        object.maybe_text("title", chance.one_in(2).then(|| chance.pick(words::COMPANY)));
        object.with("custom_attributes", |out| {
            let mut attributes = Object::new(out);
            attributes.flag("Copilot used", chance.one_in(2));
            if chance.one_in(3) {
                attributes.raw("CX Score rating", chance.pick(&["4", "\"4\"", "null", "4.5"]));
            }
            attributes.end();
        });
        object.raw("topics", r#"{"type":"topic.list","topics":[],"total_count":0}"#);
        object.raw("ticket", "null");
        object.raw("linked_objects", r#"{"type":"list","data":[],"total_count":0,"has_more":false}"#);
        object.raw("ai_agent", "null");
        object.flag("ai_agent_participated", false);
        if parts {
            object.with("conversation_parts", |out| self.write_parts(entry, created, out));
        }
        object.end();
    }

    fn statistics(&self, chance: &mut Chance, entry: Entry, out: &mut Vec<u8>) {
        if chance.one_in(5) {
            return out.extend_from_slice(b"null");
        }
        let mut object = Object::new(out);
        object.text("type", "conversation_statistics");
        object.maybe_int("time_to_assignment", chance.one_in(2).then(|| chance.below(4_000) as i64));
        object.maybe_int("time_to_admin_reply", chance.one_in(2).then(|| chance.below(9_000) as i64));
        object.int("last_contact_reply_at", entry.time - 30);
        object.int("count_reopens", chance.below(3) as i64);
        object.int("count_assignments", chance.below(4) as i64);
        object.int("count_conversation_parts", self.parts(entry) as i64);
        object.maybe_int("last_closed_by_id", chance.one_in(2).then(|| admin_id(chance.below(self.admins)) as i64));
        object.end();
    }

    fn write_parts(&self, entry: Entry, created: i64, out: &mut Vec<u8>) {
        let total = self.parts(entry);
        let mut list = Object::new(out);
        list.text("type", "conversation_part.list");
        list.with("conversation_parts", |out| {
            array(out, total.saturating_sub(SHOWN_PARTS)..total, |out, part| {
                self.write_part(entry, created, part, out);
            });
        });
        list.int("total_count", total as i64);
        list.end();
    }

    fn write_part(&self, entry: Entry, created: i64, part: u64, out: &mut Vec<u8>) {
        let mut chance = Chance::new(self.line.seed, STREAM ^ 0x9a47, entry.index.wrapping_mul(4_096) + part);
        let admin = chance.below(self.admins);
        let time = created + part as i64;
        let mut object = Object::new(out);
        object.text("type", "conversation_part");
        object.plain("id", format_args!("{}", Self::id(entry.index) * 4_096 + part));
        object.text("part_type", chance.pick(&["comment", "note", "assignment", "close", "custom_action_started"]));
        object.maybe_text("body", (!chance.one_in(4)).then(|| chance.pick(words::REMARK)));
        object.int("created_at", time);
        object.int("updated_at", time);
        object.int("notified_at", time);
        object.raw("assigned_to", "null");
        object.with("author", |out| {
            let mut author = Object::new(out);
            author.text("type", "admin");
            author.plain("id", format_args!("{}", admin_id(admin)));
            author.with("name", |out| quote(out, &admin_name(self.line.seed, admin)));
            author.plain("email", format_args!("admin{admin}@example.com"));
            author.end();
        });
        object.raw("attachments", "[]");
        object.raw("external_id", "null");
        object.flag("redacted", false);
        object.end();
    }
}

fn source(chance: &mut Chance, index: u64, out: &mut Vec<u8>) {
    if chance.one_in(9) {
        return out.extend_from_slice(b"null");
    }
    let mut object = Object::new(out);
    object.text("type", chance.pick(&["conversation", "email", "whatsapp"]));
    object.plain("id", format_args!("{}", 403_918_346 + index));
    object.text("delivered_as", chance.pick(&["admin_initiated", "customer_initiated", "automated"]));
    object.text("subject", "");
    object.text("body", chance.pick(words::REMARK));
    object.with("author", |out| {
        let mut author = Object::new(out);
        author.text("type", "lead");
        author.maybe_text("name", chance.one_in(2).then(|| chance.pick(words::FIRST)));
        author.text("email", "");
        author.end();
    });
    object.raw("attachments", "[]");
    object.raw("url", "null");
    object.flag("redacted", chance.one_in(90));
    object.end();
}
