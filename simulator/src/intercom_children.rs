//! Single records of Intercom, what belongs to them, deleted conversations and the catalogues of attributes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::conversations::Conversations;
use crate::dataset::Set;
use crate::desk;
use crate::gate::{self, Answer, Refusal};
use crate::intercom::Caller;
use crate::intercom_answers as answers;
use crate::json::{array, push};
use crate::simulator::Simulator;

fn one(simulator: &Simulator, caller: Caller, set: Set, index: Option<u64>, what: &str) -> Answer {
    let body = simulator.world.look(set, |view| {
        let entry = view.entry(index?)?;
        let mut body = Vec::new();
        view.serve(entry, caller.shape(simulator), &mut body);
        Some(body)
    });
    body.map(|body| gate::json(body, None)).ok_or_else(|| answers::not_found(what).into())
}

pub(crate) async fn contact(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    one(&simulator, caller, Set::Contacts, simulator.world.contacts.index(&id), "Contact")
}

pub(crate) async fn company(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    one(&simulator, caller, Set::Companies, simulator.world.companies.index(&id), "Company")
}

/// A conversation with its parts, of which the newest 500 are shown.
pub(crate) async fn conversation(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer {
    let world = &simulator.world;
    let body = world.look(Set::Conversations, |view| {
        let entry = view.entry(Conversations::index(&id)?)?;
        let mut body = Vec::new();
        world.conversations.write(entry, caller.is_modern(), &world.contacts, true, &mut body);
        Some(body)
    });
    body.map(|body| gate::json(body, None)).ok_or_else(|| answers::not_found("Conversation").into())
}

/// The full list behind a contact's shortened one.
pub(crate) async fn of_contact(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Path((id, kind)): Path<(String, String)>,
) -> Answer {
    let world = &simulator.world;
    let found = world.look(Set::Contacts, |view| view.entry(world.contacts.index(&id)?));
    let Some(contact) = found else { return Err(answers::not_found("Contact").into()) };
    let mut body = br#"{"type":"list","data":"#.to_vec();
    match kind.as_str() {
        "tags" => {
            array(&mut body, world.contacts.tags(contact.index), |out, tag| {
                desk::write_tag(tag, out);
                // The listed tag is the plain one with two more fields.
                out.pop();
                let admin = desk::admin_id(0);
                push(
                    out,
                    format_args!(
                        r#","applied_at":{},"applied_by":{{"type":"admin","id":"{admin}"}}}}"#,
                        contact.time - 5
                    ),
                );
            });
        }
        "companies" => {
            let companies = world.contacts.companies(contact.index);
            let total = companies.len();
            world.look(Set::Companies, |view| {
                let entries = companies.iter().filter_map(|index| view.entry(*index));
                array(&mut body, entries, |out, entry| view.serve(entry, caller.shape(&simulator), out));
            });
            push(
                &mut body,
                format_args!(
                    r#","pages":{{"type":"pages","next":null,"page":1,"per_page":50,"total_pages":1}},"total_count":{total}"#
                ),
            );
        }
        "segments" | "notes" | "subscriptions" => body.extend_from_slice(b"[]"),
        _ => return Err(answers::not_found("Resource").into()),
    }
    body.push(b'}');
    Ok(gate::json(body, None))
}

/// The conversations a script removed, newest first.
pub(crate) async fn deleted(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    if !caller.is_modern() {
        return Err(answers::bad("intercom_version_invalid", "This endpoint needs version 2.16").into());
    }
    let number = |name: &str, default: usize| match params.get(name) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number @ 1..) => Ok(number),
            _ => Err(Refusal::from(answers::bad("parameter_invalid", &format!("{name} must be a number")))),
        },
    };
    let (page, size) = (number("page", 1)?, number("per_page", 20)?.min(60));
    let all = simulator.world.look(Set::Conversations, |view| view.overlay.removed());
    let list: Vec<_> = all
        .iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|(time, index)| {
            let id = Conversations::id(*index).to_string();
            json!({"type": "conversation", "id": id, "metrics_retained": false, "deleted_at": time})
        })
        .collect();
    let pages = all.len().div_ceil(size);
    let next = (page < pages).then(|| {
        let host = gate::host(&headers);
        format!("http://{host}/intercom/conversations/deleted?per_page={size}&order=desc&page={}", page + 1)
    });
    let body = json!({
        "type": "conversations.list",
        "total_count": all.len(),
        "pages": {"type": "pages", "next": next, "page": page, "per_page": size, "total_pages": pages},
        "conversations": list
    });
    Ok(Json(body).into_response())
}

fn attribute(model: &str, name: &str, data_type: &str, id: Option<u64>) -> Value {
    let mut attribute = json!({
        "type": "data_attribute",
        "model": model,
        "name": name,
        "full_name": name,
        "label": name,
        "data_type": data_type,
        "custom": id.is_some(),
        "archived": false
    });
    if let Some(id) = id {
        attribute["id"] = id.into();
    }
    attribute
}

pub(crate) async fn data_attributes(
    Extension(caller): Extension<Caller>,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    let data = match params.get("model").map(String::as_str) {
        Some("company") => vec![attribute("company", "Contract Value €", "float", Some(12))],
        Some("conversation") if caller.is_modern() => {
            let message = "model must be contact or company";
            return Err(answers::refused(StatusCode::UNPROCESSABLE_ENTITY, "parameter_invalid", message).into());
        }
        Some("conversation") => vec![attribute("conversation", "Copilot used", "boolean", Some(13))],
        _ => vec![
            attribute("contact", "email", "string", None),
            attribute("contact", "Plan Größe", "integer", Some(10)),
            attribute("contact", "Copilot used", "boolean", Some(11)),
        ],
    };
    Ok(Json(json!({"type": "list", "data": data})).into_response())
}

pub(crate) async fn conversation_attributes(Extension(caller): Extension<Caller>) -> Response {
    if !caller.is_modern() {
        return answers::bad("intercom_version_invalid", "This endpoint needs version 2.16");
    }
    let one = json!({
        "type": "conversation_attribute",
        "id": 13,
        "name": "Copilot used",
        "data_type": "boolean",
        "required": false,
        "archived": false
    });
    Json(json!({"type": "list", "data": [one]})).into_response()
}
