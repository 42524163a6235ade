//! Intercom's companies: a scroll whose place the vendor keeps. Pure.
//!
//! What it relies on, from the vendor's documentation unless marked:
//! - a workspace has one scroll at a time; a second start is answered with 400 `scroll_exists` until the first has been
//!   idle for a minute;
//! - the same `scroll_param` comes with every page, so it tells nothing about the end (running code);
//! - the end is an empty page; or, seen by running code, a 404 behind the last one;
//! - a 404 also means that the scroll has expired, and a 500 that it cannot go on: the walk starts anew;
//! - a request that may have reached the vendor is never sent again: the vendor has moved on, and the rows of a lost
//!   answer would be missing. The walk starts anew once the old scroll has expired.
//!
//! A cursor is therefore not resumable. It also counts rows, to tell the two meanings of 404 apart.

use std::time::Duration;

use chrono::DateTime;
use proto::source::{Page, Trouble};
use proto::unit::Cursor;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::ask::{Answer, Ask, How, Lost};
use super::envelope;
use super::intercom_refusals::refused;
use super::refusal::{Complaint, Refusal};
use super::settings;

const PATH: &str = "/companies/scroll";
/// Rows of a full page. It cannot be set (running code).
const FULL: u64 = 100;

/// Where a scroll stands.
struct Place<'a> {
    /// Companies so far.
    rows: u64,
    /// Companies on the page before.
    last: u64,
    /// When that page was here, in milliseconds since 1970.
    at: i64,
    param: &'a str,
}

impl<'a> Place<'a> {
    fn of(cursor: &'a Cursor) -> Option<Place<'a>> {
        let mut parts = cursor.value.splitn(4, ':');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (rows, last, at) = (number()?, number()?, number()?);
        Some(Place { rows: rows.try_into().ok()?, last: last.try_into().ok()?, at, param: parts.next()? })
    }

    fn cursor(&self) -> Cursor {
        let value = format!("{}:{}:{}:{}", self.rows, self.last, self.at, self.param);
        Cursor { value, resumable: false }
    }
}

/// How many companies came before this cursor.
pub(super) fn rows(cursor: &Cursor) -> Option<u64> {
    Place::of(cursor).map(|place| place.rows)
}

/// The request for one page.
///
/// # Errors
/// When the cursor is not one of ours.
pub(super) fn request(base: &Url, cursor: Option<&Cursor>) -> Result<Ask, Refusal> {
    let mut url = settings::at(base, PATH);
    if let Some(cursor) = cursor {
        let place = Place::of(cursor)
            .ok_or_else(|| Refusal::new(Trouble::Restart { after: None }, "the cursor is not one of a scroll"))?;
        url.query_pairs_mut().append_pair("scroll_param", place.param);
    }
    Ok(Ask::get(url))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    scroll_param: Option<String>,
}

/// What was heard after a request for a page. `cursor` is the one it was asked with, `idle` how long the vendor keeps a
/// scroll, `missing_at` after how many rows the scroll before this one met a 404 behind a full page.
pub(super) fn read(
    heard: Result<&Answer, &Lost>,
    cursor: Option<&Cursor>,
    idle: Duration,
    missing_at: u64,
) -> Result<Page, Refusal> {
    let answer = match heard {
        Ok(answer) => answer,
        Err(lost) if lost.how == How::Broken => return Err(Refusal { trouble: anew(idle), ..Refusal::lost(lost) }),
        Err(lost) => return Err(Refusal::lost(lost)),
    };
    let place = cursor.and_then(Place::of);
    match (answer.status, &place) {
        (200..=299, _) => page(answer, place.as_ref()).map_err(|refusal| Refusal { trouble: anew(idle), ..refusal }),
        (404, Some(place)) => {
            if is_end(place, answer, idle, missing_at) {
                let (body, fetched_at) = (answer.body.clone(), answer.at);
                return Ok(Page { body, records: Vec::new(), next: None, stated: None, requests: 0, fetched_at });
            }
            Err(Refusal::answered(Trouble::Restart { after: None }, answer, &Complaint::of(answer)))
        }
        (400, _) => {
            let complaint = Complaint::of(answer);
            if complaint.has("scroll_exists") {
                return Err(Refusal::answered(anew(idle), answer, &complaint)
                    .hint("another program may be scrolling this workspace"));
            }
            Err(refused(answer, PATH, cursor.is_some()))
        }
        (408 | 500..=599, _) => Err(Refusal::answered(anew(idle), answer, &Complaint::of(answer))),
        _ => Err(refused(answer, PATH, cursor.is_some())),
    }
}

/// A new scroll, as soon as the vendor has let the old one go.
fn anew(idle: Duration) -> Trouble {
    Trouble::Restart { after: Some(idle) }
}

/// Whether a 404 is the end. Never after the scroll may have expired. In time, behind a page that was not full, it
/// is. Behind a full one it is the end of a multiple of 100 companies or a scroll that was lost: taken for the end only
/// when the scroll before this one met it at the same place. So at worst the walk is done twice, and no row is missing.
fn is_end(place: &Place<'_>, answer: &Answer, idle: Duration, missing_at: u64) -> bool {
    let since = DateTime::from_timestamp_millis(place.at).map(|at| answer.at - at);
    let in_time = since.and_then(|since| since.to_std().ok()).is_some_and(|since| since < idle);
    in_time && (place.last < FULL || missing_at == place.rows)
}

fn page(answer: &Answer, place: Option<&Place<'_>>) -> Result<Page, Refusal> {
    let envelope: Envelope<'_> = envelope::parse(answer)?;
    let records = envelope.data.ok_or_else(|| Refusal::malformed(answer, "an answer without data"))?;
    let records = envelope::places(answer, &records)?;
    let next = match (records.len() as u64, envelope.scroll_param.filter(|param| !param.is_empty())) {
        (0, _) => None,
        (_, None) => return Err(Refusal::malformed(answer, "a page without scroll_param")),
        (last, Some(param)) => {
            let rows = place.map_or(0, |place| place.rows) + last;
            Some(Place { rows, last, at: answer.at.timestamp_millis(), param: &param }.cursor())
        }
    };
    Ok(Page { body: answer.body.clone(), records, next, stated: None, requests: 0, fetched_at: answer.at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const FIRST: &str = include_str!("../../fixtures/intercom_companies.json");
    /// A scripted answer comes at 2026-11-20T08:00:00Z.
    const NOW: i64 = 1_795_161_600_000;

    fn cursor(rows: u64, last: u64, at: i64) -> Cursor {
        Place { rows, last, at, param: "69352cd2-ab5b" }.cursor()
    }

    fn heard(status: u16, body: &str, cursor: Option<&Cursor>, missing_at: u64) -> Result<Page, Refusal> {
        read(Ok(&Answer::scripted(status, &[], body)), cursor, IDLE, missing_at)
    }

    #[test]
    fn the_same_scroll_param_on_every_page_is_no_end() {
        let first = heard(200, FIRST, None, 0).unwrap().next.unwrap();
        assert_eq!(first.value, format!("1:1:{NOW}:69352cd2-ab5b-42ac-b004-a13d4e55e9b0"));
        assert!(!first.resumable);
        let ask = request(&Url::parse("https://h").unwrap(), Some(&first)).unwrap();
        assert_eq!(ask.url.as_str(), "https://h/companies/scroll?scroll_param=69352cd2-ab5b-42ac-b004-a13d4e55e9b0");
        let second = heard(200, FIRST, Some(&first), 0).unwrap().next.unwrap();
        assert_eq!(rows(&second), Some(2));
    }

    #[test]
    fn an_empty_page_is_the_end() {
        let page = heard(200, r#"{"data":[],"scroll_param":"x"}"#, Some(&cursor(100, 100, NOW)), 0).unwrap();
        assert_eq!((page.records.len(), page.next, page.stated), (0, None, None));
    }

    #[test]
    fn a_404_is_the_end_behind_a_page_that_was_not_full_and_otherwise_only_twice_at_the_same_place() {
        let not_found = r#"{"type":"error.list","errors":[{"code":"not_found"}]}"#;
        for (place, missing_at, end) in [
            (cursor(142, 42, NOW), u64::MAX, true),
            (cursor(200, 100, NOW - 1_000), u64::MAX, false),
            (cursor(200, 100, NOW - 1_000), 100, false),
            (cursor(200, 100, NOW - 1_000), 200, true),
            (cursor(200, 100, NOW - 61_000), 200, false),
        ] {
            let heard = heard(404, not_found, Some(&place), missing_at);
            assert_eq!(heard.is_ok(), end, "{place:?} {missing_at}");
            if let Err(refusal) = heard {
                assert_eq!(refusal.trouble, Trouble::Restart { after: None });
            }
        }
        assert_eq!(heard(404, not_found, None, 0).unwrap_err().trouble, Trouble::Rejected);
    }

    #[test]
    fn what_may_have_reached_the_vendor_starts_the_walk_anew() {
        let anew = Trouble::Restart { after: Some(IDLE) };
        let place = cursor(100, 100, NOW);
        for cursor in [None, Some(&place)] {
            for (status, body) in [
                (500, "{}"),
                (502, "<html>"),
                (503, ""),
                (504, ""),
                (408, ""),
                (200, ""),
                (200, "{}"),
                (200, "<html>"),
                (200, &FIRST[..300]),
                (200, r#"{"data":[{}]}"#),
                (400, r#"{"errors":[{"code":"scroll_exists","message":"scroll already exists"}]}"#),
            ] {
                assert_eq!(heard(status, body, cursor, 0).unwrap_err().trouble, anew, "{status} {body}");
            }
            let lost = |how| read(Err(&Lost { how, cause: "x".into() }), cursor, IDLE, 0).unwrap_err().trouble;
            assert_eq!(lost(How::Broken), anew);
            // What was not sent may be sent again.
            assert_eq!(lost(How::Unsent), Trouble::Unavailable { after: None });
        }
    }

    #[test]
    fn what_was_refused_without_being_done_is_as_everywhere() {
        for (status, trouble) in
            [(401, Trouble::Refused), (403, Trouble::Refused), (429, Trouble::Busy { after: None })]
        {
            assert_eq!(heard(status, r#"{"errors":[]}"#, None, 0).unwrap_err().trouble, trouble);
        }
    }
}
