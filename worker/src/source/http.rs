//! The one HTTP client: sends what adapters ask, at the account's pace, within bounds of time and size, and tries
//! again for a short while.
//!
//! Guarantees: every request sent is counted, also one that failed; no redirect is followed (a bearer token must not
//! travel); a body is never read beyond its limit; a busy answer holds back the whole account. What an answer means is
//! the adapter's to say, as a pure function of it.

use bytes::Bytes;
use chrono::Utc;
use proto::secret::Secret;
use proto::source::Trouble;
use tokio::time::Instant;

use super::ask::{Answer, Ask, Body, How, Lost};
use super::pace::{Pace, Rate};
use super::refusal::Refusal;
use super::retry::Retry;
use super::settings::{BadSettings, HttpSettings};

/// The HTTP client of one account.
pub(super) struct Http {
    client: reqwest::Client,
    settings: HttpSettings,
    pace: Pace,
}

impl Http {
    /// A client that keeps to `rates`, by lane.
    pub(super) fn new(settings: HttpSettings, rates: &[Rate]) -> Result<Http, BadSettings> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("backhaul/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_max_idle_per_host(settings.idle_connections)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(BadSettings::Client)?;
        let pace = Pace::new(rates, settings.pace_patience);
        Ok(Http { client, settings, pace })
    }

    /// Asks until `judge` is content or the failure is one to hand up.
    ///
    /// `build` is called anew for each try, so that it may ask for less after a timeout. `judge` sees each answer, or
    /// how it was lost; what it calls busy, unavailable or malformed is tried again. `tally` counts the requests sent.
    pub(super) async fn exchange<T>(
        &self,
        tally: &mut u32,
        token: Option<&Secret>,
        build: impl Fn() -> Result<Ask, Refusal>,
        judge: impl Fn(Result<&Answer, &Lost>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut retry = Retry::new(&self.settings);
        loop {
            let ask = build()?;
            if let Some(lane) = ask.lane {
                self.pace.wait(lane).await.map_err(|after| {
                    Refusal::new(Trouble::Busy { after: Some(after) }, "the account's rate is used up")
                })?;
            }
            *tally += 1;
            let began = Instant::now();
            let heard = self.send(ask, token).await;
            if let Some(wait) = heard.as_ref().ok().and_then(Answer::exhausted) {
                self.pace.pause(wait);
            }
            let refusal = match judge(heard.as_ref()) {
                Ok(found) => return Ok(found),
                Err(refusal) => refusal,
            };
            let delay = retry.next(began.elapsed(), &refusal.trouble);
            if let Trouble::Busy { after } = refusal.trouble {
                self.pace.pause(delay.or(after).unwrap_or_default());
            }
            let Some(delay) = delay else { return Err(after_tries(refusal, retry.tries())) };
            tracing::debug!(cause = %refusal.message, delay_ms = delay.as_millis() as u64, "trying again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn send(&self, ask: Ask, token: Option<&Secret>) -> Result<Answer, Lost> {
        let mut request = self.client.request(ask.method, ask.url).header("accept", "application/json");
        for (name, value) in &ask.headers {
            request = request.header(*name, value.reveal());
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        request = match ask.body {
            Some(Body::Json(text)) => request.header("content-type", "application/json").body(text),
            Some(Body::Form(form)) => {
                request.header("content-type", "application/x-www-form-urlencoded").body(form.reveal().to_owned())
            }
            None => request,
        };
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let body = self.body(response).await?;
        Ok(Answer { status, headers, body, at: Utc::now() })
    }

    /// Reads the whole body, and stops as soon as it is over the limit.
    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, Lost> {
        let limit = self.settings.body_limit;
        let too_large = || Lost { how: How::TooLarge, cause: format!("the answer is larger than {limit} bytes") };
        let stated = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
        if stated > limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(stated);
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if chunk.len() > limit - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(body))
    }
}

/// How the answer was lost. The address is left out: its query may hold personal data.
fn lost(error: &reqwest::Error) -> Lost {
    let how = if error.is_builder() {
        return Lost { how: How::Unwritable, cause: "a credential holds a character that no header can hold".into() };
    } else if error.is_connect() {
        How::Unsent
    } else {
        How::Broken
    };
    if error.is_timeout() {
        return Lost { how, cause: "the time limit was over".into() };
    }
    // The innermost cause is the operating system's or the peer's own word.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Lost { how, cause: cause.to_string() }
}

/// Says how often it was tried, where that was more than once.
fn after_tries(mut refusal: Refusal, tries: u32) -> Refusal {
    if tries > 1 {
        refusal.message = format!("{}, {tries} tries", refusal.message);
    }
    refusal
}
