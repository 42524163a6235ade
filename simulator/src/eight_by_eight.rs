//! 8x8 Analytics for Work: tokens, PBXes, call records and legs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::{Duration, NaiveDateTime};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::credentials;
use crate::dataset::{Dataset, Set};
use crate::eight_answers as answers;
use crate::eight_calls::EightCalls;
use crate::gate::{self, Answer, Refusal, Twist};
use crate::json::push;
use crate::simulator::Simulator;
use crate::tokens::Standing;
use crate::wall::instant;
use crate::world::{Entry, Order, Shape, View};

const BASE: &str = "/8x8/analytics/work";
const CUSTOMER: &str = "supertenantcsm";
const NO_DATA: &str = "No Data";
const LARGEST_PAGE: usize = 7_000;
const RETENTION_DAYS: i64 = 730;

type Params = Query<HashMap<String, String>>;

pub(crate) fn routes() -> Router<Arc<Simulator>> {
    Router::new()
        .route(&format!("{BASE}/v1/oauth/token"), post(token))
        .route(&format!("{BASE}/v2/pbxes"), get(pbxes))
        .route(&format!("{BASE}/v2/pbxes/"), get(pbxes))
        .route(&format!("{BASE}/v2/customer-data/pbxes"), get(pbxes))
        .route(&format!("{BASE}/v2/call-records"), get(call_records))
        .route(&format!("{BASE}/v2/call-legs"), get(call_legs))
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.get("8x8-apikey").is_some_and(|key| key == credentials::EIGHT_API_KEY)
}

async fn token(
    State(simulator): State<Arc<Simulator>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Answer {
    if !has_key(&headers) {
        return Err(answers::invalid_key().into());
    }
    let given = |name: &str| form.get(name).map(String::as_str);
    if given("username") != Some(credentials::EIGHT_USERNAME) || given("password") != Some(credentials::EIGHT_PASSWORD)
    {
        return Err(answers::unknown_user().into());
    }
    let life = simulator.settings().eight_token_life;
    let token = simulator.eight_tokens.issue(life);
    let body = json!({"access_token": token, "token_type": "bearer", "expires_in": life.as_secs()});
    Ok(Json(body).into_response())
}

/// Lets only authorised requests through, and not too many.
fn admit(simulator: &Simulator, headers: &HeaderMap) -> Result<(), Refusal> {
    if !has_key(headers) {
        return Err(answers::invalid_key().into());
    }
    match gate::bearer(headers).map_or(Standing::Unknown, |token| simulator.eight_tokens.standing(token)) {
        Standing::Valid => {}
        Standing::Expired => return Err(answers::invalid_token("Access token expired: eyJ...").into()),
        Standing::Unknown => return Err(answers::invalid_token("Cannot convert access token to JSON").into()),
    }
    if let Some((limit, per)) = simulator.settings().rates.eight_by_eight
        && let Err(wait) = simulator.eight_rate.take(limit, per, Instant::now())
    {
        let mut refusal = answers::failure(StatusCode::TOO_MANY_REQUESTS, BASE);
        refusal.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        return Err(refusal.into());
    }
    Ok(())
}

fn number(params: &HashMap<String, String>, name: &str, default: usize) -> Result<usize, Refusal> {
    match params.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| answers::invalid_parameter(name, "must be a number").into()),
    }
}

async fn pbxes(State(simulator): State<Arc<Simulator>>, headers: HeaderMap, Query(params): Params) -> Answer {
    admit(&simulator, &headers)?;
    let page = number(&params, "page", 0)?;
    let size = number(&params, "size", 50)?;
    if !(1..=100).contains(&size) {
        return Err(answers::invalid_parameter("size", "must be between 1 and 100").into());
    }
    let settings = simulator.settings();
    let total = settings.pbxes.len();
    let list: Vec<_> = settings
        .pbxes
        .iter()
        .enumerate()
        .skip(page.saturating_mul(size))
        .take(size)
        .map(|(at, name)| json!({"id": format!("rXp_ceLVQs6RYjUp1Iqq{at:02}"), "name": name, "deleted": false}))
        .collect();
    let link = |page: usize| json!({"href": format!("http://{}{BASE}/v2/pbxes/?page={page}&size={size}", gate::host(&headers))});
    let mut links = json!({"self": link(page)});
    if (page + 1).saturating_mul(size) < total {
        links["next"] = link(page + 1);
    }
    let about = json!({"size": size, "totalElements": total, "totalPages": total.div_ceil(size), "number": page});
    let body: Value = if settings.quirks.eight_links_nested {
        json!({"_embedded": {"pbxList": list, "_links": links, "page": about}})
    } else {
        json!({"_embedded": {"pbxList": list}, "_links": links, "page": about})
    };
    Ok(Json(body).into_response())
}

/// A checked question for calls.
struct Question {
    pbxes: Vec<usize>,
    low: i64,
    high: i64,
    shape: Shape,
    size: usize,
    scroll: Option<Place>,
    text: String,
}

/// The last row of a page: its call's start, its index and, of legs, which.
#[derive(Clone, Copy)]
struct Place {
    time: i64,
    index: u64,
    leg: u64,
}

impl Place {
    fn encode(self, legs: bool) -> String {
        let id = EightCalls::id(self.index);
        STANDARD_NO_PAD.encode(if legs {
            format!("{CUSTOMER}_{id}_{}_{}", self.leg, self.time)
        } else {
            format!("{CUSTOMER}_{id}_{}", self.time)
        })
    }

    fn decode(text: &str, legs: bool) -> Option<Self> {
        let text = String::from_utf8(STANDARD_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.strip_prefix(CUSTOMER)?.strip_prefix('_')?.split('_');
        let index = EightCalls::index(parts.next()?.parse().ok()?)?;
        let leg = if legs { parts.next()?.parse().ok()? } else { 0 };
        let time = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { time, index, leg })
    }
}

impl Question {
    fn read(simulator: &Simulator, params: &HashMap<String, String>, legs: bool) -> Result<Self, Refusal> {
        let invalid = |name: &str, hint: &str| Refusal::from(answers::invalid_parameter(name, hint));
        let required = |name: &str| params.get(name).ok_or_else(|| invalid(name, "is required"));
        let zone: Tz = required("timeZone")?.parse().map_err(|_| invalid("timeZone", "must be an IANA time zone"))?;
        let time = |name: &str| {
            NaiveDateTime::parse_from_str(required(name)?, "%Y-%m-%d %H:%M:%S")
                .map(|naive| instant(zone, naive).timestamp_millis())
                .map_err(|_| invalid(name, "must be of the form YYYY-MM-DD HH:MM:SS"))
        };
        let known = &simulator.settings().pbxes;
        let asked = required("pbxId")?;
        let pbxes = if asked == "allpbxes" {
            (0..known.len()).collect()
        } else {
            let position = |name: &str| known.iter().position(|known| known == name);
            let found = asked.split(',').map(|name| position(name).ok_or_else(|| answers::no_access(name).into()));
            found.collect::<Result<Vec<_>, Refusal>>()?
        };
        let size = number(params, "pageSize", 100)?;
        if !(1..=LARGEST_PAGE).contains(&size) {
            return Err(invalid("pageSize", "must be between 1 and 7000"));
        }
        let (low, high) = (time("startTime")?, time("endTime")?);
        if low > high {
            return Err(invalid("endTime", "must not be before startTime"));
        }
        let scroll = match params.get("scrollId") {
            None => None,
            Some(text) => Some(Place::decode(text, legs).ok_or_else(|| invalid("scrollId", "is not of this query"))?),
        };
        let oldest = (simulator.world.now() - Duration::days(RETENTION_DAYS)).timestamp_millis();
        let shape = Shape { zone, ..simulator.world.true_shape() };
        let text = format!("{asked} {low} {high} {legs}");
        Ok(Self { pbxes, low: low.max(oldest), high, shape, size, scroll, text })
    }

    /// The calls in question after `place`, newest first.
    fn calls<'a>(&'a self, view: &'a View<'_>, place: (i64, u64)) -> impl Iterator<Item = Entry> + 'a {
        let place = place.min((self.high + 1, 0));
        view.entries(Order::Descending, place)
            .take_while(|entry| entry.time >= self.low)
            .filter(|entry| self.pbxes.contains(&view.world.eight.pbx(entry.index)))
    }
}

async fn call_records(
    State(simulator): State<Arc<Simulator>>,
    Extension(twist): Extension<Twist>,
    headers: HeaderMap,
    Query(params): Params,
) -> Answer {
    calls(&simulator, twist, &headers, &params, false)
}

async fn call_legs(
    State(simulator): State<Arc<Simulator>>,
    Extension(twist): Extension<Twist>,
    headers: HeaderMap,
    Query(params): Params,
) -> Answer {
    calls(&simulator, twist, &headers, &params, true)
}

fn calls(
    simulator: &Simulator,
    twist: Twist,
    headers: &HeaderMap,
    params: &HashMap<String, String>,
    legs: bool,
) -> Answer {
    admit(simulator, headers)?;
    let question = Question::read(simulator, params, legs)?;
    let body = simulator.world.look(Set::EightCalls, |view| page(view, &question, twist, legs));
    Ok(gate::json(body, (!legs).then_some(Dataset::EightCalls)))
}

fn page(view: &View<'_>, question: &Question, twist: Twist, legs: bool) -> Vec<u8> {
    let calls = &view.world.eight;
    let rows = |entry: Entry| if legs { calls.legs(entry.index) } else { 1 };
    let first = Place { time: question.high + 1, index: 0, leg: 0 };
    let after = question.scroll.unwrap_or(first);
    // Of legs, the call of the last row is looked at again: it may have more.
    let place = (after.time, after.index + u64::from(legs && after.leg > 0));
    let mut last = None;
    let mut data = Vec::new();
    let mut wanted = question.size;
    for entry in question.calls(view, place) {
        let top = if entry.index == after.index && after.leg > 0 { after.leg - 1 } else { rows(entry) };
        for leg in (1..=top).rev().take(wanted) {
            if last.is_some() {
                data.push(b',');
            }
            if legs {
                calls.write_leg(entry, leg, question.shape.zone, &mut data);
            } else {
                view.serve(entry, question.shape, &mut data);
            }
            last = Some(Place { time: entry.time, index: entry.index, leg });
            wanted -= 1;
        }
        if wanted == 0 {
            break;
        }
    }
    let total = match last {
        None => 0,
        Some(_) => view.count(&question.text, || question.calls(view, (i64::MAX, 0)).map(rows).sum()),
    };
    let scroll = match last {
        None => NO_DATA.to_owned(),
        Some(_) if twist.short => NO_DATA.to_owned(),
        Some(_) if twist.repeat => after.encode(legs),
        Some(last) => last.encode(legs),
    };
    let mut body = Vec::with_capacity(data.len() + 128);
    push(&mut body, format_args!(r#"{{"meta":{{"totalRecordCount":{total},"scrollId":"{scroll}"}},"data":["#));
    body.append(&mut data);
    body.extend_from_slice(b"]}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scroll_id_is_the_keyset_of_the_last_row() {
        let place = Place { time: 1_643_897_492_897, index: 0, leg: 0 };
        assert_eq!(place.encode(false), "c3VwZXJ0ZW5hbnRjc21fMTYzNTU3MTA0ODM0NV8xNjQzODk3NDkyODk3");
        assert!(Place::decode(&place.encode(false), false).is_some());
        assert!(Place::decode(NO_DATA, false).is_none());
    }
}
