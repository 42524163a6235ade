//! Dead messages as they are shown. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proto::batch::Batch;
use proto::broker::Queue;
use proto::instant::{Digits, text};
use proto::message::{Kind, Message, Mishap};
use proto::unit::Slice;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::exit::{Failure, chain};
use crate::filter::{fault, shape};

/// One dead message in short: what `dead list` prints, one JSON object per line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Brief {
    /// Its id.
    pub(crate) id: String,
    /// The queue that it lies on.
    pub(crate) queue: String,
    /// `unit` or `batch`.
    pub(crate) kind: &'static str,
    /// The vendor.
    pub(crate) source: String,
    /// The account.
    pub(crate) account: String,
    /// The dataset.
    pub(crate) dataset: String,
    /// The run.
    pub(crate) run: String,
    /// The unit.
    pub(crate) unit: String,
    /// `transient` or `poison`.
    pub(crate) fault: &'static str,
    /// When it died.
    pub(crate) died_at: Option<String>,
    /// How often it was tried since it was made or replayed.
    pub(crate) attempts: u32,
    /// How often a person replayed it.
    pub(crate) replays: u32,
    /// Why it died.
    pub(crate) cause: String,
}

impl Brief {
    /// The message in short.
    pub(crate) fn new(queue: &Queue, message: &Message) -> Brief {
        let about = &message.about;
        Brief {
            id: message.id.clone(),
            queue: queue.to_string(),
            kind: match message.kind {
                Kind::Unit => "unit",
                Kind::Batch => "batch",
            },
            source: about.source.to_string(),
            account: about.account.to_string(),
            dataset: about.dataset.clone(),
            run: about.run.to_string(),
            unit: about.unit.to_string(),
            fault: fault(message),
            died_at: message.trail.died_at.map(time),
            attempts: message.trail.attempts,
            replays: message.trail.replays,
            cause: message.trail.cause().unwrap_or("unknown").to_owned(),
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    text(at, Digits::Seconds)
}

/// Dead messages of one cause: what `dead groups` prints, as one JSON list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    /// The cause with its numbers left out.
    pub(crate) cause: String,
    /// The vendor.
    pub(crate) source: String,
    /// The account.
    pub(crate) account: String,
    /// The dataset.
    pub(crate) dataset: String,
    /// How many messages.
    pub(crate) count: u64,
    /// When the first of them died.
    pub(crate) oldest: Option<String>,
    /// When the last of them died.
    pub(crate) newest: Option<String>,
}

/// Groups messages by cause, source, account and dataset.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<[String; 4], Group>);

impl Groups {
    /// Adds a message.
    pub(crate) fn add(&mut self, brief: &Brief) {
        let cause = shape(&brief.cause);
        let key = [cause.clone(), brief.source.clone(), brief.account.clone(), brief.dataset.clone()];
        let group = self.0.entry(key).or_insert_with(|| Group {
            cause,
            source: brief.source.clone(),
            account: brief.account.clone(),
            dataset: brief.dataset.clone(),
            count: 0,
            oldest: None,
            newest: None,
        });
        group.count += 1;
        // RFC 3339 with a fixed number of digits: text order is time order.
        if let Some(died) = &brief.died_at {
            let oldest = group.oldest.take().filter(|oldest| oldest <= died);
            group.oldest = Some(oldest.unwrap_or_else(|| died.clone()));
            let newest = group.newest.take().filter(|newest| newest >= died);
            group.newest = Some(newest.unwrap_or_else(|| died.clone()));
        }
    }

    /// The groups, the largest first.
    pub(crate) fn into_vec(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// One dead message with all that is known of it: what `dead show` and `dead export` print. The only place where rows
/// are printed: the operator asked for them.
#[derive(Debug, Serialize)]
pub(crate) struct Full {
    /// The message in short.
    #[serde(flatten)]
    pub(crate) brief: Brief,
    /// The queue it died in, where a replay sends it.
    pub(crate) origin: Option<String>,
    /// Its newest failures, oldest first.
    pub(crate) history: Vec<Mishap>,
    /// Of a unit its slice, of a batch its properties.
    pub(crate) content: Value,
    /// Of a batch its rows; of one with many rows only in an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<Vec<Box<RawValue>>>,
}

impl Full {
    /// Opens a message; `all_rows` is whether the rows of batches with more than one are wanted.
    ///
    /// # Errors
    /// When its content is damaged.
    pub(crate) fn open(queue: &Queue, message: &Message, all_rows: bool) -> Result<Full, Failure> {
        let brief = Brief::new(queue, message);
        let damaged = |error: &dyn std::error::Error| {
            Failure::unexpected(format!("message {} does not read: {}", message.id, chain(error)))
        };
        let (content, rows) = match message.kind {
            Kind::Unit => match Slice::open(message) {
                Ok(slice) => (serde_json::to_value(slice).unwrap_or_default(), None),
                // What cannot be opened died for that; the rest of it is still worth showing.
                Err(error) => (Value::String(chain(&error)), None),
            },
            Kind::Batch => match Batch::open(message) {
                Ok(batch) => {
                    let wanted = all_rows || batch.meta.rows == 1;
                    let rows = if wanted { Some(rows(&batch).map_err(|error| damaged(&error))?) } else { None };
                    (serde_json::to_value(&batch.meta).unwrap_or_default(), rows)
                }
                Err(error) => (Value::String(chain(&error)), None),
            },
        };
        let (origin, history) = (message.trail.origin.clone(), message.trail.history.clone());
        Ok(Full { brief, origin, history, content, rows })
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let of = &self.brief;
        let mut lines = vec![
            format!("{} {} on {}", of.kind, of.id, of.queue),
            format!("  source {}, account {}, dataset {}", of.source, of.account, of.dataset),
            format!("  run {}, unit {}", of.run, of.unit),
            format!(
                "  from {}; {} attempts, {} replays",
                self.origin.as_deref().unwrap_or("-"),
                of.attempts,
                of.replays
            ),
            format!("  died {}: {}: {}", of.died_at.as_deref().unwrap_or("-"), of.fault, of.cause),
            "history:".to_owned(),
        ];
        lines.extend(self.history.iter().map(|mishap| format!("  {} {}", time(mishap.at), mishap.cause)));
        lines.push("content:".to_owned());
        lines.push(format!("  {}", self.content));
        if let Some(rows) = &self.rows {
            lines.push("rows:".to_owned());
            lines.extend(rows.iter().map(|row| format!("  {row}")));
        }
        lines.join("\n")
    }
}

/// The rows as they are. A line that is no JSON, which may be why it is here, becomes a JSON string.
fn rows(batch: &Batch) -> std::io::Result<Vec<Box<RawValue>>> {
    let mut lines = batch.lines()?;
    let mut rows = Vec::new();
    while let Some(line) = lines.next_line()? {
        let text = String::from_utf8_lossy(line).into_owned();
        let quoted = serde_json::to_string(&text).unwrap_or_default();
        rows.extend(RawValue::from_string(text).or_else(|_| RawValue::from_string(quoted)).ok());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proto::batch::{BatchMeta, PayloadWriter};
    use proto::catalog;
    use proto::id::{AccountName, BatchId, RunId};
    use proto::unit::{Unit, Window};

    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-11-20T08:00:00Z".parse().unwrap()
    }

    fn dead(line: &[u8], cause: &str, minutes: i64) -> Message {
        let window = Window { from: at(), to: at() };
        let account = AccountName::parse("desk").unwrap();
        let unit =
            Unit::new(RunId::parse("r1").unwrap(), account, catalog::find("users").unwrap(), String::new(), window);
        let mut payload = PayloadWriter::new().unwrap();
        payload.push(line).unwrap();
        let meta = BatchMeta {
            id: BatchId::stored("b1".into()),
            unit,
            rows: 1,
            bytes: line.len() as u64,
            pages: 0,
            requests: 0,
            drift: BTreeMap::new(),
            manifest: None,
            heals: Some(BatchId::stored("b0".into())),
            cut_at: at(),
        };
        let mut message = Batch { meta, payload: payload.finish().unwrap() }.to_message();
        message.trail.died("load.users", cause, at() + chrono::Duration::minutes(minutes));
        message
    }

    #[test]
    fn a_dead_row_is_shown_with_its_history_and_the_row_itself() {
        let message = dead(br#"{"id":"1","name":"Ann"}"#, "column `id` is missing", 0);
        let full = Full::open(&Queue::DeadBatches, &message, false).unwrap();
        insta::assert_snapshot!(full.text());
        // As text first: insta does not know that a row is JSON already.
        let json: Value = serde_json::from_str(&serde_json::to_string(&full).unwrap()).unwrap();
        insta::assert_json_snapshot!(json);
    }

    #[test]
    fn a_row_that_is_no_json_is_shown_as_text() {
        let message = dead(b"{\"id\":", "not JSON", 0);
        let full = Full::open(&Queue::DeadBatches, &message, false).unwrap();
        assert_eq!(full.rows.unwrap()[0].get(), r#""{\"id\":""#);
    }

    #[test]
    fn messages_are_grouped_by_the_shape_of_their_cause() {
        let mut groups = Groups::default();
        for (cause, minutes) in [("HTTP 503 after 9 s", 3), ("HTTP 500 after 12 s", 1), ("no rows", 2)] {
            groups.add(&Brief::new(&Queue::DeadBatches, &dead(b"{}", cause, minutes)));
        }
        insta::assert_json_snapshot!(groups.into_vec());
    }
}
