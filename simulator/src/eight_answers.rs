//! The errors of 8x8, in the shapes its pages and clients show.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

const TIMESTAMP: &str = "2023-01-05T12:04:59.100+0000";

pub(crate) fn failure(status: StatusCode, path: &str) -> Response {
    if status == StatusCode::UNAUTHORIZED {
        return invalid_token("Access token expired: eyJ...");
    }
    let reason = status.canonical_reason().unwrap_or("Error");
    let path = path.split('?').next().unwrap_or(path).trim_start_matches("/8x8");
    let body = json!({"timestamp": TIMESTAMP, "status": status.as_u16(), "messages": [reason], "path": path});
    (status, Json(body)).into_response()
}

pub(crate) fn invalid_key() -> Response {
    let body = json!({
        "status": 400,
        "message": "Invalid 8x8-apikey",
        "code": "SHA001",
        "details": [{
            "type": "invalidValue",
            "location": "header",
            "path": ["8x8-apikey"],
            "hint": "Please provide valid apikey. If you don't have one, please sign up and create a developer account"
        }]
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

pub(crate) fn unknown_user() -> Response {
    let body = json!({"error_description": "USER_NOTFOUND_ERROR", "error": "invalid_grant"});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

pub(crate) fn invalid_token(description: &str) -> Response {
    let body = json!({"error": "invalid_token", "error_description": description});
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

pub(crate) fn invalid_parameter(name: &str, hint: &str) -> Response {
    let body = json!({
        "status": 400,
        "message": format!("Invalid {name}"),
        "code": "105-400-001",
        "details": [{"type": "invalidValue", "location": "query", "path": [name], "hint": hint}]
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

pub(crate) fn no_access(pbx: &str) -> Response {
    let message = format!("user(reports.simulator) does not have access to pbxId({pbx}) to make this request.");
    let body = json!({
        "timeStamp": TIMESTAMP,
        "status": 403,
        "error": "Access Denied",
        "exception": message,
        "message": message,
        "path": "/api/analytics/report/external/v2/call-records"
    });
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}
