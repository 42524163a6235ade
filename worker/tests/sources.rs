//! The three sources against the simulated vendors over real HTTP: every dataset is read whole, and misfortune on the
//! way is survived or reported as what it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backhaul_worker::source::{
    Clock as SourceClock, EightByEight, EightByEightSettings, HttpSettings, Intercom, IntercomSettings, PbxPath, Rate,
    Webex, WebexCredentials, WebexSettings,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use proto::catalog;
use proto::id::{AccountName, RunId};
use proto::secret::Secret;
use proto::source::{Source, SourceError, Trouble};
use proto::unit::{Unit, Window};
use simulator::truth::Digest;
use simulator::{Change, Clock, Dataset, Fault, FaultBody, Quirks, Rates, Rule, Running, Settings, credentials};

const NOW: &str = "2026-11-20T12:00:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

fn world() -> Settings {
    Settings {
        now: Clock::Fixed(now()),
        days: 3,
        calls_per_day: 900,
        contacts: 1_000,
        companies: Some(242),
        rates: Rates::OFF,
        ..Settings::default()
    }
}

async fn start(settings: Settings) -> Running {
    simulator::start(settings, "127.0.0.1:0".parse().unwrap()).await.unwrap()
}

fn http() -> HttpSettings {
    HttpSettings {
        first_delay: Duration::from_millis(2),
        longest_delay: Duration::from_millis(10),
        ..HttpSettings::default()
    }
}

fn account() -> AccountName {
    AccountName::parse("main").unwrap()
}

fn unlimited() -> Rate {
    Rate { requests: 1, per: Duration::ZERO }
}

fn eight_settings(running: &Running) -> EightByEightSettings {
    EightByEightSettings {
        base_url: format!("http://{}/8x8/analytics/work", running.addr()),
        page_size: 100,
        rate: unlimited(),
        ..EightByEightSettings::new(
            Secret::new(credentials::EIGHT_API_KEY),
            Secret::new(credentials::EIGHT_USERNAME),
            Secret::new(credentials::EIGHT_PASSWORD),
            running.simulator().settings().zone,
        )
    }
}

fn eight(running: &Running) -> EightByEight {
    EightByEight::new(account(), eight_settings(running), http()).unwrap()
}

fn webex_settings(running: &Running) -> WebexSettings {
    let base = format!("http://{}/webex", running.addr());
    WebexSettings {
        api_url: base.clone(),
        auth_url: base,
        page_size: 500,
        initial_rate: unlimited(),
        page_rate: unlimited(),
        clock: SourceClock::new(now),
        ..WebexSettings::new(WebexCredentials::Refresh {
            client_id: Secret::new(credentials::WEBEX_CLIENT_ID),
            client_secret: Secret::new(credentials::WEBEX_CLIENT_SECRET),
            refresh_token: Secret::new(credentials::WEBEX_REFRESH_TOKEN),
        })
    }
}

fn webex(running: &Running) -> Webex {
    Webex::new(account(), webex_settings(running), http()).unwrap()
}

fn intercom_settings(running: &Running) -> IntercomSettings {
    IntercomSettings {
        base_url: format!("http://{}/intercom", running.addr()),
        scroll_idle: running.simulator().settings().scroll_idle,
        ..IntercomSettings::new(Secret::new(credentials::INTERCOM_TOKEN))
    }
}

fn intercom(running: &Running) -> Intercom {
    Intercom::new(account(), intercom_settings(running), http()).unwrap()
}

fn unit(dataset: &str, partition: &str, from: &str, to: &str) -> Unit {
    let window = Window { from: from.parse().unwrap(), to: to.parse().unwrap() };
    let dataset = catalog::find(dataset).unwrap();
    Unit::new(RunId::parse("run").unwrap(), account(), dataset, partition.to_owned(), window)
}

/// The first read of an Intercom dataset.
fn everything(dataset: &str) -> Unit {
    unit(dataset, "", "1970-01-01T00:00:00Z", NOW)
}

/// What a walk brought: records as they came, repeats left out.
#[derive(Default)]
struct Walked {
    records: HashSet<String>,
    rows: u64,
    pages: u64,
    requests: u64,
    stated: Option<u64>,
}

impl Walked {
    fn digest(&self) -> simulator::truth::DatasetTruth {
        let mut digest = Digest::default();
        for record in &self.records {
            digest.add(record).unwrap();
        }
        digest.finish()
    }
}

async fn walk_into(source: &dyn Source, unit: &Unit, walked: &mut Walked) -> Result<(), SourceError> {
    let mut cursor = None;
    loop {
        let page = source.fetch(unit, cursor.as_ref()).await?;
        for place in &page.records {
            walked.records.insert(std::str::from_utf8(&page.body[place.clone()]).unwrap().to_owned());
            walked.rows += 1;
        }
        walked.pages += 1;
        walked.requests += u64::from(page.requests);
        walked.stated = page.stated.or(walked.stated);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn walk(source: &dyn Source, unit: &Unit) -> Result<Walked, SourceError> {
    let mut walked = Walked::default();
    walk_into(source, unit, &mut walked).await.map(|()| walked)
}

#[track_caller]
fn assert_true(running: &Running, dataset: &str, walked: &Walked) {
    let truth = running.truth().datasets.remove(dataset).unwrap();
    assert_eq!(walked.digest(), truth, "{dataset}: {} pages, {} rows", walked.pages, walked.rows);
}

#[track_caller]
fn assert_struck(running: &Running) {
    for report in running.simulator().rules() {
        assert_eq!(report.fired, report.rule.times, "{report:?}");
    }
}

const EIGHT: &str = "8x8CallDetailRecords";

async fn eight_whole(source: &EightByEight) -> Result<Walked, SourceError> {
    let mut walked = Walked::default();
    for pbx in source.partitions(catalog::find(EIGHT).unwrap()).await? {
        for day in 10..=20 {
            let from = format!("2026-11-{day}T05:00:00Z");
            let to = format!("2026-11-{}T05:00:00Z", day + 1);
            walk_into(source, &unit(EIGHT, &pbx, &from, &to), &mut walked).await?;
        }
    }
    Ok(walked)
}

async fn webex_whole(source: &Webex) -> Result<Walked, SourceError> {
    let mut walked = Walked::default();
    for day in 14..=20 {
        for (from, to) in [("00:00:00", "12:00:00"), ("12:00:00", "23:59:59.999")] {
            if (day, from) < (20, "12:00:00") {
                let (from, to) = (format!("2026-11-{day}T{from}Z"), format!("2026-11-{day}T{to}Z"));
                walk_into(source, &unit("cdr_records", "", &from, &to), &mut walked).await?;
            }
        }
    }
    Ok(walked)
}

#[tokio::test]
async fn every_8x8_call_of_every_pbx_is_read() {
    for (path, nested, integer) in
        [(PbxPath::Documented, false, false), (PbxPath::CustomerData, true, false), (PbxPath::Documented, true, true)]
    {
        let quirks = Quirks { eight_links_nested: nested, eight_leg_count_integer: integer, ..Quirks::default() };
        let running = start(Settings { quirks, ..world() }).await;
        let settings = EightByEightSettings { pbx_path: path, ..eight_settings(&running) };
        let source = EightByEight::new(account(), settings, http()).unwrap();
        assert_eq!(source.check().await.unwrap(), "2 PBXes");
        let walked = eight_whole(&source).await.unwrap();
        assert_true(&running, EIGHT, &walked);
    }
}

#[tokio::test]
async fn an_8x8_walk_states_its_total_and_counts_each_request() {
    let running = start(world()).await;
    let source = eight(&running);
    let unit = unit(EIGHT, "acmecorppbx", "2026-11-18T05:00:00Z", "2026-11-19T05:00:00Z");
    let walked = walk(&source, &unit).await.unwrap();
    assert_eq!(walked.stated, Some(walked.rows));
    assert_eq!(walked.requests, running.simulator().requests().total);
    assert!(walked.pages >= 3 && walked.requests == walked.pages + 1, "one more for the token");
}

#[tokio::test]
async fn every_webex_record_is_read_with_either_writing_of_the_link_and_of_nothing() {
    for (doubled, empty_is_ok) in [(true, false), (false, true)] {
        let quirks = Quirks {
            webex_doubled_bracket: doubled,
            webex_empty_is_ok: empty_is_ok,
            webex_rotates_refresh_token: true,
            ..Quirks::default()
        };
        // Calls are dense enough for windows of several pages.
        let running = start(Settings { quirks, calls_per_day: 3_000, ..world() }).await;
        let source = webex(&running);
        let walked = webex_whole(&source).await.unwrap();
        // Of the last five minutes nothing can be read, and the truth holds it.
        let truth = running.truth().datasets.remove("cdr_records").unwrap();
        let missing = truth.count - walked.records.len() as u64;
        assert!(walked.pages > 14 && missing <= 30, "{missing} of {} missing in {} pages", truth.count, walked.pages);
        assert_eq!(source.check().await.unwrap(), "call history readable");
    }
}

#[tokio::test]
async fn a_webex_walk_states_the_total_of_its_link() {
    let running = start(Settings { calls_per_day: 3_000, ..world() }).await;
    let unit = unit("cdr_records", "", "2026-11-18T12:00:00Z", "2026-11-19T00:00:00Z");
    let walked = walk(&webex(&running), &unit).await.unwrap();
    assert!(walked.pages > 1);
    assert_eq!(walked.stated, Some(walked.records.len() as u64));
}

#[tokio::test]
async fn every_intercom_dataset_is_read_whole() {
    let running = start(world()).await;
    let source = intercom(&running);
    assert_eq!(source.check().await.unwrap(), "workspace Simulator, zone America/Los_Angeles");
    for dataset in ["users", "contacts", "conversations", "companies", "admins", "teams", "tags", "segments"] {
        let walked = walk(&source, &everything(dataset)).await.unwrap();
        assert_true(&running, dataset, &walked);
        if matches!(dataset, "users" | "contacts" | "conversations") {
            assert_eq!(walked.stated, Some(walked.rows), "{dataset}");
        }
    }
}

#[tokio::test]
async fn contacts_changed_since_a_time_are_all_found_whatever_the_day_is_of_the_workspace() {
    for workspace_zone in [Tz::America__Los_Angeles, Tz::Pacific__Auckland, Tz::UTC] {
        let running = start(Settings { workspace_zone, contacts: 3_000, ..world() }).await;
        let source = intercom(&running);
        let touched = Change::Shift { dataset: Dataset::Contacts, insert: 7, touch: 11 };
        running.simulator().apply(touched).unwrap();
        let walked = walk(&source, &unit("contacts", "", "2026-11-20T11:59:00Z", NOW)).await.unwrap();
        let newest = now().timestamp().to_string();
        let found = walked.records.iter().filter(|record| record.contains(&format!("\"updated_at\":{newest}"))).count();
        assert!(found >= 18, "{workspace_zone}: {found}");
        assert_eq!(walked.stated, None);
        assert!(walked.rows < 3_000, "the walk stops behind the window's start");
    }
}

#[tokio::test]
async fn conversations_are_read_from_the_first_second_of_the_window_on() {
    for inclusive in [true, false] {
        let quirks = Quirks { conversation_bounds_inclusive: inclusive, ..Quirks::default() };
        let running = start(Settings { quirks, ..world() }).await;
        let touched = Change::Shift { dataset: Dataset::Conversations, insert: 2, touch: 3 };
        running.simulator().apply(touched).unwrap();
        let walked = walk(&intercom(&running), &unit("conversations", "", NOW, NOW)).await.unwrap();
        assert!(walked.rows >= 5 && walked.rows < 50, "{}", walked.rows);
        assert_eq!(walked.stated, Some(walked.rows));
    }
}

/// What the client survives, wherever it strikes.
fn survivable(path: &str) -> Vec<Rule> {
    let status = |code, retry_after, body| Fault::Status { code, retry_after, body };
    let faults = [
        status(429, None, FaultBody::Json),
        status(429, Some(1), FaultBody::Json),
        status(500, None, FaultBody::Html),
        status(502, None, FaultBody::Html),
        status(503, Some(0), FaultBody::Empty),
        status(504, None, FaultBody::Json),
        Fault::Reset,
        Fault::Truncate,
        Fault::EmptyOk,
    ];
    // Each strikes once, with a request that goes well in between.
    faults.into_iter().enumerate().map(|(at, fault)| Rule::new(path, fault).after(1 + 2 * at as u32)).collect()
}

#[tokio::test]
async fn an_8x8_walk_survives_each_passing_failure_and_the_end_of_its_token() {
    let running = start(world()).await;
    running.simulator().add(survivable("call-records"));
    running.simulator().add([
        Rule::new("call-records", Fault::ExpireTokens).after(22),
        Rule::new("oauth/token", Fault::Status { code: 503, retry_after: None, body: FaultBody::Html }).after(1),
        Rule::new("pbxes", Fault::Truncate),
    ]);
    let source = eight(&running);
    let walked = eight_whole(&source).await.unwrap();
    assert_true(&running, EIGHT, &walked);
    assert_struck(&running);
}

#[tokio::test]
async fn a_webex_walk_survives_each_passing_failure_and_the_end_of_its_token() {
    let quirks = Quirks { webex_rotates_refresh_token: true, ..Quirks::default() };
    let running = start(Settings { calls_per_day: 3_000, quirks, ..world() }).await;
    let calm = webex_whole(&webex(&running)).await.unwrap();
    let refresh = running.simulator().webex_refresh_token();
    running.simulator().add(survivable("cdr_feed"));
    running.simulator().add([Rule::new("startTimeForNextFetch", Fault::ExpireTokens).after(8)]);
    let mut settings = webex_settings(&running);
    if let WebexCredentials::Refresh { refresh_token, .. } = &mut settings.credentials {
        *refresh_token = Secret::new(&refresh);
    }
    let walked = webex_whole(&Webex::new(account(), settings, http()).unwrap()).await.unwrap();
    assert_eq!(walked.digest(), calm.digest());
    assert_struck(&running);
}

#[tokio::test]
async fn an_intercom_search_survives_each_passing_failure() {
    let running = start(Settings { contacts: 4_000, ..world() }).await;
    running.simulator().add(survivable("contacts/search"));
    let walked = walk(&intercom(&running), &everything("contacts")).await.unwrap();
    assert_true(&running, "contacts", &walked);
    assert_struck(&running);
    assert_eq!(walked.requests, walked.pages + 9);
}

#[tokio::test]
async fn an_intercom_search_asks_for_less_while_the_vendor_is_too_slow() {
    let running = start(world()).await;
    let slow = Fault::Status { code: 504, retry_after: None, body: FaultBody::Html };
    running.simulator().add([Rule::new("contacts/search", slow).after(1).times(3)]);
    let source = intercom(&running);
    let first = source.fetch(&everything("contacts"), None).await.unwrap();
    let second = source.fetch(&everything("contacts"), first.next.as_ref()).await.unwrap();
    assert_eq!((first.records.len(), second.records.len(), second.requests), (150, 18, 4));
    let walked = walk(&source, &everything("contacts")).await.unwrap();
    assert_true(&running, "contacts", &walked);
}

#[tokio::test]
async fn a_failure_that_stays_is_handed_up_with_its_requests_and_the_vendors_words() {
    let running = start(world()).await;
    let down = Fault::Status { code: 503, retry_after: None, body: FaultBody::Json };
    running.simulator().add([Rule::new("contacts/search", down).times(4)]);
    let error = intercom(&running).fetch(&everything("contacts"), None).await.unwrap_err();
    assert_eq!((error.trouble, error.requests), (Trouble::Unavailable { after: None }, 4));
    assert_eq!(error.endpoint, "POST /contacts/search");
    let message =
        "HTTP 503: Sorry, the API service is temporarily unavailable (tracking id 00095et5a4vo8m2t8kbg), 4 tries";
    assert_eq!(error.message, message);
}

#[tokio::test]
async fn a_wait_too_long_for_the_short_retry_is_handed_up_at_once_and_holds_the_account_back() {
    let running = start(world()).await;
    let busy = Fault::Status { code: 429, retry_after: Some(3_600), body: FaultBody::Json };
    running.simulator().add([Rule::new("contacts/search", busy)]);
    let source = intercom(&running);
    let error = source.fetch(&everything("contacts"), None).await.unwrap_err();
    assert_eq!((error.trouble, error.requests), (Trouble::Busy { after: Some(Duration::from_secs(3_600)) }, 1));
    let error = source.fetch(&everything("tags"), None).await.unwrap_err();
    assert!(matches!(error.trouble, Trouble::Busy { after: Some(after) } if after > Duration::from_secs(3_500)));
    assert_eq!(error.requests, 0);
}

#[tokio::test]
async fn a_token_that_is_refused_twice_refuses_the_account() {
    let running = start(world()).await;
    running.simulator().add([Rule::new("call-records", Fault::ExpireTokens).times(2)]);
    let unit = unit(EIGHT, "acmecorppbx", "2026-11-18T05:00:00Z", "2026-11-19T05:00:00Z");
    let error = eight(&running).fetch(&unit, None).await.unwrap_err();
    assert_eq!((error.trouble, error.requests), (Trouble::Refused, 4));
}

#[tokio::test]
async fn wrong_credentials_refuse_the_account_and_do_not_stand_in_the_error() {
    let running = start(world()).await;
    let wrong = || Secret::new("hunter2-hunter2");
    let key = EightByEightSettings { api_key: wrong(), ..eight_settings(&running) };
    let password = EightByEightSettings { password: wrong(), ..eight_settings(&running) };
    let token = IntercomSettings { token: wrong(), ..intercom_settings(&running) };
    let access = WebexSettings { credentials: WebexCredentials::Access(wrong()), ..webex_settings(&running) };
    let unwritable = IntercomSettings { token: Secret::new("a\nb"), ..intercom_settings(&running) };
    let sources: [Box<dyn Source>; 5] = [
        Box::new(EightByEight::new(account(), key, http()).unwrap()),
        Box::new(EightByEight::new(account(), password, http()).unwrap()),
        Box::new(Intercom::new(account(), token, http()).unwrap()),
        Box::new(Webex::new(account(), access, http()).unwrap()),
        Box::new(Intercom::new(account(), unwritable, http()).unwrap()),
    ];
    for source in sources {
        let error = source.check().await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Refused, "{error}");
        assert!(!error.to_string().contains("hunter2") && error.requests == 1, "{error}");
    }
}

#[tokio::test]
async fn one_token_is_asked_for_however_many_wait_for_it() {
    let running = start(world()).await;
    let source = eight(&running);
    let units: Vec<_> = (14..19)
        .map(|day| {
            unit(EIGHT, "acmecorppbx", &format!("2026-11-{day}T05:00:00Z"), &format!("2026-11-{}T05:00:00Z", day + 1))
        })
        .collect();
    let done = AtomicU32::new(0);
    let fetch = |unit| {
        let (source, done) = (&source, &done);
        async move {
            source.fetch(unit, None).await.unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(fetch(&units[0]), fetch(&units[1]), fetch(&units[2]), fetch(&units[3]), fetch(&units[4]));
    assert_eq!(done.load(Ordering::Relaxed), 5);
    let tokens = running.simulator().requests().by;
    assert_eq!(tokens["POST /8x8/analytics/work/v1/oauth/token"].values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_broken_company_scroll_starts_anew_and_is_never_continued() {
    let status = |code| Fault::Status { code, retry_after: None, body: FaultBody::Json };
    for fault in [status(500), status(502), Fault::Reset, Fault::Truncate, Fault::EmptyOk] {
        let scroll_idle = Duration::from_millis(80);
        let running = start(Settings { scroll_idle, ..world() }).await;
        running.simulator().add([Rule::new("companies/scroll", fault.clone()).after(1)]);
        let source = intercom(&running);
        let first = source.fetch(&everything("companies"), None).await.unwrap();
        assert!(!first.next.as_ref().unwrap().resumable);
        let error = source.fetch(&everything("companies"), first.next.as_ref()).await.unwrap_err();
        assert_eq!((error.trouble, error.requests), (Trouble::Restart { after: Some(scroll_idle) }, 1), "{fault:?}");
        // What the old scroll still blocks is told too; once it is gone, the walk is whole.
        let walked = loop {
            match walk(&source, &everything("companies")).await {
                Ok(walked) => break walked,
                Err(error) => assert!(matches!(error.trouble, Trouble::Restart { .. }), "{error}"),
            }
        };
        assert_true(&running, "companies", &walked);
    }
}

#[tokio::test]
async fn a_company_scroll_may_end_with_404_also_behind_a_full_page() {
    for (companies, first_ends) in [(242, true), (200, false)] {
        let quirks = Quirks { scroll_ends_with_404: true, ..Quirks::default() };
        let running = start(Settings { quirks, companies: Some(companies), ..world() }).await;
        let source = intercom(&running);
        let first = walk(&source, &everything("companies")).await;
        assert_eq!(first.is_ok(), first_ends, "{companies}");
        let walked = match first {
            Ok(walked) => walked,
            Err(error) => {
                assert_eq!(error.trouble, Trouble::Restart { after: None });
                walk(&source, &everything("companies")).await.unwrap()
            }
        };
        assert_true(&running, "companies", &walked);
    }
}

#[tokio::test]
async fn a_company_scroll_survives_being_held_back() {
    let running = start(world()).await;
    let busy = Fault::Status { code: 429, retry_after: None, body: FaultBody::Json };
    running.simulator().add([Rule::new("companies/scroll", busy).after(1)]);
    let walked = walk(&intercom(&running), &everything("companies")).await.unwrap();
    assert_true(&running, "companies", &walked);
    assert_struck(&running);
}

#[tokio::test]
async fn the_webex_rates_of_the_vendor_are_kept() {
    let per = Duration::from_millis(200);
    let rate = simulator::WebexRate { initial: 1, pages: 3, per };
    let rates = Rates { webex: Some(rate), ..Rates::OFF };
    let running = start(Settings { rates, calls_per_day: 3_000, ..world() }).await;
    // Half a second more, for a machine that is busy with other tests.
    let ours = Duration::from_millis(700);
    let settings = WebexSettings {
        initial_rate: Rate { requests: 1, per: ours },
        page_rate: Rate { requests: 3, per: ours },
        ..webex_settings(&running)
    };
    let source = Webex::new(account(), settings, http()).unwrap();
    for hour in ["2026-11-18T00:00:00Z", "2026-11-18T06:00:00Z"] {
        walk(&source, &unit("cdr_records", "", hour, "2026-11-18T12:00:00Z")).await.unwrap();
    }
    let answers = &running.simulator().requests().by["GET /webex/v1/cdr_feed"];
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["200"], "nothing was refused: {answers:?}");
}
