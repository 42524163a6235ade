//! 8x8 Analytics for Work: call records, one walk per PBX and window.
//!
//! What the adapter relies on, from the vendor's documentation unless marked:
//! - a window is given in wall clock time of a named zone; the end is taken as inclusive (so tools use it), which at
//!   worst repeats a second;
//! - every parameter is sent again with each page, plus `scrollId` of the page before (running code needs it);
//! - the walk ends at `scrollId: "No Data"`, which comes on an extra, empty page; also at a missing or empty one and at
//!   an empty page (running code);
//! - `totalRecordCount` is the count of the whole query on pages with rows, and 0 on the last, empty one;
//! - the `pbxId` of a request is the PBX's name, not its id;
//! - the window is about the start time or the end of a call, which is not said: the planner's look-back covers both.

use std::borrow::Cow;
use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, SubsecRound, TimeZone, Utc};
use chrono_tz::Tz;
use proto::dataset::{Dataset, Slicing};
use proto::id::AccountName;
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Cursor, Partition, Unit};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::ask::{Answer, Ask, Lost};
use super::eight_pbxes;
use super::envelope;
use super::http::Http;
use super::refusal::{Complaint, Refusal};
use super::session::Session;
use super::settings::{self, BadSettings, EightByEightSettings, HttpSettings, PbxPath};
use super::token::{Grant, Tokens};

const CALL_RECORDS: &str = "GET /v2/call-records";
/// Far more PBXes than an account has, in pages of 100: bounds a list that never ends.
const MOST_PBX_PAGES: u32 = 1000;

/// An 8x8 Analytics for Work account as a source of call records.
pub struct EightByEight {
    session: Session,
    base: Url,
    settings: EightByEightSettings,
}

impl EightByEight {
    /// The source of one account. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting is outside what the vendor takes, or TLS is not available.
    pub fn new(account: AccountName, settings: EightByEightSettings, http: HttpSettings) -> Result<Self, BadSettings> {
        let base = settings::base(&settings.base_url)?;
        settings::within("page_size", settings.page_size, 1, 7000)?;
        let tokens = Tokens::granted(Grant::Password {
            url: settings::at(&base, "/v1/oauth/token"),
            api_key: settings.api_key.clone(),
            username: settings.username.clone(),
            password: settings.password.clone(),
        });
        let session = Session::new(account, Http::new(http, &[settings.rate])?, tokens);
        Ok(EightByEight { session, base, settings })
    }

    /// The names of all PBXes that are not deleted, in order, each once.
    async fn pbxes(&self) -> Result<Vec<Partition>, SourceError> {
        let other = match self.settings.pbx_path {
            PbxPath::Documented => PbxPath::CustomerData,
            PbxPath::CustomerData => PbxPath::Documented,
        };
        let mut tally = 0;
        for path in [self.settings.pbx_path, other] {
            if let Some(names) = self.pbxes_at(path, &mut tally).await? {
                return Ok(names);
            }
        }
        let refusal = Refusal::new(Trouble::Refused, "neither path lists PBXes")
            .hint("check the base address; the account may lack Analytics for Work");
        Err(self.session.error(eight_pbxes::endpoint(self.settings.pbx_path), refusal, tally))
    }

    /// The names listed at one path; `None` where the path does not exist.
    async fn pbxes_at(&self, path: PbxPath, tally: &mut u32) -> Result<Option<Vec<Partition>>, SourceError> {
        // By name, whether there is one that is not deleted.
        let mut live: BTreeMap<String, bool> = BTreeMap::new();
        for page in 0..MOST_PBX_PAGES {
            let build = || Ok(self.with_key(eight_pbxes::request(&self.base, path, page)));
            let read = |heard: Result<&Answer, &Lost>| eight_pbxes::read(heard.map_err(Refusal::lost)?, page);
            let found = self.session.ask(eight_pbxes::endpoint(path), tally, build, read).await?;
            let Some(found) = found else { return Ok(None) };
            let mut new = false;
            for (name, deleted) in found.pbxes {
                let before = live.get(&name).copied();
                let now = before.unwrap_or_default() || !deleted;
                new |= before != Some(now);
                live.insert(name, now);
            }
            // A path that ignores the page number lists the same again: nothing new is the end.
            if !found.more || !new {
                break;
            }
        }
        Ok(Some(live.into_iter().filter(|(_, live)| *live).map(|(name, _)| name).collect()))
    }

    fn with_key(&self, ask: Ask) -> Ask {
        ask.header("8x8-apikey", self.settings.api_key.reveal())
    }
}

#[async_trait]
impl Source for EightByEight {
    async fn partitions(&self, dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
        match dataset.slicing {
            Slicing::PartitionDay => self.pbxes().await,
            Slicing::Windows(_) | Slicing::Entity => Ok(vec![Partition::new()]),
        }
    }

    async fn fetch(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<Page, SourceError> {
        let mut requests = 0;
        let build = || Ok(self.with_key(request(&self.base, &self.settings, unit, cursor)));
        let read = |heard: Result<&Answer, &Lost>| read(heard.map_err(Refusal::lost)?, cursor.is_some());
        let page = self.session.ask(CALL_RECORDS, &mut requests, build, read).await?;
        Ok(Page { requests, ..page })
    }

    async fn check(&self) -> Result<String, SourceError> {
        let count = self.pbxes().await?.len();
        Ok(format!("{count} PBX{}", if count == 1 { "" } else { "es" }))
    }
}

/// The request for one page of a unit.
fn request(base: &Url, settings: &EightByEightSettings, unit: &Unit, cursor: Option<&Cursor>) -> Ask {
    let mut url = settings::at(base, "/v2/call-records");
    let (from, to) = wall_clock(unit.window.from, unit.window.to, settings.zone);
    let text = |time: NaiveDateTime| time.format("%Y-%m-%d %H:%M:%S").to_string();
    url.query_pairs_mut()
        .append_pair("pbxId", &unit.partition)
        .append_pair("startTime", &text(from))
        .append_pair("endTime", &text(to))
        .append_pair("timeZone", settings.zone.name())
        .append_pair("pageSize", &settings.page_size.to_string());
    if let Some(cursor) = cursor {
        url.query_pairs_mut().append_pair("scrollId", &cursor.value);
    }
    Ask::get(url)
}

/// A window in wall clock time, in whole seconds. A bound in an hour that the clocks show twice could be read as
/// either, so it moves out to a time that they show once: the window grows by up to the length of the change.
fn wall_clock(from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> (NaiveDateTime, NaiveDateTime) {
    let outward = |at: DateTime<Utc>, step: Duration| {
        let mut local = at.with_timezone(&zone).naive_local();
        // No zone ever set its clocks back by more than a day.
        for _ in 0..96 {
            match zone.from_local_datetime(&local) {
                LocalResult::Single(_) => break,
                LocalResult::Ambiguous(..) | LocalResult::None => local += step,
            }
        }
        local
    };
    let quarter = Duration::minutes(15);
    let up = if to.timestamp_subsec_nanos() == 0 { Duration::zero() } else { Duration::seconds(1) };
    (outward(from.trunc_subsecs(0), -quarter), outward(to.trunc_subsecs(0) + up, quarter))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    total_record_count: Option<i64>,
    #[serde(borrow)]
    scroll_id: Option<Cow<'a, str>>,
}

/// What the answer to a request for a page means. `following` tells a page after the first.
fn read(answer: &Answer, following: bool) -> Result<Page, Refusal> {
    if !answer.is_ok() {
        return Err(refused(answer, following));
    }
    let envelope: Envelope<'_> = envelope::parse(answer)?;
    if envelope.meta.is_none() && envelope.data.is_none() {
        return Err(Refusal::malformed(answer, "an answer without meta and data"));
    }
    let records = envelope::places(answer, &envelope.data.unwrap_or_default())?;
    let (stated, scroll) = envelope.meta.map_or((None, None), |meta| (meta.total_record_count, meta.scroll_id));
    let next = scroll
        .filter(|id| !records.is_empty() && !id.is_empty() && id != "No Data")
        .map(|id| Cursor { value: id.into_owned(), resumable: true });
    Ok(Page {
        body: answer.body.clone(),
        records,
        next,
        stated: stated.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0),
        requests: 0,
        fetched_at: answer.at,
    })
}

/// What a failure of a page means. A 403, and a 400 with code 105-400-038, name a PBX that the user may not read: the
/// others go on. A 400 in the middle of a walk is about the cursor, as all else was taken before.
fn refused(answer: &Answer, following: bool) -> Refusal {
    let complaint = Complaint::of(answer);
    let no_access = complaint.has("105-400-038") || complaint.message.contains("does not have access");
    match answer.status {
        400 | 401 if complaint.has("SHA001") => {
            Refusal::answered(Trouble::Refused, answer, &complaint).hint("the 8x8 API key is wrong or was revoked")
        }
        403 if !complaint.json => {
            Refusal::answered(Trouble::Unavailable { after: answer.retry_after() }, answer, &complaint)
        }
        400 | 403 if no_access || answer.status == 403 => Refusal::answered(Trouble::Rejected, answer, &complaint)
            .hint("give the user access to call records of this PBX, or leave the PBX out"),
        400 if following => Refusal::answered(Trouble::Restart { after: None }, answer, &complaint),
        401 => Refusal::usual(answer, &complaint).hint("the user needs the access level `Analytics: Supervisor`"),
        _ => Refusal::usual(answer, &complaint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::catalog;
    use proto::id::RunId;
    use proto::secret::Secret;
    use proto::unit::Window;

    const PAGE: &str = include_str!("../../fixtures/8x8_call_records.json");
    const LAST: &str = include_str!("../../fixtures/8x8_call_records_last.json");

    fn unit(from: &str, to: &str) -> Unit {
        let window = Window { from: from.parse().unwrap(), to: to.parse().unwrap() };
        let dataset = catalog::find("8x8CallDetailRecords").unwrap();
        let account = AccountName::parse("main").unwrap();
        Unit::new(RunId::parse("run").unwrap(), account, dataset, "acmecorppbx".to_owned(), window)
    }

    fn ok(body: &str) -> Page {
        read(&Answer::scripted(200, &[], body), false).unwrap()
    }

    #[test]
    fn every_parameter_is_sent_with_each_page() {
        let secret = || Secret::new("x");
        let settings = EightByEightSettings::new(secret(), secret(), secret(), Tz::America__New_York);
        let base = settings::base(&settings.base_url).unwrap();
        let unit = unit("2022-02-03T05:00:00Z", "2022-02-04T05:00:00Z");
        let first = "https://api.8x8.com/analytics/work/v2/call-records?pbxId=acmecorppbx\
            &startTime=2022-02-03+00%3A00%3A00&endTime=2022-02-04+00%3A00%3A00&timeZone=America%2FNew_York&pageSize=1000";
        assert_eq!(request(&base, &settings, &unit, None).url.as_str(), first);
        let cursor = Cursor { value: "c3Vw=".to_owned(), resumable: true };
        assert_eq!(request(&base, &settings, &unit, Some(&cursor)).url.as_str(), format!("{first}&scrollId=c3Vw%3D"));
    }

    #[test]
    fn a_bound_in_an_hour_that_clocks_show_twice_moves_out() {
        let zone = Tz::America__New_York;
        let wall = |from: &str, to: &str| {
            let (from, to) = wall_clock(from.parse().unwrap(), to.parse().unwrap(), zone);
            (from.to_string(), to.to_string())
        };
        // On 2026-11-01 the clocks show 01:00 to 02:00 twice: from 05:00 and from 06:00 UTC.
        let expected = ("2026-11-01 00:45:00".to_owned(), "2026-11-01 02:00:00".to_owned());
        assert_eq!(wall("2026-11-01T05:00:00Z", "2026-11-01T06:45:00Z"), expected);
        assert_eq!(wall("2026-11-01T06:00:00Z", "2026-11-01T05:00:00Z"), expected);
        // Seconds are widened to whole ones.
        let expected = ("2026-06-01 00:00:00".to_owned(), "2026-06-01 00:00:02".to_owned());
        assert_eq!(wall("2026-06-01T04:00:00.9Z", "2026-06-01T04:00:01.1Z"), expected);
    }

    #[test]
    fn a_page_has_its_records_the_total_and_the_next_cursor() {
        let page = ok(PAGE);
        assert_eq!(page.records.len(), 2);
        assert_eq!(page.stated, Some(2));
        let next = page.next.unwrap();
        assert!(next.value.starts_with("c3VwZXJ0ZW5h") && next.resumable);
        for place in &page.records {
            let record: serde_json::Value = serde_json::from_slice(&page.body[place.clone()]).unwrap();
            assert_eq!(record["pbxId"], "acmecorppbx");
        }
    }

    #[test]
    fn the_walk_ends_at_no_data_and_at_whatever_else_stands_for_it() {
        let last = ok(LAST);
        assert_eq!((last.records.len(), last.next, last.stated), (0, None, None));
        for body in [
            r#"{"meta":{"totalRecordCount":1},"data":[{}]}"#,
            r#"{"meta":{"totalRecordCount":1,"scrollId":""},"data":[{}]}"#,
            r#"{"meta":{"totalRecordCount":1,"scrollId":null},"data":[{}]}"#,
            r#"{"meta":{"totalRecordCount":9,"scrollId":"x"},"data":[]}"#,
            r#"{"meta":{"totalRecordCount":9,"scrollId":"x"},"data":null}"#,
            r#"{"data":[{}]}"#,
        ] {
            assert_eq!(ok(body).next, None, "{body}");
        }
    }

    #[test]
    fn records_of_either_type_of_call_leg_count_are_taken_as_they_are() {
        let page = ok(r#"{"meta":{"scrollId":"x"},"data":[{"callLegCount":"1"},{"callLegCount":1}]}"#);
        assert_eq!(page.records.len(), 2);
    }

    #[test]
    fn each_failure_has_its_trouble() {
        let busy = Trouble::Busy { after: None };
        let down = Trouble::Unavailable { after: None };
        for (status, body, following, trouble) in [
            (400, include_str!("../../fixtures/8x8_error_apikey.json"), false, Trouble::Refused),
            (
                400,
                r#"{"message":"user(u) does not have access to api category(CDR) for pbxId([p]).","code":"105-400-038"}"#,
                true,
                Trouble::Rejected,
            ),
            (400, r#"{"message":"bad"}"#, false, Trouble::Rejected),
            (400, r#"{"message":"bad"}"#, true, Trouble::Restart { after: None }),
            (401, r#"{"error":"invalid_token"}"#, true, Trouble::Refused),
            (403, include_str!("../../fixtures/8x8_error_pbx.json"), false, Trouble::Rejected),
            (403, "<html>", false, down.clone()),
            (404, "{}", false, Trouble::Rejected),
            (429, "", false, busy),
            (500, "<html>", true, down.clone()),
            (502, "<html>", true, down),
            (200, "", false, Trouble::Malformed),
            (200, "{}", false, Trouble::Malformed),
            (200, "<html>", false, Trouble::Malformed),
            (200, &PAGE[..900], false, Trouble::Malformed),
        ] {
            let refusal = read(&Answer::scripted(status, &[], body), following).unwrap_err();
            assert_eq!(refusal.trouble, trouble, "{status} {body}");
            assert_eq!(refusal.status, Some(status));
        }
    }

    #[test]
    fn an_expired_token_is_not_quoted() {
        let body = r#"{"error":"invalid_token","error_description":"Access token expired: eyJhbGci.e30.x"}"#;
        let refusal = read(&Answer::scripted(401, &[], body), true).unwrap_err();
        assert_eq!(refusal.message, "HTTP 401: Access token expired: ***");
    }
}
