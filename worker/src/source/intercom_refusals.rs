//! What a failure of Intercom means, and which scope to ask for. Pure.

use proto::source::Trouble;

use super::ask::Answer;
use super::refusal::{Complaint, Refusal};

/// What an unsuccessful answer for `path` means. `following` tells a page after the first.
///
/// A missing scope or plan refuses the account although it may be about one dataset: putting units aside one by one
/// would only hide it. HTML comes from the load balancer and says nothing about the account.
pub(super) fn refused(answer: &Answer, path: &str, following: bool) -> Refusal {
    let complaint = Complaint::of(answer);
    let answered = |trouble| Refusal::answered(trouble, answer, &complaint);
    match answer.status {
        400 if complaint.has("intercom_version_invalid") => {
            answered(Trouble::Refused).hint("set another Intercom version for the account")
        }
        // The query was taken on the first page, so it is the cursor that is refused.
        400 if following => answered(Trouble::Restart { after: None }),
        401 => answered(Trouble::Refused).hint("the access token is wrong or was revoked: make a new one"),
        402 | 403 if complaint.has("api_plan_restricted") => {
            answered(Trouble::Refused).hint("the workspace's plan does not include the API")
        }
        402..=404 if !complaint.json => answered(Trouble::Unavailable { after: answer.retry_after() }),
        402 | 403 => answered(Trouble::Refused).hint(scope(path)),
        _ => Refusal::usual(answer, &complaint),
    }
}

fn scope(path: &str) -> &'static str {
    match path {
        "/conversations/search" => "give the token the scope `Read conversations`",
        "/admins" | "/teams" | "/me" => "give the token the scope `Read admins`",
        "/tags" => "give the token the scope `Read tags`",
        _ => "give the token the scope `Read and list users and companies`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn error(code: &str) -> String {
        format!(r#"{{"type":"error.list","request_id":"r1","errors":[{{"code":"{code}","message":"m"}}]}}"#)
    }

    #[test]
    fn each_failure_has_its_trouble() {
        let (busy, down) = (Trouble::Busy { after: None }, Trouble::Unavailable { after: None });
        for (status, body, following, trouble) in [
            (400, error("client_error"), true, Trouble::Restart { after: None }),
            (400, error("parameter_invalid"), false, Trouble::Rejected),
            (400, error("intercom_version_invalid"), false, Trouble::Refused),
            (401, error("unauthorized"), true, Trouble::Refused),
            (402, error("api_plan_restricted"), false, Trouble::Refused),
            (403, error("api_plan_restricted"), false, Trouble::Refused),
            (403, error("action_forbidden"), false, Trouble::Refused),
            (403, "<html>".to_owned(), false, down.clone()),
            (404, error("not_found"), false, Trouble::Rejected),
            (404, "<html>".to_owned(), false, down.clone()),
            (408, error("request_timeout"), false, down.clone()),
            (422, error("parameter_invalid"), false, Trouble::Rejected),
            (429, error("rate_limit_exceeded"), false, busy),
            (500, error("server_error"), false, down.clone()),
            (502, String::new(), true, down.clone()),
            (503, error("service_unavailable"), true, down.clone()),
            (504, "<html>".to_owned(), true, down),
        ] {
            let refusal = refused(&Answer::scripted(status, &[], body.as_str()), "/tags", following);
            assert_eq!(refusal.trouble, trouble, "{status} {body}");
        }
    }

    #[test]
    fn a_missing_scope_is_named_and_a_busy_answer_says_when_its_window_ends() {
        let refusal = refused(&Answer::scripted(403, &[], error("action_forbidden")), "/conversations/search", false);
        assert_eq!(refusal.hint, Some("give the token the scope `Read conversations`"));
        assert_eq!(refusal.message, "HTTP 403: m (tracking id r1)");
        let reset = [("x-ratelimit-reset", "1795161604"), ("x-ratelimit-remaining", "0")];
        let refusal = refused(&Answer::scripted(429, &reset, error("rate_limit_exceeded")), "/tags", false);
        assert_eq!(refusal.trouble, Trouble::Busy { after: Some(Duration::from_secs(4)) });
    }
}
