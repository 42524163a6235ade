//! The access token of one account: kept until shortly before it ends, renewed by one request at a time, dropped when
//! the vendor refuses it.

use std::time::Duration;

use proto::secret::Secret;
use proto::source::Trouble;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::ask::{Answer, Ask, Lost};
use super::envelope;
use super::http::Http;
use super::refusal::{Complaint, Refusal};

/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN: Duration = Duration::from_secs(60);

/// How an account asks for a token.
pub(super) enum Grant {
    /// 8x8: user name and password under an API key. There is no refresh token; it asks again.
    Password { url: Url, api_key: Secret, username: Secret, password: Secret },
    /// Webex: a refresh token, which the vendor may replace at each use.
    Refresh { url: Url, client_id: Secret, client_secret: Secret, refresh_token: Secret },
}

/// The tokens of one account.
pub(super) enum Tokens {
    /// It has one that does not end by itself; a refused one cannot be replaced here.
    Fixed(Secret),
    /// It asks for one when it needs it.
    Granted(Box<Granted>),
}

/// Tokens that are asked for.
pub(super) struct Granted {
    grant: Grant,
    // An async lock, held across one await only: the token request itself. That is what it is for: whoever comes
    // meanwhile needs the very token that this request fetches, and a second request could void the first one's
    // refresh token. It is released when the waiter is dropped.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<(Secret, Instant)>,
    /// The refresh token that the vendor gave in place of the configured one. In memory only: a restart begins with
    /// the configured one again.
    refresh: Option<Secret>,
}

/// What a token request brought.
#[derive(Debug, PartialEq, Eq)]
struct Fresh {
    token: Secret,
    lives: Duration,
    refresh: Option<Secret>,
}

impl Tokens {
    /// No token is asked for yet.
    pub(super) fn granted(grant: Grant) -> Tokens {
        Tokens::Granted(Box::new(Granted { grant, held: Mutex::new(Held::default()) }))
    }

    /// Method and path of the token request, for messages.
    pub(super) fn endpoint(&self) -> &'static str {
        match self {
            Tokens::Fixed(_) => "access token",
            Tokens::Granted(granted) => match granted.grant {
                Grant::Password { .. } => "POST /v1/oauth/token",
                Grant::Refresh { .. } => "POST /v1/access_token",
            },
        }
    }

    /// A token that is good for a while; asks for one if there is none.
    pub(super) async fn get(&self, http: &Http, tally: &mut u32) -> Result<Secret, Refusal> {
        match self {
            Tokens::Fixed(token) => Ok(token.clone()),
            Tokens::Granted(granted) => granted.get(http, tally).await,
        }
    }

    /// Forgets a token that the vendor refused, unless another was fetched meanwhile. Returns whether asking again can
    /// bring another.
    pub(super) async fn discard(&self, used: &Secret) -> bool {
        let Tokens::Granted(granted) = self else { return false };
        let mut held = granted.held.lock().await;
        if held.token.as_ref().is_some_and(|(token, _)| token == used) {
            held.token = None;
        }
        true
    }
}

impl Granted {
    async fn get(&self, http: &Http, tally: &mut u32) -> Result<Secret, Refusal> {
        let mut held = self.held.lock().await;
        if let Some((token, end)) = &held.token
            && *end > Instant::now()
        {
            return Ok(token.clone());
        }
        let asked = Instant::now();
        let build = || Ok(request(&self.grant, held.refresh.as_ref()));
        let fresh = http.exchange(tally, None, build, read).await?;
        held.token = Some((fresh.token.clone(), asked + fresh.lives));
        if fresh.refresh.is_some() {
            held.refresh = fresh.refresh;
        }
        Ok(fresh.token)
    }
}

/// The token request. `refresh` is the newest refresh token, if the vendor gave one.
fn request(grant: &Grant, refresh: Option<&Secret>) -> Ask {
    match grant {
        // 8x8 documents no grant_type for this form.
        Grant::Password { url, api_key, username, password } => {
            Ask::form(url.clone(), &[("username", username.reveal()), ("password", password.reveal())])
                .header("8x8-apikey", api_key.reveal())
        }
        Grant::Refresh { url, client_id, client_secret, refresh_token } => Ask::form(
            url.clone(),
            &[
                ("grant_type", "refresh_token"),
                ("client_id", client_id.reveal()),
                ("client_secret", client_secret.reveal()),
                ("refresh_token", refresh.unwrap_or(refresh_token).reveal()),
            ],
        ),
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    refresh_token: Option<String>,
}

/// What the answer to a token request means. 8x8 answers 400 to a wrong key (SHA001) and to a wrong password
/// (invalid_grant); Webex 400 or 401. All of them refuse the account.
fn read(heard: Result<&Answer, &Lost>) -> Result<Fresh, Refusal> {
    let answer = heard.map_err(Refusal::lost)?;
    if !answer.is_ok() {
        let complaint = Complaint::of(answer);
        return Err(match answer.status {
            // HTML is a proxy's, and says nothing of the account.
            400 | 403 if !complaint.json => {
                Refusal::answered(Trouble::Unavailable { after: answer.retry_after() }, answer, &complaint)
            }
            400 | 401 | 403 => Refusal::answered(Trouble::Refused, answer, &complaint).hint(hint(&complaint)),
            _ => Refusal::usual(answer, &complaint),
        });
    }
    let granted: TokenAnswer = envelope::parse(answer)?;
    let secret = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| Secret::new(&text));
    let token = secret(granted.access_token);
    let token = token.ok_or_else(|| Refusal::malformed(answer, "an answer without access_token"))?;
    // Half an hour is the shortest life that a vendor documents.
    let life = Duration::try_from_secs_f64(granted.expires_in.unwrap_or(1800.0)).unwrap_or(Duration::from_secs(1800));
    let life = life.min(Duration::from_secs(90 * 86_400));
    let lives = if life > 2 * MARGIN { life - MARGIN } else { life / 2 };
    Ok(Fresh { token, lives, refresh: secret(granted.refresh_token) })
}

fn hint(complaint: &Complaint) -> &'static str {
    if complaint.has("SHA001") {
        "the 8x8 API key is wrong or was revoked"
    } else {
        "user name, password, client secret or refresh token is wrong, or has lapsed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ask::Body;

    fn refresh() -> Grant {
        Grant::Refresh {
            url: Url::parse("https://webexapis.com/v1/access_token").unwrap(),
            client_id: Secret::new("C1"),
            client_secret: Secret::new("s 1"),
            refresh_token: Secret::new("r1"),
        }
    }

    fn form(ask: &Ask) -> &str {
        let Some(Body::Form(form)) = &ask.body else { panic!("no form") };
        form.reveal()
    }

    #[test]
    fn the_newest_refresh_token_is_sent() {
        let newest = Secret::new("r2");
        assert_eq!(
            form(&request(&refresh(), None)),
            "grant_type=refresh_token&client_id=C1&client_secret=s+1&refresh_token=r1"
        );
        assert!(form(&request(&refresh(), Some(&newest))).ends_with("refresh_token=r2"));
    }

    #[test]
    fn an_8x8_token_is_asked_for_with_user_password_and_key_and_no_grant_type() {
        let grant = Grant::Password {
            url: Url::parse("https://api.8x8.com/analytics/work/v1/oauth/token").unwrap(),
            api_key: Secret::new("eght_1"),
            username: Secret::new("a@b"),
            password: Secret::new("p&w"),
        };
        let ask = request(&grant, None);
        assert_eq!(form(&ask), "username=a%40b&password=p%26w");
        assert_eq!(ask.headers, [("8x8-apikey", Secret::new("eght_1"))]);
        assert_eq!(ask.lane, None);
    }

    #[test]
    fn a_token_lives_a_minute_less_than_the_vendor_says() {
        for (expires_in, seconds) in [("1800", 1740.0), ("1209600", 1_209_540.0), ("2", 1.0), ("null", 1740.0)] {
            let body = format!(r#"{{"access_token":"t","expires_in":{expires_in},"refresh_token":"r2"}}"#);
            let fresh = read(Ok(&Answer::scripted(200, &[], body))).unwrap();
            assert_eq!(fresh.lives, Duration::from_secs_f64(seconds));
            assert_eq!(fresh.refresh, Some(Secret::new("r2")));
        }
    }

    #[test]
    fn each_refused_token_request_has_its_trouble() {
        for (status, body, trouble) in [
            (400, include_str!("../../fixtures/8x8_error_apikey.json"), Trouble::Refused),
            (400, include_str!("../../fixtures/8x8_error_password.json"), Trouble::Refused),
            (401, "{}", Trouble::Refused),
            (403, "{}", Trouble::Refused),
            (429, "{}", Trouble::Busy { after: None }),
            (503, "<html>", Trouble::Unavailable { after: None }),
            (200, "<html>", Trouble::Malformed),
            (200, "{}", Trouble::Malformed),
            (200, "", Trouble::Malformed),
        ] {
            assert_eq!(read(Ok(&Answer::scripted(status, &[], body))).unwrap_err().trouble, trouble, "{status} {body}");
        }
        let answer = Answer::scripted(400, &[], include_str!("../../fixtures/8x8_error_apikey.json"));
        assert_eq!(read(Ok(&answer)).unwrap_err().message, "HTTP 400: Invalid 8x8-apikey");
    }
}
