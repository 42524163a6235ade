//! What Webex refuses, clamps and says when there is nothing.

use std::collections::BTreeMap;
use std::time::Duration as Time;

use backhaul_simulator::{Change, Dataset, Quirks, Rates, Settings, WebexRate, credentials};
use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

use crate::client::{digest, next_link, now, ok, serve, settings, value};

const FEED: &str = "/webex/v1/cdr_feed";

#[tokio::test]
async fn no_token_is_401_in_the_general_shape() {
    let client = serve(settings()).await;
    let response = client.webex("x", FEED, now() - Duration::hours(2), now() - Duration::hours(1)).send().await;
    let (status, body) = value(response.unwrap()).await;
    assert_eq!(status, 401);
    assert!(body["errors"][0]["description"].is_string() && body["trackingId"].is_string());
}

#[tokio::test]
async fn a_refresh_token_may_be_replaced_by_its_use() {
    let quirks = Quirks { webex_rotates_refresh_token: true, ..Quirks::default() };
    let client = serve(Settings { quirks, ..settings() }).await;
    client.webex_token().await;
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", credentials::WEBEX_CLIENT_ID),
        ("client_secret", credentials::WEBEX_CLIENT_SECRET),
        ("refresh_token", credentials::WEBEX_REFRESH_TOKEN),
    ];
    let stale = client.http.post(client.url("/webex/v1/access_token")).form(&form).send().await.unwrap();
    assert_eq!(stale.status(), 400);
    client.webex_token().await;
}

#[tokio::test]
async fn windows_are_bounded_in_age_length_and_freshness() {
    let client = serve(settings()).await;
    let token = client.webex_token().await;
    for (path, oldest, newest, longest) in [
        (FEED, Duration::days(30), Duration::minutes(5), Duration::hours(12)),
        ("/webex/v1/cdr_stream", Duration::hours(12), Duration::minutes(1), Duration::hours(2)),
    ] {
        let status = async |low, high| client.webex(&token, path, low, high).send().await.unwrap().status().as_u16();
        let second = Duration::seconds(1);
        let (old, new) = (now() - oldest, now() - newest);
        assert_ne!(status(old, old + longest).await, 400);
        assert_eq!(status(old - second, old + second).await, 400);
        assert_eq!(status(old, old + longest + second).await, 400);
        assert_ne!(status(new - longest, new).await, 400);
        assert_eq!(status(new - second, new + second).await, 400);
        assert_eq!(status(new, new).await, 400);
    }
}

#[tokio::test]
async fn an_empty_window_is_404_or_an_empty_page() {
    for empty_is_ok in [false, true] {
        let quirks = Quirks { webex_empty_is_ok: empty_is_ok, ..Quirks::default() };
        let client = serve(Settings { quirks, ..settings() }).await;
        let token = client.webex_token().await;
        let (low, high) = (now() - Duration::days(20), now() - Duration::days(20) + Duration::hours(1));
        let (status, body) = value(client.webex(&token, FEED, low, high).send().await.unwrap()).await;
        if empty_is_ok {
            assert_eq!((status, body["items"].as_array().map(Vec::len)), (200, Some(0)));
        } else {
            assert_eq!((status, &body["errorCode"]), (404, &404.into()));
        }
    }
}

#[tokio::test]
async fn a_page_has_at_least_500_rows_and_its_link_tells_the_rest() {
    for doubled in [false, true] {
        let quirks = Quirks { webex_doubled_bracket: doubled, ..Quirks::default() };
        let client = serve(Settings { quirks, ..settings() }).await;
        let token = client.webex_token().await;
        let (low, high) = (now() - Duration::hours(24), now() - Duration::hours(12));
        let wire = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let query = [("startTime", wire(low)), ("endTime", wire(high)), ("max", "1".to_owned())];
        let request = client.http.get(client.url(FEED)).bearer_auth(&token).query(&query);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["link"].to_str().unwrap().starts_with("<<"), doubled);
        let link = next_link(&response).unwrap();
        assert!(link.contains("max=500&") && link.contains("startTimeForNextFetch=") && link.contains("totalCount="));
        let (_, body) = value(response).await;
        let rows = body["items"].as_array().unwrap();
        assert_eq!(rows.len(), 500);
        let next = ok(client.http.get(link).bearer_auth(&token)).await;
        let time = |row: &Value| row["Start time"].as_str().unwrap().to_owned();
        assert_eq!(time(&next["items"][0]), time(&rows[499]));
    }
}

#[tokio::test]
async fn one_initial_request_is_allowed_in_a_while() {
    let webex = Some(WebexRate { initial: 1, pages: 2, per: Time::from_secs(600) });
    let client = serve(Settings { rates: Rates { webex, ..Rates::OFF }, ..settings() }).await;
    let token = client.webex_token().await;
    let request = || client.webex(&token, FEED, now() - Duration::hours(20), now() - Duration::hours(10)).send();
    let first = request().await.unwrap();
    let link = next_link(&first).unwrap();
    let second = request().await.unwrap();
    assert_eq!(second.status(), 429);
    let wait: u64 = second.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=601).contains(&wait));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.http.get(&link).bearer_auth(&token).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn released_records_are_in_the_feed_at_their_old_times() {
    let client = serve(settings()).await;
    let whole = client.truth("cdr_records");
    client.running.simulator().apply(Change::Late { dataset: Dataset::WebexCalls, count: 3 }).unwrap();
    assert_eq!(client.truth("cdr_records").count, whole.count - 3);
    client.running.simulator().apply(Change::Release { dataset: None }).unwrap();
    assert_eq!(client.truth("cdr_records"), whole);
    let (rows, _) = client.webex_rows(FEED, Duration::hours(49), Duration::hours(12)).await;
    assert_eq!(digest(&rows.into_values().collect::<Vec<_>>()), whole);
}

#[tokio::test]
async fn the_stream_gives_what_was_written_in_its_time_and_the_feed_gives_it_too() {
    let client = serve(settings()).await;
    let (streamed, _) = client.webex_rows("/webex/v1/cdr_stream", Duration::hours(12), Duration::hours(2)).await;
    let (fed, _) = client.webex_rows(FEED, Duration::hours(49), Duration::hours(12)).await;
    let written = |row: &Value| {
        let report: DateTime<Utc> = row["Report time"].as_str().unwrap().parse().unwrap();
        report + Duration::minutes(1)
    };
    let expected: BTreeMap<_, _> =
        fed.into_iter().filter(|(_, row)| written(row) >= now() - Duration::hours(12)).collect();
    assert!(!expected.is_empty());
    assert_eq!(streamed, expected);
}
