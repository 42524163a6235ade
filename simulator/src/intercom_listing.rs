//! The paged lists and searches of Intercom: contacts and conversations.
//!
//! A cursor is base64 of `[sort value, id, page]`: it names the last record of a page, so a record that changes during a
//! walk moves to another place of it, as in the real index.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::conversations::Conversations;
use crate::dataset::{Dataset, Set};
use crate::gate::{self, Answer, Refusal, Twist};
use crate::intercom::Caller;
use crate::intercom_answers as answers;
use crate::intercom_query::{Filter, Reading};
use crate::json::push;
use crate::simulator::Simulator;
use crate::world::{Order, Shape, View, World};

const LARGEST_PAGE: usize = 150;
/// In a cursor, the id of the place before every record.
const START: &str = "start";

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    query: Option<Value>,
    #[serde(default)]
    pagination: Option<Pagination>,
    #[serde(default)]
    sort: Option<Sort>,
}

#[derive(Debug, Default, Deserialize)]
struct Pagination {
    #[serde(default)]
    per_page: Option<u64>,
    #[serde(default)]
    starting_after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sort {
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    order: Option<String>,
}

/// Where a walk stands: the last record of a page, and the number of the page that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    place: (i64, u64),
    page: u64,
}

impl Cursor {
    fn encode(self, world: &World, set: Set, order: Order) -> String {
        let (time, index) = self.place;
        let page = self.page;
        STANDARD.encode(match set {
            _ if self.place == order.start() => format!("[-1,\"{START}\",{page}]"),
            Set::Conversations => format!("[{},{},{page}]", time * 1_000, Conversations::id(index)),
            _ => format!("[{},\"{}\",{page}]", time * 1_000, world.contacts.id(index)),
        })
    }

    fn decode(text: &str, world: &World, set: Set, order: Order) -> Option<Self> {
        let (millis, id, page): (i64, Value, u64) = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
        let place = match (&id, set) {
            (Value::String(id), _) if id == START => order.start(),
            (Value::Number(id), Set::Conversations) => (millis / 1_000, Conversations::index(&id.to_string())?),
            (Value::String(id), Set::Contacts) => (millis / 1_000, world.contacts.index(id)?),
            _ => return None,
        };
        Some(Self { place, page })
    }
}

/// A page that is asked for.
struct Listing {
    set: Set,
    dataset: Dataset,
    filter: Filter,
    order: Order,
    after: Cursor,
    size: usize,
    shape: Shape,
    question: String,
}

impl Listing {
    fn answer(&self, simulator: &Simulator, twist: Twist) -> Response {
        let body = simulator.world.look(self.set, |view| self.page(view, twist));
        gate::json(body, Some(self.dataset))
    }

    fn page(&self, view: &View<'_>, twist: Twist) -> Vec<u8> {
        let (kind, key) = match self.set {
            Set::Conversations => ("conversation.list", "conversations"),
            _ => ("list", "data"),
        };
        let (low, high) = self.filter.bounds();
        let wanted = |order: Order, place: (i64, u64)| {
            // Skip at once what the bounds exclude.
            let place = match order {
                Order::Ascending => place.max((low.saturating_sub(1), u64::MAX)),
                Order::Descending => place.min((high.saturating_add(1), 0)),
            };
            view.entries(order, place)
                .take_while(move |entry| (low..=high).contains(&entry.time))
                .filter(|entry| self.filter.wants(view.world, self.set, *entry))
        };
        let mut body = Vec::with_capacity(self.size * 1_300 + 256);
        push(&mut body, format_args!(r#"{{"type":"{kind}","{key}":["#));
        let mut last = None;
        let mut more = false;
        for (at, entry) in wanted(self.order, self.after.place).enumerate() {
            if at == self.size {
                more = true;
                break;
            }
            if at > 0 {
                body.push(b',');
            }
            view.serve(entry, self.shape, &mut body);
            last = Some((entry.time, entry.index));
        }
        let total = view.count(&self.question, || wanted(Order::Ascending, Order::Ascending.start()).count() as u64);
        let pages = total.div_ceil(self.size as u64);
        let page = self.after.page;
        push(
            &mut body,
            format_args!(
                r#"],"total_count":{total},"pages":{{"type":"pages","page":{page},"per_page":{},"total_pages":{pages}"#,
                self.size
            ),
        );
        let next = match last {
            _ if twist.repeat => Some(self.after),
            Some(place) if more && !twist.short => Some(Cursor { place, page: page + 1 }),
            _ => None,
        };
        if let Some(next) = next {
            let cursor = next.encode(view.world, self.set, self.order);
            push(&mut body, format_args!(r#","next":{{"page":{},"starting_after":"{cursor}"}}"#, next.page));
        }
        body.extend_from_slice(b"}}");
        body
    }
}

fn search(simulator: &Simulator, caller: Caller, twist: Twist, set: Set, body: &Bytes) -> Answer {
    let search: Search = serde_json::from_slice(body)
        .map_err(|error| Refusal::from(answers::bad("parameter_invalid", &error.to_string())))?;
    let order = match &search.sort {
        None => Order::Descending,
        Some(sort) => {
            if sort.field.as_deref().is_some_and(|field| field != "updated_at") {
                return Err(answers::bad("invalid_field", "this simulator sorts by updated_at only").into());
            }
            match sort.order.as_deref() {
                Some("ascending") => Order::Ascending,
                None | Some("descending") => Order::Descending,
                Some("asc") if !caller.is_modern() => Order::Ascending,
                Some(_) if !caller.is_modern() => Order::Descending,
                Some(_) => {
                    return Err(answers::bad("invalid_sort_order", "order must be ascending or descending").into());
                }
            }
        }
    };
    let settings = simulator.settings();
    let reading = Reading {
        world: &simulator.world,
        set,
        days: (set == Set::Contacts && !caller.is_preview()).then_some(settings.workspace_zone),
        inclusive: settings.quirks.conversation_bounds_inclusive,
    };
    let Some(query) = search.query else {
        return Err(answers::bad("parameter_invalid", "query is required").into());
    };
    let filter = reading.read(&query)?;
    let pagination = search.pagination.unwrap_or_default();
    let default = if set == Set::Contacts { 50 } else { 20 };
    let dataset = match set {
        Set::Conversations => Dataset::Conversations,
        _ if filter.is_users() => Dataset::Users,
        _ => Dataset::Contacts,
    };
    let listing = Listing {
        set,
        dataset,
        order,
        after: cursor(simulator, set, order, pagination.starting_after.as_deref())?,
        size: size(pagination.per_page, default)?,
        shape: caller.shape(simulator),
        question: format!("{query} {}", caller.is_preview()),
        filter,
    };
    Ok(listing.answer(simulator, twist))
}

fn cursor(simulator: &Simulator, set: Set, order: Order, text: Option<&str>) -> Result<Cursor, Refusal> {
    match text {
        None => Ok(Cursor { place: order.start(), page: 1 }),
        Some(text) => Cursor::decode(text, &simulator.world, set, order).ok_or_else(|| answers::bad_cursor().into()),
    }
}

/// More than the largest page is lowered to it.
fn size(wanted: Option<u64>, default: usize) -> Result<usize, Refusal> {
    match wanted {
        None => Ok(default),
        Some(0) => Err(answers::bad("parameter_invalid", "Per Page is too small").into()),
        Some(wanted) => Ok(usize::try_from(wanted).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE)),
    }
}

fn list(
    simulator: &Simulator,
    caller: Caller,
    twist: Twist,
    dataset: Dataset,
    params: &HashMap<String, String>,
) -> Answer {
    let (set, order) = (dataset.set(), Order::Ascending);
    let wanted = match params.get("per_page") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::from(answers::failure(StatusCode::BAD_REQUEST)))?),
    };
    let listing = Listing {
        set,
        dataset,
        filter: Filter::All(Vec::new()),
        order,
        after: cursor(simulator, set, order, params.get("starting_after").map(String::as_str))?,
        size: size(wanted, if set == Set::Contacts { 10 } else { 20 })?,
        shape: caller.shape(simulator),
        question: "all".to_owned(),
    };
    Ok(listing.answer(simulator, twist))
}

pub(crate) async fn search_contacts(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Extension(twist): Extension<Twist>,
    body: Bytes,
) -> Answer {
    search(&simulator, caller, twist, Set::Contacts, &body)
}

pub(crate) async fn search_conversations(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Extension(twist): Extension<Twist>,
    body: Bytes,
) -> Answer {
    search(&simulator, caller, twist, Set::Conversations, &body)
}

pub(crate) async fn list_contacts(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Extension(twist): Extension<Twist>,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    list(&simulator, caller, twist, Dataset::Contacts, &params)
}

pub(crate) async fn list_conversations(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Extension(twist): Extension<Twist>,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    list(&simulator, caller, twist, Dataset::Conversations, &params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn a_cursor_names_a_place() {
        let world = World::new(Settings::default());
        for (set, order) in [(Set::Contacts, Order::Ascending), (Set::Conversations, Order::Descending)] {
            for place in [(1_726_752_145, 5), order.start()] {
                let cursor = Cursor { place, page: 2 };
                let text = cursor.encode(&world, set, order);
                assert_eq!(Cursor::decode(&text, &world, set, order), Some(cursor));
            }
        }
        assert_eq!(Cursor::decode("bm8=", &world, Set::Contacts, Order::Ascending), None);
        let foreign = "WzAsIjVlNzZlNWM4Yjg4ZWI3ZDJhNmRiYzFkNSIsMl0=";
        assert_eq!(Cursor::decode(foreign, &world, Set::Contacts, Order::Ascending), None);
    }
}
