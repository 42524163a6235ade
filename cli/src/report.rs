//! What a run did, for a person and for a program. Pure: the figures are the ledger's.

use std::collections::BTreeMap;

use proto::ledger::{DatasetFigures, FaultLine, RunFigures};
use serde::Serialize;

use crate::selection::left_out;
use crate::table::{grouped, table};

/// What `run` and `demo` print with `--format json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The run's id.
    pub run: String,
    /// Whether every planned unit is whole, nothing is dead and no account was left out.
    pub whole: bool,
    /// How long the command took.
    pub seconds: f64,
    /// The datasets, in the catalog's order.
    pub datasets: Vec<Line>,
}

/// What a run did with one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    /// The dataset's name.
    pub dataset: String,
    /// The table it went to.
    pub table: String,
    /// Planned units.
    pub units: u64,
    /// Vendor answers read.
    pub pages: u64,
    /// Requests sent.
    pub requests: u64,
    /// Rows in those answers.
    pub fetched: u64,
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that replaced an older version.
    pub updated: u64,
    /// Rows that changed nothing.
    pub unchanged: u64,
    /// Rows that were put aside.
    pub dead: u64,
    /// Whether the table holds what the simulator says it must: `demo` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches_truth: Option<bool>,
}

impl Report {
    /// The report of a run. `complete` is whether planning left nothing out; `truth` says of each dataset whether it
    /// matches.
    #[must_use]
    pub(crate) fn new(
        figures: &RunFigures,
        complete: bool,
        seconds: f64,
        truth: Option<&BTreeMap<String, bool>>,
    ) -> Report {
        let line = |of: &DatasetFigures| Line {
            dataset: of.dataset.clone(),
            table: of.table.clone(),
            units: of.units,
            pages: of.pages,
            requests: of.requests,
            fetched: of.fetched,
            inserted: of.inserted,
            updated: of.updated,
            unchanged: of.unchanged,
            dead: of.dead,
            matches_truth: truth.map(|truth| truth.get(&of.dataset).copied().unwrap_or(false)),
        };
        Report {
            run: figures.run.clone(),
            whole: figures.whole && complete,
            seconds: (seconds * 1000.0).round() / 1000.0,
            datasets: figures.datasets.iter().map(line).collect(),
        }
    }

    /// The table, and the sentence below it.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let truth = self.datasets.iter().any(|line| line.matches_truth.is_some());
        let mut head =
            vec!["dataset", "units", "pages", "requests", "fetched", "inserted", "updated", "unchanged", "dead"];
        if truth {
            head.push("truth");
        }
        let mut rows: Vec<Vec<String>> = self.datasets.iter().map(cells).collect();
        if rows.len() > 1 {
            rows.push(total(&self.datasets));
        }
        let whole = if self.whole { "whole" } else { "NOT whole" };
        format!("{}\n\nrun {} is {whole}, {:.1} s", table(&head, &[9], &rows), self.run, self.seconds)
    }
}

fn cells(line: &Line) -> Vec<String> {
    let Line { units, pages, requests, fetched, inserted, updated, unchanged, dead, .. } = *line;
    let numbers = [units, pages, requests, fetched, inserted, updated, unchanged, dead];
    let truth = line.matches_truth.map(|matches| if matches { "matches" } else { "DIFFERS" }.to_owned());
    [line.dataset.clone()].into_iter().chain(numbers.map(grouped)).chain(truth).collect()
}

fn total(lines: &[Line]) -> Vec<String> {
    let sum = |of: fn(&Line) -> u64| grouped(lines.iter().map(of).sum());
    vec![
        "total".to_owned(),
        sum(|line| line.units),
        sum(|line| line.pages),
        sum(|line| line.requests),
        sum(|line| line.fetched),
        sum(|line| line.inserted),
        sum(|line| line.updated),
        sum(|line| line.unchanged),
        sum(|line| line.dead),
    ]
}

/// What a person should know beyond the table, one line each: bugs, what is dead or missing, drift, failures.
#[must_use]
pub(crate) fn notes(figures: &RunFigures) -> Vec<String> {
    let mut notes = Vec::new();
    for of in &figures.datasets {
        let name = &of.dataset;
        // Rows still on their way make a difference that is none; a whole dataset has none on its way.
        if of.difference() != 0 && of.units == of.whole {
            notes.push(format!(
                "BUG: {name}: {} rows fetched, but {} inserted + {} updated + {} unchanged + {} dead: please report it",
                grouped(of.fetched),
                grouped(of.inserted),
                grouped(of.updated),
                grouped(of.unchanged),
                grouped(of.dead)
            ));
        }
        if of.dead > 0 || of.dead_units > 0 {
            let (rows, units) = (grouped(of.dead), grouped(of.dead_units));
            notes.push(format!("{name}: {rows} rows and {units} units were put aside: see `backhaul dead groups`"));
        }
        let missing = of.units.saturating_sub(of.whole + of.dead_units);
        if missing > 0 {
            let (missing, units, run) = (grouped(missing), grouped(of.units), &figures.run);
            notes.push(format!(
                "{name}: {missing} of {units} units are not whole: `backhaul run --resume {run}` goes on"
            ));
        }
        if let Some(stated) = of.stated.filter(|stated| *stated > of.fetched) {
            let (stated, fetched) = (grouped(stated), grouped(of.fetched));
            notes.push(format!("{name}: the vendor states {stated} rows, {fetched} were fetched"));
        }
        if !of.drift.is_empty() {
            let seen = of.drift.iter().map(|(field, times)| format!("{field} ({})", grouped(*times)));
            let fields = seen.collect::<Vec<_>>().join(", ");
            notes.push(format!("{name}: fields that have no column or do not fit it, kept in raw: {fields}"));
        }
    }
    if let Some(accounts) = left_out(&figures.asked) {
        notes.push(format!("left out when the run was planned: {accounts}; a new `backhaul run` reads them"));
    }
    notes.extend(figures.faults.iter().map(fault_line));
    notes
}

fn fault_line(line: &FaultLine) -> String {
    let times = if line.times > 1 { format!(", {} times", grouped(line.times)) } else { String::new() };
    let (at, account, dataset, fault, verdict) = (&line.at, &line.account, &line.dataset, &line.fault, &line.verdict);
    format!("{at} {account} {dataset}: {fault}, {verdict}{times}: {}", line.cause)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn figures() -> RunFigures {
        let users = DatasetFigures {
            dataset: "users".into(),
            table: "users".into(),
            units: 1,
            whole: 1,
            pages: 16,
            requests: 17,
            fetched: 2400,
            inserted: 2390,
            updated: 3,
            unchanged: 6,
            dead: 1,
            stated: Some(2400),
            ..DatasetFigures::default()
        };
        let calls = DatasetFigures {
            dataset: "8x8CallDetailRecords".into(),
            table: "8x8CallDetailRecords".into(),
            units: 14,
            whole: 12,
            dead_units: 1,
            pages: 30,
            requests: 31,
            fetched: 1_234_567,
            inserted: 1_234_567,
            stated: Some(1_300_000),
            drift: [("newField".to_owned(), 1200)].into(),
            ..DatasetFigures::default()
        };
        RunFigures {
            run: "r1".into(),
            planned_at: "2026-11-20T08:44:28Z".into(),
            asked: "run at 2026-11-20T08:44:28.000000Z".into(),
            planned: true,
            whole: false,
            seconds: 3.5,
            datasets: vec![calls, users],
            faults: vec![FaultLine {
                account: "calls".into(),
                dataset: "8x8CallDetailRecords".into(),
                fault: "poison".into(),
                verdict: "dead".into(),
                cause: "GET /v2/call-records: HTTP 403".into(),
                at: "2026-11-20T08:45:00Z".into(),
                times: 2,
            }],
        }
    }

    #[test]
    fn the_table_groups_numbers_and_says_whether_the_run_is_whole() {
        insta::assert_snapshot!(Report::new(&figures(), true, 3.4567, None).text());
    }

    #[test]
    fn the_demo_compares_with_the_truth() {
        let truth = [("users".to_owned(), true), ("8x8CallDetailRecords".to_owned(), false)].into();
        insta::assert_snapshot!(Report::new(&figures(), true, 3.4567, Some(&truth)).text());
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        insta::assert_json_snapshot!(Report::new(&figures(), true, 3.4567, None));
    }

    #[test]
    fn the_notes_name_what_is_dead_missing_short_or_new() {
        insta::assert_snapshot!(notes(&figures()).join("\n"));
    }

    #[test]
    fn a_difference_of_a_whole_dataset_is_called_a_bug() {
        let mut figures = figures();
        figures.datasets[1].inserted -= 1;
        let notes = notes(&figures);
        assert!(notes.iter().any(|note| note.starts_with("BUG: users: 2,400 rows fetched")), "{notes:?}");
    }

    #[test]
    fn an_account_left_out_keeps_a_run_from_being_whole() {
        let figures = RunFigures { whole: true, ..figures() };
        assert!(Report::new(&figures, true, 1.0, None).whole);
        assert!(!Report::new(&figures, false, 1.0, None).whole);
    }
}
