//! A client that retries and signs in again survives a rough day and ends equal to the truth.

use std::collections::HashMap;

use backhaul_simulator::{credentials, rough};
use chrono::Duration;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::client::{Client, digest, next_link, now, serve, settings};

/// Sends until there is JSON or the answer is final; makes the request anew each time, after a 401 with `renew`.
async fn patient(make: impl Fn(&str) -> RequestBuilder, token: &mut String, renew: impl AsyncFn() -> String) -> Answer {
    for _ in 0..20 {
        let Ok(response) = make(token).send().await else { continue };
        let status = response.status().as_u16();
        let next = next_link(&response);
        let Ok(text) = response.text().await else { continue };
        match (status, serde_json::from_str(&text)) {
            (200 | 404, Ok(body)) => return Answer { status, body, next },
            (401, _) => *token = renew().await,
            (200 | 429 | 500..600, _) => {}
            (status, _) => panic!("{status} {text}"),
        }
    }
    panic!("it never ended well");
}

struct Answer {
    status: u16,
    body: Value,
    next: Option<String>,
}

/// Asks for a token until one comes.
async fn token(make: impl Fn() -> RequestBuilder) -> String {
    let none = || async { unreachable!("no token is needed here") };
    let answer = patient(|_| make(), &mut String::new(), none).await;
    answer.body["access_token"].as_str().unwrap().to_owned()
}

async fn eight_token(client: &Client) -> String {
    let form = [("username", credentials::EIGHT_USERNAME), ("password", credentials::EIGHT_PASSWORD)];
    let post = || client.http.post(client.url("/8x8/analytics/work/v1/oauth/token"));
    token(|| post().header("8x8-apikey", credentials::EIGHT_API_KEY).form(&form)).await
}

async fn webex_token(client: &Client) -> String {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", credentials::WEBEX_CLIENT_ID),
        ("client_secret", credentials::WEBEX_CLIENT_SECRET),
        ("refresh_token", credentials::WEBEX_REFRESH_TOKEN),
    ];
    token(|| client.http.post(client.url("/webex/v1/access_token")).form(&form)).await
}

fn rows(list: &Value) -> Vec<Value> {
    list.as_array().unwrap().clone()
}

#[tokio::test]
async fn call_records_survive_a_rough_day() {
    for seed in 0..3 {
        let client = serve(settings()).await;
        client.running.simulator().add(rough(seed));
        let (low, high) = client.eight_window();
        let query = [
            ("pbxId", "allpbxes"),
            ("startTime", low.as_str()),
            ("endTime", high.as_str()),
            ("timeZone", "America/New_York"),
        ];
        let (mut token, mut all, mut scroll) = (String::new(), Vec::new(), String::new());
        while scroll != "No Data" {
            let make = |token: &str| {
                let request = client.eight(token, "/v2/call-records", &query);
                if scroll.is_empty() { request } else { request.query(&[("scrollId", &scroll)]) }
            };
            let page = patient(make, &mut token, async || eight_token(&client).await).await.body;
            all.extend(rows(&page["data"]));
            page["meta"]["scrollId"].as_str().unwrap().clone_into(&mut scroll);
        }
        assert_eq!(digest(&all), client.truth("8x8CallDetailRecords"));
        every_rule_fired(&client, "call-records");
    }
}

#[tokio::test]
async fn the_feed_survives_a_rough_day() {
    for seed in 0..3 {
        let client = serve(settings()).await;
        client.running.simulator().add(rough(seed));
        let (mut token, mut all) = (String::new(), HashMap::new());
        let mut low = now() - Duration::hours(49);
        while low < now() - Duration::minutes(5) {
            let high = (low + Duration::hours(4)).min(now() - Duration::minutes(5));
            let mut next: Option<String> = None;
            loop {
                let make = |token: &str| match &next {
                    None => client.webex(token, "/webex/v1/cdr_feed", low, high),
                    Some(url) => client.http.get(url).bearer_auth(token),
                };
                let page = patient(make, &mut token, async || webex_token(&client).await).await;
                if page.status == 404 {
                    break;
                }
                for row in rows(&page.body["items"]) {
                    all.insert(row["Report ID"].to_string(), row);
                }
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            low = high;
        }
        assert_eq!(digest(&all.into_values().collect::<Vec<_>>()), client.truth("cdr_records"));
        every_rule_fired(&client, "cdr_feed");
    }
}

#[tokio::test]
async fn searches_survive_a_rough_day() {
    let client = serve(settings()).await;
    client.running.simulator().add(rough(1));
    for (kind, key) in [("contacts", "data"), ("conversations", "conversations")] {
        let mut body = json!({
            "query": {"field": "updated_at", "operator": ">", "value": 0},
            "sort": {"field": "updated_at", "order": "ascending"},
            "pagination": {"per_page": 20}
        });
        let mut all = Vec::new();
        loop {
            let none = || async { unreachable!("this token does not expire") };
            let page = patient(|_| client.search(kind, &body), &mut String::new(), none).await.body;
            all.extend(rows(&page[key]));
            let Some(next) = page["pages"]["next"]["starting_after"].as_str() else { break };
            body["pagination"]["starting_after"] = next.into();
        }
        assert_eq!(digest(&all), client.truth(kind));
        every_rule_fired(&client, &format!("{kind}/search"));
    }
}

fn every_rule_fired(client: &Client, path: &str) {
    for report in client.running.simulator().rules() {
        assert!(!report.rule.path.contains(path) || report.fired == 1, "{report:?}");
    }
}
