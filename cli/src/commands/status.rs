//! `backhaul status`: a run as the destination's ledger knows it.

use std::collections::BTreeMap;

use proto::id::RunId;
use proto::ledger::{DatasetFigures, RunFigures, UnitFigures};
use serde::Serialize;

use crate::args::{Global, Status};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::report::notes;
use crate::session::{figures, ledger_failure};
use crate::table::{grouped, table};
use crate::wire;

/// What `status` prints with `--format json`.
#[derive(Debug, Serialize)]
struct Shown<'f> {
    /// What the ledger holds.
    #[serde(flatten)]
    figures: &'f RunFigures,
    /// Rows fetched less all that became of them, by dataset, where that is not 0: a bug once the dataset is whole.
    differences: BTreeMap<&'f str, i64>,
    /// The units; with `-v` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<Vec<UnitFigures>>,
}

/// Shows a run, or the newest.
pub(crate) async fn status(global: &Global, output: Output, args: &Status) -> Result<Exit, Failure> {
    let config = Config::load(&global.config)?;
    let ledger = wire::ledger(&config)?;
    let run = match &args.run {
        Some(run) => run.clone(),
        None => {
            ledger.newest_run().await.map_err(|error| ledger_failure(&error))?.ok_or_else(|| none(&config, None))?
        }
    };
    let figures = figures(&*ledger, &run).await?.ok_or_else(|| none(&config, Some(&run)))?;
    let units = match global.verbose {
        0 => None,
        _ => Some(ledger.unit_figures(&run).await.map_err(|error| ledger_failure(&error))?),
    };
    let off = |of: &&DatasetFigures| of.difference() != 0;
    let differences = figures.datasets.iter().filter(off).map(|of| (of.dataset.as_str(), of.difference())).collect();
    let shown = Shown { figures: &figures, differences, units };
    output.data(&shown, || shown_text(&shown));
    Ok(if figures.whole { Exit::Whole } else { Exit::Unfinished })
}

fn none(config: &Config, run: Option<&RunId>) -> Failure {
    let place = config.destination.place();
    match run {
        Some(run) => {
            Failure::usage(format!("there is no run `{run}` in {place}: `backhaul status` shows the newest one"))
        }
        None => Failure::usage(format!("there is no run in {place} yet: `backhaul run` makes one")),
    }
}

fn shown_text(shown: &Shown<'_>) -> String {
    let figures = shown.figures;
    let mut parts = vec![datasets(&figures.datasets)];
    if let Some(units) = &shown.units {
        parts.push(unit_table(units));
    }
    let state = match (figures.whole, figures.planned) {
        (true, _) => "whole",
        (false, true) => "NOT whole",
        (false, false) => "NOT whole: it broke off while it was planned",
    };
    parts.push(format!(
        "run {} is {state}; planned {}, {:.1} s to the newest commit; asked for: {}",
        figures.run, figures.planned_at, figures.seconds, figures.asked
    ));
    let notes = notes(figures);
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n")
}

fn datasets(datasets: &[DatasetFigures]) -> String {
    let row = |of: &DatasetFigures| {
        let counts = [of.fetched, of.inserted, of.updated, of.unchanged, of.dead].map(grouped);
        [of.dataset.clone(), format!("{}/{}", grouped(of.whole), grouped(of.units)), stated(of.stated)]
            .into_iter()
            .chain(counts)
            .chain([of.difference().to_string()])
            .collect()
    };
    let head = ["dataset", "whole", "stated", "fetched", "inserted", "updated", "unchanged", "dead", "difference"];
    table(&head, &[], &datasets.iter().map(row).collect::<Vec<_>>())
}

fn unit_table(units: &[UnitFigures]) -> String {
    let row = |of: &UnitFigures| {
        let standing = format!("{:?}", of.standing).to_lowercase();
        let names = [of.unit.clone(), of.account.clone(), of.dataset.clone(), of.partition.clone(), of.from.clone()];
        let counts = [of.fetched, of.inserted, of.updated, of.unchanged, of.dead].map(grouped);
        names.into_iter().chain([of.to.clone(), standing, stated(of.stated)]).chain(counts).collect()
    };
    let head = [
        "unit",
        "account",
        "dataset",
        "partition",
        "from",
        "to",
        "standing",
        "stated",
        "fetched",
        "inserted",
        "updated",
        "unchanged",
        "dead",
    ];
    table(&head, &[1, 2, 3, 4, 5, 6], &units.iter().map(row).collect::<Vec<_>>())
}

fn stated(stated: Option<u64>) -> String {
    stated.map_or_else(|| "-".to_owned(), grouped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::figures;

    #[test]
    fn the_text_shows_what_is_stated_fetched_and_missing() {
        let figures = figures();
        insta::assert_snapshot!(shown_text(&Shown { figures: &figures, differences: BTreeMap::new(), units: None }));
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let figures = figures();
        let unit = UnitFigures {
            unit: "u1".into(),
            account: "desk".into(),
            dataset: "users".into(),
            partition: String::new(),
            from: "1970-01-01T00:00:00.000000Z".into(),
            to: "2026-11-20T08:00:00.000000Z".into(),
            standing: proto::ledger::Standing::Whole,
            fetched: 2,
            inserted: 2,
            updated: 0,
            unchanged: 0,
            dead: 0,
            stated: Some(2),
        };
        let differences = [("users", 3)].into();
        insta::assert_json_snapshot!(Shown { figures: &figures, differences, units: Some(vec![unit]) });
    }
}
