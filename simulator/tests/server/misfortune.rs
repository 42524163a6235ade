//! Every misfortune, as a client meets it.

use std::time::{Duration, Instant};

use backhaul_simulator::{Change, Dataset, Fault, FaultBody, Rule, Settings, rough};
use serde_json::{Value, json};

use crate::client::{Client, digest, ok, serve, settings, value};

fn status(code: u16, retry_after: Option<u32>, body: FaultBody) -> Fault {
    Fault::Status { code, retry_after, body }
}

fn everything() -> Value {
    json!({"field": "updated_at", "operator": ">", "value": 0})
}

fn search() -> Value {
    json!({"query": everything(), "sort": {"field": "updated_at", "order": "ascending"}})
}

async fn tags(client: &Client) -> reqwest::Response {
    client.get("/tags").send().await.unwrap()
}

#[tokio::test]
async fn a_status_comes_with_the_body_and_the_wait_that_are_asked_for() {
    let client = serve(settings()).await;
    client.running.simulator().add([
        Rule::new("/tags", status(429, Some(3), FaultBody::Json)),
        Rule::new("/tags", status(502, None, FaultBody::Html)),
        Rule::new("/tags", status(503, None, FaultBody::Empty)),
        Rule::new("/tags", Fault::EmptyOk),
    ]);
    let first = tags(&client).await;
    assert_eq!(first.headers()["retry-after"], "3");
    assert_eq!(value(first).await.1["errors"][0]["code"], "rate_limit_exceeded");
    let second = tags(&client).await;
    assert_eq!(second.status(), 502);
    assert!(second.text().await.unwrap().starts_with("<html>"));
    let third = tags(&client).await;
    assert_eq!((third.status().as_u16(), third.text().await.unwrap()), (503, String::new()));
    let fourth = tags(&client).await;
    assert_eq!((fourth.status().as_u16(), fourth.text().await.unwrap()), (200, String::new()));
    assert_eq!(tags(&client).await.status(), 200);
}

#[tokio::test]
async fn errors_have_the_shape_of_their_vendor() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("", status(500, None, FaultBody::Json)).times(3)]);
    let eight = value(client.eight("x", "/v2/pbxes/", &[]).send().await.unwrap()).await;
    assert_eq!((eight.0, &eight.1["path"]), (500, &"/analytics/work/v2/pbxes/".into()));
    let webex = value(client.http.get(client.url("/webex/v1/cdr_feed")).send().await.unwrap()).await;
    assert!(webex.1["trackingId"].is_string());
    assert_eq!(value(tags(&client).await).await.1["type"], "error.list");
}

#[tokio::test]
async fn a_reset_breaks_the_connection_in_the_middle_of_the_body() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("/tags", Fault::Reset)]);
    let broken = match client.get("/tags").send().await {
        Ok(response) => response.text().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    assert_eq!(tags(&client).await.status(), 200);
    assert_eq!(client.running.simulator().requests().by["GET /intercom/tags"]["reset"], 1);
}

#[tokio::test]
async fn a_truncated_answer_is_whole_http_and_half_json() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("/tags", Fault::Truncate)]);
    let half = tags(&client).await;
    assert_eq!(half.status(), 200);
    let half = half.text().await.unwrap();
    let whole = tags(&client).await.text().await.unwrap();
    assert!(!half.is_empty() && whole.starts_with(&half));
    assert!(serde_json::from_str::<Value>(&half).is_err());
}

#[tokio::test]
async fn a_stall_takes_its_time() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("/tags", Fault::Stall { ms: 60 })]);
    let start = Instant::now();
    assert_eq!(tags(&client).await.status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn expired_tokens_must_be_asked_for_again() {
    let client = serve(settings()).await;
    let token = client.eight_token().await;
    client.running.simulator().add([Rule::new("/v2/pbxes", Fault::ExpireTokens)]);
    for _ in 0..2 {
        assert_eq!(client.eight(&token, "/v2/pbxes/", &[]).send().await.unwrap().status(), 401);
    }
    let fresh = client.eight_token().await;
    assert_eq!(client.eight(&fresh, "/v2/pbxes/", &[]).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_repeated_page_leads_to_itself() {
    let client = serve(Settings { companies: Some(250), ..settings() }).await;
    client.running.simulator().add([Rule::new("", Fault::RepeatPage).times(9)]);
    let mut body = search();
    let first = ok(client.search("contacts", &body)).await;
    body["pagination"] = json!({"starting_after": first["pages"]["next"]["starting_after"]});
    assert_eq!(ok(client.search("contacts", &body)).await, first);
    let one = ok(client.get("/companies/scroll")).await;
    let param = one["scroll_param"].as_str().unwrap();
    let two = ok(client.get("/companies/scroll").query(&[("scroll_param", param)])).await;
    assert_eq!(one, two);
}

#[tokio::test]
async fn a_short_walk_ends_before_its_total() {
    let client = serve(settings()).await;
    client
        .running
        .simulator()
        .add([Rule::new("/contacts/search", Fault::Short).after(1), Rule::new("/call-records", Fault::Short).after(1)]);
    let rows = client.search_rows("contacts", everything(), "ascending").await;
    assert_eq!(rows.len(), 300);
    let pages = client.eight_pages("/v2/call-records", "allpbxes", "100").await;
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[1]["data"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn records_that_shift_under_a_walk_are_still_all_found() {
    let client = serve(settings()).await;
    let change = Change::Shift { dataset: Dataset::Contacts, insert: 20, touch: 30 };
    client.running.simulator().add([Rule::new("/contacts/search", Fault::Change(change)).after(2)]);
    let before = client.truth("contacts");
    let mut rows = client.search_rows("contacts", everything(), "ascending").await;
    let truth = client.truth("contacts");
    assert_eq!(truth.count, before.count + 20);
    assert!(rows.len() as u64 > truth.count, "some came twice");
    rows.reverse();
    let mut seen = std::collections::HashSet::new();
    rows.retain(|row| seen.insert(row["id"].as_str().unwrap().to_owned()));
    assert_eq!(digest(&rows), truth);
}

#[tokio::test]
async fn late_records_are_hidden_until_released() {
    let client = serve(settings()).await;
    let whole = client.truth("8x8CallDetailRecords");
    let script = json!({"changes": [{"late": {"dataset": "8x8CallDetailRecords", "count": 9}}]});
    let post = |script: &Value| {
        let request = client.http.post(client.url("/misfortune")).body(script.to_string());
        request.header("content-type", "application/json").send()
    };
    assert_eq!(post(&script).await.unwrap().status(), 204);
    let pages = client.eight_pages("/v2/call-records", "allpbxes", "7000").await;
    let rows: Vec<_> = pages.iter().flat_map(|page| page["data"].as_array().unwrap()).cloned().collect();
    assert_eq!(rows.len() as u64, whole.count - 9);
    assert_eq!(digest(&rows), client.truth("8x8CallDetailRecords"));
    assert_eq!(post(&json!({"changes": [{"release": {}}]})).await.unwrap().status(), 204);
    assert_eq!(client.truth("8x8CallDetailRecords"), whole);
}

#[tokio::test]
async fn a_poisoned_record_is_served_spoiled_until_healed() {
    let client = serve(settings()).await;
    let truth = client.truth("tags");
    let simulator = client.running.simulator();
    simulator.apply(Change::Poison { dataset: Dataset::Tags, index: 0, patch: None }).unwrap();
    let page = ok(client.get("/tags")).await;
    assert!(page["data"][0]["id"].is_null() && page["data"][1]["id"].is_string());
    assert_eq!(client.truth("tags"), truth);
    simulator.apply(Change::Heal { dataset: Some(Dataset::Tags) }).unwrap();
    let page = ok(client.get("/tags")).await;
    assert_eq!(digest(page["data"].as_array().unwrap()), truth);
}

#[tokio::test]
async fn a_failed_scroll_keeps_its_lock() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("/scroll", status(500, None, FaultBody::Json)).after(1)]);
    let first = ok(client.get("/companies/scroll")).await;
    let param = first["scroll_param"].as_str().unwrap();
    let again = || client.get("/companies/scroll").query(&[("scroll_param", param)]).send();
    assert_eq!(again().await.unwrap().status(), 500);
    assert_eq!(again().await.unwrap().status(), 404);
    assert_eq!(client.get("/companies/scroll").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn rules_are_listed_with_what_became_of_them_and_cleared() {
    let client = serve(settings()).await;
    client.running.simulator().add(rough(1));
    tags(&client).await;
    let rules = ok(client.http.get(client.url("/misfortune"))).await;
    let tags = rules.as_array().unwrap().iter().find(|rule| rule["path"] == "/intercom/tags").unwrap();
    assert_eq!((&tags["seen"], &tags["fired"]), (&json!(1), &json!(1)));
    client.http.delete(client.url("/misfortune")).send().await.unwrap();
    assert!(client.running.simulator().rules().is_empty());
}

#[tokio::test]
async fn requests_are_counted_with_ids_folded() {
    let client = serve(settings()).await;
    client.running.simulator().add([Rule::new("/search", status(429, None, FaultBody::Json))]);
    client.search("contacts", &search()).send().await.unwrap();
    let page = ok(client.search("contacts", &search())).await;
    let url = page["data"][0]["tags"]["url"].as_str().unwrap();
    ok(client.get(url)).await;
    let counts = ok(client.http.get(client.url("/requests"))).await;
    let expected = json!({
        "total": 3,
        "by": {
            "POST /intercom/contacts/search": {"200": 1, "429": 1},
            "GET /intercom/contacts/{id}/tags": {"200": 1}
        },
        "data_pages": {"contacts": 1}
    });
    assert_eq!(counts, expected);
    client.http.delete(client.url("/requests")).send().await.unwrap();
    assert_eq!(client.running.simulator().requests().total, 0);
}
