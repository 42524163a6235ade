//! Intercom: contacts, users and conversations by search, companies by scroll, the small lists in one request.
//!
//! Each way of reading has its own module ([`super::intercom_search`], [`super::intercom_scroll`]) and says there what
//! it relies on. The version header is sent with every request. The rate is the account's, held back by the vendor's
//! `X-RateLimit` headers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_trait::async_trait;
use proto::dataset::Dataset;
use proto::id::AccountName;
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Cursor, Partition, Unit};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::ask::{Answer, Ask, How, Lost};
use super::envelope;
use super::http::Http;
use super::intercom_refusals::refused;
use super::intercom_scroll as scroll;
use super::intercom_search::{self as search, Walk};
use super::page_size::PageSize;
use super::refusal::Refusal;
use super::session::Session;
use super::settings::{self, BadSettings, HttpSettings, IntercomSettings};
use super::token::Tokens;

const ME: &str = "GET /me";
const SCROLL: &str = "GET /companies/scroll";
/// No scroll has met a 404 after a full page yet.
const NOWHERE: u64 = u64::MAX;

/// An Intercom workspace as a source of contacts, companies, conversations and small lists.
pub struct Intercom {
    session: Session,
    base: Url,
    settings: IntercomSettings,
    page_size: PageSize,
    /// After how many companies the last scroll met a 404 behind a full page.
    missing_at: AtomicU64,
}

impl Intercom {
    /// The source of one workspace. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting is outside what the vendor takes, or TLS is not available.
    pub fn new(account: AccountName, settings: IntercomSettings, http: HttpSettings) -> Result<Self, BadSettings> {
        let base = settings::base(&settings.base_url)?;
        let page_size = PageSize::new(settings::within("page_size", settings.page_size, 1, 150)?);
        let http = Http::new(http, &[settings.rate])?;
        let session = Session::new(account, http, Tokens::Fixed(settings.token.clone()));
        Ok(Intercom { session, base, settings, page_size, missing_at: AtomicU64::new(NOWHERE) })
    }

    fn with_version(&self, ask: Ask) -> Ask {
        ask.header("intercom-version", &self.settings.version)
    }

    /// One page of a search. A page that is too slow for the vendor is asked for again at half the size: the cursor is
    /// a place in the order of the rows, so the size may change from page to page.
    async fn search(&self, walk: Walk, cursor: Option<&Cursor>, tally: &mut u32) -> Result<Page, SourceError> {
        let asked = AtomicU32::new(0);
        let build = || {
            let size = self.page_size.get();
            asked.store(size, Ordering::Relaxed);
            Ok(self.with_version(search::request(&self.base, walk, cursor, size)))
        };
        let judge = |heard: Result<&Answer, &Lost>| {
            let too_slow = match heard {
                Ok(answer) => matches!(answer.status, 408 | 502..=504),
                Err(lost) => lost.how == How::Broken,
            };
            if too_slow {
                self.page_size.too_slow(asked.load(Ordering::Relaxed));
            }
            let page = search::read(heard.map_err(Refusal::lost)?, walk, cursor)?;
            self.page_size.worked();
            Ok(page)
        };
        self.session.ask(walk.endpoint(), tally, build, judge).await
    }

    /// One page of companies. Nothing that may have reached the vendor is sent twice: the vendor keeps the place, and
    /// a second try would skip what the first one's lost answer held.
    async fn scroll(&self, cursor: Option<&Cursor>, tally: &mut u32) -> Result<Page, SourceError> {
        let build = || scroll::request(&self.base, cursor).map(|ask| self.with_version(ask));
        let idle = self.settings.scroll_idle;
        let judge = |heard: Result<&Answer, &Lost>| {
            scroll::read(heard, cursor, idle, self.missing_at.load(Ordering::Relaxed)).inspect_err(|refusal| {
                if let (Some(404), Some(rows)) = (refusal.status, cursor.and_then(scroll::rows)) {
                    self.missing_at.store(rows, Ordering::Relaxed);
                }
            })
        };
        self.session.ask(SCROLL, tally, build, judge).await
    }

    async fn list(&self, dataset: &str, tally: &mut u32) -> Result<Page, SourceError> {
        let Some((endpoint, path)) = list_of(dataset) else {
            let refusal = Refusal::new(Trouble::Rejected, "Intercom has no such dataset");
            return Err(self.session.error(dataset, refusal, *tally));
        };
        let build = || Ok(self.with_version(list_request(&self.base, path)));
        let judge = |heard: Result<&Answer, &Lost>| list_read(heard.map_err(Refusal::lost)?, path);
        self.session.ask(endpoint, tally, build, judge).await
    }
}

#[async_trait]
impl Source for Intercom {
    async fn partitions(&self, _dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
        Ok(vec![Partition::new()])
    }

    async fn fetch(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<Page, SourceError> {
        let mut requests = 0;
        let page = match Walk::of(&unit.dataset, unit.window.from) {
            Some(walk) => self.search(walk, cursor, &mut requests).await?,
            None if unit.dataset == "companies" => self.scroll(cursor, &mut requests).await?,
            None => self.list(&unit.dataset, &mut requests).await?,
        };
        Ok(Page { requests, ..page })
    }

    async fn check(&self) -> Result<String, SourceError> {
        let build = || Ok(self.with_version(Ask::get(settings::at(&self.base, "/me"))));
        let judge = |heard: Result<&Answer, &Lost>| me_read(heard.map_err(Refusal::lost)?);
        self.session.ask(ME, &mut 0, build, judge).await
    }
}

/// Endpoint for messages and path of the datasets that come in one answer.
fn list_of(dataset: &str) -> Option<(&'static str, &'static str)> {
    match dataset {
        "admins" => Some(("GET /admins", "/admins")),
        "teams" => Some(("GET /teams", "/teams")),
        "tags" => Some(("GET /tags", "/tags")),
        "segments" => Some(("GET /segments", "/segments")),
        _ => None,
    }
}

fn list_request(base: &Url, path: &str) -> Ask {
    let mut url = settings::at(base, path);
    match path {
        "/segments" => url.set_query(Some("include_count=true")),
        "/admins" => url.set_query(Some("display_avatar=true")),
        _ => {}
    }
    Ask::get(url)
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    admins: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    teams: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    segments: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    pages: Option<Pages>,
}

#[derive(Deserialize)]
struct Pages {
    next: Option<serde::de::IgnoredAny>,
}

/// What the answer to a list means. The lists have one page; if one ever has more, saying so beats losing the rest.
fn list_read(answer: &Answer, path: &str) -> Result<Page, Refusal> {
    if !answer.is_ok() {
        return Err(refused(answer, path, false));
    }
    let list: List<'_> = envelope::parse(answer)?;
    let records = list.admins.or(list.teams).or(list.segments).or(list.data);
    let records = records.ok_or_else(|| Refusal::malformed(answer, "an answer without a list"))?;
    if list.pages.is_some_and(|pages| pages.next.is_some()) {
        return Err(Refusal::new(
            Trouble::Rejected,
            "the list has more than one page, which the API does not document",
        ));
    }
    let records = envelope::places(answer, &records)?;
    let (body, fetched_at) = (answer.body.clone(), answer.at);
    Ok(Page { body, records, next: None, stated: None, requests: 0, fetched_at })
}

#[derive(Deserialize)]
struct Me {
    app: Option<App>,
}

#[derive(Deserialize)]
struct App {
    name: Option<String>,
    timezone: Option<String>,
}

fn me_read(answer: &Answer) -> Result<String, Refusal> {
    if !answer.is_ok() {
        return Err(refused(answer, "/me", false));
    }
    let me: Me = envelope::parse(answer)?;
    let app = me.app.ok_or_else(|| Refusal::malformed(answer, "an answer without app"))?;
    let (name, zone) = (app.name.unwrap_or_default(), app.timezone.unwrap_or_default());
    Ok(format!("workspace {name}, zone {zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_asked_for_and_read_under_its_own_name() {
        for (dataset, url, body, count) in [
            ("admins", "https://h/admins?display_avatar=true", include_str!("../../fixtures/intercom_admins.json"), 1),
            ("teams", "https://h/teams", r#"{"type":"team.list","teams":[]}"#, 0),
            ("tags", "https://h/tags", include_str!("../../fixtures/intercom_tags.json"), 1),
            (
                "segments",
                "https://h/segments?include_count=true",
                include_str!("../../fixtures/intercom_segments.json"),
                2,
            ),
        ] {
            let (_, path) = list_of(dataset).unwrap();
            assert_eq!(list_request(&Url::parse("https://h").unwrap(), path).url.as_str(), url);
            let page = list_read(&Answer::scripted(200, &[], body), path).unwrap();
            assert_eq!((page.records.len(), page.next, page.stated), (count, None, None));
        }
    }

    #[test]
    fn a_list_that_is_missing_is_not_an_empty_one_and_a_second_page_is_not_lost_in_silence() {
        let trouble = |body: &str| list_read(&Answer::scripted(200, &[], body), "/segments").unwrap_err().trouble;
        assert_eq!(trouble(r#"{"type":"segment.list"}"#), Trouble::Malformed);
        assert_eq!(trouble(r#"{"segments":[],"pages":{"next":"https://h/segments?page=2"}}"#), Trouble::Rejected);
        let body = r#"{"segments":[],"pages":{"next":null}}"#;
        assert!(list_read(&Answer::scripted(200, &[], body), "/segments").is_ok());
    }

    #[test]
    fn the_check_names_the_workspace_and_its_zone() {
        let answer = Answer::scripted(200, &[], include_str!("../../fixtures/intercom_me.json"));
        assert_eq!(me_read(&answer).unwrap(), "workspace MyApp 1, zone America/Los_Angeles");
    }
}
