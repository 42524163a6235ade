//! The whole fleet in one process: a worker per account, a loader per dataset, until a run is settled.
//!
//! Every task is owned here and ends before [`Fleet::work`] does. Whether a run is settled is read from the ledger and
//! the depth of the queues, never from what the parts say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use planner::run::Planner;
use proto::broker::{Broker, Queue};
use proto::catalog;
use proto::dataset::Dataset;
use proto::fault::Fault;
use proto::id::{AccountName, RunId};
use proto::ledger::{LedgerError, Pending};
use proto::progress::Progress;
use proto::source::Source;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::config::Config;
use crate::exit::{Failure, chain};
use crate::wire::{Store, broker_failure};

/// How often the ledger is asked when nothing seems to happen.
const POLL: Duration = Duration::from_millis(500);
/// How often it is asked at most.
const BREATH: Duration = Duration::from_millis(50);
/// How long parts may take to finish what is under way.
const GRACE: Duration = Duration::from_secs(30);
/// How often units that got lost are issued again before they are reported as missing.
const MOST_AGAIN: u32 = 2;
/// How often in a row the ledger may fail to answer.
const MOST_SILENT: u32 = 20;

/// An account and its source.
pub(crate) struct Member {
    /// The account.
    pub account: Account,
    /// Its vendor's API.
    pub source: Arc<dyn Source>,
}

/// The parts of one process.
pub(crate) struct Fleet<'c> {
    /// How they work.
    pub config: &'c Config,
    /// Carries messages between them.
    pub broker: Arc<dyn Broker>,
    /// Where rows go.
    pub store: &'c Store,
    /// Issues units that got lost.
    pub planner: &'c Planner,
    /// Counters for a display.
    pub progress: Arc<Progress>,
    /// Datasets with rows that were put aside and may have been sent round again: their units are whole already, so
    /// only the load queues tell that they are on their way.
    pub healing: Vec<&'static Dataset>,
}

/// How the work on a run ended, apart from what the ledger knows.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Accounts that their vendor refused, with its words.
    pub refused: BTreeMap<AccountName, String>,
    /// What the destination refused.
    pub unusable: Vec<String>,
    /// Parts that ended for a reason that we did not foresee.
    pub failed: Vec<String>,
    /// Whether it was stopped by a signal.
    pub interrupted: bool,
    /// Whether units got lost and did not come back.
    pub missing: bool,
}

enum Ended {
    Account(AccountName, worker::run::Outcome),
    Dataset(&'static Dataset, loader::run::Outcome),
}

enum State {
    /// Something is still to be done.
    UnderWay,
    /// Units are neither whole nor dead, and nothing of them is on its way.
    Lost,
    /// Nothing more will come of it.
    Settled,
}

impl Fleet<'_> {
    /// Works on the units of `run` until all of them are whole or dead, or nothing more can be done for the rest.
    ///
    /// # Errors
    /// When broker or ledger do not answer. What was done until then is in the destination, the rest on the queue.
    pub(crate) async fn work(
        &self,
        run: &RunId,
        members: Vec<Member>,
        stop: &CancellationToken,
    ) -> Result<Ending, Failure> {
        let halt = CancellationToken::new();
        let mut tasks = self.start(members, &halt);
        let mut ending = Ending::default();
        let settled = self.settle(run, &mut tasks, &mut ending, stop).await;
        halt.cancel();
        let until = Instant::now() + GRACE;
        while let Ok(Some(ended)) = timeout_at(until, tasks.join_next()).await {
            ending.note(ended);
        }
        if !tasks.is_empty() {
            tracing::warn!(parts = tasks.len(), seconds = GRACE.as_secs(), "parts did not stop in time and are ended");
            tasks.shutdown().await;
        }
        settled.map(|()| ending)
    }

    fn start(&self, members: Vec<Member>, halt: &CancellationToken) -> JoinSet<Ended> {
        let mut tasks = JoinSet::new();
        // Every dataset of these accounts: older runs may have left units on their queues, and what a worker publishes
        // of them must not fill a queue that nobody empties.
        let fetched = datasets(&members);
        let healing = self.healing.iter().filter(|dataset| !fetched.contains(dataset));
        for &dataset in fetched.iter().chain(healing) {
            let loader = loader::run::Loader {
                sink: Arc::clone(&self.store.sink),
                ledger: Arc::clone(&self.store.ledger),
                broker: Arc::clone(&self.broker),
                progress: Arc::clone(&self.progress),
                settings: self.config.loader.clone(),
            };
            let halt = halt.clone();
            tasks.spawn(async move { Ended::Dataset(dataset, loader.run(dataset, halt).await) });
        }
        for Member { account, source } in members {
            let worker = worker::run::Worker {
                source,
                name: account.source(),
                account: account.name.clone(),
                broker: Arc::clone(&self.broker),
                ledger: Arc::clone(&self.store.ledger),
                progress: Arc::clone(&self.progress),
                settings: worker::run::Settings { in_flight: account.in_flight, ..self.config.worker.clone() },
            };
            let halt = halt.clone();
            tasks.spawn(async move { Ended::Account(account.name, worker.run(halt).await) });
        }
        tasks
    }

    /// Waits until the run is settled, or something ends that makes waiting vain.
    async fn settle(
        &self,
        run: &RunId,
        tasks: &mut JoinSet<Ended>,
        ending: &mut Ending,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut changes = self.progress.watch();
        let (mut again, mut silent) = (0, 0);
        loop {
            let asked = Instant::now();
            match self.state(run, ending).await {
                Ok(State::Settled) => return Ok(()),
                Ok(State::Lost) if again < MOST_AGAIN => {
                    again += 1;
                    let issued = self.planner.issue_again(run, Utc::now()).await;
                    issued.map_err(|error| Failure::unexpected(chain(&error)))?;
                }
                Ok(State::Lost) => {
                    ending.missing = true;
                    return Ok(());
                }
                Ok(State::UnderWay) => silent = 0,
                Err(Silence::Ledger(error)) if silent < MOST_SILENT && is_transient(&error) => {
                    silent += 1;
                    tracing::warn!(%error, "the ledger is asked again");
                }
                Err(Silence::Ledger(error)) => return Err(Failure::unexpected(chain(&error))),
                Err(Silence::Broker(failure)) => return Err(failure),
            }
            // A large run makes asking dear: most of the time is for the work.
            let breath = (asked.elapsed() * 4).clamp(BREATH, POLL * 4);
            sleep_until(Instant::now() + breath).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    ending.interrupted = true;
                    return Ok(());
                }
                Some(ended) = tasks.join_next() => {
                    ending.note(ended);
                    if !(ending.failed.is_empty() && ending.unusable.is_empty()) {
                        return Ok(());
                    }
                }
                _ = changes.changed() => {}
                () = sleep(POLL) => {}
            }
        }
    }

    /// Where the run stands. The order of the looks matters: a unit is handed on from the fetch queue to the load queue
    /// to the ledger, and each holds it before the one before lets it go.
    async fn state(&self, run: &RunId, ending: &Ending) -> Result<State, Silence> {
        let pending = self.store.ledger.pending(run).await.map_err(Silence::Ledger)?;
        if pending.is_empty() {
            let healed = self.is_idle(self.healing.iter().map(|dataset| Queue::load(dataset)).collect()).await?;
            return Ok(if healed { State::Settled } else { State::UnderWay });
        }
        let open = |one: &&Pending| !one.dead && !ending.refused.contains_key(&one.unit.account);
        let fetch = pending.iter().filter(open).map(|one| Queue::Fetch(one.unit.source, one.unit.account.clone()));
        let load = pending.iter().filter_map(|one| catalog::find(&one.unit.dataset)).map(Queue::load);
        if !self.is_idle(fetch.collect()).await? || !self.is_idle(load.collect()).await? {
            return Ok(State::UnderWay);
        }
        let pending = self.store.ledger.pending(run).await.map_err(Silence::Ledger)?;
        Ok(if pending.iter().any(|one| open(&one)) { State::Lost } else { State::Settled })
    }

    async fn is_idle(&self, queues: BTreeSet<Queue>) -> Result<bool, Silence> {
        for queue in queues {
            let depth = self.broker.depth(&queue).await.map_err(|error| Silence::Broker(broker_failure(&error)))?;
            if !depth.is_idle() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Who did not answer.
enum Silence {
    Ledger(LedgerError),
    Broker(Failure),
}

fn is_transient(error: &LedgerError) -> bool {
    matches!(error.fault(), Fault::Transient { .. })
}

/// The datasets of these accounts, in the catalog's order.
#[must_use]
pub(crate) fn datasets(members: &[Member]) -> Vec<&'static Dataset> {
    let of_any = |dataset: &&'static Dataset| {
        members.iter().any(|member| member.account.datasets.iter().any(|offered| offered == dataset))
    };
    catalog::ALL.into_iter().filter(of_any).collect()
}

impl Ending {
    fn note(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended::Account(account, worker::run::Outcome::Refused { cause })) => {
                self.refused.insert(account, cause);
            }
            Ok(Ended::Account(account, worker::run::Outcome::Failed { cause })) => {
                self.failed.push(format!("the worker of account {account} ended: {cause}"));
            }
            Ok(Ended::Dataset(_, loader::run::Outcome::Refused { cause })) => self.unusable.push(cause),
            Ok(Ended::Dataset(dataset, loader::run::Outcome::Failed { cause })) => {
                self.failed.push(format!("the loader of {} ended: {cause}", dataset.name));
            }
            Ok(Ended::Account(_, worker::run::Outcome::Stopped) | Ended::Dataset(_, loader::run::Outcome::Stopped)) => {
            }
            Err(error) => self.failed.push(format!("a part ended: {error}")),
        }
    }
}
