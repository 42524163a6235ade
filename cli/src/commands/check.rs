//! `backhaul check`: asks every account, the destination and the queue whether they work. Makes what a run would make
//! at its start (folders excepted): the tables and the queue file.

use proto::broker::BrokerError;
use proto::broker::embedded::EmbeddedBroker;
use proto::catalog;
use proto::dataset::Dataset;
use proto::fault::Fault;
use serde::Serialize;

use crate::args::{Check, Global};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::table::table;
use crate::wire;

/// What `check` prints with `--format json`: one of these per part, in a list.
#[derive(Debug, Serialize)]
struct Checked {
    /// `queue`, `destination`, or `accounts.NAME`.
    part: String,
    /// Whether it works.
    works: bool,
    /// What it says.
    says: String,
    #[serde(skip)]
    exit: Exit,
}

impl Checked {
    fn new(part: String, result: Result<String, Failure>) -> Checked {
        match result {
            Ok(says) => Checked { part, works: true, says, exit: Exit::Whole },
            Err(failure) => Checked { part, works: false, says: failure.message, exit: failure.exit },
        }
    }
}

/// Checks everything, and tells all of it.
pub(crate) async fn check(global: &Global, output: Output, args: &Check) -> Result<Exit, Failure> {
    let config = Config::load(&global.config)?;
    if let Some(unknown) = args.account.iter().find(|name| !config.accounts.iter().any(|one| one.name == **name)) {
        let names: Vec<_> = config.accounts.iter().map(|account| account.name.as_str()).collect();
        let (file, names) = (&config.name, names.join(", "));
        return Err(Failure::usage(format!("--account: `{unknown}` is no account of {file}: use {names}")));
    }
    let mut checked = vec![
        Checked::new("destination".to_owned(), destination(&config).await),
        Checked::new("queue".to_owned(), queue(&config).await),
    ];
    let wanted = |name| args.account.is_empty() || args.account.contains(name);
    for account in config.accounts.iter().filter(|account| wanted(&account.name)) {
        let answer = match wire::sources(&config, std::slice::from_ref(account), None) {
            Ok(sources) => sources[0].check().await.map_err(|error| match error.fault() {
                Fault::Fatal | Fault::Poison => Failure::refused(error.to_string()),
                Fault::Transient { .. } | Fault::Stopped => Failure::unexpected(error.to_string()),
            }),
            Err(failure) => Err(failure),
        };
        checked.push(Checked::new(format!("accounts.{}", account.name), answer));
    }
    output.data(&checked, || {
        let row = |one: &Checked| {
            let works = if one.works { "works" } else { "FAILS" };
            vec![one.part.clone(), works.to_owned(), one.says.clone()]
        };
        table(&["part", "", "says"], &[1, 2], &checked.iter().map(row).collect::<Vec<_>>())
    });
    Ok(worst(&checked))
}

/// A wrong configuration explains a refusal, and a refusal is more certain than silence.
fn worst(checked: &[Checked]) -> Exit {
    let any = |exit| checked.iter().any(|one| one.exit == exit);
    let order = [Exit::Configuration, Exit::Refused, Exit::Usage, Exit::Unexpected];
    order.into_iter().find(|&exit| any(exit)).unwrap_or(Exit::Whole)
}

async fn destination(config: &Config) -> Result<String, Failure> {
    let store = wire::store(config)?;
    let offered = |dataset: &&'static Dataset| config.accounts.iter().any(|one| one.datasets.contains(dataset));
    let datasets: Vec<_> = catalog::ALL.into_iter().filter(offered).collect();
    store.sink.prepare(&datasets).await.map_err(|error| wire::sink_failure(&error))?;
    Ok(format!("{} is ready for {} datasets", config.destination.place(), datasets.len()))
}

async fn queue(config: &Config) -> Result<String, Failure> {
    let place = config.queue.path.display();
    match EmbeddedBroker::open(&config.queue.path, config.queue.settings) {
        Ok(broker) => {
            broker.close().await;
            Ok(format!("{place} is ready"))
        }
        Err(BrokerError::Taken { .. }) => Ok(format!("{place} is ready; another backhaul process works on it")),
        Err(error) => Err(wire::broker_failure(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_part() {
        let part = |failure: Option<Failure>| Checked::new("x".into(), failure.map_or(Ok("fine".into()), Err));
        assert_eq!(worst(&[part(None)]), Exit::Whole);
        let refused = part(Some(Failure::refused("no")));
        assert_eq!(worst(&[part(None), refused, part(Some(Failure::unexpected("?")))]), Exit::Refused);
        let wrong = part(Some(Failure::configuration("x")));
        assert_eq!(worst(&[part(Some(Failure::refused("no"))), wrong]), Exit::Configuration);
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let parts = [
            Checked::new("queue".into(), Ok("backhaul-queue.db is ready".into())),
            Checked::new("accounts.desk".into(), Err(Failure::refused("desk: GET /me: HTTP 401"))),
        ];
        insta::assert_json_snapshot!(parts);
    }
}
