//! Companies: the scroll, of which a workspace has one at a time and whose place is the server's, and the numbered list.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use crate::chance::Chance;
use crate::dataset::{Dataset, Set};
use crate::gate::{self, Answer, Refusal, Twist};
use crate::intercom::Caller;
use crate::intercom_answers as answers;
use crate::json::{array, push};
use crate::simulator::Simulator;
use crate::world::Order;

const PAGE: usize = 100;
const LARGEST_LIST_PAGE: usize = 60;
/// How many companies the numbered list reaches.
const LISTED: usize = 10_000;

/// The one scroll of the workspace.
#[derive(Debug)]
pub(crate) struct Scroll {
    seed: u64,
    state: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    serial: u64,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    param: String,
    place: (i64, u64),
    touched: Instant,
    /// It cannot go on, but still keeps others from starting.
    failed: bool,
}

impl Scroll {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, state: Mutex::default() }
    }

    fn state(&self, idle: Duration, now: Instant) -> MutexGuard<'_, Inner> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open.as_ref().is_some_and(|open| now.saturating_duration_since(open.touched) >= idle) {
            state.open = None;
        }
        state
    }

    /// The scroll cannot go on, and its lock stays until it has been idle long enough.
    pub(crate) fn fail(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut state.open {
            open.failed = true;
        }
    }

    /// Opens the scroll, or finds the open one.
    fn find(&self, param: Option<&str>, idle: Duration, now: Instant) -> Result<Open, Refusal> {
        let mut state = self.state(idle, now);
        match (param, &mut state.open) {
            (None, Some(_)) => Err(answers::scroll_exists().into()),
            (None, None) => {
                let mut chance = Chance::new(self.seed, 0x5c4011, state.serial);
                state.serial += 1;
                let place = Order::Ascending.start();
                let open = Open { param: chance.uuid(4), place, touched: now, failed: false };
                state.open = Some(open.clone());
                Ok(open)
            }
            (Some(param), Some(open)) if open.param == param && !open.failed => {
                open.touched = now;
                Ok(open.clone())
            }
            (Some(_), _) => Err(answers::not_found("Scroll").into()),
        }
    }

    /// Moves the open scroll on, or closes it.
    fn move_on(&self, param: &str, place: Option<(i64, u64)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = state.open.as_mut().filter(|open| open.param == param) {
            match place {
                Some(place) => open.place = place,
                None => state.open = None,
            }
        }
    }
}

pub(crate) async fn scroll(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Extension(twist): Extension<Twist>,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    let param = params.get("scroll_param").map(String::as_str).filter(|param| !param.is_empty());
    let open = simulator.scroll.find(param, simulator.settings().scroll_idle, Instant::now())?;
    let mut last = None;
    let mut body = br#"{"type":"list","data":"#.to_vec();
    simulator.world.look(Set::Companies, |view| {
        let wanted = if twist.short { 0 } else { PAGE };
        let entries = view.entries(Order::Ascending, open.place).take(wanted);
        array(&mut body, entries, |out, entry| {
            view.serve(entry, caller.shape(&simulator), out);
            last = Some((entry.time, entry.index));
        });
    });
    if !twist.repeat {
        simulator.scroll.move_on(&open.param, last);
    }
    if last.is_none() && simulator.settings().quirks.scroll_ends_with_404 {
        return Err(answers::not_found("Scroll").into());
    }
    push(&mut body, format_args!(r#","pages":null,"total_count":null,"scroll_param":"{}"}}"#, open.param));
    Ok(gate::json(body, Some(Dataset::Companies)))
}

pub(crate) async fn list(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    if !caller.writes {
        let error = serde_json::json!({
            "code": "action_forbidden",
            "message": "This token does not have the required permissions",
            "data": {"required_permissions": ["write_users_companies"]}
        });
        let body = serde_json::json!({"type": "error.list", "errors": [error]});
        return Err((StatusCode::FORBIDDEN, Json(body)).into_response().into());
    }
    let number = |name: &str, default: usize| match params.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Refusal::from(answers::bad("parameter_invalid", &format!("{name} must be a number")))),
    };
    let (page, size) = (number("page", 1)?, number("per_page", 15)?);
    if size > LARGEST_LIST_PAGE {
        return Err(answers::bad("parameter_invalid", "Per Page is too big").into());
    }
    if page.saturating_mul(size) > LISTED {
        return Err(answers::bad("bad_request", "page limit reached, please use scroll API").into());
    }
    let descending = params.get("order").is_none_or(|order| order == "desc");
    let order = if descending { Order::Descending } else { Order::Ascending };
    let mut body = br#"{"type":"list","data":"#.to_vec();
    let total = simulator.world.look(Set::Companies, |view| {
        let entries = view.entries(order, order.start()).skip((page - 1) * size).take(size);
        array(&mut body, entries, |out, entry| view.serve(entry, caller.shape(&simulator), out));
        view.count("all", || view.entries(order, order.start()).count() as u64)
    });
    let pages = total.div_ceil(size as u64);
    let next = if (page as u64) < pages {
        let order = if descending { "desc" } else { "asc" };
        let host = gate::host(&headers);
        format!(r#""http://{host}/intercom/companies/list?per_page={size}&order={order}&page={}""#, page + 1)
    } else {
        "null".to_owned()
    };
    push(
        &mut body,
        format_args!(
            r#","pages":{{"type":"pages","next":{next},"page":{page},"per_page":{size},"total_pages":{pages}}},"total_count":{total}}}"#
        ),
    );
    Ok(gate::json(body, Some(Dataset::Companies)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[test]
    fn a_workspace_has_one_scroll() {
        let (scroll, now) = (Scroll::new(1), Instant::now());
        let first = scroll.find(None, IDLE, now).ok().unwrap();
        assert!(scroll.find(None, IDLE, now).is_err());
        assert_eq!(scroll.find(Some(&first.param), IDLE, now).ok().unwrap().param, first.param);
        scroll.move_on(&first.param, None);
        assert_ne!(scroll.find(None, IDLE, now).ok().unwrap().param, first.param);
    }

    #[test]
    fn an_idle_scroll_expires() {
        let (scroll, now) = (Scroll::new(1), Instant::now());
        let first = scroll.find(None, IDLE, now).ok().unwrap();
        assert!(scroll.find(Some(&first.param), IDLE, now + Duration::from_secs(59)).is_ok());
        assert!(scroll.find(Some(&first.param), IDLE, now + Duration::from_secs(120)).is_err());
        assert!(scroll.find(None, IDLE, now + Duration::from_secs(120)).is_ok());
    }

    #[test]
    fn a_failed_scroll_keeps_its_lock() {
        let (scroll, now) = (Scroll::new(1), Instant::now());
        let first = scroll.find(None, IDLE, now).ok().unwrap();
        scroll.fail();
        assert!(scroll.find(Some(&first.param), IDLE, now).is_err());
        assert!(scroll.find(None, IDLE, now + Duration::from_secs(59)).is_err());
        assert!(scroll.find(None, IDLE, now + Duration::from_secs(60)).is_ok());
    }
}
