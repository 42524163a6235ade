//! Reads a TOML table field by field and collects every problem with its path, instead of stopping at the first one.
//!
//! A field that nobody asked for is a problem too: a misspelt one must not silently mean its default.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use toml::{Table, Value};

use crate::moment;

/// The problems of one file, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<String>>);

impl Problems {
    /// Adds a problem of the field at `path`.
    pub(crate) fn add(&self, path: &str, what: impl Display) {
        self.0.borrow_mut().push(format!("{path}: {what}"));
    }

    /// Whether there is one of the field at `path`.
    pub(crate) fn mention(&self, path: &str) -> bool {
        self.0.borrow().iter().any(|problem| problem.strip_prefix(path).is_some_and(|rest| rest.starts_with(':')))
    }

    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// One table of the file.
pub(crate) struct Section<'p> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    problems: &'p Problems,
}

impl<'p> Section<'p> {
    /// The table at `path`; the empty path is the file itself.
    pub(crate) fn new(path: &str, table: Table, problems: &'p Problems) -> Section<'p> {
        Section { path: path.to_owned(), table, known: Vec::new(), problems }
    }

    /// The path of a field.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Adds a problem of a field.
    pub(crate) fn wrong(&self, key: &str, what: impl Display) {
        self.problems.add(&self.path(key), what);
    }

    /// Adds a problem of a field somewhere below.
    pub(crate) fn report(&self, path: &str, what: impl Display) {
        self.problems.add(path, what);
    }

    /// Whether a field has a problem already.
    pub(crate) fn complained(&self, key: &str) -> bool {
        self.problems.mention(&self.path(key))
    }

    /// Names a field that may stand here and is read only in some cases.
    pub(crate) fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// The value of a field as it stands.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            Value::String(_) => self.none(key, "is empty: write a text, or leave the field out"),
            other => self.none(key, expected("a text", &other)),
        }
    }

    /// A text that `parse` understands.
    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => self.none(key, error),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn count(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let value = self.take(key)?;
        let Value::Integer(number) = value else { return self.none(key, expected("a whole number", &value)) };
        match u64::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => self.none(key, format!("{number} is out of bounds: write a number from {least} to {most}")),
        }
    }

    /// A number of bytes, at least `least`.
    pub(crate) fn size(&mut self, key: &'static str, least: u64) -> Option<u64> {
        let read = match self.take(key)? {
            Value::Integer(number) => moment::size(&number.to_string()),
            Value::String(text) => moment::size(&text),
            other => Err(expected("a size such as \"64MiB\"", &other)),
        };
        match read {
            Ok(size) if size >= least => Some(size),
            Ok(size) => self.none(key, format!("{size} bytes are too few: write at least {least}")),
            Err(error) => self.none(key, error),
        }
    }

    /// A length of time that `parse` takes: [`moment::length`] or [`moment::stretch`].
    pub(crate) fn length(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<Duration, String>,
    ) -> Option<Duration> {
        match self.take(key)? {
            Value::String(text) => match parse(&text) {
                Ok(length) => Some(length),
                Err(error) => self.none(key, error),
            },
            other => self.none(key, expected("a length of time such as \"15m\"", &other)),
        }
    }

    /// A list of texts, at least one.
    pub(crate) fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let Value::Array(items) = value else { return self.none(key, expected("a list of texts", &value)) };
        if items.is_empty() {
            return self.none(key, "is empty: name at least one, or leave the field out for all");
        }
        let texts: Vec<String> = items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
        if texts.len() < items.len() {
            return self.none(key, "holds something that is no text: write a list of texts");
        }
        Some(texts)
    }

    /// A table below this one; empty where it is left out.
    pub(crate) fn section(&mut self, key: &'static str) -> Section<'p> {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => self.none(key, expected("a table", &other)).unwrap_or_default(),
        };
        Section::new(&self.path(key), table, self.problems)
    }

    /// The tables below this one, by names that the file gives.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<(String, Section<'p>)> {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let what = expected("tables with names, such as [accounts.main]", &other);
                self.none(key, what).unwrap_or_default()
            }
        };
        let mut sections = Vec::new();
        for (name, value) in table {
            let path = format!("{}.{name}", self.path(key));
            match value {
                Value::Table(table) => sections.push((name, Section::new(&path, table, self.problems))),
                other => self.problems.add(&path, expected("a table", &other)),
            }
        }
        sections
    }

    /// Texts by names that the file gives.
    pub(crate) fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let section = self.section(key);
        let mut texts = BTreeMap::new();
        for (name, value) in &section.table {
            match value {
                Value::String(text) if !text.trim().is_empty() => {
                    texts.insert(name.clone(), text.clone());
                }
                Value::String(_) => section.wrong(name, "is empty: write a text"),
                other => section.wrong(name, expected("a text", other)),
            }
        }
        texts
    }

    /// Whether the field is there and not read yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Adds a problem for every field that nobody asked for.
    pub(crate) fn finish(mut self) {
        self.known.sort_unstable();
        let known = self.known.join(", ");
        for key in self.table.keys() {
            self.wrong(key, format!("there is no such field here: use one of {known}, or remove it"));
        }
    }

    fn none<T>(&self, key: &str, what: impl Display) -> Option<T> {
        self.wrong(key, what);
        None
    }
}

fn expected(what: &str, found: &Value) -> String {
    let found = match found {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a decimal number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    };
    format!("is {found}: write {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_table_is_found_with_its_path() {
        let text = "name = 3\nrows = 0\nbytes = '1XB'\nlinger = 5\ndatasets = []\nbelow = 1\ntpyo = 1";
        let problems = Problems::default();
        let mut section = Section::new("loader", text.parse().unwrap(), &problems);
        assert_eq!(section.text("name"), None);
        assert_eq!(section.count("rows", 1, 10), None);
        assert_eq!(section.size("bytes", 1), None);
        assert_eq!(section.length("linger", moment::length), None);
        assert_eq!(section.list("datasets"), None);
        section.section("below").finish();
        section.finish();
        let found = problems.into_vec();
        assert_eq!(found.len(), 7, "{found:#?}");
        for (problem, start) in found.iter().zip([
            "loader.name: is a whole number: write a text",
            "loader.rows: 0 is out of bounds: write a number from 1 to 10",
            "loader.bytes: `1XB` is no size",
            "loader.linger: is a whole number: write a length of time",
            "loader.datasets: is empty",
            "loader.below: is a whole number: write a table",
            "loader.tpyo: there is no such field here: use one of below, bytes, datasets, linger, name, rows",
        ]) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn what_is_left_out_is_no_problem() {
        let problems = Problems::default();
        let mut section = Section::new("", Table::new(), &problems);
        assert_eq!((section.text("a"), section.count("b", 0, 1), section.list("c")), (None, None, None));
        assert!(section.sections("accounts").is_empty() && section.texts("tables").is_empty());
        section.finish();
        assert!(problems.into_vec().is_empty());
    }
}
