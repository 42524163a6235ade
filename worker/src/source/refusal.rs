//! Why an answer is not a page: the trouble it is, and the vendor's own words in one line. Pure.
//!
//! What a status means when a vendor's own rules say nothing else is decided in [`Refusal::usual`]. Bodies are never
//! quoted, only the message fields that the vendors' error shapes have; whatever looks like a token is left out.

use std::fmt::Write as _;

use proto::source::Trouble;
use serde_json::Value;

use super::ask::{Answer, How, Lost};

/// The longest message, in characters.
const LONGEST: usize = 300;

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) trouble: Trouble,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
    /// The HTTP status, where there was an answer.
    pub(super) status: Option<u16>,
}

impl Refusal {
    /// A refusal of our own, without an answer.
    pub(super) fn new(trouble: Trouble, message: &str) -> Refusal {
        Refusal { trouble, message: one_line(message), hint: None, status: None }
    }

    /// An answer that is not what the API promises.
    pub(super) fn malformed(answer: &Answer, what: &str) -> Refusal {
        let message = one_line(&format!("HTTP {}: {what}", answer.status));
        Refusal { trouble: Trouble::Malformed, message, hint: None, status: Some(answer.status) }
    }

    /// An answer that was lost: transient unless nothing can change it.
    pub(super) fn lost(lost: &Lost) -> Refusal {
        let trouble = match lost.how {
            How::Unsent | How::Broken => Trouble::Unavailable { after: None },
            How::TooLarge => Trouble::Rejected,
            How::Unwritable => Trouble::Refused,
        };
        let hint = (lost.how == How::TooLarge).then_some("make the page size smaller");
        Refusal { hint, ..Refusal::new(trouble, &lost.to_string()) }
    }

    /// What an unsuccessful status means unless the vendor has another rule: 401 and 403 refuse the account, 429 is
    /// busy, 408, 3xx and 5xx are an outage (or a proxy in between), any other 4xx rejects this request. Of those an
    /// answer that is cut off decides nothing: its words may say something else (Webex says 404 for an empty window).
    pub(super) fn usual(answer: &Answer, complaint: &Complaint) -> Refusal {
        let after = answer.retry_after();
        let trouble = match answer.status {
            400 | 402..=407 | 409..=428 | 430..=499 if complaint.is_cut_off => Trouble::Malformed,
            // HTML is a proxy's, and says nothing of the account.
            403 if !complaint.json => Trouble::Unavailable { after },
            401 | 403 => Trouble::Refused,
            429 => Trouble::Busy { after },
            408 => Trouble::Unavailable { after },
            400..=499 => Trouble::Rejected,
            _ => Trouble::Unavailable { after },
        };
        Refusal::answered(trouble, answer, complaint)
    }

    /// An answer with the vendor's words and our judgement of them.
    pub(super) fn answered(trouble: Trouble, answer: &Answer, complaint: &Complaint) -> Refusal {
        let mut message = format!("HTTP {}: {}", answer.status, complaint.message);
        if let Some(tracking) = &complaint.tracking {
            let _ = write!(message, " (tracking id {tracking})");
        }
        Refusal { trouble, message: one_line(&message), hint: None, status: Some(answer.status) }
    }

    /// With what to do about it.
    pub(super) fn hint(mut self, hint: &'static str) -> Refusal {
        self.hint = Some(hint);
        self
    }
}

/// What a vendor says is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Whether the body was JSON; HTML comes from a proxy or load balancer.
    pub(super) json: bool,
    /// The vendor's message, or a word about the body.
    pub(super) message: String,
    /// All codes, texts and numbers alike.
    pub(super) codes: Vec<String>,
    /// Whether the body begins as JSON and is none.
    is_cut_off: bool,
    tracking: Option<String>,
}

impl Complaint {
    /// Reads the error shapes of all three vendors: `message`, `messages`, `error`, `error_description`, `errors[]`,
    /// `code`, `errorCode`, `trackingId`, `request_id`.
    pub(super) fn of(answer: &Answer) -> Complaint {
        let tracking = ["trackingid", "x-request-id"].into_iter().find_map(|name| answer.header(name));
        let Ok(Value::Object(body)) = serde_json::from_slice(&answer.body) else {
            let is_cut_off = answer.body.trim_ascii_start().starts_with(b"{");
            let message = match (answer.body.is_empty(), is_cut_off) {
                (true, _) => "an empty answer",
                (false, true) => "the answer is cut off",
                (false, false) => "the answer is not JSON",
            };
            return Complaint {
                is_cut_off,
                message: message.to_owned(),
                tracking: tracking.map(str::to_owned),
                ..Complaint::default()
            };
        };
        let text = |name: &str| body.get(name).and_then(scalar);
        let list = |name: &str| body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let errors = list("errors");
        let of_errors =
            |name: &str| errors.iter().filter_map(|error| error.get(name).and_then(scalar)).collect::<Vec<_>>();
        let messages = [
            list("messages").iter().filter_map(scalar).collect::<Vec<_>>(),
            of_errors("message"),
            of_errors("description"),
        ];
        let message = text("message")
            .or_else(|| text("error_description"))
            .or_else(|| messages.into_iter().find(|some| !some.is_empty()).map(|some| some.join("; ")))
            .or_else(|| text("error"));
        let mut codes: Vec<String> = ["code", "error", "errorCode"].into_iter().filter_map(text).collect();
        codes.extend(of_errors("code"));
        let message = match (message, codes.first()) {
            (Some(message), _) => message,
            (None, Some(code)) => code.clone(),
            (None, None) => "no message".to_owned(),
        };
        let tracking = text("trackingId").or_else(|| text("request_id")).or(tracking.map(str::to_owned));
        Complaint { json: true, message, codes, is_cut_off: false, tracking }
    }

    /// Whether one of the codes is `code`.
    pub(super) fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|other| other == code)
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `text` in one line of at most 300 characters. Words that look like tokens are left out: 8x8 quotes the whole
/// expired token in its message.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        let address = word.contains("://");
        let secret = word.contains("eyJ") || (word.chars().count() > 60 && !address);
        line.push_str(if secret { "***" } else { word });
    }
    match line.char_indices().nth(LONGEST) {
        Some((_, _)) => line.chars().take(LONGEST - 1).chain(['…']).collect(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_words_of_every_error_shape_are_found() {
        for (body, message, code) in [
            (r#"{"status":400,"message":"Invalid 8x8-apikey","code":"SHA001"}"#, "Invalid 8x8-apikey", "SHA001"),
            (
                r#"{"error_description":"USER_NOTFOUND_ERROR","error":"invalid_grant"}"#,
                "USER_NOTFOUND_ERROR",
                "invalid_grant",
            ),
            (r#"{"timestamp":"x","status":403,"messages":["no","way"],"path":"/p"}"#, "no; way", ""),
            (
                r#"{"errorCode":404,"message":"No CDRs for requested time range"}"#,
                "No CDRs for requested time range",
                "404",
            ),
            (
                r#"{"type":"error.list","errors":[{"code":"unauthorized","message":"Access Token Invalid"}]}"#,
                "Access Token Invalid",
                "unauthorized",
            ),
            (r#"{"type":"error.list","errors":[{"code":"not_found","message":null}]}"#, "not_found", "not_found"),
            (r#"{"errors":[{"description":"why"}]}"#, "why", ""),
            ("{}", "no message", ""),
        ] {
            let complaint = Complaint::of(&Answer::scripted(400, &[], body));
            assert_eq!(complaint.message, message);
            assert!(complaint.json && (code.is_empty() || complaint.has(code)), "{body}");
        }
        assert_eq!(Complaint::of(&Answer::scripted(502, &[], "<html>")).message, "the answer is not JSON");
        assert_eq!(Complaint::of(&Answer::scripted(502, &[], "")).message, "an empty answer");
    }

    #[test]
    fn a_message_is_one_line_with_the_tracking_id_and_without_tokens() {
        let answer =
            Answer::scripted(401, &[("trackingid", "T-1")], "{\"message\":\"expired:\\n eyJhbGciOiJS.x.y now\"}");
        let refusal = Refusal::usual(&answer, &Complaint::of(&answer));
        assert_eq!(refusal.message, "HTTP 401: expired: *** now (tracking id T-1)");
        assert_eq!(one_line(&"x".repeat(61)), "***");
        let long = one_line(&"word ".repeat(100));
        assert!(long.chars().count() == 300 && long.ends_with('…'), "{long}");
    }

    #[test]
    fn each_status_has_its_usual_trouble() {
        let after = Some(Duration::from_secs(5));
        for (status, trouble) in [
            (302, Trouble::Unavailable { after }),
            (400, Trouble::Rejected),
            (401, Trouble::Refused),
            (403, Trouble::Refused),
            (404, Trouble::Rejected),
            (408, Trouble::Unavailable { after }),
            (422, Trouble::Rejected),
            (429, Trouble::Busy { after }),
            (500, Trouble::Unavailable { after }),
            (502, Trouble::Unavailable { after }),
            (503, Trouble::Unavailable { after }),
            (504, Trouble::Unavailable { after }),
        ] {
            let answer = Answer::scripted(status, &[("retry-after", "5")], "{}");
            assert_eq!(Refusal::usual(&answer, &Complaint::of(&answer)).trouble, trouble, "{status}");
        }
    }

    #[test]
    fn an_error_that_is_cut_off_is_asked_for_again_unless_its_status_says_enough() {
        let after = Some(Duration::from_secs(5));
        for (status, trouble) in [
            (400, Trouble::Malformed),
            (401, Trouble::Refused),
            (403, Trouble::Malformed),
            (404, Trouble::Malformed),
            (429, Trouble::Busy { after }),
            (503, Trouble::Unavailable { after }),
        ] {
            let answer = Answer::scripted(status, &[("retry-after", "5")], r#"{"errorCode":404,"mess"#);
            assert_eq!(Refusal::usual(&answer, &Complaint::of(&answer)).trouble, trouble, "{status}");
        }
    }

    #[test]
    fn each_way_to_lose_an_answer_has_its_trouble() {
        for (how, trouble) in [
            (How::Unsent, Trouble::Unavailable { after: None }),
            (How::Broken, Trouble::Unavailable { after: None }),
            (How::TooLarge, Trouble::Rejected),
            (How::Unwritable, Trouble::Refused),
        ] {
            assert_eq!(Refusal::lost(&Lost { how, cause: "why".into() }).trouble, trouble);
        }
    }
}
