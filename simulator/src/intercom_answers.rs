//! The errors of Intercom.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

const REQUEST: &str = "00095et5a4vo8m2t8kbg";

pub(crate) fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"type": "error.list", "request_id": REQUEST, "errors": [{"code": code, "message": message}]});
    (status, Json(body)).into_response()
}

pub(crate) fn bad(code: &str, message: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, code, message)
}

pub(crate) fn failure(status: StatusCode) -> Response {
    let (code, message) = match status.as_u16() {
        401 => ("unauthorized", "Access Token Invalid"),
        403 => ("forbidden", "You do not have permission to do this"),
        404 => ("not_found", "Resource Not Found"),
        408 => ("request_timeout", "The request took too long"),
        429 => ("rate_limit_exceeded", "Exceeded rate limit of 1667 in 10_seconds"),
        503 => ("service_unavailable", "Sorry, the API service is temporarily unavailable"),
        400..500 => ("bad_request", "Bad request"),
        _ => ("server_error", "Server Error"),
    };
    refused(status, code, message)
}

pub(crate) fn not_found(what: &str) -> Response {
    refused(StatusCode::NOT_FOUND, "not_found", &format!("{what} Not Found"))
}

pub(crate) fn scroll_exists() -> Response {
    let error = json!({"code": "scroll_exists", "message": "scroll already exists for this workspace"});
    let body = json!({"type": "error.list", "errors": [error]});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

pub(crate) fn bad_cursor() -> Response {
    bad(
        "client_error",
        "Invalid starting_after param. Please try again using a starting_after value from a paginated response",
    )
}
