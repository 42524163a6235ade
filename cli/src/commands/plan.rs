//! `backhaul plan`: shows what a run would read, or puts it on the queue for `run --resume` to work.

use planner::Discovery;
use planner::run::{Plan as Planned, PlanLine};
use proto::id::AccountName;
use proto::instant::{Digits, text};
use proto::source::SourceError;
use serde::Serialize;

use crate::args::{Global, Plan};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::{Output, complain};
use crate::session::Session;
use crate::table::{grouped, table};

/// What `plan` prints with `--format json`.
#[derive(Debug, Serialize)]
struct Shown<'p> {
    /// The run's id; `null` with `--dry-run`.
    run: Option<&'p str>,
    /// How many units there are.
    units: usize,
    /// One line per account and dataset.
    lines: &'p [PlanLine],
    /// Accounts that were left out, with the vendor's words.
    left_out: Vec<LeftOut>,
}

/// An account that was left out.
#[derive(Debug, Serialize)]
struct LeftOut {
    /// The account.
    account: String,
    /// `true` if the vendor refused it, `false` if it did not answer.
    refused: bool,
    /// The vendor's words.
    cause: String,
}

/// Plans, and issues unless `--dry-run` is given.
pub(crate) async fn plan(global: &Global, output: Output, args: &Plan) -> Result<Exit, Failure> {
    let config = Config::load(&global.config)?;
    let session =
        Session { config: &config, output, logged: global.verbose > 0, world: None, discovery: Discovery::default() };
    let plan = match args.dry_run {
        true => session.look(&args.selection).await?,
        false => session.issue(&args.selection).await?,
    };
    let shown = shown(&plan, args.dry_run);
    output.data(&shown, || shown_text(&shown));
    for left in &shown.left_out {
        complain(&left.cause);
    }
    if let Some(run) = shown.run {
        output.say(&format!("`backhaul run --resume {run}` works on it"));
    }
    Ok(if !plan.refused.is_empty() {
        Exit::Refused
    } else if !plan.unreachable.is_empty() {
        Exit::Unfinished
    } else {
        Exit::Whole
    })
}

fn shown(plan: &Planned, dry_run: bool) -> Shown<'_> {
    let left = |list: &[(AccountName, SourceError)], refused| -> Vec<LeftOut> {
        let one = |(account, error): &(AccountName, SourceError)| LeftOut {
            account: account.to_string(),
            refused,
            cause: error.to_string(),
        };
        list.iter().map(one).collect()
    };
    Shown {
        run: (!dry_run).then(|| plan.run.as_str()),
        units: plan.units.len(),
        lines: &plan.lines,
        left_out: left(&plan.refused, true).into_iter().chain(left(&plan.unreachable, false)).collect(),
    }
}

fn shown_text(shown: &Shown<'_>) -> String {
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map_or("-".to_owned(), |at| text(at, Digits::Seconds));
    let row = |line: &PlanLine| {
        vec![
            line.account.to_string(),
            line.dataset.to_owned(),
            grouped(line.partitions as u64),
            grouped(line.units as u64),
            time(line.from),
            time(line.to),
        ]
    };
    let rows: Vec<_> = shown.lines.iter().map(row).collect();
    let table = table(&["account", "dataset", "partitions", "units", "from", "to"], &[1, 4, 5], &rows);
    let what = match shown.run {
        Some(run) => format!("run {run}: {} units issued", grouped(shown.units as u64)),
        None => format!("{} units would be issued; nothing was written", grouped(shown.units as u64)),
    };
    format!("{table}\n\n{what}")
}
