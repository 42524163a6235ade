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
use tokio::time::Instant;

use crate::flaky::{Luck, Weather};

/// A walk whose place the vendor keeps.
pub struct Scroll {
    token: u64,
    place: u64,
    used: Instant,
}

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
    /// The scroll of each unit. Only one is open at a time, until it ends or was idle for a minute.
    pub scrolls: Mutex<HashMap<UnitId, Scroll>>,
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
        let value = match self.scrolls.lock().unwrap().get(&unit.id) {
            Some(scroll) if !self.resumable => scroll.token.to_string(),
            _ => to.to_string(),
        };
        let next = (!ends && to < self.records).then_some(Cursor { value, resumable: self.resumable });
        let (stated, fetched_at) = (self.resumable.then_some(self.records), (self.clock)());
        Page { body: Bytes::from(body), records, next, stated, requests: 1, fetched_at }
    }

    /// Moves the scroll on and gives the place of its next page, whatever page the caller had before.
    fn scroll(&self, unit: &Unit, cursor: Option<&Cursor>) -> Result<u64, SourceError> {
        const IDLE: Duration = Duration::from_secs(60);
        let restart = |after| Err(self.fail(Trouble::Restart { after }));
        if cursor.is_some() && self.weather.strikes(0.02) {
            return restart(Some(IDLE));
        }
        let mut scrolls = self.scrolls.lock().unwrap();
        let open = scrolls.get_mut(&unit.id).filter(|scroll| scroll.used.elapsed() < IDLE);
        let (token, place) = match (cursor, open) {
            (None, Some(scroll)) if scroll.place < self.records => return restart(Some(IDLE)),
            (None, _) => (self.weather.below(u64::MAX), 0),
            (Some(cursor), Some(scroll)) if cursor.value == scroll.token.to_string() => (scroll.token, scroll.place),
            (Some(_), _) => return restart(None),
        };
        let used = Instant::now();
        scrolls.insert(unit.id.clone(), Scroll { token, place: place + self.per_page, used });
        Ok(place)
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
        let from = match cursor {
            _ if !self.resumable => self.scroll(unit, cursor)?,
            Some(cursor) => cursor.value.parse().unwrap(),
            None => 0,
        };
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
