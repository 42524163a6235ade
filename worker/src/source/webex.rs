//! Webex Calling detailed call history: `cdr_feed`, one walk per window of at most 12 hours.
//!
//! What the adapter relies on, from the vendor's documentation unless marked:
//! - the feed answers from 30 days ago, to the second, until 5 minutes ago; a window is moved inside before it is asked
//!   for, and one that lies wholly outside is refused here, because it would read as empty;
//! - the next page is a link in a header, followed as it stands, and never to a host that is not the vendor's;
//! - the count of the window stands in that link only (`totalCount`);
//! - records at the edge of two pages may repeat, as the link is a time (inferred);
//! - 404 with "No CDRs" is an empty window, and so is 200 with an empty list; 200 without any list is no
//!   answer, because taking it for an empty window would lose one;
//! - one initial request a minute and ten for pages, per user token: each has its own rate;
//! - 451 names the host of the account's region; it is followed and remembered.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use proto::dataset::Dataset;
use proto::id::AccountName;
use proto::instant::{self, Digits};
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Cursor, Partition, Unit, Window};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::ask::{Answer, Ask, Lost};
use super::envelope;
use super::http::Http;
use super::refusal::{Complaint, Refusal};
use super::session::Session;
use super::settings::{self, BadSettings, HttpSettings, WebexCredentials, WebexSettings};
use super::token::{Grant, Tokens};
use super::webex_link as link;

const CDR_FEED: &str = "GET /v1/cdr_feed";
/// The lanes of the pace.
const INITIAL: usize = 0;
const PAGES: usize = 1;

/// The smallest page that the feed gives.
const LEAST: u32 = 500;

/// A Webex Calling account as a source of call records.
pub struct Webex {
    session: Session,
    base: Url,
    settings: WebexSettings,
    /// The host of the account's region, once a 451 answer named it. A plain lock, never held across an await.
    region: Mutex<Option<Url>>,
}

impl Webex {
    /// The source of one account. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting is outside what the vendor takes, or TLS is not available.
    pub fn new(account: AccountName, settings: WebexSettings, http: HttpSettings) -> Result<Self, BadSettings> {
        let base = settings::base(&settings.api_url)?;
        let auth = settings::base(&settings.auth_url)?;
        settings::within("page_size", settings.page_size, LEAST, 5000)?;
        let tokens = match &settings.credentials {
            WebexCredentials::Access(token) => Tokens::Fixed(token.clone()),
            WebexCredentials::Refresh { client_id, client_secret, refresh_token } => Tokens::granted(Grant::Refresh {
                url: settings::at(&auth, "/v1/access_token"),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                refresh_token: refresh_token.clone(),
            }),
        };
        let http = Http::new(http, &[settings.initial_rate, settings.page_rate])?;
        Ok(Webex { session: Session::new(account, http, tokens), base, settings, region: Mutex::new(None) })
    }

    /// One page of a window. A first page as long as was asked for and without a next link is either all of a window
    /// that holds just so many records, or a link that got lost; the total stands in the link only. It is asked for
    /// again in another size, which tells.
    async fn page(&self, window: Window, cursor: Option<&Cursor>) -> Result<Page, SourceError> {
        let size = self.settings.page_size;
        let page = self.sized_page(window, cursor, size).await?;
        let is_doubtful =
            |page: &Page, size: u32| cursor.is_none() && page.next.is_none() && page.records.len() >= size as usize;
        if !is_doubtful(&page, size) {
            return Ok(page);
        }
        let other = if size > LEAST { size - 1 } else { size + 1 };
        let again = self.sized_page(window, cursor, other).await?;
        let requests = page.requests + again.requests;
        if is_doubtful(&again, other) {
            let message =
                format!("{} records and no link to more, whatever the page size: the rest cannot be told", other);
            let refusal = Refusal::new(Trouble::Incomplete, &message);
            return Err(self.session.error(CDR_FEED, refusal, requests));
        }
        Ok(Page { requests, ..again })
    }

    async fn sized_page(&self, window: Window, cursor: Option<&Cursor>, size: u32) -> Result<Page, SourceError> {
        let mut requests = 0;
        let build = || request(&self.base, &self.host(), size, window, cursor, self.settings.clock.now());
        let judge = |heard: Result<&Answer, &Lost>| {
            let answer = heard.map_err(Refusal::lost)?;
            if answer.status == 451 {
                return Err(self.moved(answer));
            }
            read(answer, cursor, &self.base)
        };
        let page = self.session.ask(CDR_FEED, &mut requests, build, judge).await?;
        Ok(Page { requests, ..page })
    }

    /// The base address of the account's region.
    fn host(&self) -> Url {
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        region.clone().unwrap_or_else(|| self.base.clone())
    }

    /// Remembers the region that a 451 answer names. The request is then sent again, there; without a new name it is
    /// refused.
    fn moved(&self, answer: &Answer) -> Refusal {
        let complaint = Complaint::of(answer);
        let mut region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        match link::region(&complaint.message) {
            Some(named) if region.as_ref() != Some(&named) => {
                *region = Some(named);
                Refusal::answered(Trouble::Unavailable { after: None }, answer, &complaint)
            }
            _ => Refusal::answered(Trouble::Refused, answer, &complaint).hint("set api_url to the host of your region"),
        }
    }
}

#[async_trait]
impl Source for Webex {
    async fn partitions(&self, _dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
        Ok(vec![Partition::new()])
    }

    async fn fetch(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<Page, SourceError> {
        self.page(unit.window, cursor).await
    }

    /// Costs the one initial request of its minute.
    async fn check(&self) -> Result<String, SourceError> {
        let to = self.settings.clock.now() - newest();
        self.page(Window { from: to - Duration::minutes(1), to }, None).await?;
        Ok("call history readable".to_owned())
    }
}

/// The feed's newest instant, before now: 5 minutes, and some seconds for clocks that differ.
fn newest() -> Duration {
    Duration::seconds(305)
}

/// The feed's oldest instant, before now: 30 days less a minute, as the vendor is exact to the second.
fn oldest() -> Duration {
    Duration::days(30) - Duration::minutes(1)
}

/// The request for one page of a window, to the host of the account's region; `base` is the configured one.
///
/// # Errors
/// When the window lies where the feed does not answer, or the cursor leads away from the vendor.
fn request(
    base: &Url,
    host: &Url,
    page_size: u32,
    window: Window,
    cursor: Option<&Cursor>,
    now: DateTime<Utc>,
) -> Result<Ask, Refusal> {
    if let Some(cursor) = cursor {
        let url = Url::parse(&cursor.value).ok().filter(|url| link::is_trusted(url, base));
        let url = url.ok_or_else(|| Refusal::new(Trouble::Rejected, "the cursor leads to a host that is not Webex"))?;
        return Ok(Ask { lane: Some(PAGES), ..Ask::get(url) });
    }
    let (from, to) = (window.from.max(now - oldest()), window.to.min(now - newest()));
    if window.to <= now - oldest() {
        return Err(Refusal::new(Trouble::Rejected, "the window is older than the 30 days that the feed holds")
            .hint("older records are in the Calling Detailed Call History report of Control Hub"));
    }
    if from >= to {
        let after = (window.to - (now - newest())).to_std().ok();
        return Err(Refusal::new(
            Trouble::Unavailable { after },
            "the window is newer than the feed, 5 minutes behind",
        ));
    }
    let mut url = settings::at(host, "/v1/cdr_feed");
    url.query_pairs_mut()
        .append_pair("startTime", &instant::text(from, Digits::Millis))
        .append_pair("endTime", &instant::text(to, Digits::Millis))
        .append_pair("max", &page_size.to_string());
    Ok(Ask { lane: Some(INITIAL), ..Ask::get(url) })
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// What the answer to a request for a page means. `cursor` is the one it was asked with.
fn read(answer: &Answer, cursor: Option<&Cursor>, base: &Url) -> Result<Page, Refusal> {
    let asked_total = cursor.and_then(|cursor| link::total(&cursor.value));
    let page = |records, next, stated| Page {
        body: answer.body.clone(),
        records,
        next,
        stated,
        requests: 0,
        fetched_at: answer.at,
    };
    if !answer.is_ok() {
        let complaint = Complaint::of(answer);
        let nothing = answer.status == 404 && complaint.message.to_ascii_lowercase().contains("no cdr");
        return if nothing {
            Ok(page(Vec::new(), None, asked_total))
        } else {
            Err(refused(answer, &complaint, cursor))
        };
    }
    let envelope: Envelope<'_> = envelope::parse(answer)?;
    let items = envelope.items.ok_or_else(|| Refusal::malformed(answer, "an answer without items"))?;
    let records = envelope::places(answer, &items)?;
    let Some(next) = link::next(&answer.headers) else {
        return Ok(page(records, None, asked_total));
    };
    let url = Url::parse(next).map_err(|_| Refusal::malformed(answer, "a next link that is no address"))?;
    if !link::is_trusted(&url, base) {
        return Err(Refusal::new(Trouble::Rejected, "the next link leads to a host that is not Webex"));
    }
    let next = Cursor { value: next.to_owned(), resumable: true };
    let stated = link::total(&next.value).or(asked_total);
    Ok(page(records, Some(next), stated))
}

/// What a failure means. A 400 for a following page is about its link: the window was taken before.
fn refused(answer: &Answer, complaint: &Complaint, cursor: Option<&Cursor>) -> Refusal {
    match answer.status {
        400 if cursor.is_some() => Refusal::answered(Trouble::Restart { after: None }, answer, complaint),
        401 => Refusal::usual(answer, complaint).hint("the access token was refused: authorise the app again"),
        403 if !complaint.json => {
            Refusal::answered(Trouble::Unavailable { after: answer.retry_after() }, answer, complaint)
        }
        403 => Refusal::usual(answer, complaint).hint(
            "needs the scope spark-admin:calling_cdr_read and the role `Webex Calling Detailed Call History API access`",
        ),
        504 => Refusal::usual(answer, complaint).hint("if it goes on, make the page size smaller"),
        _ => Refusal::usual(answer, complaint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../fixtures/webex_cdr_feed.json");
    const NEXT: &str = "https://analytics-calling.webexapis.com/v1/cdr_feed?endTime=2025-08-15T10:00:00.000Z\
        &startTime=2025-08-15T08:00:00.000Z&startTimeForNextFetch=2025-08-15T09:30:00.000Z&totalCount=20000&max=5000";

    fn base() -> Url {
        Url::parse("https://analytics-calling.webexapis.com").unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T08:00:00Z".parse().unwrap()
    }

    fn asked(from: &str, to: &str) -> Result<String, Trouble> {
        let window = Window { from: from.parse().unwrap(), to: to.parse().unwrap() };
        let ask = request(&base(), &base(), 5000, window, None, now());
        ask.map(|ask| ask.url.to_string()).map_err(|refusal| refusal.trouble)
    }

    fn url(from: &str, to: &str) -> String {
        let (from, to) = (from.replace(':', "%3A"), to.replace(':', "%3A"));
        format!("https://analytics-calling.webexapis.com/v1/cdr_feed?startTime={from}&endTime={to}&max=5000")
    }

    #[test]
    fn a_window_is_asked_for_in_milliseconds_and_moved_inside_what_the_feed_holds() {
        for (from, to, asked_from, asked_to) in [
            ("2026-11-19T00:00:00Z", "2026-11-19T12:00:00Z", "2026-11-19T00:00:00.000Z", "2026-11-19T12:00:00.000Z"),
            ("2026-10-21T08:00:30Z", "2026-10-21T12:00:00Z", "2026-10-21T08:01:00.000Z", "2026-10-21T12:00:00.000Z"),
            ("2026-11-20T00:00:00Z", "2026-11-20T07:58:00Z", "2026-11-20T00:00:00.000Z", "2026-11-20T07:54:55.000Z"),
        ] {
            assert_eq!(asked(from, to), Ok(url(asked_from, asked_to)));
        }
    }

    #[test]
    fn a_window_outside_what_the_feed_holds_is_refused_and_not_read_as_empty() {
        assert_eq!(asked("2026-10-01T00:00:00Z", "2026-10-01T12:00:00Z"), Err(Trouble::Rejected));
        let after = Some(std::time::Duration::from_secs(300));
        assert_eq!(asked("2026-11-20T07:55:00Z", "2026-11-20T07:59:55Z"), Err(Trouble::Unavailable { after }));
    }

    #[test]
    fn the_next_page_is_the_link_as_it_stands_at_its_own_rate_and_only_at_the_vendor() {
        let window = Window { from: now(), to: now() };
        let next = |value: &str| {
            let cursor = Cursor { value: value.to_owned(), resumable: true };
            request(&base(), &base(), 5000, window, Some(&cursor), now())
        };
        let ask = next(NEXT).unwrap();
        assert_eq!((ask.url.as_str(), ask.lane), (NEXT, Some(PAGES)));
        assert_eq!(next("https://evil.example/v1/cdr_feed").unwrap_err().trouble, Trouble::Rejected);
        assert_eq!(next("not an address").unwrap_err().trouble, Trouble::Rejected);
    }

    #[test]
    fn a_page_has_its_records_the_link_and_the_count_in_it() {
        let link = format!("<<{NEXT}>;rel=\"next\">");
        let page = read(&Answer::scripted(200, &[("link", &link)], PAGE), None, &base()).unwrap();
        assert_eq!((page.records.len(), page.stated), (1, Some(20_000)));
        let cursor = page.next.unwrap();
        assert_eq!(cursor, Cursor { value: NEXT.to_owned(), resumable: true });
        // The last page has no link; what the walk has in all stood in the link that led to it.
        let last = read(&Answer::scripted(200, &[], PAGE), Some(&cursor), &base()).unwrap();
        assert_eq!((last.next, last.stated), (None, Some(20_000)));
        let only = read(&Answer::scripted(200, &[], PAGE), None, &base()).unwrap();
        assert_eq!((only.next, only.stated), (None, None));
    }

    #[test]
    fn an_empty_window_is_a_404_that_says_so_or_an_empty_list() {
        let nothing = include_str!("../../fixtures/webex_no_cdrs.json");
        for (status, body) in [(404, nothing), (200, r#"{"items":[]}"#)] {
            let page = read(&Answer::scripted(status, &[], body), None, &base()).unwrap();
            assert_eq!((page.records.len(), page.next, page.stated), (0, None, None), "{body}");
        }
    }

    #[test]
    fn a_link_away_from_the_vendor_is_not_followed() {
        let answer = Answer::scripted(200, &[("link", "<https://evil.example/v1/cdr_feed>; rel=\"next\"")], PAGE);
        assert_eq!(read(&answer, None, &base()).unwrap_err().trouble, Trouble::Rejected);
    }

    #[test]
    fn each_failure_has_its_trouble() {
        let cursor = Cursor { value: NEXT.to_owned(), resumable: true };
        let error = include_str!("../../fixtures/webex_error.json");
        let (busy, down) = (Trouble::Busy { after: None }, Trouble::Unavailable { after: None });
        for (status, body, following, trouble) in [
            (400, error, false, Trouble::Rejected),
            (400, error, true, Trouble::Restart { after: None }),
            (401, error, true, Trouble::Refused),
            (403, error, false, Trouble::Refused),
            (403, "<html>", false, down.clone()),
            (404, r#"{"errorCode":404,"message":"Not Found"}"#, false, Trouble::Rejected),
            (404, "<html>", false, Trouble::Rejected),
            (429, error, false, busy),
            (500, error, false, down.clone()),
            (502, "<html>", true, down.clone()),
            (504, error, true, down),
            (200, "", false, Trouble::Malformed),
            (200, "<html>", false, Trouble::Malformed),
            (200, &PAGE[..500], false, Trouble::Malformed),
        ] {
            let asked = following.then_some(&cursor);
            let refusal = read(&Answer::scripted(status, &[], body), asked, &base()).unwrap_err();
            assert_eq!(refusal.trouble, trouble, "{status} {body}");
        }
    }

    #[test]
    fn the_region_that_a_451_names_is_remembered_and_named_twice_it_is_refused() {
        let credentials = WebexCredentials::Access(proto::secret::Secret::new("t"));
        let account = AccountName::parse("main").unwrap();
        let webex = Webex::new(account, WebexSettings::new(credentials), HttpSettings::default()).unwrap();
        let body = r#"{"message":"Please use analytics-calling-eu.webexapis.com"}"#;
        let answer = Answer::scripted(451, &[], body);
        assert_eq!(webex.moved(&answer).trouble, Trouble::Unavailable { after: None });
        assert_eq!(webex.host().as_str(), "https://analytics-calling-eu.webexapis.com/");
        assert_eq!(webex.moved(&answer).trouble, Trouble::Refused);
        assert_eq!(webex.moved(&Answer::scripted(451, &[], "{}")).trouble, Trouble::Refused);
    }
}
