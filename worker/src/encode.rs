//! Turns one vendor record into one line of a batch: the only place where a row is encoded.
//!
//! The record's syntax was checked when the page was read; here its top level is walked once, each known field's value
//! is converted by the catalog's rule and copied, mostly as the bytes that came. What the catalog does not know or
//! cannot convert stays in raw and is counted as drift: it never breaks a load. A record without its key still becomes
//! a line: the destination refuses it, and it is put aside alone.

use std::collections::{BTreeMap, HashMap};

use crate::convert::{Outcome, convert, to_micros, write_integer, write_text};
use proto::dataset::{ACCOUNT, DIGEST, Dataset, VERSION};
use proto::instant::{self, Digits};
use proto::row::{string_end, unquote, value_end};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Where a vendor's field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The column of this number.
    Column(usize),
    /// Known to live in raw only.
    Raw,
    /// Not in the catalog.
    Unknown,
}

/// What tells a record from others, and one version of it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Of its key.
    pub key: u64,
    /// Of all of it.
    pub content: u64,
}

/// Encodes records of one dataset of one account.
pub struct Encoder {
    dataset: &'static Dataset,
    /// `{"_account":"main","_version":`
    head: Vec<u8>,
    /// `,"_fetched_at":"...","raw":` for the page at hand.
    tail: Vec<u8>,
    /// `,"name":` per column.
    prefixes: Vec<Vec<u8>>,
    targets: HashMap<String, Target>,
    /// The fields of the records so far in their order: vendors repeat it, so a comparison replaces most look-ups.
    order: Vec<(String, Target)>,
    /// Where in the record the value of each column stands.
    values: Vec<Option<(usize, usize)>>,
    key: Vec<usize>,
    version: Option<usize>,
    drift: BTreeMap<String, u64>,
    flat: String,
}

impl Encoder {
    /// An encoder for records of `dataset` of `account`.
    #[must_use]
    pub fn new(dataset: &'static Dataset, account: &str) -> Encoder {
        let mut head = format!("{{\"{ACCOUNT}\":").into_bytes();
        write_text(account, &mut head);
        head.extend_from_slice(format!(",\"{VERSION}\":").as_bytes());
        let folded = |field: &str| if dataset.any_case { field.to_ascii_lowercase() } else { field.to_owned() };
        let mut targets: HashMap<String, Target> =
            dataset.known.iter().map(|field| (folded(field), Target::Raw)).collect();
        targets.extend(dataset.columns.iter().enumerate().map(|(n, c)| (folded(c.field), Target::Column(n))));
        let place = |name: &&str| dataset.columns.iter().position(|column| column.name == *name);
        Encoder {
            dataset,
            head,
            tail: Vec::new(),
            prefixes: dataset.columns.iter().map(|c| format!(",\"{}\":", c.name).into_bytes()).collect(),
            targets,
            order: Vec::new(),
            values: vec![None; dataset.columns.len()],
            key: dataset.key.iter().filter_map(place).collect(),
            version: dataset.version.as_ref().and_then(place),
            drift: BTreeMap::new(),
            flat: String::new(),
        }
    }

    /// Begins a page whose answer was complete at `fetched_at`.
    pub fn begin_page(&mut self, fetched_at: chrono::DateTime<chrono::Utc>) {
        self.tail.clear();
        let at = instant::text(fetched_at, Digits::Micros);
        let (column, raw) = (self.dataset.fetched_at, self.dataset.raw);
        self.tail.extend_from_slice(format!(",\"{column}\":\"{at}\",\"{raw}\":").as_bytes());
    }

    /// Appends the line of `record`, newline included, to `out`, and gives the digests of its key and its content.
    pub fn encode(&mut self, record: &str, out: &mut Vec<u8>) -> Digests {
        let mut flat = std::mem::take(&mut self.flat);
        let record = if needs_repair(record) {
            flat.clear();
            repair(record, &mut flat);
            flat.as_str()
        } else {
            record
        };
        self.find_fields(record);
        out.extend_from_slice(&self.head);
        let version = self.version.and_then(|n| self.values[n]).and_then(|(a, b)| to_micros(&record[a..b]));
        write_integer(version.map_or(0, |micros| micros.div_euclid(1000)), out);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(DIGEST.as_bytes());
        out.extend_from_slice(b"\":");
        let content = xxh3_64(record.as_bytes());
        write_integer(content as i64, out);
        for (n, column) in self.dataset.columns.iter().enumerate() {
            let Some((start, end)) = self.values[n] else { continue };
            let value = &record[start..end];
            let before = out.len();
            out.extend_from_slice(&self.prefixes[n]);
            match convert(value, column.convert, out) {
                Outcome::Written => {}
                Outcome::Null => out.truncate(before),
                Outcome::Misfit => {
                    out.truncate(before);
                    count(&mut self.drift, format!("{} ({:?})", column.field, column.kind()));
                }
            }
        }
        out.extend_from_slice(&self.tail);
        out.extend_from_slice(record.as_bytes());
        out.extend_from_slice(b"}\n");
        let key = self.key_digest(record);
        self.flat = flat;
        Digests { key, content }
    }

    /// Takes what did not fit since the last call: field names with how often each was seen.
    pub fn take_drift(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.drift)
    }

    fn key_digest(&self, record: &str) -> u64 {
        let mut hasher = Xxh3::new();
        for &n in &self.key {
            if let Some((start, end)) = self.values[n] {
                hasher.update(&record.as_bytes()[start..end]);
            }
            hasher.update(b",");
        }
        hasher.digest()
    }

    /// Finds where the value of each column stands in the record.
    fn find_fields(&mut self, record: &str) {
        self.values.fill(None);
        let bytes = record.as_bytes();
        let mut at = skip_space(bytes, 0);
        let mut expected = 0;
        // The opening brace, then each comma.
        while matches!(bytes.get(at), Some(b'{' | b',')) {
            at = skip_space(bytes, at + 1);
            if bytes.get(at) != Some(&b'"') {
                break;
            }
            let key_end = string_end(bytes, at);
            let key = &record[at + 1..key_end - 1];
            at = skip_space(bytes, key_end);
            // The colon.
            at = skip_space(bytes, at + 1);
            let end = value_end(bytes, at);
            match self.target(&mut expected, key) {
                Target::Column(n) => self.values[n] = Some((at, end)),
                Target::Raw => {}
                Target::Unknown => count(&mut self.drift, key.to_owned()),
            }
            at = skip_space(bytes, end);
        }
    }

    /// Where the field `key` goes. `expected` is the place in the order of the fields before: a field that is left out
    /// only moves those behind it up, so the next few are looked at before the map.
    fn target(&mut self, expected: &mut usize, key: &str) -> Target {
        let near = self.order.iter().enumerate().skip(*expected).take(NEAR);
        for (place, (known, target)) in near {
            if known == key {
                *expected = place + 1;
                return *target;
            }
        }
        let target = self.look_up(key);
        if self.order.len() < ORDER && !self.order.iter().any(|(known, _)| known == key) {
            self.order.insert(*expected, (key.to_owned(), target));
            *expected += 1;
        }
        target
    }

    fn look_up(&self, key: &str) -> Target {
        let plain = if key.contains('\\') {
            unquote(&format!("\"{key}\"")).unwrap_or_default().into_owned()
        } else {
            key.to_owned()
        };
        let name = if self.dataset.any_case { plain.to_ascii_lowercase() } else { plain };
        self.targets.get(&name).copied().unwrap_or(Target::Unknown)
    }
}

/// How many fields that a record may leave out are skipped in the order without asking the map.
const NEAR: usize = 8;
/// How many fields the order holds.
const ORDER: usize = 512;

/// Whether the record holds a newline (white space: inside JSON strings there is none), which would break the line, or
/// an escape of half a character, which no destination takes.
fn needs_repair(record: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', record.as_bytes()).is_some() || record.contains("\\ud") || record.contains("\\uD")
}

/// Appends the record to `out` with newlines made spaces and half characters (unpaired surrogates) made U+FFFD.
fn repair(record: &str, out: &mut String) {
    let hex = |at: usize| record.get(at + 2..at + 6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let mut at = 0;
    while let Some(found) = record[at..].find(['\\', '\n', '\r']) {
        out.push_str(&record[at..at + found]);
        at += found;
        if record.as_bytes()[at] != b'\\' {
            out.push(' ');
            at += 1;
            continue;
        }
        // An escape: `\u` and four digits, or two characters.
        let unit = if record.as_bytes().get(at + 1) == Some(&b'u') { hex(at) } else { None };
        let low_follows =
            || record[at + 6..].starts_with("\\u") && hex(at + 6).is_some_and(|low| (0xDC00..=0xDFFF).contains(&low));
        let length = match unit {
            Some(0xD800..=0xDBFF) if low_follows() => 12,
            Some(0xD800..=0xDFFF) => {
                out.push('\u{FFFD}');
                at += 6;
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        let end = (at + length).min(record.len());
        out.push_str(&record[at..end]);
        at = end;
    }
    out.push_str(&record[at..]);
}

/// How many different drifting fields one batch names; more than that are counted together.
const DRIFT_NAMES: usize = 100;

fn count(drift: &mut BTreeMap<String, u64>, mut name: String) {
    if drift.len() >= DRIFT_NAMES && !drift.contains_key(&name) {
        name = String::from("(more fields)");
    }
    *drift.entry(name).or_insert(0) += 1;
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};
    use proto::catalog;
    use proto::row::{LineError, LineReader, Value};

    fn encode(dataset: &str, record: &str) -> (BTreeMap<&'static str, String>, BTreeMap<String, u64>) {
        let dataset = catalog::find(dataset).unwrap();
        let mut encoder = Encoder::new(dataset, "main");
        encoder.begin_page(Utc.timestamp_opt(1_700_000_000, 0).unwrap());
        let mut line = Vec::new();
        encoder.encode(record, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice::<serde_json::Value>(&line).expect("a line is JSON");
        let columns = dataset.table_columns();
        let mut row = BTreeMap::new();
        LineReader::new(dataset)
            .read::<LineError>(&line, |n, value| {
                let text = match value {
                    Value::Text(text) => text.into_owned(),
                    Value::Integer(n) => n.to_string(),
                    Value::Float(n) => n.to_string(),
                    Value::Boolean(b) => b.to_string(),
                    Value::Json(json) => json.to_owned(),
                };
                row.insert(columns[n].name, text);
                Ok(())
            })
            .expect("a line of ours reads");
        (row, encoder.take_drift())
    }

    #[test]
    fn an_8x8_record_becomes_its_typed_columns() {
        let record = r#"{"callId":"1635571048351","startTimeUTC":1643898447493,"connectTimeUTC":0,"connectTime":"0",
          "callLegCount":2,"talkTimeMS":7,"departments":["Sales \"A\"","B, C"],"branches":[],"lra":"1","new":1,
          "callTime":"24760","ringDuration":null,"abandonedTime":"x"}"#;
        let (row, drift) = encode("8x8CallDetailRecords", record);
        let get = |name: &str| row.get(name).map(String::as_str);
        assert_eq!(get("_account"), Some("main"));
        assert_eq!(get("startTimeUTC"), Some("2022-02-03T14:27:27.493Z"));
        assert_eq!((get("connectTimeUTC"), get("connectTime"), get("ringDuration")), (None, None, None));
        assert_eq!((get("callLegCount"), get("talkTimeMS"), get("callTime")), (Some("2"), Some("7"), Some("24760")));
        assert_eq!((get("departments"), get("branches")), (Some("Sales \"A\",B, C"), Some("")));
        assert_eq!(get("raw"), Some(record.replace('\n', " ").as_str()));
        let expected = BTreeMap::from([("new".to_owned(), 1), ("abandonedTime (Integer)".to_owned(), 1)]);
        assert_eq!(drift, expected);
    }

    #[test]
    fn a_webex_record_is_matched_in_any_case_and_blanks_are_null() {
        let record = r#"{"Report ID":"r","Hold duration":0,"Ring duration":"12","Answered":"TRUE","Call ID":"",
          "OS type":"na","Called line ID":"NA","Release time":"2023-10-12 21:22:32.621","Answer time":"",
          "Start time":"2026-09-24T07:49:10.939Z","PSTN vendor name":"Cisco","Device Mac":"AA","Final local SessionID":"f"}"#;
        let (row, drift) = encode("cdr_records", record);
        let get = |name: &str| row.get(name).map(String::as_str);
        assert_eq!(
            (get("hold_duration"), get("ring_duration"), get("answered")),
            (Some("0"), Some("12"), Some("true"))
        );
        assert_eq!(
            (get("call_id"), get("os_type"), get("called_line_id"), get("answer_time")),
            (None, None, None, None)
        );
        assert_eq!(get("release_time"), Some("2023-10-12T21:22:32.621Z"));
        assert_eq!(get("start_time"), Some("2026-09-24T07:49:10.939Z"));
        assert_eq!((get("pstn_vendor_name"), get("device_mac")), (Some("Cisco"), Some("AA")));
        assert_eq!(get("final_local_session_id"), Some("f"));
        assert!(drift.is_empty(), "{drift:?}");
    }

    #[test]
    fn an_intercom_record_takes_what_the_api_versions_send() {
        let record = r#"{"type":"contact","id":"5","owner_id":77,"created_at":1734537424,"updated_at":1734537424123,
          "signed_up_at":2738966400,"last_seen_at":"2024-12-18T15:57:04Z","last_replied_at":-5,"name":"Zo\u00eb",
          "email":"\ud800 \ud83d\ude00","phone":{"n":1},"custom_attributes":{"Copilot used":[1,{"a":"}"}]},"has_hard_bounced":false}"#;
        let (row, drift) = encode("contacts", record);
        let get = |name: &str| row.get(name).map(String::as_str);
        assert_eq!(
            (get("owner_id"), get("name"), get("email"), get("phone")),
            (Some("77"), Some("Zoë"), Some("\u{FFFD} 😀"), None)
        );
        assert_eq!(get("created_at"), Some("2024-12-18T15:57:04Z"));
        assert_eq!((get("updated_at"), get("_version")), (Some("2024-12-18T15:57:04.123Z"), Some("1734537424123")));
        assert_eq!(get("signed_up_at"), Some("2056-10-17T00:00:00Z"));
        assert_eq!(
            (get("last_seen_at"), get("last_replied_at")),
            (Some("2024-12-18T15:57:04Z"), Some("1969-12-31T23:59:55Z"))
        );
        assert_eq!(get("custom_attributes"), Some(r#"{"Copilot used":[1,{"a":"}"}]}"#));
        assert_eq!(drift.keys().collect::<Vec<_>>(), ["phone (Text)"]);
    }

    #[test]
    fn the_order_of_fields_may_change_from_record_to_record() {
        let dataset = catalog::find("tags").unwrap();
        let mut encoder = Encoder::new(dataset, "main");
        encoder.begin_page(Utc::now());
        let mut out = Vec::new();
        let a = encoder.encode(r#"{"type":"tag","id":"1","name":"x"}"#, &mut out);
        let b = encoder.encode(r#"{ "name" : "y" , "id" : "1" , "type" : "tag" }"#, &mut out);
        let c = encoder.encode(r#"{"id":"2"}"#, &mut out);
        assert_eq!(a.key, b.key);
        assert_ne!(a.content, b.content);
        assert_ne!(a.key, c.key);
        let text = String::from_utf8(out).unwrap();
        let names: Vec<_> = text
            .lines()
            .map(|line| line.contains("\"name\":\"x\",") as u8 + line.contains("\"name\":\"y\",") as u8)
            .collect();
        assert_eq!(names, [1, 1, 0]);
        assert!(encoder.take_drift().is_empty());
    }

    #[test]
    fn an_instant_that_no_destination_holds_is_null_and_counted() {
        let (row, drift) = encode("tags", r#"{"id":"1"}"#);
        assert!(row.contains_key("id") && drift.is_empty());
        let (row, drift) = encode("segments", r#"{"id":"1","created_at":99999999999999999,"updated_at":"soon"}"#);
        assert!(!row.contains_key("created_at") && !row.contains_key("updated_at"));
        assert_eq!(drift.len(), 2);
    }

    #[test]
    fn newlines_and_half_characters_are_repaired_and_nothing_else_is_touched() {
        for (record, repaired) in [
            ("{\n\"a\":1}", "{ \"a\":1}"),
            (
                r#"{"a":"\\ud800 \udc00 \ud83d\ude00 \ud83d\n\uD83D"}"#,
                "{\"a\":\"\\\\ud800 \u{FFFD} \\ud83d\\ude00 \u{FFFD}\\n\u{FFFD}\"}",
            ),
        ] {
            let mut out = String::new();
            assert!(needs_repair(record));
            repair(record, &mut out);
            assert_eq!(out, repaired);
            serde_json::from_str::<serde_json::Value>(&out).expect("JSON");
        }
    }
}
