//! One run from beginning to end: open the parts, plan or find what is left, work, close, look at the figures.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use planner::run::{Plan, Planner};
use planner::{Discovery, PlannerError, Terms};
use proto::broker::embedded::EmbeddedBroker;
use proto::catalog;
use proto::dataset::Dataset;
use proto::id::RunId;
use proto::ledger::{Ledger, LedgerError, RunFigures};
use proto::progress::Progress;
use proto::source::Source;

use crate::account::Account;
use crate::args::Selection;
use crate::config::Config;
use crate::exit::{Exit, Failure, chain};
use crate::fleet::{self, Ending, Fleet, Member};
use crate::output::{Output, complain};
use crate::progress::Display;
use crate::selection::{self, Part};
use crate::stop::Signals;
use crate::wire::{self, Store};

/// What a run needs to know beyond its configuration.
#[derive(Clone, Copy)]
pub(crate) struct Session<'c> {
    /// The configuration.
    pub config: &'c Config,
    /// Where words go.
    pub output: Output,
    /// Whether log lines go to stderr as well.
    pub logged: bool,
    /// The time of the vendors, where it is not the machine's.
    pub world: Option<DateTime<Utc>>,
    /// How patiently vendors are asked for partitions.
    pub discovery: Discovery,
}

/// How a run ended.
pub(crate) struct Done {
    /// What the ledger says of it.
    pub figures: RunFigures,
    /// Accounts that were left out or stopped, with the vendor's words.
    pub refused: Vec<String>,
    /// Accounts whose vendor did not answer when the run was planned.
    pub unreachable: Vec<String>,
    /// How the work ended.
    pub ending: Ending,
    /// How long it took.
    pub seconds: f64,
    /// Where the rows are.
    pub store: Store,
}

impl Done {
    /// Whether planning left nothing out.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.unreachable.is_empty()
    }

    /// The exit code it means.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        if !self.ending.unusable.is_empty() {
            Exit::Configuration
        } else if !self.ending.failed.is_empty() {
            Exit::Unexpected
        } else if !self.refused.is_empty() {
            Exit::Refused
        } else if self.figures.whole && self.is_complete() {
            Exit::Whole
        } else {
            Exit::Unfinished
        }
    }

    /// Says what a person must know and no table shows.
    pub(crate) fn complain(&self) {
        for refused in &self.refused {
            complain(refused);
        }
        for unreachable in &self.unreachable {
            complain(unreachable);
        }
        for other in self.ending.unusable.iter().chain(&self.ending.failed) {
            complain(other);
        }
        if self.ending.missing {
            complain(&format!(
                "units of run {} got lost and did not come back: `backhaul run --resume {}` tries again",
                self.figures.run, self.figures.run
            ));
        }
    }
}

/// The parts while they are open.
struct Open {
    store: Store,
    broker: Arc<EmbeddedBroker>,
    planner: Planner,
}

impl<'c> Session<'c> {
    /// Plans what was selected and works on it.
    ///
    /// # Errors
    /// When something must be put right first. Nothing was begun then that a later run does not finish.
    pub(crate) async fn fresh(&self, selection: &Selection) -> Result<Done, Failure> {
        let now = self.now();
        let parts = selection::select(self.config, selection, now)?;
        let run = RunId::new();
        self.planned(&run, &parts, &selection::asked(selection, now), now).await
    }

    /// Works on what is left of a run. One that broke off while it was planned is planned again, to the same units.
    ///
    /// # Errors
    /// When there is no such run, or something must be put right first.
    pub(crate) async fn resume(&self, run: &RunId) -> Result<Done, Failure> {
        let ledger = wire::ledger(self.config)?;
        let figures = figures(&*ledger, run).await?;
        let Some(figures) = figures else {
            let what = "`backhaul status` shows the newest one";
            return Err(Failure::usage(format!("--resume: there is no run `{run}` in {}: {what}", self.place())));
        };
        if !figures.planned {
            let Some((selection, now)) = selection::asked_again(&figures.asked) else {
                let what = "it broke off while it was planned, and what it was asked for does not read";
                return Err(Failure::unexpected(format!("run {run}: {what}: start a new one with `backhaul run`")));
            };
            let parts = selection::select(self.config, &selection, now)?;
            return self.planned(run, &parts, &selection::asked(&selection, now), now).await;
        }
        let pending = ledger.pending(run).await.map_err(|error| ledger_failure(&error))?;
        let mut accounts: Vec<Account> = Vec::new();
        for unit in pending.iter().map(|pending| &pending.unit) {
            if accounts.iter().any(|account| account.name == unit.account) {
                continue;
            }
            let Some(account) = self.config.accounts.iter().find(|account| account.name == unit.account) else {
                let name = &self.config.name;
                return Err(Failure::configuration(format!(
                    "run {run} has units of account `{}`, which {name} does not have: add it again",
                    unit.account
                )));
            };
            let mut account = account.clone();
            // Units of a dataset that was taken out of the configuration since are still to be loaded.
            account.datasets = catalog::of(account.source()).collect();
            accounts.push(account);
        }
        let hurt = figures.datasets.iter().filter(|of| of.dead > 0);
        let healing: Vec<_> = hurt.filter_map(|of| catalog::find(&of.dataset)).collect();
        let sources = wire::sources(self.config, &accounts, self.world)?;
        let open = self.open(&accounts, &healing).await?;
        let worked = async {
            let issued = open.planner.issue(run, Utc::now()).await;
            issued.map_err(|error| planner_failure(&error))?;
            self.work(&open, run, members(&accounts, &sources), healing).await
        };
        let worked = worked.await;
        open.broker.close().await;
        let (figures, ending, seconds) = worked?;
        let refused = refused(&ending);
        Ok(Done { figures, refused, unreachable: Vec::new(), ending, seconds, store: open.store })
    }

    /// Plans, and writes nothing.
    ///
    /// # Errors
    /// When what was selected cannot be planned.
    pub(crate) async fn look(&self, selection: &Selection) -> Result<Plan, Failure> {
        let now = self.now();
        let parts = selection::select(self.config, selection, now)?;
        let accounts: Vec<Account> = parts.iter().flat_map(|part| part.accounts.clone()).collect();
        let sources = wire::sources(self.config, &accounts, self.world)?;
        let open = self.open(&accounts, &[]).await?;
        let plan = self.plan(&open, &RunId::new(), &parts, &sources, now).await;
        open.broker.close().await;
        plan
    }

    /// Plans and issues a run without working on it.
    ///
    /// # Errors
    /// When what was selected cannot be planned.
    pub(crate) async fn issue(&self, selection: &Selection) -> Result<Plan, Failure> {
        let now = self.now();
        let parts = selection::select(self.config, selection, now)?;
        let accounts: Vec<Account> = parts.iter().flat_map(|part| part.accounts.clone()).collect();
        let sources = wire::sources(self.config, &accounts, self.world)?;
        let open = self.open(&accounts, &[]).await?;
        let issued = async {
            let plan = self.plan(&open, &RunId::new(), &parts, &sources, now).await?;
            let started = open.planner.start(&plan, &selection::asked(selection, now), Utc::now()).await;
            started.map_err(|error| planner_failure(&error))?;
            Ok(plan)
        };
        let issued = issued.await;
        open.broker.close().await;
        issued
    }

    async fn planned(&self, run: &RunId, parts: &[Part], asked: &str, now: DateTime<Utc>) -> Result<Done, Failure> {
        let accounts: Vec<Account> = parts.iter().flat_map(|part| part.accounts.clone()).collect();
        let sources = wire::sources(self.config, &accounts, self.world)?;
        let open = self.open(&accounts, &[]).await?;
        let worked = async {
            let plan = self.plan(&open, run, parts, &sources, now).await?;
            let started = open.planner.start(&plan, asked, Utc::now()).await;
            started.map_err(|error| planner_failure(&error))?;
            self.output.say(&format!("run {run}: {} units", plan.units.len()));
            let left_out = |name: &proto::id::AccountName| plan.refused.iter().any(|(refused, _)| refused == name);
            let members = members(&self.whole(&accounts), &sources);
            let members = members.into_iter().filter(|member| !left_out(&member.account.name)).collect();
            Ok::<_, Failure>((self.work(&open, run, members, Vec::new()).await?, plan))
        };
        let worked = worked.await;
        open.broker.close().await;
        let ((figures, ending, seconds), plan) = worked?;
        let mut refused = refused(&ending);
        refused.extend(plan.refused.iter().map(|(_, error)| error.to_string()));
        let unreachable = plan.unreachable.iter().map(|(_, error)| error.to_string()).collect();
        Ok(Done { figures, refused, unreachable, ending, seconds, store: open.store })
    }

    /// The accounts with all datasets that are configured, not only those that were selected.
    fn whole(&self, accounts: &[Account]) -> Vec<Account> {
        let configured = |account: &Account| self.config.accounts.iter().find(|one| one.name == account.name);
        accounts.iter().map(|account| configured(account).unwrap_or(account).clone()).collect()
    }

    async fn open(&self, accounts: &[Account], healing: &[&'static Dataset]) -> Result<Open, Failure> {
        let store = wire::store(self.config)?;
        let accounts = self.whole(accounts);
        let offered = |dataset: &&'static Dataset| {
            healing.contains(dataset) || accounts.iter().any(|account| account.datasets.contains(dataset))
        };
        let datasets: Vec<_> = catalog::ALL.into_iter().filter(offered).collect();
        store.sink.prepare(&datasets).await.map_err(|error| wire::sink_failure(&error))?;
        let broker = wire::broker(self.config)?;
        let planner = Planner::new(Arc::clone(&store.ledger), broker.clone(), self.discovery);
        Ok(Open { store, broker, planner })
    }

    async fn plan(
        &self,
        open: &Open,
        run: &RunId,
        parts: &[Part],
        sources: &[Arc<dyn Source>],
        now: DateTime<Utc>,
    ) -> Result<Plan, Failure> {
        let mut sources = sources.iter();
        let mut whole: Option<Plan> = None;
        for part in parts {
            let terms: Vec<Terms> =
                part.accounts.iter().zip(&mut sources).map(|(account, source)| terms(account, source)).collect();
            let plan = open.planner.look(run, &terms, &part.span, now).await;
            let plan = plan.map_err(|error| planner_failure(&error))?;
            match &mut whole {
                None => whole = Some(plan),
                Some(whole) => {
                    whole.units.extend(plan.units);
                    whole.lines.extend(plan.lines);
                    whole.refused.extend(plan.refused);
                    whole.unreachable.extend(plan.unreachable);
                    whole.missing.extend(plan.missing);
                }
            }
        }
        let plan = whole.ok_or_else(|| Failure::usage("nothing was selected"))?;
        if plan.missing.is_empty() {
            return Ok(plan);
        }
        let missing = plan.missing.iter().map(|(account, partition)| {
            format!("accounts.{account}.partitions: the vendor has no `{partition}`: correct the name, or remove it")
        });
        Err(Failure::configuration(missing.collect::<Vec<_>>().join("\n  ")))
    }

    async fn work(
        &self,
        open: &Open,
        run: &RunId,
        members: Vec<Member>,
        healing: Vec<&'static Dataset>,
    ) -> Result<(RunFigures, Ending, f64), Failure> {
        let began = Instant::now();
        let signals = Signals::listen(self.output);
        let progress = Arc::new(Progress::default());
        let display = Display::start(self.output, self.logged, &fleet::datasets(&members), &progress);
        let fleet = Fleet {
            config: self.config,
            broker: open.broker.clone(),
            store: &open.store,
            planner: &open.planner,
            progress,
            healing,
        };
        let ending = fleet.work(run, members, &signals.stop).await;
        display.end();
        let ending = ending?;
        let figures = figures(&*open.store.ledger, run).await?;
        let gone = || Failure::unexpected(format!("run {run} is no longer in the ledger: start a new one"));
        Ok((figures.ok_or_else(gone)?, ending, began.elapsed().as_secs_f64()))
    }

    fn now(&self) -> DateTime<Utc> {
        self.world.unwrap_or_else(Utc::now)
    }

    fn place(&self) -> String {
        self.config.destination.place()
    }
}

fn members(accounts: &[Account], sources: &[Arc<dyn Source>]) -> Vec<Member> {
    let member = |(account, source): (&Account, &Arc<dyn Source>)| Member {
        account: account.clone(),
        source: Arc::clone(source),
    };
    accounts.iter().zip(sources).map(member).collect()
}

fn terms(account: &Account, source: &Arc<dyn Source>) -> Terms {
    Terms {
        account: account.name.clone(),
        source: account.source(),
        zone: account.zone,
        datasets: account.datasets.iter().map(|&of| (of, account.timing.apply(of.timing))).collect(),
        partitions: account.partitions.clone(),
        adapter: Arc::clone(source),
    }
}

fn refused(ending: &Ending) -> Vec<String> {
    ending.refused.values().cloned().collect()
}

/// What a planner's error means for the command.
fn planner_failure(error: &PlannerError) -> Failure {
    match error {
        PlannerError::Span(_) | PlannerError::Plan { .. } => Failure::usage(chain(error)),
        PlannerError::Ledger { .. } | PlannerError::Broker { .. } | PlannerError::Stopped(_) => {
            Failure::unexpected(chain(error))
        }
    }
}

/// The figures of a run. One that left accounts out when it was planned is not whole, whatever became of its units.
///
/// # Errors
/// When the ledger does not answer.
pub(crate) async fn figures(ledger: &dyn Ledger, run: &RunId) -> Result<Option<RunFigures>, Failure> {
    let figures = ledger.figures(run).await.map_err(|error| ledger_failure(&error))?;
    let judged = |mut figures: RunFigures| {
        figures.whole &= selection::left_out(&figures.asked).is_none();
        figures
    };
    Ok(figures.map(judged))
}

/// What a ledger's error means for the command.
#[must_use]
pub(crate) fn ledger_failure(error: &LedgerError) -> Failure {
    match error.fault() {
        proto::fault::Fault::Fatal => Failure::configuration(format!("destination: {}", chain(error))),
        _ => Failure::unexpected(chain(error)),
    }
}
