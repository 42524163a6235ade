//! The errors of Webex.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

const TRACKING: &str = "ROUTERGW_00000000-0000-0000-0000-000000000000";

pub(crate) fn refused(status: StatusCode, message: &str) -> Response {
    let body = json!({"message": message, "errors": [{"description": message}], "trackingId": TRACKING});
    (status, [("Trackingid", TRACKING)], Json(body)).into_response()
}

pub(crate) fn failure(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::UNAUTHORIZED => {
            "The request requires a valid access token set in the Authorization request header."
        }
        StatusCode::TOO_MANY_REQUESTS => "Request rate exceeds threshold",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    refused(status, message)
}

pub(crate) fn nothing_found() -> Response {
    let body = json!({
        "errorCode": 404,
        "message": "No CDRs for requested time range and filters",
        "trackingId": TRACKING
    });
    (StatusCode::NOT_FOUND, [("Trackingid", TRACKING)], Json(body)).into_response()
}
