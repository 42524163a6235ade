//! An account's conversation with its vendor: token and HTTP client joined, and failures turned into [`SourceError`]s.

use proto::id::AccountName;
use proto::source::SourceError;

use super::ask::{Answer, Ask, Lost};
use super::http::Http;
use super::refusal::Refusal;
use super::token::Tokens;

/// What an adapter asks through.
pub(super) struct Session {
    account: AccountName,
    http: Http,
    tokens: Tokens,
}

impl Session {
    pub(super) fn new(account: AccountName, http: Http, tokens: Tokens) -> Session {
        Session { account, http, tokens }
    }

    /// Asks with a token, as [`Http::exchange`] does. When the vendor answers 401 the token is replaced and the same
    /// request is sent once more, so a walk survives the end of its token with the cursor it has.
    ///
    /// `endpoint` is method and path, for messages; `tally` counts the requests, those for tokens too.
    pub(super) async fn ask<T>(
        &self,
        endpoint: &str,
        tally: &mut u32,
        build: impl Fn() -> Result<Ask, Refusal>,
        judge: impl Fn(Result<&Answer, &Lost>) -> Result<T, Refusal>,
    ) -> Result<T, SourceError> {
        let mut renewed = false;
        loop {
            let token = match self.tokens.get(&self.http, tally).await {
                Ok(token) => token,
                Err(refusal) => return Err(self.error(self.tokens.endpoint(), refusal, *tally)),
            };
            let refusal = match self.http.exchange(tally, Some(&token), &build, &judge).await {
                Ok(found) => return Ok(found),
                Err(refusal) => refusal,
            };
            if refusal.status != Some(401) || renewed || !self.tokens.discard(&token).await {
                return Err(self.error(endpoint, refusal, *tally));
            }
            renewed = true;
        }
    }

    /// The error that a refusal is to the caller.
    pub(super) fn error(&self, endpoint: &str, refusal: Refusal, requests: u32) -> SourceError {
        let Refusal { trouble, message, hint, status: _ } = refusal;
        let (account, endpoint) = (self.account.as_str().to_owned(), endpoint.to_owned());
        SourceError { trouble, account, endpoint, message, hint, requests }
    }
}
