//! A tiny client: it walks each vendor to the end and knows nothing of retries.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use backhaul_simulator::{Clock, Rates, Running, Settings, credentials, start, truth};
use chrono::{DateTime, Duration, Utc};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

pub(crate) const VERSION: &str = "2.16";

pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-04T12:00:00Z".parse().unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        seed: 7,
        now: Clock::Fixed(now()),
        days: 2,
        calls_per_day: 2_000,
        contacts: 700,
        rates: Rates::OFF,
        ..Settings::default()
    }
}

pub(crate) struct Client {
    pub(crate) running: Running,
    pub(crate) http: reqwest::Client,
}

pub(crate) async fn serve(settings: Settings) -> Client {
    let running = start(settings, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    Client { running, http: reqwest::Client::new() }
}

pub(crate) async fn value(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}")))
}

pub(crate) async fn ok(request: RequestBuilder) -> Value {
    let (status, value) = value(request.send().await.unwrap()).await;
    assert_eq!(status, 200, "{value}");
    value
}

pub(crate) fn digest(rows: &[Value]) -> truth::DatasetTruth {
    let mut digest = truth::Digest::default();
    for row in rows {
        digest.add(&row.to_string()).unwrap();
    }
    digest.finish()
}

impl Client {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addr())
    }

    pub(crate) fn truth(&self, dataset: &str) -> truth::DatasetTruth {
        self.running.truth().datasets[dataset].clone()
    }

    pub(crate) async fn eight_token(&self) -> String {
        let form = [("username", credentials::EIGHT_USERNAME), ("password", credentials::EIGHT_PASSWORD)];
        let request = self.http.post(self.url("/8x8/analytics/work/v1/oauth/token")).form(&form);
        let answer = ok(request.header("8x8-apikey", credentials::EIGHT_API_KEY)).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn eight(&self, token: &str, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let url = self.url(&format!("/8x8/analytics/work{path}"));
        self.http.get(url).bearer_auth(token).header("8x8-apikey", credentials::EIGHT_API_KEY).query(query)
    }

    /// Wall clocks of the whole time of the world, in the account's zone.
    pub(crate) fn eight_window(&self) -> (String, String) {
        let zone = self.running.simulator().settings().zone;
        let wall = |time: DateTime<Utc>| time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string();
        (wall(now() - Duration::days(3)), wall(now()))
    }

    /// All pages of a query, the empty last one among them.
    pub(crate) async fn eight_pages(&self, path: &str, pbx: &str, size: &str) -> Vec<Value> {
        let token = self.eight_token().await;
        let (low, high) = self.eight_window();
        let zone = self.running.simulator().settings().zone.name();
        let query = [("pbxId", pbx), ("startTime", &low), ("endTime", &high), ("timeZone", zone), ("pageSize", size)];
        let mut pages = Vec::new();
        let mut scroll = String::new();
        while scroll != "No Data" {
            let mut request = self.eight(&token, path, &query);
            if !scroll.is_empty() {
                request = request.query(&[("scrollId", &scroll)]);
            }
            let page = ok(request).await;
            scroll = page["meta"]["scrollId"].as_str().unwrap().to_owned();
            pages.push(page);
        }
        pages
    }

    pub(crate) async fn webex_token(&self) -> String {
        let refresh = self.running.simulator().webex_refresh_token();
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", credentials::WEBEX_CLIENT_ID),
            ("client_secret", credentials::WEBEX_CLIENT_SECRET),
            ("refresh_token", &refresh),
        ];
        let answer = ok(self.http.post(self.url("/webex/v1/access_token")).form(&form)).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn webex(&self, token: &str, path: &str, low: DateTime<Utc>, high: DateTime<Utc>) -> RequestBuilder {
        let wire = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let query = [("startTime", wire(low)), ("endTime", wire(high)), ("max", "500".to_owned())];
        self.http.get(self.url(path)).bearer_auth(token).query(&query)
    }

    /// All pages of all windows, rows keyed by Report ID; also how many rows came in all.
    pub(crate) async fn webex_rows(
        &self,
        path: &str,
        back: Duration,
        window: Duration,
    ) -> (BTreeMap<String, Value>, usize) {
        let token = self.webex_token().await;
        let (mut rows, mut seen) = (BTreeMap::new(), 0);
        let newest = now() - Duration::minutes(5);
        let mut low = now() - back;
        while low < newest {
            let high = (low + window).min(newest);
            let mut request = self.webex(&token, path, low, high);
            loop {
                let response = request.send().await.unwrap();
                let next = next_link(&response);
                let (status, body) = value(response).await;
                if status == 404 {
                    break;
                }
                assert_eq!(status, 200, "{body}");
                for row in body["items"].as_array().unwrap() {
                    seen += 1;
                    rows.insert(row["Report ID"].as_str().unwrap().to_owned(), row.clone());
                }
                let Some(next) = next else { break };
                request = self.http.get(next).bearer_auth(&token);
            }
            low = high;
        }
        (rows, seen)
    }

    pub(crate) fn intercom(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(credentials::INTERCOM_TOKEN).header("Intercom-Version", VERSION)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.intercom(self.http.get(self.url(&format!("/intercom{path}"))))
    }

    pub(crate) fn search(&self, kind: &str, body: &Value) -> RequestBuilder {
        self.intercom(self.http.post(self.url(&format!("/intercom/{kind}/search"))).body(body.to_string()))
    }

    /// All rows of a search, page by page.
    pub(crate) async fn search_rows(&self, kind: &str, query: Value, order: &str) -> Vec<Value> {
        let mut body = json!({
            "query": query,
            "sort": {"field": "updated_at", "order": order},
            "pagination": {"per_page": 150}
        });
        let mut rows = Vec::new();
        loop {
            let page = ok(self.search(kind, &body)).await;
            let list = &page[if kind == "contacts" { "data" } else { "conversations" }];
            rows.extend(list.as_array().unwrap().iter().cloned());
            let Some(next) = page["pages"]["next"]["starting_after"].as_str() else { return rows };
            body["pagination"]["starting_after"] = next.into();
        }
    }

    pub(crate) async fn scroll_rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut page = ok(self.get("/companies/scroll")).await;
        while !page["data"].as_array().unwrap().is_empty() {
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
            let param = page["scroll_param"].as_str().unwrap().to_owned();
            page = ok(self.get("/companies/scroll").query(&[("scroll_param", param)])).await;
        }
        rows
    }
}

/// The URL of the next page, however many brackets it is written with.
pub(crate) fn next_link(response: &Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().unwrap();
    let url = link.trim_start_matches('<').split('>').next().unwrap();
    assert!(link.contains(";rel=\"next\""));
    Some(url.to_owned())
}
