//! Walking a vendor to the end gives the truth, row for row.

use backhaul_simulator::{Quirks, Settings, TimeField};
use chrono::Duration;
use serde_json::{Value, json};

use crate::client::{Client, digest, ok, serve, settings};

fn everything() -> Value {
    json!({"field": "updated_at", "operator": ">", "value": 0})
}

#[tokio::test]
async fn call_records_of_all_pbxes_are_the_truth() {
    let client = serve(settings()).await;
    let pages = client.eight_pages("/v2/call-records", "allpbxes", "500").await;
    let rows: Vec<_> = pages.iter().flat_map(|page| page["data"].as_array().unwrap()).cloned().collect();
    assert_eq!(digest(&rows), client.truth("8x8CallDetailRecords"));
}

#[tokio::test]
async fn call_records_pbx_by_pbx_are_the_truth() {
    let client = serve(settings()).await;
    let mut rows = Vec::new();
    for pbx in ["acmecorppbx", "acme-europe"] {
        for page in client.eight_pages("/v2/call-records", pbx, "7000").await {
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
        }
    }
    assert_eq!(digest(&rows), client.truth("8x8CallDetailRecords"));
}

#[tokio::test]
async fn the_feed_by_either_time_is_the_truth_and_repeats_boundary_rows() {
    for webex_filter in [TimeField::Start, TimeField::Report] {
        let quirks = Quirks { webex_filter, ..Quirks::default() };
        let client = serve(Settings { quirks, ..settings() }).await;
        let (rows, seen) = client.webex_rows("/webex/v1/cdr_feed", Duration::hours(49), Duration::hours(12)).await;
        let rows: Vec<_> = rows.into_values().collect();
        assert_eq!(digest(&rows), client.truth("cdr_records"));
        assert!(seen > rows.len());
    }
}

#[tokio::test]
async fn contacts_in_either_order_are_the_truth() {
    let client = serve(settings()).await;
    for order in ["ascending", "descending"] {
        let rows = client.search_rows("contacts", everything(), order).await;
        assert!(rows.is_sorted_by_key(|row| {
            let time = row["updated_at"].as_i64().unwrap();
            if order == "ascending" { time } else { -time }
        }));
        assert_eq!(digest(&rows), client.truth("contacts"));
    }
}

#[tokio::test]
async fn users_are_the_truth_and_prerendering_changes_no_byte() {
    let users =
        json!({"operator": "AND", "value": [everything(), {"field": "role", "operator": "=", "value": "user"}]});
    let client = serve(settings()).await;
    let rows = client.search_rows("contacts", users.clone(), "ascending").await;
    assert_eq!(digest(&rows), client.truth("users"));
    assert!(rows.len() < client.truth("contacts").count as usize);
    let prerendered = serve(Settings { prerender: true, ..settings() }).await;
    assert_eq!(prerendered.search_rows("contacts", users, "ascending").await, rows);
}

#[tokio::test]
async fn listed_contacts_are_the_truth() {
    let client = serve(settings()).await;
    let mut rows = Vec::new();
    let mut query = vec![("per_page", "100".to_owned())];
    loop {
        let page = ok(client.get("/contacts").query(&query)).await;
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["pages"]["next"]["starting_after"].as_str() else { break };
        query.truncate(1);
        query.push(("starting_after", next.to_owned()));
    }
    assert_eq!(digest(&rows), client.truth("contacts"));
}

#[tokio::test]
async fn conversations_are_the_truth_and_share_seconds() {
    let client = serve(settings()).await;
    let rows = client.search_rows("conversations", everything(), "ascending").await;
    assert_eq!(digest(&rows), client.truth("conversations"));
    let mut seconds: Vec<_> = rows.iter().map(|row| row["updated_at"].as_i64().unwrap()).collect();
    seconds.dedup();
    assert!(seconds.len() < rows.len());
}

#[tokio::test]
async fn scrolled_companies_are_the_truth() {
    let client = serve(Settings { companies: Some(250), ..settings() }).await;
    assert_eq!(digest(&client.scroll_rows().await), client.truth("companies"));
}

#[tokio::test]
async fn numbered_companies_are_the_truth() {
    let client = serve(settings()).await;
    let mut url = client.url("/intercom/companies/list?per_page=60");
    let mut rows = Vec::new();
    loop {
        let page = ok(client.intercom(client.http.post(url))).await;
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["pages"]["next"].as_str() else { break };
        url = next.to_owned();
    }
    assert_eq!(digest(&rows), client.truth("companies"));
}

#[tokio::test]
async fn small_lists_are_the_truth() {
    let client = serve(settings()).await;
    for (path, key, dataset) in [
        ("/admins", "admins", "admins"),
        ("/teams", "teams", "teams"),
        ("/tags", "data", "tags"),
        ("/segments?include_count=true", "segments", "segments"),
    ] {
        let page = ok(client.get(path)).await;
        assert_eq!(digest(page[key].as_array().unwrap()), client.truth(dataset), "{dataset}");
    }
}

#[tokio::test]
async fn same_settings_give_same_bytes_and_another_seed_gives_others() {
    async fn page(client: &Client) -> String {
        let body = json!({"query": everything()});
        client.search("conversations", &body).send().await.unwrap().text().await.unwrap()
    }
    let (one, same) = (serve(settings()).await, serve(settings()).await);
    let other = serve(Settings { seed: 8, ..settings() }).await;
    assert_eq!(page(&one).await, page(&same).await);
    assert_ne!(page(&one).await, page(&other).await);
    assert_eq!(one.running.truth(), same.running.truth());
    assert_ne!(one.truth("contacts").digest, other.truth("contacts").digest);
}

#[tokio::test]
async fn the_truth_over_http_is_the_truth_in_process() {
    let client = serve(settings()).await;
    let told = ok(client.http.get(client.url("/truth"))).await;
    assert_eq!(told, serde_json::to_value(client.running.truth()).unwrap());
    assert_eq!(told["datasets"].as_object().unwrap().len(), 10);
    client.running.stop().await;
}
