//! Webex Calling: access tokens, the feed of call detail records and the stream of newly written ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use axum::extract::{Extension, Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{Duration, NaiveDateTime};
use serde_json::json;

use crate::chance::Chance;
use crate::credentials;
use crate::dataset::{Dataset, Set};
use crate::gate::{self, Answer, Refusal, Twist};
use crate::settings::TimeField;
use crate::simulator::Simulator;
use crate::tokens::Standing;
use crate::webex_answers as answers;
use crate::webex_calls::{LONGEST, iso};
use crate::world::{Entry, Order, View};

const ORG: &str = "74983fd5-5c18-45cb-bfcd-507005e05b0f";
/// How long after its report a record is written, in milliseconds.
const WRITTEN_AFTER: i64 = 60_000;

pub(crate) fn routes() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/webex/v1/access_token", post(token))
        .route("/webex/v1/cdr_feed", get(feed))
        .route("/webex/v1/cdr_stream", get(stream))
}

async fn token(State(simulator): State<Arc<Simulator>>, Form(form): Form<HashMap<String, String>>) -> Answer {
    let given = |name: &str| form.get(name).map(String::as_str);
    if given("grant_type") != Some("refresh_token") {
        return Err(answers::refused(StatusCode::BAD_REQUEST, "The grant_type is not supported.").into());
    }
    if given("client_id") != Some(credentials::WEBEX_CLIENT_ID)
        || given("client_secret") != Some(credentials::WEBEX_CLIENT_SECRET)
    {
        return Err(answers::refused(StatusCode::UNAUTHORIZED, "The client credentials are invalid.").into());
    }
    let mut refresh = simulator.webex_refresh.lock().unwrap_or_else(PoisonError::into_inner);
    if given("refresh_token") != Some(refresh.as_str()) {
        return Err(answers::refused(StatusCode::BAD_REQUEST, "The refresh token provided is invalid.").into());
    }
    let life = simulator.settings().webex_token_life;
    let access = simulator.webex_tokens.issue(life);
    if simulator.settings().quirks.webex_rotates_refresh_token {
        let mut chance = Chance::new(simulator.settings().seed, 0x4ef, refresh.len() as u64);
        *refresh = format!("simulator-refresh-{:016x}-{access}", chance.bits());
    }
    let body = json!({
        "access_token": access,
        "expires_in": life.as_secs(),
        "refresh_token": *refresh,
        "refresh_token_expires_in": 7_776_000,
        "token_type": "Bearer",
        "scope": "spark-admin:calling_cdr_read"
    });
    Ok(Json(body).into_response())
}

/// Which of the two addresses is asked, and what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    Feed,
    Stream,
}

impl Address {
    fn path(self) -> &'static str {
        match self {
            Self::Feed => "cdr_feed",
            Self::Stream => "cdr_stream",
        }
    }

    /// The oldest start, the newest end and the longest window.
    fn limits(self) -> (Duration, Duration, Duration) {
        match self {
            Self::Feed => (Duration::days(30), Duration::minutes(5), Duration::hours(12)),
            Self::Stream => (Duration::hours(12), Duration::minutes(1), Duration::hours(2)),
        }
    }
}

async fn feed(
    State(simulator): State<Arc<Simulator>>,
    Extension(twist): Extension<Twist>,
    headers: HeaderMap,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    records(&simulator, Address::Feed, twist, &headers, &params)
}

async fn stream(
    State(simulator): State<Arc<Simulator>>,
    Extension(twist): Extension<Twist>,
    headers: HeaderMap,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    records(&simulator, Address::Stream, twist, &headers, &params)
}

fn admit(simulator: &Simulator, headers: &HeaderMap, following: bool) -> Result<(), Refusal> {
    let known = gate::bearer(headers).map(|token| simulator.webex_tokens.standing(token));
    if known != Some(Standing::Valid) {
        return Err(answers::failure(StatusCode::UNAUTHORIZED).into());
    }
    let Some(rate) = simulator.settings().rates.webex else { return Ok(()) };
    let now = Instant::now();
    let taken = if following {
        simulator.webex_pages.take(rate.pages, rate.per, now)
    } else {
        simulator.webex_initial.take(rate.initial, rate.per, now)
    };
    taken.map_err(|wait| {
        let mut refusal = answers::failure(StatusCode::TOO_MANY_REQUESTS);
        refusal.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        refusal.into()
    })
}

/// A checked question for records: a window, and where in it the page starts.
struct Question {
    address: Address,
    low: i64,
    high: i64,
    from: i64,
    max: usize,
    locations: Option<String>,
}

impl Question {
    fn read(simulator: &Simulator, address: Address, params: &HashMap<String, String>) -> Result<Self, Refusal> {
        let invalid = |text: String| Refusal::from(answers::refused(StatusCode::BAD_REQUEST, &text));
        let time = |name: &str| match params.get(name) {
            None => Err(invalid(format!("{name} is required"))),
            Some(text) => read_time(text).ok_or_else(|| invalid(format!("{name} must be YYYY-MM-DDTHH:MM:SS.mmmZ"))),
        };
        let (low, high) = (time("startTime")?, time("endTime")?);
        let (oldest, newest, longest) = address.limits();
        let now = simulator.world.now();
        if low >= high {
            return Err(invalid("startTime must be before endTime".to_owned()));
        }
        if high - low > longest.num_milliseconds() {
            return Err(invalid(format!("the window must not exceed {} hours", longest.num_hours())));
        }
        if low < (now - oldest).timestamp_millis() {
            return Err(invalid(format!("startTime must not be older than {} hours", oldest.num_hours())));
        }
        if high > (now - newest).timestamp_millis() {
            return Err(invalid(format!("endTime must be at least {} minutes ago", newest.num_minutes())));
        }
        let from = if params.contains_key("startTimeForNextFetch") { time("startTimeForNextFetch")? } else { low };
        let max = match params.get("max") {
            None => 5_000,
            Some(text) => text.parse().map_err(|_| invalid("max must be a number".to_owned()))?,
        };
        let locations = params.get("locations").cloned();
        Ok(Self { address, low, high, from, max: max.clamp(500, 5_000), locations })
    }

    /// The time of a record that the window is about.
    fn time(&self, view: &View<'_>, entry: Entry) -> i64 {
        let report = || entry.time + view.world.webex.length(entry.index);
        match (self.address, view.world.settings.quirks.webex_filter) {
            (Address::Stream, _) => view.overlay.released(entry.index).unwrap_or_else(|| report() + WRITTEN_AFTER),
            (Address::Feed, TimeField::Start) => entry.time,
            (Address::Feed, TimeField::Report) => report(),
        }
    }

    /// All records of the window by time.
    fn rows(&self, view: &View<'_>) -> Vec<(i64, u64)> {
        let wanted = |name: &str| match &self.locations {
            None => true,
            // A name may itself hold a comma.
            Some(names) => names.split(',').any(|other| other == name) || names.contains(name),
        };
        let first = self.low - LONGEST - WRITTEN_AFTER;
        let near = view.entries(Order::Ascending, (first, 0)).take_while(|entry| entry.time <= self.high);
        let late = view.overlay.released_in(self.low, self.high).filter_map(|index| view.entry(index));
        let rows: BTreeSet<_> = near
            .chain(late)
            .map(|entry| (self.time(view, entry), entry.index))
            .filter(|(time, index)| (self.low..=self.high).contains(time) && wanted(view.world.webex.location(*index)))
            .collect();
        rows.into_iter().collect()
    }

    fn link(&self, headers: &HeaderMap, next: i64, total: usize, doubled: bool) -> String {
        let mut url = format!(
            "http://{}/webex/v1/{}?endTime={}&startTime={}&startTimeForNextFetch={}&totalCount={total}&max={}&orgId={ORG}",
            gate::host(headers),
            self.address.path(),
            iso(self.high),
            iso(self.low),
            iso(next),
            self.max
        );
        if let Some(names) = &self.locations {
            url.push_str("&locations=");
            for byte in names.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => url.push(char::from(byte)),
                    _ => url.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        if doubled { format!("<<{url}>;rel=\"next\">") } else { format!("<{url}>;rel=\"next\"") }
    }
}

fn read_time(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.3fZ").ok()?;
    (text.len() == 24).then(|| time.and_utc().timestamp_millis())
}

fn records(
    simulator: &Simulator,
    address: Address,
    twist: Twist,
    headers: &HeaderMap,
    params: &HashMap<String, String>,
) -> Answer {
    admit(simulator, headers, params.contains_key("startTimeForNextFetch"))?;
    let question = Question::read(simulator, address, params)?;
    let quirks = simulator.settings().quirks;
    let (body, total, next) = simulator.world.look(Set::WebexCalls, |view| page(view, &question));
    if total == 0 && !quirks.webex_empty_is_ok {
        return Err(answers::nothing_found().into());
    }
    let mut response = gate::json(body, Some(Dataset::WebexCalls));
    let next = if twist.repeat { Some(question.from) } else { next.filter(|_| !twist.short) };
    if let Some(next) = next {
        let link = question.link(headers, next, total, quirks.webex_doubled_bracket);
        let link = HeaderValue::from_str(&link).map_err(|_| answers::failure(StatusCode::INTERNAL_SERVER_ERROR))?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// A page, how many records the window has, and the time the next page starts at. Records with that very time are on
/// both pages. Records of one time are never parted by more than the page they start on, so the time always advances.
fn page(view: &View<'_>, question: &Question) -> (Vec<u8>, usize, Option<i64>) {
    let rows = question.rows(view);
    let first = rows.partition_point(|(time, _)| *time < question.from);
    let mut end = (first + question.max).min(rows.len());
    while end < rows.len() && rows[end - 1].0 == rows[first].0 {
        end += 1;
    }
    let next = (end < rows.len()).then(|| rows[end - 1].0);
    let shape = view.world.true_shape();
    let mut body = br#"{"items":["#.to_vec();
    let mut empty = true;
    for entry in rows[first..end].iter().filter_map(|(_, index)| view.entry(*index)) {
        if !empty {
            body.push(b',');
        }
        empty = false;
        view.serve(entry, shape, &mut body);
    }
    body.extend_from_slice(b"]}");
    (body, rows.len(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_have_milliseconds() {
        assert_eq!(read_time("2026-09-24T07:49:10.939Z"), Some(1_790_236_150_939));
        for text in ["2026-09-24T07:49:10Z", "2026-09-24T07:49:10.9Z", "2026-09-24 07:49:10.939Z"] {
            assert_eq!(read_time(text), None);
        }
    }
}
