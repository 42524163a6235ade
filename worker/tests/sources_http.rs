//! The HTTP client at its bounds, against a server that says byte for byte what it is told to: time, size, redirects,
//! and what a request looks like on the wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use backhaul_worker::source::{HttpSettings, Intercom, IntercomSettings};
use proto::catalog;
use proto::id::{AccountName, RunId};
use proto::secret::Secret;
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Unit, Window};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the server does with one connection after it has read a request.
enum Act {
    /// Sends this and closes.
    Say(String),
    /// Says nothing until the client goes.
    Hang,
}

/// Serves one connection per act, and gives back what was asked.
struct Server {
    address: String,
    task: JoinSet<Vec<String>>,
}

async fn server(acts: Vec<Act>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut asked = Vec::new();
        for act in acts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            asked.push(String::from_utf8(request).unwrap());
            match act {
                Act::Say(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
                Act::Hang => {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            }
        }
        asked
    });
    Server { address, task }
}

fn answer(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"))
}

fn tags() -> Act {
    answer("200 OK", "", r#"{"type":"list","data":[{"id":"1"}]}"#)
}

async fn fetch(base_url: &str, http: HttpSettings) -> Result<Page, SourceError> {
    let http = HttpSettings { first_delay: Duration::from_millis(1), longest_delay: Duration::from_millis(2), ..http };
    let settings = IntercomSettings { base_url: base_url.to_owned(), ..IntercomSettings::new(Secret::new("token-1")) };
    let account = AccountName::parse("main").unwrap();
    let source = Intercom::new(account.clone(), settings, http).unwrap();
    let now = "2026-11-20T08:00:00Z".parse().unwrap();
    let run = RunId::parse("run").unwrap();
    let unit = Unit::new(run, account, catalog::find("tags").unwrap(), String::new(), Window { from: now, to: now });
    source.fetch(&unit, None).await
}

#[tokio::test]
async fn a_request_says_who_asks_and_in_which_version() {
    let mut server = server(vec![tags()]).await;
    let page = fetch(&server.address, HttpSettings::default()).await.unwrap();
    assert_eq!((page.records.len(), page.requests), (1, 1));
    assert_eq!(&page.body[page.records[0].clone()], br#"{"id":"1"}"#);
    let asked = server.task.join_next().await.unwrap().unwrap().remove(0).to_lowercase();
    let agent = format!("user-agent: backhaul/{}\r\n", env!("CARGO_PKG_VERSION"));
    for line in [
        "get /tags http/1.1\r\n",
        "authorization: bearer token-1\r\n",
        "intercom-version: 2.16\r\n",
        "accept: application/json\r\n",
        &agent,
    ] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_or_within_the_answer_is_tried_again() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"type\":\"list\",\"data\":[";
    let server = server(vec![Act::Say(String::new()), Act::Say(half.to_owned()), tags()]).await;
    let page = fetch(&server.address, HttpSettings::default()).await.unwrap();
    // The HTTP library itself may repeat a request whose connection was closed without an answer.
    assert!(page.records.len() == 1 && page.requests >= 2, "{}", page.requests);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_given_up_and_tried_again() {
    let server = server(vec![Act::Hang, tags()]).await;
    let http = HttpSettings { timeout: Duration::from_millis(300), ..HttpSettings::default() };
    assert_eq!(fetch(&server.address, http).await.unwrap().requests, 2);
}

#[tokio::test]
async fn nobody_listening_is_an_outage_told_in_the_systems_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = fetch(&address, HttpSettings::default()).await.unwrap_err();
    assert_eq!((error.trouble, error.requests), (Trouble::Unavailable { after: None }, 4));
    assert!(error.message.starts_with("no connection: ") && error.message.ends_with(", 4 tries"), "{}", error.message);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read_whether_its_length_is_stated_or_not() {
    let body = "x".repeat(5_000);
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n{body}\r\n0\r\n\r\n");
    for act in [answer("200 OK", "", &body), Act::Say(chunked)] {
        let server = server(vec![act]).await;
        let http = HttpSettings { body_limit: 4_999, ..HttpSettings::default() };
        let error = fetch(&server.address, http).await.unwrap_err();
        assert_eq!((error.trouble, error.requests), (Trouble::Rejected, 1));
        assert_eq!(error.message, "the answer is larger than 4999 bytes");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = server(vec![tags()]).await;
    let location = format!("location: {}/tags\r\n", elsewhere.address);
    let server = server(vec![answer("302 Found", &location, "")]).await;
    let http = HttpSettings { tries: 1, ..HttpSettings::default() };
    let error = fetch(&server.address, http).await.unwrap_err();
    assert_eq!((error.trouble, error.requests), (Trouble::Unavailable { after: None }, 1));
    assert!(elsewhere.task.try_join_next().is_none(), "nobody came");
}

#[tokio::test]
async fn an_exhausted_rate_window_holds_the_next_request_back() {
    let reset = chrono::Utc::now().timestamp() + 3_000;
    let headers = format!("x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n");
    let server = server(vec![answer("503 Service Unavailable", &headers, "")]).await;
    let http = HttpSettings { pace_patience: Duration::from_secs(1), ..HttpSettings::default() };
    let error = fetch(&server.address, http).await.unwrap_err();
    let Trouble::Busy { after: Some(after) } = error.trouble else { panic!("{error}") };
    // At most a minute is believed: the vendor's windows are of ten seconds.
    assert!(after > Duration::from_secs(50) && after <= Duration::from_secs(60), "{after:?}");
    assert_eq!(error.requests, 1);
}
