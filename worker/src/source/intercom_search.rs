//! Intercom's searches: contacts, users (contacts of role `user`) and conversations. Pure.
//!
//! What it relies on, from the vendor's documentation unless marked:
//! - contact search compares dates by calendar day of the workspace: `>` means from the next day on. So it is asked for
//!   two days more than wanted and without an upper bound, newest first, and the walk stops behind the window's start;
//! - conversation search compares by the second (running code), oldest first, from the window's start on;
//! - the order itself is by the second in both, and a cursor is a place in that order: a record that changes during the
//!   walk moves towards its end (oldest first) or is seen by the next run (newest first), and none is skipped;
//! - the whole body is sent again with the cursor: without the sort the second page failed (running code);
//! - the last page has no `pages.next`, or null;
//! - `total_count` is the count of the query, so it is stated only for walks that read all of it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use proto::source::Page;
use proto::unit::Cursor;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use super::ask::{Answer, Ask};
use super::envelope;
use super::intercom_refusals::refused;
use super::refusal::Refusal;
use super::settings;

const DAY: i64 = 86_400;
/// In a cursor, the place of the newest time seen when the rows were not in order.
const UNORDERED: &str = "-";

/// How a dataset is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    what: What,
    /// The window's start in seconds; `None` for everything there is.
    since: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Contacts,
    Users,
    Conversations,
}

impl Walk {
    /// The walk for a dataset from `from` on, where it is searched at all. Up to the second day of 1970 `from` means
    /// everything: that is how a first read is planned.
    pub(super) fn of(dataset: &str, from: DateTime<Utc>) -> Option<Walk> {
        let what = match dataset {
            "contacts" => What::Contacts,
            "users" => What::Users,
            "conversations" => What::Conversations,
            _ => return None,
        };
        Some(Walk { what, since: Some(from.timestamp()).filter(|since| *since > DAY) })
    }

    /// Method and path, for messages.
    pub(super) fn endpoint(self) -> &'static str {
        match self.what {
            What::Contacts | What::Users => "POST /contacts/search",
            What::Conversations => "POST /conversations/search",
        }
    }

    fn path(self) -> &'static str {
        match self.what {
            What::Contacts | What::Users => "/contacts/search",
            What::Conversations => "/conversations/search",
        }
    }

    /// Where a walk, newest first, may stop: the start of the window. `None` for walks that read all they ask for.
    fn stops_behind(self) -> Option<i64> {
        self.since.filter(|_| self.what != What::Conversations)
    }

    /// The value that `updated_at` must be greater than.
    fn greater_than(self) -> i64 {
        match (self.since, self.what) {
            (None, _) => 0,
            // The window begins at this second, and `>` leaves it out.
            (Some(since), What::Conversations) => since - 1,
            (Some(since), What::Contacts | What::Users) => (since - 2 * DAY).max(0),
        }
    }
}

/// The request for one page.
pub(super) fn request(base: &Url, walk: Walk, cursor: Option<&Cursor>, per_page: u32) -> Ask {
    let mut filters = vec![json!({"field": "updated_at", "operator": ">", "value": walk.greater_than()})];
    if walk.what == What::Users {
        filters.push(json!({"field": "role", "operator": "=", "value": "user"}));
    }
    let mut pagination = json!({"per_page": per_page});
    if let Some(cursor) = cursor {
        pagination["starting_after"] = Value::from(Place::of(walk, cursor).after);
    }
    let order = if walk.stops_behind().is_some() { "descending" } else { "ascending" };
    let body = json!({
        "query": {"operator": "AND", "value": filters},
        "pagination": pagination,
        "sort": {"field": "updated_at", "order": order},
    });
    Ask::post(settings::at(base, walk.path()), body.to_string())
}

/// What a cursor says: the vendor's part, and for a walk that may stop early the last time seen, so that the order is
/// checked across pages too.
struct Place<'a> {
    after: &'a str,
    /// `None` once the rows were out of order.
    last: Option<i64>,
}

impl<'a> Place<'a> {
    fn of(walk: Walk, cursor: &'a Cursor) -> Place<'a> {
        if walk.stops_behind().is_none() {
            return Place { after: &cursor.value, last: None };
        }
        let (last, after) = cursor.value.split_once('|').unwrap_or((UNORDERED, &cursor.value));
        Place { after, last: last.parse().ok() }
    }

    fn cursor(&self, walk: Walk) -> Cursor {
        let value = match (walk.stops_behind(), self.last) {
            (None, _) => self.after.to_owned(),
            (Some(_), Some(last)) => format!("{last}|{}", self.after),
            (Some(_), None) => format!("{UNORDERED}|{}", self.after),
        };
        Cursor { value, resumable: true }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    conversations: Option<Vec<&'a RawValue>>,
    total_count: Option<u64>,
    #[serde(borrow)]
    pages: Option<Pages<'a>>,
}

#[derive(Deserialize)]
struct Pages<'a> {
    #[serde(borrow)]
    next: Option<Next<'a>>,
}

#[derive(Deserialize)]
struct Next<'a> {
    #[serde(borrow)]
    starting_after: Option<Cow<'a, str>>,
}

/// What the answer to a request for a page means. `cursor` is the one it was asked with.
pub(super) fn read(answer: &Answer, walk: Walk, cursor: Option<&Cursor>) -> Result<Page, Refusal> {
    if !answer.is_ok() {
        return Err(refused(answer, walk.path(), cursor.is_some()));
    }
    let envelope: Envelope<'_> = envelope::parse(answer)?;
    let records = envelope.data.or(envelope.conversations);
    let records = records.ok_or_else(|| Refusal::malformed(answer, "an answer without a list"))?;
    let after = envelope.pages.and_then(|pages| pages.next).and_then(|next| next.starting_after);
    let mut next = None;
    if let Some(after) = after.filter(|after| !after.is_empty()) {
        let place = match walk.stops_behind() {
            None => Some(Place { after: &after, last: None }),
            Some(start) => {
                let before = cursor.map_or(Some(i64::MAX), |cursor| Place::of(walk, cursor).last);
                let last = descending(before, &records);
                let behind = last.is_some_and(|last| last < start);
                (!behind).then_some(Place { after: &after, last })
            }
        };
        next = place.map(|place| place.cursor(walk));
    }
    let records = envelope::places(answer, &records)?;
    let stated = envelope.total_count.filter(|_| walk.stops_behind().is_none());
    Ok(Page { body: answer.body.clone(), records, next, stated, requests: 0, fetched_at: answer.at })
}

#[derive(Deserialize)]
struct Stamped<'a> {
    #[serde(borrow)]
    updated_at: Option<&'a RawValue>,
}

/// The last time of rows that go down from `before`; `None` when they do not, or one has no time.
fn descending(before: Option<i64>, records: &[&RawValue]) -> Option<i64> {
    records.iter().try_fold(before?, |before, record| {
        let stamped: Stamped<'_> = serde_json::from_str(record.get()).ok()?;
        let time: i64 = stamped.updated_at?.get().parse().ok()?;
        // Beyond 1e11 it is milliseconds, stored by mistake.
        let seconds = if time > 100_000_000_000 { time / 1000 } else { time };
        (seconds <= before).then_some(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ask::Body;
    use proto::source::Trouble;

    fn walk(dataset: &str, from: &str) -> Walk {
        Walk::of(dataset, from.parse().unwrap()).unwrap()
    }

    fn body(walk: Walk, cursor: Option<&Cursor>) -> Value {
        let ask = request(&Url::parse("https://h").unwrap(), walk, cursor, 150);
        let Some(Body::Json(text)) = ask.body else { panic!("no body") };
        serde_json::from_str(&text).unwrap()
    }

    fn cursor(value: &str) -> Cursor {
        Cursor { value: value.to_owned(), resumable: true }
    }

    fn ok(walk: Walk, after: Option<&Cursor>, text: &str) -> Page {
        read(&Answer::scripted(200, &[], text), walk, after).unwrap()
    }

    #[test]
    fn the_first_read_asks_for_everything_oldest_first() {
        for from in ["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"] {
            let expected = json!({
                "query": {"operator": "AND", "value": [
                    {"field": "updated_at", "operator": ">", "value": 0},
                    {"field": "role", "operator": "=", "value": "user"}
                ]},
                "pagination": {"per_page": 150},
                "sort": {"field": "updated_at", "order": "ascending"}
            });
            assert_eq!(body(walk("users", from), None), expected);
        }
    }

    #[test]
    fn contacts_are_asked_for_two_days_more_and_newest_first() {
        let walk = walk("contacts", "2026-11-20T08:00:00Z");
        let sent = body(walk, Some(&cursor("1795161600|WzEsMl0=")));
        assert_eq!(
            sent["query"]["value"],
            json!([
                {"field": "updated_at", "operator": ">", "value": 1_795_161_600 - 2 * DAY}
            ])
        );
        assert_eq!(sent["sort"]["order"], "descending");
        assert_eq!(sent["pagination"], json!({"per_page": 150, "starting_after": "WzEsMl0="}));
    }

    #[test]
    fn conversations_are_asked_for_from_the_first_second_of_the_window_on() {
        let walk = walk("conversations", "2026-11-20T08:00:00Z");
        let sent = body(walk, Some(&cursor("WzEsMl0=")));
        assert_eq!(sent["query"]["value"][0]["value"], 1_795_161_599);
        assert_eq!(sent["sort"]["order"], "ascending");
        assert_eq!(sent["pagination"]["starting_after"], "WzEsMl0=");
    }

    #[test]
    fn the_last_page_has_no_next_or_a_null_one() {
        let walk = walk("conversations", "1970-01-01T00:00:00Z");
        let page = ok(walk, None, include_str!("../../fixtures/intercom_conversations.json"));
        assert_eq!((page.records.len(), page.next, page.stated), (1, None, Some(1)));
        for pages in ["null", r#"{"next":null}"#, r#"{"next":{"starting_after":null}}"#, r#"{"total_pages":0}"#] {
            let page = ok(walk, None, &format!(r#"{{"conversations":[],"total_count":0,"pages":{pages}}}"#));
            assert_eq!((page.records.len(), page.next), (0, None), "{pages}");
        }
    }

    #[test]
    fn the_next_cursor_is_the_vendors() {
        let page =
            ok(walk("contacts", "1970-01-01T00:00:00Z"), None, include_str!("../../fixtures/intercom_contacts.json"));
        assert_eq!(page.next, Some(cursor("Wy0xLCI1ZjIyYzQzZjkxMjU5NmY1MDNiMjA4ZWUiLDJd")));
        assert_eq!((page.records.len(), page.stated), (1, Some(78)));
    }

    fn rows(times: &[&str]) -> String {
        let rows: Vec<_> = times.iter().map(|time| format!(r#"{{"id":"1","updated_at":{time}}}"#)).collect();
        format!(r#"{{"data":[{}],"total_count":9,"pages":{{"next":{{"starting_after":"c"}}}}}}"#, rows.join(","))
    }

    #[test]
    fn a_walk_newest_first_stops_behind_the_windows_start() {
        let walk = walk("users", "1970-01-03T00:00:00Z");
        let page = ok(walk, None, &rows(&["172802", "172800"]));
        assert_eq!((page.next, page.stated), (Some(cursor("172800|c")), None));
        let page = ok(walk, Some(&cursor("172800|c")), &rows(&["172800", "172799"]));
        assert_eq!((page.records.len(), page.next), (2, None));
    }

    #[test]
    fn a_walk_whose_order_is_broken_does_not_stop_early() {
        let walk = walk("users", "1970-01-03T00:00:00Z");
        for times in [&["9", "172900"][..], &["null", "9"], &["\"x\"", "9"]] {
            assert_eq!(ok(walk, None, &rows(times)).next, Some(cursor("-|c")), "{times:?}");
        }
        // Out of order between two pages, and for the rest of the walk.
        assert_eq!(ok(walk, Some(&cursor("8|b")), &rows(&["9"])).next, Some(cursor("-|c")));
        assert_eq!(ok(walk, Some(&cursor("-|b")), &rows(&["9"])).next, Some(cursor("-|c")));
        // Milliseconds stored by mistake are in order.
        assert_eq!(ok(walk, None, &rows(&["1795161600000", "1795161599"])).next, Some(cursor("1795161599|c")));
    }

    #[test]
    fn what_is_not_a_page_is_malformed() {
        let walk = walk("contacts", "1970-01-01T00:00:00Z");
        let page = include_str!("../../fixtures/intercom_contacts.json");
        for text in ["", "{}", "<html>", &page[..page.len() / 2]] {
            let refusal = read(&Answer::scripted(200, &[], text), walk, None).unwrap_err();
            assert_eq!(refusal.trouble, Trouble::Malformed);
        }
    }
}
