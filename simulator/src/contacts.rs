//! Intercom contacts, users and leads, about 1.1 KB each.

use crate::chance::{Chance, mix, unmix};
use crate::json::{Object, array, push, quote, quote_ascii};
use crate::timeline::Timeline;
use crate::words;
use crate::world::Entry;

const STREAM: u64 = 0xc0a7;
const DAY: u64 = 86_400;

/// Makes contacts. Ids are scrambled: their order says nothing about the index.
#[derive(Clone, Debug)]
pub(crate) struct Contacts {
    pub(crate) line: Timeline,
    pub(crate) companies: u64,
    pub(crate) tags: u64,
    pub(crate) admins: u64,
}

impl Contacts {
    pub(crate) const GROUPS: &'static [u64] = &[1, 1, 1, 2, 5];

    pub(crate) const fn stream() -> u64 {
        STREAM
    }

    /// Four of five contacts are users, the fifth is a lead.
    pub(crate) const fn is_user(index: u64) -> bool {
        index % 5 != 4
    }

    pub(crate) fn id(&self, index: u64) -> String {
        scrambled(self.line.seed ^ STREAM, index)
    }

    pub(crate) fn index(&self, id: &str) -> Option<u64> {
        unscrambled(self.line.seed ^ STREAM, id)
    }

    pub(crate) fn created(&self, index: u64, updated: i64) -> i64 {
        let first = if index < self.line.count { self.line.time(index) } else { updated };
        first - Chance::new(self.line.seed, STREAM ^ 0xc4, index).below(300 * DAY) as i64
    }

    /// Which tags a contact has, by index; more than ten now and then.
    pub(crate) fn tags(&self, index: u64) -> Vec<u64> {
        let mut chance = Chance::new(self.line.seed, STREAM ^ 0x7a6, index);
        let wanted = if chance.one_in(60) { 14 } else { chance.below(5).saturating_sub(2) };
        let first = chance.below(self.tags);
        (0..wanted.min(self.tags)).map(|step| (first + step) % self.tags).collect()
    }

    /// Which companies a contact belongs to, by index.
    pub(crate) fn companies(&self, index: u64) -> Vec<u64> {
        let mut chance = Chance::new(self.line.seed, STREAM ^ 0xc0, index);
        let wanted = chance.below(4).saturating_sub(2) + u64::from(chance.one_in(90)) * 11;
        let first = chance.below(self.companies);
        (0..wanted.min(self.companies)).map(|step| (first + step) % self.companies).collect()
    }

    /// `modern` is the shape of version 2.16: the owner is a string.
    pub(crate) fn write(&self, entry: Entry, modern: bool, company_id: impl Fn(u64) -> String, out: &mut Vec<u8>) {
        let index = entry.index;
        let mut chance = Chance::new(self.line.seed, STREAM, index);
        let id = self.id(index);
        let user = Self::is_user(index);
        let (first, last) = (chance.pick(words::FIRST), chance.pick(words::LAST));
        let created = self.created(index, entry.time);
        let seen = entry.time - chance.below(3 * DAY) as i64;
        let ascii = chance.one_in(7);

        let mut object = Object::new(out);
        object.text("type", "contact");
        object.text("id", &id);
        object.text("workspace_id", "s3r1c48t");
        if user {
            object.plain("external_id", format_args!("u-{index}"));
        } else {
            object.raw("external_id", "null");
        }
        object.text("role", if user { "user" } else { "lead" });
        if user || chance.one_in(3) {
            object.plain("email", format_args!("person{index}@{}", chance.pick(words::DOMAIN)));
        } else {
            object.raw("email", "null");
        }
        if chance.one_in(3) {
            object.plain("phone", format_args!("+3531{:07}", chance.below(10_000_000)));
        } else {
            object.raw("phone", "null");
        }
        if !user && chance.one_in(2) {
            object.raw("name", "null");
        } else {
            let name = format!("{first} {last}");
            object.with("name", |out| if ascii { quote_ascii(out, &name) } else { quote(out, &name) });
        }
        let owner = chance.one_in(3).then(|| chance.below(self.admins));
        match owner {
            None => object.raw("owner_id", "null"),
            Some(owner) if modern => object.plain("owner_id", format_args!("{}", crate::desk::admin_id(owner))),
            Some(owner) => object.int("owner_id", crate::desk::admin_id(owner) as i64),
        }
        object.flag("has_hard_bounced", chance.one_in(40));
        object.flag("marked_email_as_spam", chance.one_in(90));
        object.flag("unsubscribed_from_emails", chance.one_in(12));
        object.int("created_at", created);
        object.int("updated_at", entry.time);
        object.maybe_int("signed_up_at", signed_up(&mut chance, user, created));
        object.maybe_int("last_seen_at", (!chance.one_in(4)).then_some(seen));
        object.maybe_int("last_replied_at", chance.one_in(4).then_some(seen - 60));
        object.maybe_int("last_contacted_at", chance.one_in(3).then_some(seen - 90));
        if chance.one_in(4) {
            object.raw("last_email_opened_at", "null");
            object.raw("social_profiles", r#"{"type":"list","data":[]}"#);
        }
        if chance.one_in(3) {
            object.text("browser", chance.pick(&["chrome", "firefox", "safari"]));
            object.plain("browser_version", format_args!("{}.0.1", 90 + chance.below(60)));
            object.text("browser_language", chance.pick(&["en", "de", "pt-BR"]));
            object.text("os", chance.pick(&["OS X 10.15.7", "Windows 10", "Linux"]));
        }
        object.with("location", |out| location(&mut chance, out));
        if chance.one_in(30) {
            object.text("android_app_name", "Backpack");
            object.int("android_last_seen_at", seen);
        }
        object.with("custom_attributes", |out| attributes(&mut chance, entry, out));
        let tags = self.tags(index);
        object.with("tags", |out| {
            sublist(out, &id, "tags", tags.len(), |out| {
                array(out, tags.iter().take(10), |out, tag| {
                    let tag = crate::desk::tag_id(*tag);
                    push(out, format_args!(r#"{{"id":"{tag}","type":"tag","url":"/tags/{tag}"}}"#));
                });
            });
        });
        object.with("notes", |out| sublist(out, &id, "notes", 0, |out| out.extend_from_slice(b"[]")));
        let companies = self.companies(index);
        object.with("companies", |out| {
            sublist(out, &id, "companies", companies.len(), |out| {
                array(out, companies.iter().take(10), |out, company| {
                    let company = company_id(*company);
                    push(out, format_args!(r#"{{"id":"{company}","type":"company","url":"/companies/{company}"}}"#));
                });
            });
        });
        if chance.one_in(3) {
            object.flag("sms_consent", false);
            object.raw("utm_source", "null");
            object.raw("referrer", "null");
        }
        object.end();
    }
}

/// The traps of real workspaces: milliseconds by mistake, times before 1970, times far ahead.
fn signed_up(chance: &mut Chance, user: bool, created: i64) -> Option<i64> {
    match chance.below(200) {
        0 => Some(created * 1_000),
        1 => Some(-86_400),
        2 => Some(2_738_966_400),
        _ if user => Some(created),
        _ => None,
    }
}

fn location(chance: &mut Chance, out: &mut Vec<u8>) {
    let known = chance.one_in(3).then(|| words::CITY[chance.below(words::CITY.len() as u64) as usize]);
    let mut object = Object::new(out);
    object.text("type", "location");
    object.maybe_text("country", known.map(|place| place.2));
    object.maybe_text("region", known.map(|place| place.1));
    object.maybe_text("city", known.map(|place| place.0));
    object.maybe_text("country_code", known.map(|place| place.3));
    object.maybe_text("continent_code", known.map(|place| place.4));
    object.end();
}

/// Keys with spaces and letters beyond ASCII; the type of a value drifts from record to record.
fn attributes(chance: &mut Chance, entry: Entry, out: &mut Vec<u8>) {
    let mut object = Object::new(out);
    match chance.below(4) {
        0 => object.int("Plan Größe", chance.below(50) as i64),
        1 => object.plain("Plan Größe", format_args!("{}", chance.below(50))),
        2 => object.raw("Plan Größe", "12.5"),
        _ => {}
    }
    if chance.one_in(3) {
        object.flag("Copilot used", chance.one_in(2));
    }
    if chance.one_in(4) {
        object.text("CX Score explanation", chance.pick(words::REMARK));
    }
    if chance.one_in(20) {
        object.raw("orders €", r#"{"type":"order.list","instances":[{"id":"31","external_id":null}]}"#);
    }
    if chance.one_in(9) {
        object.raw("renewal_at", chance.pick(&["1763424000", "\"2026-01-31T00:00:00Z\"", "null"]));
    }
    if entry.revision > 0 {
        object.int("revision", i64::from(entry.revision));
    }
    object.end();
}

fn sublist(out: &mut Vec<u8>, id: &str, kind: &str, total: usize, data: impl FnOnce(&mut Vec<u8>)) {
    let mut object = Object::new(out);
    object.text("type", "list");
    object.with("data", data);
    object.plain("url", format_args!("/contacts/{id}/{kind}"));
    object.int("total_count", total as i64);
    object.flag("has_more", total > 10);
    object.end();
}

/// An id of 24 hexadecimal digits from which the index can be had again.
pub(crate) fn scrambled(salt: u64, index: u64) -> String {
    let first = mix(index.wrapping_add(mix(salt)));
    format!("{first:016x}{:08x}", mix(first ^ salt) >> 32)
}

/// The index an id was made of; `None` for an id of another making.
pub(crate) fn unscrambled(salt: u64, id: &str) -> Option<u64> {
    let first = u64::from_str_radix(id.get(..16)?, 16).ok()?;
    let index = unmix(first).wrapping_sub(mix(salt));
    (scrambled(salt, index) == id).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_its_index_back() {
        for index in [0, 1, 2, 1_999_999] {
            assert_eq!(unscrambled(5, &scrambled(5, index)), Some(index));
        }
        assert_eq!(unscrambled(5, "6762f0d01bb69f9f2193bb7d"), None);
        assert_eq!(unscrambled(5, "é"), None);
    }

    #[test]
    fn ids_do_not_follow_the_index() {
        let ids: Vec<_> = (0..50).map(|index| scrambled(5, index)).collect();
        assert!(!ids.is_sorted());
    }
}
