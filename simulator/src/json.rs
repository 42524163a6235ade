//! Compact JSON written by hand: making a record must cost about a microsecond.

use std::io::Write as _;

/// Appends `text` as a JSON string.
pub(crate) fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b" ",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escape);
        plain = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Appends `text` as a JSON string of ASCII only: all else becomes `\u` escapes.
pub(crate) fn quote_ascii(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
            Ok(byte @ 0x20..0x7f) => out.push(byte),
            _ => push(out, format_args!("\\u{unit:04x}")),
        }
    }
    out.push(b'"');
}

/// Appends formatted text as it is.
pub(crate) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// Appends the items with commas between them, inside brackets.
pub(crate) fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A JSON object being written. Field names must need no escaping.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(self.out, value);
    }

    pub(crate) fn maybe_text(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn int(&mut self, name: &str, value: i64) {
        self.name(name);
        push(self.out, format_args!("{value}"));
    }

    pub(crate) fn maybe_int(&mut self, name: &str, value: Option<i64>) {
        match value {
            Some(value) => self.int(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A value that is formatted text without anything to escape.
    pub(crate) fn plain(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        self.name(name);
        push(self.out, format_args!("\"{value}\""));
    }

    pub(crate) fn with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.out);
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_quoting_mean_the_same() {
        let text = "a \"b\" \\ c\n é 🙂 名";
        let (mut plain, mut ascii) = (Vec::new(), Vec::new());
        quote(&mut plain, text);
        quote_ascii(&mut ascii, text);
        assert!(ascii.is_ascii());
        assert_eq!(serde_json::from_slice::<String>(&plain).unwrap(), text);
        assert_eq!(serde_json::from_slice::<String>(&ascii).unwrap(), text);
    }

    #[test]
    fn objects_are_compact_json() {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        object.text("a", "x");
        object.int("b", -3);
        object.maybe_text("c", None);
        object.with("d", |out| array(out, [1, 2], |out, item| push(out, format_args!("{item}"))));
        object.end();
        assert_eq!(out, br#"{"a":"x","b":-3,"c":null,"d":[1,2]}"#);
    }
}
