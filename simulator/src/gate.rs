//! What every vendor request passes: misfortune on the way in and out, the latency of data pages, and counting.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::dataset::Dataset;
use crate::misfortune::{Fault, FaultBody};
use crate::simulator::Simulator;
use crate::{eight_answers, intercom_answers, webex_answers};

/// How this answer's paging is to go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Twist {
    pub(crate) repeat: bool,
    pub(crate) short: bool,
}

/// Marks an answer as a page of data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageOf(pub(crate) Dataset);

/// An answer that ends a request early.
pub(crate) struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// What a request of a vendor gives.
pub(crate) type Answer = Result<Response, Refusal>;

/// An answer of JSON that is written already.
pub(crate) fn json(body: Vec<u8>, page: Option<Dataset>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response();
    if let Some(dataset) = page {
        response.extensions_mut().insert(PageOf(dataset));
    }
    response
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Where the client believes this server is.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost")
}

pub(crate) async fn gate(
    State(simulator): State<Arc<Simulator>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let what = format!("{} {}", request.method(), folded(request.uri().path(), matched.as_ref()));
    let fault = simulator.misfortune.strike(request.method().as_str(), &path);

    let mut twist = Twist::default();
    let early = match &fault {
        Some(Fault::Status { code, retry_after, body }) => {
            if *code >= 500 && path.contains("/companies/scroll") {
                simulator.scroll.fail();
            }
            Some(failure(&path, *code, *retry_after, *body))
        }
        Some(Fault::ExpireTokens) => {
            simulator.expire_tokens(&path);
            Some(failure(&path, 401, None, FaultBody::Json))
        }
        Some(Fault::EmptyOk) => Some(StatusCode::OK.into_response()),
        Some(Fault::Stall { ms }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            None
        }
        Some(Fault::Change(change)) => {
            if let Err(error) = simulator.apply(change.clone()) {
                tracing::warn!(%error, "a change by rule was not made");
            }
            None
        }
        Some(Fault::RepeatPage) => {
            twist.repeat = true;
            None
        }
        Some(Fault::Short) => {
            twist.short = true;
            None
        }
        Some(Fault::Reset | Fault::Truncate) | None => None,
    };
    let mut response = match early {
        Some(response) => response,
        None => {
            request.extensions_mut().insert(twist);
            next.run(request).await
        }
    };
    let mut page = response.extensions().get::<PageOf>().map(|page| page.0);
    if page.is_some() && !simulator.settings().latency.is_zero() {
        tokio::time::sleep(simulator.settings().latency).await;
    }
    let mut outcome = response.status().as_u16().to_string();
    match fault {
        Some(Fault::Reset) => {
            response = broken(response).await;
            "reset".clone_into(&mut outcome);
            page = None;
        }
        Some(Fault::Truncate) => {
            response = halved(response).await;
            page = None;
        }
        _ => {}
    }
    simulator.requests.count(what, outcome, page);
    response
}

/// The path with `{id}` in the place of an id.
fn folded(path: &str, matched: Option<&MatchedPath>) -> String {
    let Some(matched) = matched else { return path.to_owned() };
    let parts = path.split('/').zip(matched.as_str().split('/'));
    let parts: Vec<_> = parts.map(|(part, route)| if route == "{id}" { route } else { part }).collect();
    parts.join("/")
}

/// The error a vendor would answer at this path.
fn failure(path: &str, code: u16, retry_after: Option<u32>, body: FaultBody) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match body {
        FaultBody::Empty => status.into_response(),
        FaultBody::Html => {
            let reason = status.canonical_reason().unwrap_or("Error");
            let page = format!(
                "<html>\r\n<head><title>{code} {reason}</title></head>\r\n<body>\r\n<center><h1>{code} {reason}</h1>\
                 </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
            );
            (status, Html(page)).into_response()
        }
        FaultBody::Json if path.starts_with("/8x8") => eight_answers::failure(status, path),
        FaultBody::Json if path.starts_with("/webex") => webex_answers::failure(status),
        FaultBody::Json => intercom_answers::failure(status),
    };
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

async fn whole(response: Response) -> (axum::http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    // The bodies are in memory already: reading them cannot fail.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    (parts, bytes)
}

/// Announces the whole answer, sends half of it and breaks the connection.
async fn broken(response: Response) -> Response {
    let (mut parts, bytes) = whole(response).await;
    parts.headers.insert(header::CONTENT_LENGTH, bytes.len().max(2).into());
    let half = bytes.slice(..bytes.len() / 2);
    let body = stream::unfold(Some(half), |left| async move {
        match left {
            Some(half) => Some((Ok(half), None)),
            None => {
                // What was written leaves before the connection goes.
                tokio::task::yield_now().await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(body))
}

/// A complete answer with half of the body.
async fn halved(response: Response) -> Response {
    let (mut parts, bytes) = whole(response).await;
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes.slice(..bytes.len() / 2)))
}
