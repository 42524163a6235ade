//! What 8x8 refuses and how it pages.

use std::time::Duration;

use backhaul_simulator::{Quirks, Settings, credentials};
use serde_json::Value;

use crate::client::{ok, serve, settings, value};

#[tokio::test]
async fn a_wrong_key_and_a_wrong_password_are_bad_requests() {
    let client = serve(settings()).await;
    let url = client.url("/8x8/analytics/work/v1/oauth/token");
    let right = [("username", credentials::EIGHT_USERNAME), ("password", credentials::EIGHT_PASSWORD)];
    let (status, body) = value(client.http.post(&url).form(&right).send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (400, &"SHA001".into()));
    let wrong = [("username", credentials::EIGHT_USERNAME), ("password", "x")];
    let request = client.http.post(&url).header("8x8-apikey", credentials::EIGHT_API_KEY).form(&wrong);
    let (status, body) = value(request.send().await.unwrap()).await;
    assert_eq!((status, &body["error"]), (400, &"invalid_grant".into()));
}

#[tokio::test]
async fn unknown_and_expired_tokens_are_told_apart() {
    let client = serve(Settings { eight_token_life: Duration::ZERO, ..settings() }).await;
    let expired = client.eight_token().await;
    for (token, text) in [("x", "Cannot convert"), (expired.as_str(), "Access token expired")] {
        let (status, body) = value(client.eight(token, "/v2/pbxes/", &[]).send().await.unwrap()).await;
        assert_eq!(status, 401);
        assert!(body["error_description"].as_str().unwrap().starts_with(text), "{body}");
    }
}

#[tokio::test]
async fn pbxes_are_paged_and_links_may_be_nested() {
    for nested in [false, true] {
        let quirks = Quirks { eight_links_nested: nested, ..Quirks::default() };
        let client = serve(Settings { quirks, ..settings() }).await;
        let token = client.eight_token().await;
        for path in ["/v2/pbxes", "/v2/pbxes/", "/v2/customer-data/pbxes"] {
            let first = ok(client.eight(&token, path, &[("size", "1")])).await;
            assert_eq!(first["_embedded"]["pbxList"][0]["name"], "acmecorppbx");
            let links =
                |page: &Value| if nested { page["_embedded"]["_links"].clone() } else { page["_links"].clone() };
            let next = links(&first)["next"]["href"].as_str().unwrap().to_owned();
            let request = client.http.get(next).bearer_auth(&token);
            let second = ok(request.header("8x8-apikey", credentials::EIGHT_API_KEY)).await;
            assert_eq!(second["_embedded"]["pbxList"][0]["name"], "acme-europe");
            assert_eq!(links(&second)["next"], Value::Null);
        }
    }
}

#[tokio::test]
async fn pages_go_back_in_time_and_end_with_no_data() {
    let client = serve(settings()).await;
    let pages = client.eight_pages("/v2/call-records", "acmecorppbx", "500").await;
    let total = pages[0]["meta"]["totalRecordCount"].as_u64().unwrap() as usize;
    let rows: Vec<_> = pages.iter().flat_map(|page| page["data"].as_array().unwrap()).collect();
    assert_eq!(rows.len(), total);
    assert_eq!(pages.len(), total.div_ceil(500) + 1);
    assert!(rows.is_sorted_by_key(|row| -row["startTimeUTC"].as_i64().unwrap()));
    assert!(rows.iter().all(|row| row["pbxId"] == "acmecorppbx"));
    let end = serde_json::json!({"meta": {"totalRecordCount": 0, "scrollId": "No Data"}, "data": []});
    assert_eq!(pages.last(), Some(&end));
}

#[tokio::test]
async fn wall_clocks_are_in_the_zone_that_is_asked_for() {
    let client = serve(settings()).await;
    let token = client.eight_token().await;
    let query = |zone: &'static str, low: &'static str, high: &'static str| {
        [("pbxId", "allpbxes"), ("timeZone", zone), ("startTime", low), ("endTime", high), ("pageSize", "1")]
    };
    let paris = query("Europe/Paris", "2026-11-03 11:00:00", "2026-11-03 12:00:00");
    let utc = query("UTC", "2026-11-03 10:00:00", "2026-11-03 11:00:00");
    let (paris, utc) = (
        ok(client.eight(&token, "/v2/call-records", &paris)).await,
        ok(client.eight(&token, "/v2/call-records", &utc)).await,
    );
    assert_eq!(paris["meta"], utc["meta"]);
    let start = |page: &Value| page["data"][0]["startTime"].as_str().unwrap().to_owned();
    assert!(start(&paris).starts_with("2026-11-03T11:") && start(&paris).ends_with("+0100"), "{}", start(&paris));
    assert!(start(&utc).starts_with("2026-11-03T10:") && start(&utc).ends_with("+0000"));
}

#[tokio::test]
async fn each_page_needs_every_parameter_and_a_scroll_id_that_is_one() {
    let client = serve(settings()).await;
    let token = client.eight_token().await;
    let (low, high) = client.eight_window();
    let full = [
        ("pbxId", "allpbxes"),
        ("startTime", low.as_str()),
        ("endTime", high.as_str()),
        ("timeZone", "UTC"),
        ("scrollId", "No Data"),
    ];
    let status = async |query: &[(&str, &str)]| {
        client.eight(&token, "/v2/call-records", query).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&full).await, 400);
    assert_eq!(status(&full[..4]).await, 200);
    for missing in 0..4 {
        let mut query = full[..4].to_vec();
        query.remove(missing);
        assert_eq!(status(&query).await, 400);
    }
    let mut query = full[..4].to_vec();
    query.push(("pageSize", "7001"));
    assert_eq!(status(&query).await, 400);
    query[0].1 = "someone-elses";
    query.pop();
    assert_eq!(status(&query).await, 403);
}

#[tokio::test]
async fn legs_are_as_many_as_their_calls_say() {
    let client = serve(Settings { calls_per_day: 200, ..settings() }).await;
    let rows = |pages: Vec<Value>| -> Vec<Value> {
        pages.iter().flat_map(|page| page["data"].as_array().unwrap()).cloned().collect()
    };
    let calls = rows(client.eight_pages("/v2/call-records", "allpbxes", "500").await);
    let legs = rows(client.eight_pages("/v2/call-legs", "allpbxes", "7").await);
    let told: usize = calls.iter().map(|call| call["callLegCount"].as_str().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(legs.len(), told);
    let mut keys: Vec<_> = legs.iter().map(|leg| format!("{} {}", leg["callId"], leg["legId"])).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), told);
}
