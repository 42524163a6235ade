//! A vendor in process: so many records per partition, read page by page, failing as the weather has it. It also ends
//! walks early, goes in circles and loses the place of a scroll: what a worker must notice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use proto::dataset::Dataset;
use proto::id::UnitId;
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Cursor, Partition, Unit};

use crate::flaky::{Luck, Weather};

/// The vendor.
pub struct Vendor {
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Records of each unit.
    pub records: u64,
    /// Records of a page.
    pub per_page: u64,
    /// Whether a walk can be resumed from its cursor, or the vendor keeps the place (Intercom's scroll): then a request
    /// gets the page after the newest one that was served, whatever its cursor, and no total is stated.
    pub resumable: bool,
    /// Where the scroll of each unit stands.
    pub scrolls: Mutex<HashMap<UnitId, u64>>,
    /// When it fails.
    pub weather: Arc<Weather>,
    /// The time of fetching that its answers bear.
    pub clock: fn() -> DateTime<Utc>,
}

impl Vendor {
    /// The keys of all records of a unit.
    pub fn keys(&self, unit: &Unit) -> impl Iterator<Item = String> {
        let name = key_prefix(unit);
        (0..self.records).map(move |n| format!("{name}-{n}"))
    }

    fn page(&self, unit: &Unit, from: u64, ends: bool) -> Page {
        let to = (from + self.per_page).min(self.records);
        let mut body = String::from("[");
        let mut records = Vec::new();
        let key = unit.dataset().unwrap().key[0];
        let field = unit.dataset().unwrap().column(key).unwrap().field;
        for n in from..to {
            let start = body.len();
            body.push_str(&format!(r#"{{"{field}":"{}-{n}","name":"n","updated_at":{n}}}"#, key_prefix(unit)));
            records.push(start..body.len());
            body.push(',');
        }
        let next = (!ends && to < self.records).then(|| Cursor { value: to.to_string(), resumable: self.resumable });
        let (stated, fetched_at) = (self.resumable.then_some(self.records), (self.clock)());
        Page { body: Bytes::from(body), records, next, stated, requests: 1, fetched_at }
    }

    fn fail(&self, trouble: Trouble) -> SourceError {
        let (account, endpoint) = (String::from("main"), String::from("GET /records"));
        SourceError { trouble, account, endpoint, message: String::from("scripted"), hint: None, requests: 1 }
    }
}

fn key_prefix(unit: &Unit) -> String {
    format!("{}{}{}", unit.account, unit.partition, unit.window.from.timestamp() / 3600)
}

#[async_trait]
impl Source for Vendor {
    async fn partitions(&self, _dataset: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
        match self.weather.luck() {
            Luck::Good => Ok(self.partitions.clone()),
            Luck::Before | Luck::After => Err(self.fail(Trouble::Unavailable { after: None })),
        }
    }

    async fn fetch(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<Page, SourceError> {
        tokio::time::sleep(Duration::from_millis(5 + self.weather.below(200))).await;
        let mut from: u64 = cursor.map_or(0, |cursor| cursor.value.parse().unwrap());
        if !self.resumable {
            if from > 0 && self.weather.strikes(0.02) {
                return Err(self.fail(Trouble::Restart { after: Some(Duration::from_secs(60)) }));
            }
            let mut scrolls = self.scrolls.lock().unwrap();
            let place = scrolls.entry(unit.id.clone()).or_insert(0);
            if from == 0 {
                *place = 0;
            }
            from = *place;
            *place += self.per_page;
        }
        let page = |from, ends| Ok(self.page(unit, from, ends));
        match self.weather.luck() {
            // A walk that ends early, and one that goes in a circle: only a stated total, or a page seen before, tell.
            Luck::Good if self.resumable && self.weather.strikes(0.01) => page(from, true),
            Luck::Good if self.resumable && from > 0 && self.weather.strikes(0.01) => page(from - self.per_page, false),
            Luck::Good => page(from, false),
            Luck::Before | Luck::After if !self.resumable => Err(self.fail(Trouble::Restart { after: None })),
            Luck::Before => Err(self.fail(Trouble::Malformed)),
            Luck::After => Err(self.fail(Trouble::Busy { after: Some(Duration::from_secs(7)) })),
        }
    }

    async fn check(&self) -> Result<String, SourceError> {
        Ok(String::from("here"))
    }
}
