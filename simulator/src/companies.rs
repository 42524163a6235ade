//! Intercom companies.

use crate::chance::Chance;
use crate::contacts::{scrambled, unscrambled};
use crate::json::{Object, array, quote};
use crate::timeline::Timeline;
use crate::words;
use crate::world::Entry;

const STREAM: u64 = 0xc0b0;

/// Makes companies.
#[derive(Clone, Debug)]
pub(crate) struct Companies {
    pub(crate) line: Timeline,
    pub(crate) tags: u64,
}

impl Companies {
    pub(crate) const fn stream() -> u64 {
        STREAM
    }

    pub(crate) fn id(&self, index: u64) -> String {
        scrambled(self.line.seed ^ STREAM, index)
    }

    pub(crate) fn index(&self, id: &str) -> Option<u64> {
        unscrambled(self.line.seed ^ STREAM, id)
    }

    pub(crate) fn write(&self, entry: Entry, out: &mut Vec<u8>) {
        let mut chance = Chance::new(self.line.seed, STREAM, entry.index);
        let created = entry.time - chance.below(40_000_000) as i64;
        let mut object = Object::new(out);
        object.text("type", "company");
        object.plain("company_id", format_args!("remote_company_{}", entry.index));
        object.text("id", &self.id(entry.index));
        object.text("app_id", "s3r1c48t");
        let name = format!("{} {}", chance.pick(words::COMPANY), entry.index);
        object.with("name", |out| quote(out, &name));
        if chance.one_in(2) {
            object.int("remote_created_at", created);
        }
        object.int("created_at", created);
        object.int("updated_at", entry.time);
        if chance.one_in(2) {
            object.int("last_request_at", entry.time - 30);
        }
        object.int("monthly_spend", chance.below(5_000) as i64);
        object.int("session_count", chance.below(900) as i64 + i64::from(entry.revision));
        object.int("user_count", chance.below(60) as i64);
        if chance.one_in(3) {
            object.int("size", chance.below(10_000) as i64);
            object.text("website", "https://example.com/?q=\"x\"&y=é");
            object.text("industry", "Manufacturing");
        }
        let tags = chance.below(3).min(self.tags);
        let first = chance.below(self.tags);
        object.with("tags", |out| {
            let mut list = Object::new(out);
            list.text("type", "tag.list");
            list.with("tags", |out| {
                array(out, 0..tags, |out, step| crate::desk::write_tag((first + step) % self.tags, out));
            });
            list.end();
        });
        object.raw("segments", r#"{"type":"segment.list","segments":[]}"#);
        if chance.one_in(3) {
            object.raw("plan", r#"{"type":"plan","id":"269315","name":"Pro, yearly"}"#);
        } else {
            object.raw("plan", "{}");
        }
        object.with("custom_attributes", |out| {
            let mut attributes = Object::new(out);
            match chance.below(4) {
                0 => attributes.text("creation_source", "api"),
                1 => attributes.raw("Contract Value €", "1250.75"),
                2 => attributes.flag("Contract Value €", true),
                _ => {}
            }
            attributes.end();
        });
        object.end();
    }
}
