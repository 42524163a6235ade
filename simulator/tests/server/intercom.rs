//! What Intercom refuses, what it means by a date, and its one scroll.

use std::time::Duration;

use backhaul_simulator::{Change, Dataset, Quirks, Rates, Settings, credentials};
use serde_json::{Value, json};

use crate::client::{VERSION, digest, ok, serve, settings, value};

fn at(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
}

fn dated(operator: &str, second: i64) -> Value {
    json!({"field": "updated_at", "operator": operator, "value": second})
}

fn times(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["updated_at"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_wrong_token_is_401_without_rate_headers() {
    let client = serve(Settings { rates: Rates::default(), ..settings() }).await;
    let response = client.http.get(client.url("/intercom/me")).bearer_auth("x").send().await.unwrap();
    assert!(!response.headers().contains_key("x-ratelimit-limit"));
    let (status, body) = value(response).await;
    assert_eq!((status, &body["errors"][0]["code"]), (401, &"unauthorized".into()));
    let right = client.get("/me").send().await.unwrap();
    assert_eq!(right.headers()["x-ratelimit-limit"], "1667");
    assert_eq!(value(right).await.1["app"]["timezone"], "America/Los_Angeles");
}

#[tokio::test]
async fn more_requests_than_a_window_takes_are_429() {
    let client = serve(Settings { rates: Rates { intercom: Some(3), ..Rates::OFF }, ..settings() }).await;
    let mut refused = None;
    // At most one window can end under way, so eight requests meet the limit.
    for _ in 0..8 {
        let response = client.get("/me").send().await.unwrap();
        if response.status() == 429 {
            refused = Some(response);
        }
    }
    let response = refused.unwrap();
    assert_eq!(response.headers()["x-ratelimit-remaining"], "0");
    let (_, body) = value(response).await;
    assert_eq!(body["errors"][0]["code"], "rate_limit_exceeded");
    assert_eq!(body["errors"][0]["message"], "Exceeded rate limit of 3 in 10_seconds");
}

#[tokio::test]
async fn a_read_token_may_not_list_companies_by_number() {
    let client = serve(settings()).await;
    let request = client.http.post(client.url("/intercom/companies/list")).header("Intercom-Version", VERSION);
    let response = request.bearer_auth(credentials::INTERCOM_READ_TOKEN).send().await.unwrap();
    assert_eq!(response.status(), 403);
    let big = client.intercom(client.http.post(client.url("/intercom/companies/list?per_page=61")));
    assert_eq!(big.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_version_must_be_sent_and_changes_shapes() {
    let client = serve(settings()).await;
    let url = client.url("/intercom/conversations");
    let bare = client.http.get(&url).bearer_auth(credentials::INTERCOM_TOKEN);
    assert_eq!(bare.send().await.unwrap().status(), 400);
    for (version, unassigned) in [("2.11", Value::Null), ("2.16", json!(0))] {
        let request = client.http.get(&url).query(&[("per_page", "150")]).bearer_auth(credentials::INTERCOM_TOKEN);
        let page = ok(request.header("Intercom-Version", version)).await;
        let rows = page["conversations"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["team_assignee_id"] == unassigned), "{version}");
        assert!(rows.iter().any(|row| row["source"].is_null()));
        let deleted = client.http.get(client.url("/intercom/conversations/deleted"));
        let deleted = deleted.bearer_auth(credentials::INTERCOM_TOKEN).header("Intercom-Version", version);
        assert_eq!(deleted.send().await.unwrap().status() == 200, version == "2.16");
    }
}

#[tokio::test]
async fn contacts_after_a_date_start_at_the_next_day_even_when_clocks_change() {
    // Clocks go back on 1 November in Los Angeles: that day has 25 hours.
    let client = serve(Settings { contacts: 3_000, ..settings() }).await;
    let noon = at("2026-11-01T20:00:00Z");
    let (start, next) = (at("2026-11-01T07:00:00Z"), at("2026-11-02T08:00:00Z"));
    let all = times(&client.search_rows("contacts", dated(">", 0), "ascending").await);
    let after = times(&client.search_rows("contacts", dated(">", noon), "ascending").await);
    let on = times(&client.search_rows("contacts", dated("=", noon), "ascending").await);
    let before = times(&client.search_rows("contacts", dated("<", noon), "ascending").await);
    let expect = |from: i64, to: i64| all.iter().copied().filter(|time| (from..to).contains(time)).collect::<Vec<_>>();
    assert_eq!(after, expect(next, i64::MAX));
    assert_eq!(on, expect(start, next));
    assert_eq!(before, expect(0, start));
    assert!(!after.is_empty() && !on.is_empty() && !before.is_empty());
    let late = on.iter().filter(|time| **time >= next - 3_600).count();
    assert!(late > 0, "the 25th hour belongs to the day");
}

#[tokio::test]
async fn conversations_after_a_second_start_at_the_next_second() {
    let client = serve(settings()).await;
    let all = times(&client.search_rows("conversations", dated(">", 0), "ascending").await);
    let middle = all[all.len() / 2];
    let after = times(&client.search_rows("conversations", dated(">", middle), "ascending").await);
    assert_eq!(after, all.iter().copied().filter(|time| *time > middle).collect::<Vec<_>>());
    let or = json!({"operator": "OR", "value": [dated(">", middle), dated("=", middle)]});
    let since = times(&client.search_rows("conversations", or, "descending").await);
    assert_eq!(since.len(), all.iter().filter(|time| **time >= middle).count());
}

#[tokio::test]
async fn pages_have_their_default_and_largest_sizes() {
    let client = serve(settings()).await;
    for (kind, key, default) in [("contacts", "data", 50), ("conversations", "conversations", 20)] {
        let mut body = json!({"query": dated(">", 0)});
        let page = ok(client.search(kind, &body)).await;
        assert_eq!(page[key].as_array().unwrap().len(), default);
        assert_eq!(page["pages"]["per_page"], default);
        body["pagination"] = json!({"per_page": 500});
        let page = ok(client.search(kind, &body)).await;
        assert_eq!(page[key].as_array().unwrap().len(), 150);
        assert_eq!(page["pages"]["next"]["page"], 2);
    }
}

#[tokio::test]
async fn a_last_page_has_no_next_and_a_bad_cursor_is_refused() {
    let client = serve(settings()).await;
    let none = ok(client.search("contacts", &json!({"query": dated(">", 4_000_000_000)}))).await;
    assert_eq!(none["pages"], json!({"type": "pages", "page": 1, "per_page": 50, "total_pages": 0}));
    assert_eq!(none["total_count"], 0);
    let bad = json!({"query": dated(">", 0), "pagination": {"starting_after": "nonsense"}});
    let (status, body) = value(client.search("contacts", &bad).send().await.unwrap()).await;
    assert_eq!((status, &body["errors"][0]["code"]), (400, &"client_error".into()));
    let order = json!({"query": dated(">", 0), "sort": {"field": "updated_at", "order": "up"}});
    let (status, body) = value(client.search("contacts", &order).send().await.unwrap()).await;
    assert_eq!((status, &body["errors"][0]["code"]), (400, &"invalid_sort_order".into()));
}

#[tokio::test]
async fn a_workspace_has_one_scroll_whose_token_never_changes() {
    let client = serve(Settings { companies: Some(250), ..settings() }).await;
    let first = ok(client.get("/companies/scroll")).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 100);
    let (status, body) = value(client.get("/companies/scroll").send().await.unwrap()).await;
    assert_eq!((status, &body["errors"][0]["code"]), (400, &"scroll_exists".into()));
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let param = first["scroll_param"].as_str().unwrap();
        let page = ok(client.get("/companies/scroll").query(&[("scroll_param", param)])).await;
        assert_eq!(page["scroll_param"], first["scroll_param"]);
        sizes.push(page["data"].as_array().unwrap().len());
    }
    assert_eq!(sizes, [100, 50, 0]);
    assert_eq!(digest(&client.scroll_rows().await).count, 250);
}

#[tokio::test]
async fn an_idle_scroll_is_not_found_and_frees_the_lock() {
    let client = serve(Settings { scroll_idle: Duration::ZERO, ..settings() }).await;
    let first = ok(client.get("/companies/scroll")).await;
    let param = first["scroll_param"].as_str().unwrap();
    let gone = client.get("/companies/scroll").query(&[("scroll_param", param)]).send().await.unwrap();
    assert_eq!(gone.status(), 404);
    ok(client.get("/companies/scroll")).await;
}

#[tokio::test]
async fn a_scroll_may_end_with_404() {
    let quirks = Quirks { scroll_ends_with_404: true, ..Quirks::default() };
    let client = serve(Settings { quirks, companies: Some(3), ..settings() }).await;
    let first = ok(client.get("/companies/scroll")).await;
    let param = first["scroll_param"].as_str().unwrap();
    let end = client.get("/companies/scroll").query(&[("scroll_param", param)]).send().await.unwrap();
    assert_eq!(end.status(), 404);
}

#[tokio::test]
async fn a_shortened_list_has_its_whole_elsewhere() {
    let client = serve(settings()).await;
    let rows = client.search_rows("contacts", dated(">", 0), "ascending").await;
    let long = rows.iter().find(|row| row["tags"]["has_more"] == true).unwrap();
    assert_eq!(long["tags"]["data"].as_array().unwrap().len(), 10);
    let tags = ok(client.get(long["tags"]["url"].as_str().unwrap())).await;
    assert_eq!(tags["data"].as_array().unwrap().len() as u64, long["tags"]["total_count"].as_u64().unwrap());
    assert!(tags["data"][0]["name"].is_string() && tags["data"][0]["applied_at"].is_number());
    let owned = rows.iter().find(|row| row["companies"]["total_count"] != 0).unwrap();
    let companies = ok(client.get(owned["companies"]["url"].as_str().unwrap())).await;
    assert_eq!(companies["total_count"], owned["companies"]["total_count"]);
    let one = ok(client.get(&format!("/contacts/{}", long["id"].as_str().unwrap()))).await;
    assert_eq!(&one, long);
}

#[tokio::test]
async fn a_conversation_shows_its_newest_500_parts() {
    let client = serve(Settings { conversations: Some(2_000), ..settings() }).await;
    let rows = client.search_rows("conversations", dated(">", 0), "ascending").await;
    let parts = |row: &Value| row["statistics"]["count_conversation_parts"].as_u64().unwrap_or(0);
    let long = rows.iter().max_by_key(|row| parts(row)).unwrap();
    assert!(parts(long) > 500);
    let whole = ok(client.get(&format!("/conversations/{}", long["id"].as_str().unwrap()))).await;
    let list = &whole["conversation_parts"];
    assert_eq!(list["conversation_parts"].as_array().unwrap().len(), 500);
    assert_eq!(list["total_count"].as_u64().unwrap(), parts(long));
}

#[tokio::test]
async fn a_removed_conversation_is_listed_as_deleted() {
    let client = serve(settings()).await;
    let before = client.truth("conversations").count;
    client.running.simulator().apply(Change::Remove { dataset: Dataset::Conversations, index: 5 }).unwrap();
    assert_eq!(client.truth("conversations").count, before - 1);
    let deleted = ok(client.get("/conversations/deleted")).await;
    let id = deleted["conversations"][0]["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/conversations/{id}")).send().await.unwrap().status(), 404);
    let again = client.running.simulator().apply(Change::Remove { dataset: Dataset::Conversations, index: 5 });
    assert!(again.is_err());
}
