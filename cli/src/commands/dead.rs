//! `backhaul dead`: what was put aside, on both dead queues, oldest first.

use std::sync::Arc;

use chrono::Utc;
use proto::broker::embedded::EmbeddedBroker;
use proto::broker::{Broker, Queue};
use proto::message::Message;
use serde_json::json;

use super::dead_action;
use super::dead_view::{Brief, Full, Group, Groups};
use crate::args::{Dead, DeadFilter, Format, Global};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::filter::Filter;
use crate::output::Output;
use crate::table::{grouped, table};
use crate::wire;

/// How many messages are held at once: each may be as large as a batch.
const PAGE: usize = 16;

/// Shows, replays or discards.
pub(crate) async fn dead(global: &Global, output: Output, args: &Dead) -> Result<Exit, Failure> {
    let config = Config::load(&global.config)?;
    let filter = match args {
        Dead::Show { .. } => Filter::default(),
        Dead::Groups(filter) | Dead::List(filter) | Dead::Export(filter) => parsed(filter)?,
        Dead::Replay(action) | Dead::Discard { action, .. } => parsed(&action.filter)?,
    };
    let broker = wire::visit(&config)?;
    let done = match args {
        Dead::Groups(args) => groups(&broker, output, &filter, args.limit).await,
        Dead::List(args) => list(&broker, output, &filter, args.limit).await,
        Dead::Show { id } => show(&broker, output, id).await,
        Dead::Export(args) => export(&broker, output, &filter, args.limit).await,
        Dead::Replay(action) => dead_action::replay(&config, &broker, output, &filter, action).await,
        Dead::Discard { action, reason, yes } => {
            dead_action::discard(&config, &broker, output, &filter, action, reason, *yes).await
        }
    };
    broker.close().await;
    done.map(|()| Exit::Whole)
}

fn parsed(filter: &DeadFilter) -> Result<Filter, Failure> {
    Filter::parse(&filter.filters, Utc::now())
}

/// Calls `each` with the messages that are meant, at most `limit`. Stops early where it answers `false`.
pub(crate) async fn each(
    broker: &Arc<EmbeddedBroker>,
    filter: &Filter,
    limit: Option<u64>,
    mut each: impl FnMut(&Queue, &Message) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = limit.unwrap_or(u64::MAX);
    for queue in [Queue::DeadUnits, Queue::DeadBatches] {
        let mut skip = 0;
        loop {
            let page = broker.browse(&queue, skip, PAGE).await.map_err(|error| wire::broker_failure(&error))?;
            for message in page.iter().filter(|message| filter.fits(message)) {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                each(&queue, message)?;
            }
            skip += page.len();
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(())
}

async fn groups(
    broker: &Arc<EmbeddedBroker>,
    output: Output,
    filter: &Filter,
    limit: Option<u64>,
) -> Result<(), Failure> {
    let mut groups = Groups::default();
    each(broker, filter, None, |queue, message| {
        groups.add(&Brief::new(queue, message));
        Ok(())
    })
    .await?;
    let mut groups = groups.into_vec();
    groups.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    output.data(&groups, || group_table(&groups));
    Ok(())
}

fn group_table(groups: &[Group]) -> String {
    if groups.is_empty() {
        return "nothing was put aside".to_owned();
    }
    let row = |group: &Group| {
        vec![
            group.source.clone(),
            group.account.clone(),
            group.dataset.clone(),
            grouped(group.count),
            group.oldest.clone().unwrap_or_default(),
            group.newest.clone().unwrap_or_default(),
            group.cause.clone(),
        ]
    };
    let head = ["source", "account", "dataset", "count", "oldest", "newest", "cause"];
    table(&head, &[1, 2, 4, 5, 6], &groups.iter().map(row).collect::<Vec<_>>())
}

async fn list(
    broker: &Arc<EmbeddedBroker>,
    output: Output,
    filter: &Filter,
    limit: Option<u64>,
) -> Result<(), Failure> {
    let mut briefs = Vec::new();
    each(broker, filter, limit, |queue, message| {
        briefs.push(Brief::new(queue, message));
        Ok(())
    })
    .await?;
    match output.format {
        Format::Json => briefs.iter().for_each(|brief| output.data(brief, String::new)),
        Format::Text => output.line(&brief_table(&briefs)),
    }
    Ok(())
}

/// Messages in short, for a person.
pub(crate) fn brief_table(briefs: &[Brief]) -> String {
    if briefs.is_empty() {
        return "nothing was put aside".to_owned();
    }
    let row = |brief: &Brief| {
        vec![
            brief.id.clone(),
            brief.kind.to_owned(),
            brief.account.clone(),
            brief.dataset.clone(),
            brief.died_at.clone().unwrap_or_default(),
            brief.cause.clone(),
        ]
    };
    let rows: Vec<_> = briefs.iter().map(row).collect();
    table(&["id", "kind", "account", "dataset", "died", "cause"], &[1, 2, 3, 4, 5], &rows)
}

async fn show(broker: &Arc<EmbeddedBroker>, output: Output, id: &str) -> Result<(), Failure> {
    let filter = Filter::parse(&[format!("id={id}")], Utc::now())?;
    let mut found: Vec<Full> = Vec::new();
    each(broker, &filter, None, |queue, message| {
        // The id itself wins over ids that begin with it.
        if message.id == id {
            found.retain(|other| other.brief.id == id);
        }
        if message.id == id || found.iter().all(|other| other.brief.id != id) {
            found.push(Full::open(queue, message, false)?);
        }
        Ok(())
    })
    .await?;
    match found.as_slice() {
        [] => Err(Failure::usage(format!("no dead message has the id `{id}`: `backhaul dead list` shows them"))),
        [one] => {
            output.data(one, || one.text());
            Ok(())
        }
        many => {
            let ids: Vec<_> = many.iter().take(5).map(|one| one.brief.id.as_str()).collect();
            Err(Failure::usage(format!(
                "`{id}` is the beginning of {} ids: write more of {}",
                many.len(),
                ids.join(", ")
            )))
        }
    }
}

async fn export(
    broker: &Arc<EmbeddedBroker>,
    output: Output,
    filter: &Filter,
    limit: Option<u64>,
) -> Result<(), Failure> {
    let mut count = 0_u64;
    each(broker, filter, limit, |queue, message| {
        let line = match Full::open(queue, message, true) {
            Ok(full) => serde_json::to_string(&full).unwrap_or_default(),
            // A payload that is damaged must not hide the messages behind it.
            Err(failure) => json!({ "id": message.id, "damaged": failure.message }).to_string(),
        };
        output.line(&line);
        count += 1;
        Ok(())
    })
    .await?;
    output.say(&format!("{} messages", grouped(count)));
    Ok(())
}
