//! What is done with dead messages: sent round again, or given up for good.
//!
//! Each message is acted on by itself; a command that breaks off in the middle did all of the first and nothing of the
//! rest, and may be repeated.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;

use chrono::Utc;
use proto::broker::embedded::EmbeddedBroker;
use proto::broker::{DeadLetters, Queue};
use proto::id::UnitId;
use serde::Serialize;

use super::dead::{brief_table, each};
use super::dead_view::Brief;
use crate::args::DeadAction;
use crate::config::Config;
use crate::exit::Failure;
use crate::filter::Filter;
use crate::output::{Output, confirm};
use crate::session::ledger_failure;
use crate::table::grouped;
use crate::wire;

/// What `dead replay` and `dead discard` print with `--format json`.
#[derive(Debug, Serialize)]
struct Acted<'a> {
    /// `replay` or `discard`.
    action: &'a str,
    /// Whether nothing was done because of `--dry-run`.
    dry_run: bool,
    /// The messages, in short.
    messages: &'a [Brief],
    /// The runs that they belong to.
    runs: BTreeSet<&'a str>,
}

/// Sends messages round again.
pub(crate) async fn replay(
    config: &Config,
    broker: &Arc<EmbeddedBroker>,
    output: Output,
    filter: &Filter,
    action: &DeadAction,
) -> Result<(), Failure> {
    let meant = meant(broker, filter, action).await?;
    if action.dry_run {
        tell(output, "replay", true, &meant);
        return Ok(());
    }
    let ledger = wire::ledger(config)?;
    let mut done = Vec::new();
    for (queue, unit, brief) in meant {
        // The ledger first: a unit that stands as dead while it is on its way again would be given up too early. If we
        // break off in between, the dead message is still there to be replayed.
        let noted = ledger.note_replayed(&[unit], Utc::now()).await;
        noted.map_err(|error| ledger_failure(&error))?;
        let replayed = broker.replay(&queue, &brief.id).await.map_err(|error| wire::broker_failure(&error))?;
        if replayed.is_some() {
            done.push((queue, UnitId::stored(brief.unit.clone()), brief));
        }
    }
    tell(output, "replay", false, &done);
    let runs: BTreeSet<&str> = done.iter().map(|(_, _, brief)| brief.run.as_str()).collect();
    for run in runs {
        output.say(&format!("`backhaul run --resume {run}` works on what was sent round again"));
    }
    Ok(())
}

/// Gives messages up.
pub(crate) async fn discard(
    config: &Config,
    broker: &Arc<EmbeddedBroker>,
    output: Output,
    filter: &Filter,
    action: &DeadAction,
    reason: &str,
    yes: bool,
) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: write why these messages are given up"));
    }
    let meant = meant(broker, filter, action).await?;
    if action.dry_run {
        tell(output, "discard", true, &meant);
        return Ok(());
    }
    if !yes && !meant.is_empty() {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage("nobody is there to ask: add --yes to discard without being asked"));
        }
        if !confirm(&format!("discard {} messages for good?", grouped(meant.len() as u64))) {
            return Err(Failure::usage("nothing was discarded: answer y, or add --yes"));
        }
    }
    let ledger = wire::ledger(config)?;
    let who = ["USER", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let who = who.unwrap_or_else(|| "unknown".to_owned());
    let mut done = Vec::new();
    for (queue, unit, brief) in meant {
        // The note first: what is gone must never be without one.
        let noted = ledger.note_discarded(&brief.id, &unit, &who, reason, Utc::now()).await;
        noted.map_err(|error| ledger_failure(&error))?;
        if broker.discard(&queue, &brief.id).await.map_err(|error| wire::broker_failure(&error))? {
            done.push((queue, unit, brief));
        }
    }
    tell(output, "discard", false, &done);
    Ok(())
}

type Meant = (Queue, UnitId, Brief);

/// All that are meant, before anything is done: acting moves what lies behind.
async fn meant(broker: &Arc<EmbeddedBroker>, filter: &Filter, action: &DeadAction) -> Result<Vec<Meant>, Failure> {
    let mut meant = Vec::new();
    each(broker, filter, action.filter.limit, |queue, message| {
        meant.push((queue.clone(), message.about.unit.clone(), Brief::new(queue, message)));
        Ok(())
    })
    .await?;
    Ok(meant)
}

fn tell(output: Output, action: &str, dry_run: bool, messages: &[Meant]) {
    let briefs: Vec<Brief> = messages.iter().map(|(_, _, brief)| brief.clone()).collect();
    let runs = briefs.iter().map(|brief| brief.run.as_str()).collect();
    let acted = Acted { action, dry_run, messages: &briefs, runs };
    output.data(&acted, || {
        let count = grouped(briefs.len() as u64);
        let what = if dry_run { "would be acted on; nothing was done" } else { "done" };
        format!("{}\n\n{action}: {count} messages {what}", brief_table(&briefs))
    });
}
