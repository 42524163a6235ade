//! `backhaul demo`: the real program against simulated vendors, and a proof that nothing is missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use loader::sink::sqlite::Sqlite;
use planner::Discovery;
use proto::catalog;
use proto::id::RunId;
use simulator::Running;
use simulator::truth::{DatasetTruth, Digest};

use super::demo_world::{Kept, configure};
use super::run::tell;
use crate::args::{Demo, Global, Misfortune, Selection};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::report::Report;
use crate::session::{Session, ledger_failure};
use crate::table::grouped;
use crate::wire;

/// Starts the simulator, runs all datasets, and compares what is there with what must be there.
pub(crate) async fn demo(global: &Global, output: Output, args: &Demo) -> Result<Exit, Failure> {
    wire::folder(&args.dir, "--dir")?;
    let kept = Kept::of(&args.dir, args.world, Utc::now())?;
    let loopback = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let running = simulator::start(kept.settings(), loopback).await.map_err(|error| {
        Failure::unexpected(format!("the simulator cannot listen on the loopback address: {error}"))
    })?;
    let exit = compare(global, output, args, &kept, &running).await;
    running.stop().await;
    exit
}

async fn compare(
    global: &Global,
    output: Output,
    args: &Demo,
    kept: &Kept,
    running: &Running,
) -> Result<Exit, Failure> {
    configure(&args.dir, kept, running.addr())?;
    let file = args.dir.join("backhaul.toml");
    let config = Config::load(&file)?;
    if args.misfortune == Misfortune::Rough {
        running.simulator().add(simulator::rough(args.world.seed));
    }
    let discovery = Discovery {
        tries: 10,
        wait: Duration::from_millis(200),
        longest_wait: Duration::from_secs(2),
        ..Discovery::default()
    };
    let session = Session { config: &config, output, logged: global.verbose > 0, world: Some(kept.now), discovery };
    let done = match unfinished(&config).await? {
        Some(run) => {
            output.say(&format!("going on with run {run}, which was not finished"));
            session.resume(&run).await?
        }
        None => session.fresh(&Selection::default()).await?,
    };
    let mut matches = BTreeMap::new();
    let truth = running.truth();
    let mut comparison = Vec::new();
    for dataset in catalog::ALL {
        let held = held(&done.store.file, dataset).await?;
        let must = truth.datasets.get(dataset.name).cloned().unwrap_or_default();
        matches.insert(dataset.name.to_owned(), held == must);
        comparison.push(compared(dataset.name, &held, &must));
    }
    let all = matches.values().all(|matches| *matches);
    let report = Report::new(&done.figures, done.is_complete(), done.seconds, Some(&matches));
    output.data(&report, || text(&report, &comparison, all, &args.dir, &file));
    tell(output, &done);
    Ok(match done.exit() {
        Exit::Whole if !all => Exit::Unfinished,
        exit => exit,
    })
}

/// The newest run, if it was planned and has units that are neither whole nor dead. One that broke off while it was
/// planned needs no attention: a new run plans all that is missing.
async fn unfinished(config: &Config) -> Result<Option<RunId>, Failure> {
    let ledger = wire::store(config)?.ledger;
    let Some(run) = ledger.newest_run().await.map_err(|error| ledger_failure(&error))? else { return Ok(None) };
    let figures = ledger.figures(&run).await.map_err(|error| ledger_failure(&error))?;
    if figures.is_none_or(|figures| !figures.planned) {
        return Ok(None);
    }
    let pending = ledger.pending(&run).await.map_err(|error| ledger_failure(&error))?;
    Ok(pending.iter().any(|pending| !pending.dead).then_some(run))
}

/// What the dataset's table holds.
async fn held(file: &Sqlite, dataset: &'static proto::dataset::Dataset) -> Result<DatasetTruth, Failure> {
    let sum = Arc::new(Mutex::new((Digest::default(), true)));
    let adder = Arc::clone(&sum);
    let each = move |raw: &str| {
        let mut sum = adder.lock().unwrap_or_else(PoisonError::into_inner);
        sum.1 &= sum.0.add(raw).is_ok();
    };
    file.raws(dataset, each).await.map_err(|error| wire::sink_failure(&error))?;
    let (digest, readable) = *sum.lock().unwrap_or_else(PoisonError::into_inner);
    let held = digest.finish();
    Ok(if readable { held } else { DatasetTruth { digest: "unreadable".to_owned(), ..held } })
}

fn compared(name: &str, held: &DatasetTruth, must: &DatasetTruth) -> String {
    let (count, wanted) = (grouped(held.count), grouped(must.count));
    if held == must {
        format!("  {name}: {count} rows, digest {}: as the vendor holds them", held.digest)
    } else {
        format!("  {name}: {count} rows, digest {}; MUST BE {wanted} rows, digest {}", held.digest, must.digest)
    }
}

fn text(report: &Report, comparison: &[String], all: bool, dir: &Path, file: &Path) -> String {
    let verdict = if all { "every row is there, unchanged, and none twice" } else { "SOMETHING DIFFERS" };
    let database = dir.join("backhaul.db");
    let (database, file) = (database.display(), file.display());
    format!(
        "{}

compared with the ground truth: {verdict}
{}

the data: {database}
the ledger: backhaul --config {file} status
two queries to try:
  sqlite3 {database} 'SELECT direction, lastLegDisposition, count(*) AS calls, sum(talkTimeMS) / 60000 AS minutes FROM \"8x8CallDetailRecords\" GROUP BY 1, 2 ORDER BY calls DESC'
  sqlite3 {database} 'SELECT role, count(*) AS contacts, max(updated_at) AS newest FROM contacts GROUP BY role'",
        report.text(),
        comparison.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_both_counts_and_digests() {
        let held = DatasetTruth { count: 1999, digest: "0a".into() };
        let must = DatasetTruth { count: 2000, digest: "0b".into() };
        assert_eq!(compared("users", &held, &must), "  users: 1,999 rows, digest 0a; MUST BE 2,000 rows, digest 0b");
        assert!(compared("users", &held, &held).contains("as the vendor holds them"));
    }

    #[test]
    fn the_end_of_a_demo_says_what_was_proved_and_where_the_data_is() {
        let matches = [("users".to_owned(), true), ("8x8CallDetailRecords".to_owned(), true)].into();
        let report = Report::new(&crate::report::tests::figures(), true, 3.5, Some(&matches));
        let dir = Path::new("backhaul-demo");
        insta::assert_snapshot!(text(&report, &["  users: fine".to_owned()], true, dir, &dir.join("backhaul.toml")));
    }
}
