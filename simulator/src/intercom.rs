//! Intercom: its addresses, who may call them in which version how often, and the lists that are not paged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::credentials::{INTERCOM_READ_TOKEN, INTERCOM_TOKEN};
use crate::dataset::Dataset;
use crate::gate::{self, Answer};
use crate::json::array;
use crate::rates::Quota;
use crate::simulator::Simulator;
use crate::world::{Order, Shape};
use crate::{desk, intercom_answers as answers, intercom_children, intercom_listing, intercom_scroll};

pub(crate) const WORKSPACE: &str = "s3r1c48t";
/// The newest stable version known.
const NEWEST: u32 = 18;
const MODERN: u32 = 16;

pub(crate) fn routes(simulator: &Arc<Simulator>) -> Router<Arc<Simulator>> {
    Router::new()
        .route("/intercom/me", get(me))
        .route("/intercom/contacts/search", post(intercom_listing::search_contacts))
        .route("/intercom/contacts", get(intercom_listing::list_contacts))
        .route("/intercom/contacts/{id}", get(intercom_children::contact))
        .route("/intercom/contacts/{id}/{kind}", get(intercom_children::of_contact))
        .route("/intercom/companies/scroll", get(intercom_scroll::scroll))
        .route("/intercom/companies/list", post(intercom_scroll::list))
        .route("/intercom/companies/{id}", get(intercom_children::company))
        .route("/intercom/conversations/search", post(intercom_listing::search_conversations))
        .route("/intercom/conversations/deleted", get(intercom_children::deleted))
        .route("/intercom/conversations/attributes", get(intercom_children::conversation_attributes))
        .route("/intercom/conversations", get(intercom_listing::list_conversations))
        .route("/intercom/conversations/{id}", get(intercom_children::conversation))
        .route("/intercom/data_attributes", get(intercom_children::data_attributes))
        .route("/intercom/admins", get(admins))
        .route("/intercom/teams", get(teams))
        .route("/intercom/tags", get(tags))
        .route("/intercom/segments", get(segments))
        .layer(middleware::from_fn_with_state(Arc::clone(simulator), admit))
}

/// Who calls, and in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    minor: u32,
    preview: bool,
    pub(crate) writes: bool,
}

impl Caller {
    /// Version 2.16 or newer.
    pub(crate) const fn is_modern(self) -> bool {
        self.preview || self.minor >= MODERN
    }

    /// Date filters on contacts see seconds instead of days.
    pub(crate) const fn is_preview(self) -> bool {
        self.preview
    }

    pub(crate) const fn shape(self, simulator: &Simulator) -> Shape {
        Shape { modern: self.is_modern(), count: false, ..simulator.world.true_shape() }
    }
}

/// Reads `2.0` to `2.18` and `Preview`.
fn version(headers: &HeaderMap) -> Option<(u32, bool)> {
    let text = headers.get("intercom-version")?.to_str().ok()?;
    if text.eq_ignore_ascii_case("preview") {
        return Some((NEWEST, true));
    }
    let minor = text.strip_prefix("2.")?.parse().ok()?;
    (minor <= NEWEST).then_some((minor, false))
}

async fn admit(State(simulator): State<Arc<Simulator>>, mut request: Request, next: Next) -> Response {
    let writes = match gate::bearer(request.headers()) {
        Some(INTERCOM_TOKEN) => true,
        Some(INTERCOM_READ_TOKEN) => false,
        _ => return answers::failure(StatusCode::UNAUTHORIZED),
    };
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let quota = simulator.settings().rates.intercom.map(|limit| simulator.intercom_windows.take(limit, unix));
    let mut response = match (quota, version(request.headers())) {
        (Some(Quota { limit, exceeded: true, .. }), _) => answers::refused(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            &format!("Exceeded rate limit of {limit} in 10_seconds"),
        ),
        (_, None) => answers::bad("intercom_version_invalid", "The requested version does not exist"),
        (_, Some((minor, preview))) => {
            request.extensions_mut().insert(Caller { minor, preview, writes });
            next.run(request).await
        }
    };
    if let Some(quota) = quota {
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
        headers.insert("x-ratelimit-reset", HeaderValue::from(quota.reset));
    }
    response
}

async fn me(State(simulator): State<Arc<Simulator>>) -> Response {
    let settings = simulator.settings();
    let body = json!({
        "type": "admin",
        "id": desk::admin_id(1).to_string(),
        "email": "admin1@example.com",
        "name": desk::admin_name(settings.seed, 1),
        "email_verified": true,
        "app": {
            "type": "app",
            "id_code": WORKSPACE,
            "name": "Simulator",
            "created_at": 1_734_537_243,
            "secure": false,
            "identity_verification": false,
            "timezone": settings.workspace_zone.name(),
            "region": "US"
        },
        "has_inbox_seat": true
    });
    Json(body).into_response()
}

fn whole(simulator: &Simulator, caller: Caller, dataset: Dataset, kind: &str, key: &str, count: bool) -> Response {
    let shape = Shape { count, ..caller.shape(simulator) };
    let mut body = format!(r#"{{"type":"{kind}","{key}":"#).into_bytes();
    simulator.world.look(dataset.set(), |view| {
        let order = Order::Ascending;
        array(&mut body, view.entries(order, order.start()), |out, entry| view.serve(entry, shape, out));
    });
    body.push(b'}');
    gate::json(body, Some(dataset))
}

async fn admins(State(simulator): State<Arc<Simulator>>, Extension(caller): Extension<Caller>) -> Response {
    whole(&simulator, caller, Dataset::Admins, "admin.list", "admins", false)
}

async fn teams(State(simulator): State<Arc<Simulator>>, Extension(caller): Extension<Caller>) -> Response {
    whole(&simulator, caller, Dataset::Teams, "team.list", "teams", false)
}

async fn tags(State(simulator): State<Arc<Simulator>>, Extension(caller): Extension<Caller>) -> Response {
    whole(&simulator, caller, Dataset::Tags, "list", "data", false)
}

async fn segments(
    State(simulator): State<Arc<Simulator>>,
    Extension(caller): Extension<Caller>,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    let count = params.get("include_count").is_some_and(|value| value == "true");
    Ok(whole(&simulator, caller, Dataset::Segments, "segment.list", "segments", count))
}
