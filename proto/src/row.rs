//! The line that carries one row, and how a sink reads it.
//!
//! A line is a JSON object with the columns of [`Dataset::table_columns`] in that order, NULLs left out, no white space
//! between tokens, raw last. Any JSON reader can take it (BigQuery's load job does); [`LineReader`] takes it in one
//! forward scan without building anything, because it knows the order. A line in another order is refused, never
//! half read.

use std::borrow::Cow;

use crate::dataset::{Dataset, Kind};

/// One value of a row, borrowed from its line.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Text, and instants as RFC 3339.
    Text(Cow<'a, str>),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// JSON as the vendor wrote it.
    Json(&'a str),
}

/// Why a line does not read. Always the fault of the line: the row is poison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not UTF-8, or not an object.
    #[error("the row's line is not a JSON object in UTF-8")]
    NotAnObject,
    /// Something that is no column of the dataset, or a column out of order.
    #[error("the row's line holds no column of the table at byte {0}")]
    Unexpected(usize),
    /// A value that is not of its column's type.
    #[error("column `{0}` holds no {1:?}")]
    WrongType(&'static str, Kind),
    /// A column that must be there is missing.
    #[error("column `{0}` is missing: without it the row has no identity")]
    Missing(&'static str),
}

struct Slot {
    name: &'static str,
    prefix: Box<[u8]>,
    kind: Kind,
    required: bool,
}

/// Reads lines of one dataset.
pub struct LineReader {
    slots: Vec<Slot>,
}

impl LineReader {
    /// A reader for lines of `dataset`.
    #[must_use]
    pub fn new(dataset: &Dataset) -> LineReader {
        let slot = |column: crate::dataset::TableColumn| Slot {
            name: column.name,
            prefix: format!("\"{}\":", column.name).into_bytes().into(),
            kind: column.kind,
            required: column.required,
        };
        LineReader { slots: dataset.table_columns().into_iter().map(slot).collect() }
    }

    /// Calls `put` with the index (in [`Dataset::table_columns`]) and value of each column that is not NULL, in order.
    ///
    /// # Errors
    /// When the line does not read, or `put` fails. Some values may have been put by then.
    pub fn read<'a, E: From<LineError>>(
        &self,
        line: &'a [u8],
        mut put: impl FnMut(usize, Value<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let text = simdutf8::basic::from_utf8(line).map_err(|_| LineError::NotAnObject)?;
        let body = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(LineError::NotAnObject)?;
        let bytes = body.as_bytes();
        let mut at = 0;
        let last = self.slots.len() - 1;
        for (index, slot) in self.slots.iter().enumerate() {
            if !bytes[at..].starts_with(&slot.prefix) {
                if slot.required {
                    return Err(LineError::Missing(slot.name).into());
                }
                continue;
            }
            let start = at + slot.prefix.len();
            let end = if index == last { bytes.len() } else { value_end(bytes, start) };
            if end <= start {
                return Err(LineError::WrongType(slot.name, slot.kind).into());
            }
            let value = decode(&body[start..end], slot.kind).ok_or(LineError::WrongType(slot.name, slot.kind))?;
            put(index, value)?;
            at = if bytes.get(end) == Some(&b',') { end + 1 } else { end };
        }
        if at == bytes.len() { Ok(()) } else { Err(LineError::Unexpected(at + 1).into()) }
    }
}

/// Where the JSON value that starts at byte `at` of valid JSON ends. Only nesting and strings are followed: the syntax
/// was checked when the vendor's answer was read.
#[must_use]
pub fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => nested_end(bytes, at),
        _ => {
            let stop = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            bytes.iter().skip(at).position(stop).map_or(bytes.len(), |found| at + found)
        }
    }
}

fn nested_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// Where the string whose opening quote stands at byte `at` ends, after its closing quote.
#[must_use]
pub fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut from = at + 1;
    while let Some(found) = bytes.get(from..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        if bytes[from + found] == b'"' {
            return from + found + 1;
        }
        from += found + 2;
    }
    bytes.len()
}

fn decode(text: &str, kind: Kind) -> Option<Value<'_>> {
    Some(match kind {
        Kind::Text | Kind::Timestamp => Value::Text(unquote(text)?),
        Kind::Integer => Value::Integer(text.parse().ok()?),
        Kind::Float => Value::Float(text.parse().ok()?),
        Kind::Boolean => Value::Boolean(text.parse().ok()?),
        Kind::Json => Value::Json(text),
    })
}

/// The string that a JSON string literal stands for, borrowed where nothing in it is escaped.
#[must_use]
pub fn unquote(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(literal).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn values(line: &str) -> Result<Vec<(&'static str, String)>, LineError> {
        let dataset = catalog::find("tags").unwrap();
        let names = dataset.table_columns();
        let mut got = Vec::new();
        LineReader::new(dataset).read::<LineError>(line.as_bytes(), |index, value| {
            got.push((names[index].name, format!("{value:?}")));
            Ok(())
        })?;
        Ok(got)
    }

    const HEAD: &str = r#"{"_account":"a","_version":-1,"_digest":2,"id":"7","#;
    const TAIL: &str = r#""_fetched_at":"2026-01-01T00:00:00.000000Z","raw":{"id":"7","x":[1,"}"]}}"#;

    #[test]
    fn a_line_reads_into_its_columns_and_a_null_is_left_out() {
        let got = values(&format!("{HEAD}{TAIL}")).unwrap();
        let names: Vec<_> = got.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["_account", "_version", "_digest", "id", "_fetched_at", "raw"]);
        assert_eq!(got[5].1, r#"Json("{\"id\":\"7\",\"x\":[1,\"}\"]}")"#);
    }

    #[test]
    fn escapes_are_undone_and_quotes_inside_a_text_do_not_end_it() {
        let got = values(&format!(r#"{HEAD}"name":"say \"é\", \u00e9\\",{TAIL}"#)).unwrap();
        assert_eq!(got[4], ("name", format!("{:?}", Value::Text(Cow::Borrowed("say \"é\", é\\")))));
    }

    #[test]
    fn a_line_that_is_not_one_of_ours_is_refused_and_never_half_read() {
        for (line, error) in [
            (String::from("[]"), LineError::NotAnObject),
            (String::from("{}"), LineError::Missing("_account")),
            (format!(r#"{{"_account":"a","_version":1,"_digest":1,{TAIL}"#), LineError::Missing("id")),
            (format!(r#"{HEAD}"colour":"red",{TAIL}"#), LineError::Missing("_fetched_at")),
            (HEAD.replace("-1", "\"x\"") + TAIL, LineError::WrongType("_version", Kind::Integer)),
        ] {
            assert_eq!(values(&line), Err(error), "{line}");
        }
    }
}
