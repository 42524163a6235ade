//! One exchange as data: what is asked, what came back, or how it was lost. No I/O.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, header};
use proto::secret::Secret;
use url::{Url, form_urlencoded};

/// What is asked of a vendor, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Headers beyond `Accept`, `User-Agent`, `Content-Type` and `Authorization`. Values may be keys, so none prints.
    pub(super) headers: Vec<(&'static str, Secret)>,
    pub(super) body: Option<Body>,
    /// Which of the account's rates it counts against; `None` for requests that no rate is about (tokens).
    pub(super) lane: Option<usize>,
}

/// What is sent along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// A JSON text.
    Json(String),
    /// An encoded form; it may hold a password.
    Form(Secret),
}

impl Ask {
    /// A GET against the account's first rate.
    pub(super) fn get(url: Url) -> Ask {
        Ask { method: Method::GET, url, headers: Vec::new(), body: None, lane: Some(0) }
    }

    /// A POST of a JSON text against the account's first rate.
    pub(super) fn post(url: Url, json: String) -> Ask {
        Ask { method: Method::POST, url, headers: Vec::new(), body: Some(Body::Json(json)), lane: Some(0) }
    }

    /// A POST of a form that no rate is about.
    pub(super) fn form(url: Url, fields: &[(&str, &str)]) -> Ask {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let body = Some(Body::Form(Secret::new(&form)));
        Ask { method: Method::POST, url, headers: Vec::new(), body, lane: None }
    }

    /// With one more header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Ask {
        self.headers.push((name, Secret::new(value)));
        self
    }
}

/// What a vendor answered, body and all.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When its last byte was here.
    pub(super) at: DateTime<Utc>,
}

impl Answer {
    /// Whether the status says success.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// How long the vendor asks to wait: `Retry-After`, in seconds or as a date; else the end of the rate window for
    /// a refused request, where the headers name it (Intercom sends no `Retry-After`).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let after = self.header("retry-after").map(str::trim).and_then(|text| match text.parse::<u64>() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let date = DateTime::parse_from_rfc2822(text).ok()?;
                Some((date.with_timezone(&Utc) - self.vendor_time()).to_std().unwrap_or_default())
            }
        });
        after.or_else(|| self.until_reset().filter(|_| self.status == 429))
    }

    /// How long no further request is allowed: until `X-RateLimit-Reset`, when `X-RateLimit-Remaining` is 0.
    pub(super) fn exhausted(&self) -> Option<Duration> {
        let remaining: i64 = self.header("x-ratelimit-remaining")?.trim().parse().ok()?;
        self.until_reset().filter(|_| remaining <= 0)
    }

    /// The time until `X-RateLimit-Reset` (unix seconds), at most a minute: the windows are of ten seconds, so more is
    /// a clock that differs.
    fn until_reset(&self) -> Option<Duration> {
        let reset: i64 = self.header("x-ratelimit-reset")?.trim().parse().ok()?;
        let wait = (DateTime::from_timestamp(reset, 0)? - self.vendor_time()).to_std().unwrap_or_default();
        Some(wait.min(Duration::from_secs(60)))
    }

    /// The vendor's own clock where it sends one, so that ours may be wrong.
    fn vendor_time(&self) -> DateTime<Utc> {
        self.header(header::DATE.as_str())
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map_or(self.at, |date| date.with_timezone(&Utc))
    }
}

/// How an answer was lost, and the cause in one line without the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) how: How,
    pub(super) cause: String,
}

/// How an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// No connection was made: the vendor has not seen the request.
    Unsent,
    /// The connection broke, or the time was over: the vendor may have done what was asked.
    Broken,
    /// The body is larger than the limit.
    TooLarge,
    /// The request cannot be written: a secret holds a character that no header can hold.
    Unwritable,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Unsent => write!(f, "no connection: {}", self.cause),
            How::Broken => write!(f, "no whole answer: {}", self.cause),
            How::TooLarge | How::Unwritable => f.write_str(&self.cause),
        }
    }
}

#[cfg(test)]
impl Answer {
    /// An answer as a test scripts it.
    pub(super) fn scripted(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap()));
        let at = "2026-11-20T08:00:00Z".parse().unwrap();
        Answer { status, headers: headers.collect(), body: Bytes::from(body.into()), at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_a_vendor_asks_for_is_read_from_seconds_dates_and_rate_windows() {
        let date = ("date", "Fri, 20 Nov 2026 08:00:00 GMT");
        let reset = ("x-ratelimit-reset", "1795161607"); // 08:00:07
        for (status, headers, expected) in [
            (429, vec![("retry-after", "7")], Some(7)),
            (503, vec![("retry-after", " 0 ")], Some(0)),
            (503, vec![("retry-after", "Fri, 20 Nov 2026 08:00:30 GMT"), date], Some(30)),
            (503, vec![("retry-after", "Fri, 20 Nov 2026 07:00:00 GMT")], Some(0)),
            (429, vec![reset, date], Some(7)),
            (503, vec![reset, date], None),
            (429, vec![("retry-after", "soon")], None),
            (429, vec![], None),
        ] {
            let answer = Answer::scripted(status, &headers, "");
            assert_eq!(answer.retry_after(), expected.map(Duration::from_secs), "{status} {headers:?}");
        }
    }

    #[test]
    fn a_rate_window_is_exhausted_when_nothing_remains_of_it() {
        let reset = ("x-ratelimit-reset", "1795161607");
        let exhausted =
            |remaining| Answer::scripted(200, &[("x-ratelimit-remaining", remaining), reset], "").exhausted();
        assert_eq!(exhausted("0"), Some(Duration::from_secs(7)));
        assert_eq!(exhausted("1"), None);
        assert_eq!(Answer::scripted(200, &[("x-ratelimit-remaining", "0")], "").exhausted(), None);
    }

    #[test]
    fn a_form_and_a_header_do_not_print() {
        let url = Url::parse("http://h/token").unwrap();
        let ask = Ask::form(url, &[("password", "a b&c")]).header("8x8-apikey", "key-1");
        let Some(Body::Form(form)) = &ask.body else { panic!() };
        assert_eq!(form.reveal(), "password=a+b%26c");
        let printed = format!("{ask:?}");
        assert!(!printed.contains("a+b") && !printed.contains("key-1"), "{printed}");
    }
}
