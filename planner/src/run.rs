//! Plans and issues runs: the only part of the planner that does I/O.
//!
//! Guaranteed: [`Planner::look`] writes nothing; everything that [`Planner::start`] does is noted in the ledger first,
//! published second, and noted as issued third, and each of these steps may fail, or happen and lose its answer, and be
//! done again. An account whose vendor does not tell its partitions is left out and named; the others go on. When to
//! plan, and whether an account that was left out fails the run, is for the caller.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use proto::broker::{Broker, BrokerError, Queue};
use proto::catalog;
use proto::dataset::{Dataset, SourceName};
use proto::fault::Fault;
use proto::id::{AccountName, RunId};
use proto::ledger::{History, Ledger};
use proto::mark;
use proto::source::SourceError;
use proto::unit::{Partition, Slice, Unit};
use serde::Serialize;

use crate::discovery::{self, Discovery, Terms};
use crate::due;
use crate::error::PlannerError;
use crate::plan;
use crate::span::Span;

/// How many units one note to the ledger holds.
const CHUNK: usize = 100;
/// How many questions to vendors or the ledger, or publications, are under way at once.
const ABREAST: usize = 16;

/// What a run would read, or reads.
#[derive(Debug)]
pub struct Plan {
    /// The run.
    pub run: RunId,
    /// Its units: by account, dataset and partition, oldest first.
    pub units: Vec<Unit>,
    /// The same in short, one line per account and dataset, those with nothing due among them.
    pub lines: Vec<PlanLine>,
    /// Accounts whose vendor refuses to tell their partitions. Nothing of them is planned.
    pub refused: Vec<(AccountName, SourceError)>,
    /// Accounts whose vendor did not tell their partitions in several tries. Nothing of them is planned.
    pub unreachable: Vec<(AccountName, SourceError)>,
    /// Partitions that were asked for and that the vendor does not have.
    pub missing: Vec<(AccountName, Partition)>,
}

/// What a plan holds of one dataset of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanLine {
    /// The account.
    pub account: AccountName,
    /// The vendor.
    pub source: SourceName,
    /// The dataset's name.
    pub dataset: &'static str,
    /// How many partitions it is read in.
    pub partitions: usize,
    /// How many units.
    pub units: usize,
    /// The start of the earliest, `None` when nothing is due.
    pub from: Option<DateTime<Utc>>,
    /// The end of the newest, `None` when nothing is due.
    pub to: Option<DateTime<Utc>>,
}

/// What starting a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Units of the plan.
    pub units: u64,
    /// Units that were published this time: fewer when the run was started before.
    pub published: u64,
}

/// Plans runs and issues their units.
pub struct Planner {
    ledger: Arc<dyn Ledger>,
    broker: Arc<dyn Broker>,
    discovery: Discovery,
}

impl Planner {
    /// A planner that notes in `ledger` and publishes to `broker`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, broker: Arc<dyn Broker>, discovery: Discovery) -> Planner {
        Planner { ledger, broker, discovery }
    }

    /// What `run` would read if it were started now. Asks vendors for partitions and the ledger for histories; writes
    /// nothing.
    ///
    /// # Errors
    /// When the span cannot be meant or is out of reach for a dataset, the ledger does not answer, or we are stopping.
    /// A vendor that does not answer is no error: its account is named in the plan.
    pub async fn look(
        &self,
        run: &RunId,
        terms: &[Terms],
        span: &Span,
        now: DateTime<Utc>,
    ) -> Result<Plan, PlannerError> {
        span.check(now)?;
        let questions: Vec<_> = terms.iter().map(|terms| self.discovery.ask(terms)).collect();
        let answers: Vec<_> = stream::iter(questions).buffered(ABREAST).collect().await;
        let mut plan = Plan {
            run: run.clone(),
            units: Vec::new(),
            lines: Vec::new(),
            refused: Vec::new(),
            unreachable: Vec::new(),
            missing: Vec::new(),
        };
        for (terms, answer) in terms.iter().zip(answers) {
            match answer {
                Ok(partitions) => self.add(&mut plan, terms, &partitions, span, now).await?,
                Err(error) => match error.fault() {
                    Fault::Fatal | Fault::Poison => plan.refused.push((terms.account.clone(), error)),
                    Fault::Transient { .. } => plan.unreachable.push((terms.account.clone(), error)),
                    Fault::Stopped => return Err(PlannerError::Stopped(error)),
                },
            }
        }
        Ok(plan)
    }

    /// Notes the run and its units, then issues them. Starting the same plan again, wherever it broke off, does what is
    /// left: a run and its units are noted under the same ids, and [`Planner::issue`] leaves out what was issued. To
    /// resume a run without its plan, issue it: a plan made anew at a later time would add units to it.
    ///
    /// The run is noted first, so that every noted unit has one; it is noted as planned after all its units, so that a
    /// run that broke off before can never look whole. Units are published after that: the ledger knows every unit that
    /// a worker may meet.
    ///
    /// # Errors
    /// When the ledger or the broker fails. What was not done is done by starting again.
    pub async fn start(&self, plan: &Plan, asked: &str, now: DateTime<Utc>) -> Result<Issued, PlannerError> {
        let run = &plan.run;
        let noted = self.ledger.note_run(run, &plan.note(asked), now).await;
        mark::reached("planner.run-noted");
        noted.map_err(|source| PlannerError::ledger(run, "note the run", source))?;
        for units in plan.units.chunks(CHUNK) {
            let noted = self.ledger.note_units(units, now).await;
            noted.map_err(|source| PlannerError::ledger(run, "note its units", source))?;
        }
        let noted = self.ledger.note_planned(run, now).await;
        noted.map_err(|source| PlannerError::ledger(run, "note that it is planned", source))?;
        mark::reached("planner.units-noted");
        let published = self.issue(run, now).await?;
        Ok(Issued { units: plan.units.len() as u64, published })
    }

    /// Publishes every unit of the run that is neither whole, dead nor issued, and returns how many. Safe to repeat:
    /// a unit that was published and not noted as issued is published again under the same message id (unit and pass),
    /// so a broker that can tell keeps one of them while the first is there, and a worker drops a unit that is whole.
    ///
    /// # Errors
    /// When the ledger or the broker fails. What was published by then is noted, as far as the ledger answers.
    pub async fn issue(&self, run: &RunId, now: DateTime<Utc>) -> Result<u64, PlannerError> {
        let pending = self.ledger.pending(run).await;
        let pending = pending.map_err(|source| PlannerError::ledger(run, "read which units are pending", source))?;
        let first = pending.into_iter().filter(|pending| !pending.dead && pending.issued == 0);
        let slices: Vec<Slice> = first.map(|pending| Slice::first(pending.unit, 0)).collect();
        self.publish(run, &slices, now).await?;
        if !slices.is_empty() {
            tracing::info!(%run, units = slices.len(), "units issued");
        }
        Ok(slices.len() as u64)
    }

    /// Issues units again that were issued and got lost, and returns them: they are neither whole nor dead, and nothing
    /// of their account is left to fetch nor of their dataset to load. Each is a new pass with a message id of its own.
    ///
    /// The order of the looks matters, because a unit is only ever handed on: from the fetch queue to the load queue to
    /// the ledger, and each holds it before the one before lets it go. Looked at in that order, a unit on its way is
    /// seen at least once. Safe to repeat: what was issued again is on its queue, or was fetched since and is handed on. A
    /// unit that is fetched twice is committed twice, which changes nothing.
    ///
    /// # Errors
    /// When the ledger or the broker fails. What was published by then is noted, as far as the ledger answers.
    pub async fn issue_again(&self, run: &RunId, now: DateTime<Utc>) -> Result<Vec<Unit>, PlannerError> {
        let suspects = self.unfinished(run).await?;
        let idle_fetch = self.idle(run, suspects.iter().map(|slice| fetch_queue(&slice.unit)).collect()).await?;
        let idle_load = self.idle(run, suspects.iter().filter_map(|slice| load_queue(&slice.unit)).collect()).await?;
        if idle_fetch.is_empty() || idle_load.is_empty() {
            return Ok(Vec::new());
        }
        let mut lost = self.unfinished(run).await?;
        lost.retain(|slice| {
            idle_fetch.contains(&fetch_queue(&slice.unit))
                && load_queue(&slice.unit).is_some_and(|queue| idle_load.contains(&queue))
        });
        self.publish(run, &lost, now).await?;
        if !lost.is_empty() {
            tracing::warn!(%run, units = lost.len(), "units were lost and are issued again");
        }
        Ok(lost.into_iter().map(|slice| slice.unit).collect())
    }

    /// The next pass of each unit that was issued and is neither whole nor dead.
    async fn unfinished(&self, run: &RunId) -> Result<Vec<Slice>, PlannerError> {
        let pending = self.ledger.pending(run).await;
        let pending = pending.map_err(|source| PlannerError::ledger(run, "read which units are pending", source))?;
        let issued = pending.into_iter().filter(|pending| !pending.dead && pending.issued > 0);
        Ok(issued.map(|pending| Slice::first(pending.unit, pending.issued)).collect())
    }

    /// Those of the queues that hold nothing to be done.
    async fn idle(&self, run: &RunId, queues: BTreeSet<Queue>) -> Result<BTreeSet<Queue>, PlannerError> {
        let mut idle = BTreeSet::new();
        for queue in queues {
            let depth = self.broker.depth(&queue).await;
            if depth.map_err(|source| PlannerError::broker(run, "look at a queue", source))?.is_idle() {
                idle.insert(queue);
            }
        }
        Ok(idle)
    }

    /// Publishes slices and notes each chunk as issued once the broker has taken it. What was taken of a chunk that
    /// fails is noted too, to spare repeats; that note failing as well only costs them.
    async fn publish(&self, run: &RunId, slices: &[Slice], now: DateTime<Utc>) -> Result<(), PlannerError> {
        for chunk in slices.chunks(CHUNK) {
            let publications: Vec<_> = chunk.iter().map(|slice| self.publish_one(slice)).collect();
            let mut publications = stream::iter(publications).buffered(ABREAST);
            let (mut taken, mut failed) = (Vec::new(), None);
            for slice in chunk {
                match publications.next().await {
                    Some(Ok(())) => taken.push(slice.unit.id.clone()),
                    Some(Err(error)) => {
                        failed = Some(error);
                        break;
                    }
                    None => break,
                }
            }
            let noted = if taken.is_empty() { Ok(()) } else { self.ledger.note_issued(&taken, now).await };
            mark::reached("planner.issued-noted");
            if let Some(source) = failed {
                return Err(PlannerError::broker(run, "publish its units", source));
            }
            noted.map_err(|source| PlannerError::ledger(run, "note which units are issued", source))?;
        }
        Ok(())
    }

    async fn publish_one(&self, slice: &Slice) -> Result<(), BrokerError> {
        self.broker.publish(&fetch_queue(&slice.unit), slice.to_message()).await?;
        mark::reached("planner.unit-published");
        Ok(())
    }

    /// Adds what is due of an account, given the partitions of each of its datasets.
    async fn add(
        &self,
        plan: &mut Plan,
        terms: &Terms,
        partitions: &[Vec<Partition>],
        span: &Span,
        now: DateTime<Utc>,
    ) -> Result<(), PlannerError> {
        for ((dataset, timing), found) in terms.datasets.iter().zip(partitions) {
            let (chosen, missing) = discovery::choose(dataset, terms.partitions.as_deref(), found);
            let histories = self.histories(&plan.run, terms, dataset, &chosen, span).await?;
            let planned = plan.units.len();
            for (partition, history) in chosen.iter().zip(&histories) {
                let due = due::due(dataset, timing, history, span, now);
                let due = due.map_err(|source| PlannerError::Plan { account: terms.account.clone(), source })?;
                plan.units.extend(plan::units(&plan.run, &terms.account, terms.zone, dataset, partition, &due));
            }
            let units = &plan.units[planned..];
            plan.lines.push(PlanLine {
                account: terms.account.clone(),
                source: terms.source,
                dataset: dataset.name,
                partitions: chosen.len(),
                units: units.len(),
                from: units.iter().map(|unit| unit.window.from).min(),
                to: units.iter().map(|unit| unit.window.to).max(),
            });
            plan.missing.extend(missing.into_iter().map(|partition| (terms.account.clone(), partition)));
        }
        Ok(())
    }

    /// The history of each partition, where what is due depends on it.
    async fn histories(
        &self,
        run: &RunId,
        terms: &Terms,
        dataset: &'static Dataset,
        partitions: &[Partition],
        span: &Span,
    ) -> Result<Vec<History>, PlannerError> {
        if *span != Span::Due || due::is_read_whole(dataset) {
            return Ok(vec![History::default(); partitions.len()]);
        }
        let questions: Vec<_> =
            partitions.iter().map(|partition| self.ledger.history(&terms.account, dataset, partition)).collect();
        let answers = stream::iter(questions).buffered(ABREAST).try_collect().await;
        answers.map_err(|source| PlannerError::ledger(run, "read what was read before", source))
    }
}

impl Plan {
    /// What the ledger keeps as asked for: with the accounts that were left out, so that `status` shows them as well.
    fn note(&self, asked: &str) -> String {
        let names = |left: &[(AccountName, SourceError)], why: &str| -> Vec<String> {
            left.iter().map(|(account, _)| format!("{account} ({why})")).collect()
        };
        let left = [names(&self.refused, "refused"), names(&self.unreachable, "unreachable")].concat();
        if left.is_empty() { asked.to_owned() } else { format!("{asked}; left out: {}", left.join(", ")) }
    }
}

fn fetch_queue(unit: &Unit) -> Queue {
    Queue::Fetch(unit.source, unit.account.clone())
}

/// `None` for a dataset that only a newer program has: whether such a unit is lost is for that one to say.
fn load_queue(unit: &Unit) -> Option<Queue> {
    catalog::find(&unit.dataset).map(Queue::load)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use async_trait::async_trait;
    use chrono::TimeDelta;
    use chrono_tz::Tz;
    use proto::broker::embedded::{EmbeddedBroker, EmbeddedSettings};
    use proto::broker::{Delivery, Depth, Tag};
    use proto::fault::Verdict;
    use proto::id::UnitId;
    use proto::ledger::{FaultNote, LedgerError, Pending, RunFigures, UnitFigures};
    use proto::message::Message;
    use proto::source::{Page, Source, Trouble};
    use proto::unit::{Cursor, Window};

    /// What a call does when it is its turn to fail.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Failing {
        BeforeTheWork,
        AfterTheWork,
    }

    #[derive(Default)]
    struct State {
        calls: usize,
        fail: Option<(usize, Failing)>,
        runs: Vec<(RunId, String)>,
        planned: Vec<RunId>,
        units: Vec<(Pending, bool)>,
        histories: BTreeMap<Partition, History>,
        published: Vec<(Queue, Message)>,
        busy: BTreeSet<Queue>,
        whole_at_depth: Option<UnitId>,
    }

    impl State {
        fn unit(&mut self, id: &UnitId) -> &mut (Pending, bool) {
            self.units.iter_mut().find(|(pending, _)| pending.unit.id == *id).unwrap()
        }
    }

    /// A ledger and a broker that record, and that fail at one call of choice: before the work, or after it, when only
    /// the answer is lost.
    #[derive(Default)]
    struct World(Mutex<State>);

    impl World {
        fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            let turn = state.fail.filter(|(at, _)| *at == state.calls).map(|(_, failing)| failing);
            if turn == Some(Failing::BeforeTheWork) {
                return None;
            }
            let done = work(&mut state);
            turn.is_none().then_some(done)
        }

        fn note<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, LedgerError> {
            let fault = Fault::Transient { after: None };
            self.call(work).ok_or_else(|| LedgerError { place: "test".into(), reason: "lost".into(), fault })
        }

        fn carry<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, BrokerError> {
            self.call(work).ok_or_else(|| BrokerError::Failed { place: "test".into(), reason: "lost".into() })
        }

        fn change(&self, work: impl FnOnce(&mut State)) {
            work(&mut self.0.lock().unwrap());
        }

        fn see<T>(&self, look: impl FnOnce(&State) -> T) -> T {
            look(&self.0.lock().unwrap())
        }

        fn message_ids(&self) -> Vec<String> {
            self.see(|state| state.published.iter().map(|(_, message)| message.id.clone()).collect())
        }
    }

    #[async_trait]
    impl Ledger for World {
        async fn note_run(&self, run: &RunId, asked: &str, _: DateTime<Utc>) -> Result<(), LedgerError> {
            self.note(|state| {
                if !state.runs.iter().any(|(known, _)| known == run) {
                    state.runs.push((run.clone(), asked.to_owned()));
                }
            })
        }

        async fn note_units(&self, units: &[Unit], _: DateTime<Utc>) -> Result<(), LedgerError> {
            self.note(|state| {
                assert!(
                    state.planned.is_empty() || units.iter().all(|unit| state.units.iter().any(|u| u.0.unit == *unit))
                );
                for unit in units {
                    if !state.units.iter().any(|(pending, _)| pending.unit.id == unit.id) {
                        state.units.push((Pending { unit: unit.clone(), issued: 0, dead: false }, false));
                    }
                }
            })
        }

        async fn note_planned(&self, run: &RunId, _: DateTime<Utc>) -> Result<(), LedgerError> {
            self.note(|state| {
                if !state.planned.contains(run) {
                    state.planned.push(run.clone());
                }
            })
        }

        async fn note_issued(&self, units: &[UnitId], _: DateTime<Utc>) -> Result<(), LedgerError> {
            self.note(|state| units.iter().for_each(|id| state.unit(id).0.issued += 1))
        }

        async fn note_fault(&self, _: &FaultNote) -> Result<(), LedgerError> {
            panic!("the planner notes no faults")
        }

        async fn note_replayed(&self, _: &[UnitId], _: DateTime<Utc>) -> Result<(), LedgerError> {
            panic!("the planner replays nothing")
        }

        async fn note_discarded(
            &self,
            _: &str,
            _: &UnitId,
            _: &str,
            _: &str,
            _: DateTime<Utc>,
        ) -> Result<(), LedgerError> {
            panic!("the planner gives nothing up")
        }

        async fn is_whole(&self, unit: &UnitId) -> Result<bool, LedgerError> {
            self.note(|state| state.unit(unit).1)
        }

        async fn pending(&self, run: &RunId) -> Result<Vec<Pending>, LedgerError> {
            self.note(|state| {
                let open = state.units.iter().filter(|(pending, whole)| pending.unit.run == *run && !whole);
                open.map(|(pending, _)| pending.clone()).collect()
            })
        }

        async fn history(
            &self,
            _: &AccountName,
            _: &'static Dataset,
            partition: &Partition,
        ) -> Result<History, LedgerError> {
            self.note(|state| state.histories.get(partition).cloned().unwrap_or_default())
        }

        async fn newest_run(&self) -> Result<Option<RunId>, LedgerError> {
            self.note(|state| state.runs.last().map(|(run, _)| run.clone()))
        }

        async fn figures(&self, _: &RunId) -> Result<Option<RunFigures>, LedgerError> {
            Ok(None)
        }

        async fn unit_figures(&self, _: &RunId) -> Result<Vec<UnitFigures>, LedgerError> {
            Ok(Vec::new())
        }
    }

    #[async_trait]
    impl Broker for World {
        async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
            self.carry(|state| {
                let known = state.units.iter().any(|(pending, _)| pending.unit.id == message.about.unit);
                assert!(known && !state.planned.is_empty(), "published before it was noted");
                state.published.push((queue.clone(), message));
            })
        }

        async fn receive(&self, _: &Queue) -> Result<Delivery, BrokerError> {
            panic!("the planner receives nothing")
        }

        async fn settle(&self, _: Tag, _: Verdict) -> Result<(), BrokerError> {
            panic!("the planner settles nothing")
        }

        async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
            self.carry(|state| {
                if let Some(id) = state.whole_at_depth.take() {
                    state.unit(&id).1 = true;
                }
                let ready = state.published.iter().filter(|(on, _)| on == queue).count() as u64;
                Depth { ready, waiting: u64::from(state.busy.contains(queue)), dead: 7, ..Depth::default() }
            })
        }

        async fn browse(&self, _: &Queue, _: usize, _: usize) -> Result<Vec<Message>, BrokerError> {
            panic!("the planner browses nothing")
        }
    }

    /// Answers from a script, and then as it did last; without a script it never answers.
    struct Scripted(Mutex<VecDeque<Result<Vec<Partition>, SourceError>>>);

    #[async_trait]
    impl Source for Scripted {
        async fn partitions(&self, _: &'static Dataset) -> Result<Vec<Partition>, SourceError> {
            let answer = {
                let mut script = self.0.lock().unwrap();
                if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
            };
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }

        async fn fetch(&self, _: &Unit, _: Option<&Cursor>) -> Result<Page, SourceError> {
            panic!("the planner fetches nothing")
        }

        async fn check(&self) -> Result<String, SourceError> {
            panic!("the planner checks nothing")
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn run() -> RunId {
        RunId::parse("r1").unwrap()
    }

    fn name(account: &str) -> AccountName {
        AccountName::parse(account).unwrap()
    }

    fn message_id(unit: &Unit, pass: u32) -> String {
        Slice::first(unit.clone(), pass).to_message().id
    }

    fn pbxes(names: &[&str]) -> Result<Vec<Partition>, SourceError> {
        Ok(names.iter().map(ToString::to_string).collect())
    }

    fn trouble(trouble: Trouble) -> Result<Vec<Partition>, SourceError> {
        let (account, endpoint, message) = ("a".into(), "GET /pbxes".into(), "HTTP 500".into());
        Err(SourceError { trouble, account, endpoint, message, hint: None, requests: 1 })
    }

    fn unavailable() -> Result<Vec<Partition>, SourceError> {
        trouble(Trouble::Unavailable { after: Some(Duration::from_secs(3600)) })
    }

    fn terms_of(account: &str, datasets: &[&str], script: Vec<Result<Vec<Partition>, SourceError>>) -> Terms {
        let datasets: Vec<_> = datasets.iter().map(|name| catalog::find(name).unwrap()).collect();
        Terms {
            account: name(account),
            source: datasets[0].source,
            zone: Tz::Europe__Paris,
            datasets: datasets.into_iter().map(|dataset| (dataset, dataset.timing)).collect(),
            partitions: None,
            adapter: Arc::new(Scripted(Mutex::new(script.into()))),
        }
    }

    fn terms(account: &str, script: Vec<Result<Vec<Partition>, SourceError>>) -> Terms {
        terms_of(account, &["8x8CallDetailRecords"], script)
    }

    /// A planner that never waits: neither between tries nor for an answer that is not there at once.
    fn planner(world: &Arc<World>) -> Planner {
        let discovery =
            Discovery { tries: 3, wait: Duration::ZERO, longest_wait: Duration::ZERO, answer_within: Duration::ZERO };
        Planner::new(world.clone(), world.clone(), discovery)
    }

    /// A plan of 122 units: more than one chunk.
    async fn plan_of_two_months(world: &Arc<World>) -> Plan {
        let terms = [terms("a", vec![pbxes(&["p", "q"])])];
        let span = Span::Last(Duration::from_secs(60 * 86_400));
        planner(world).look(&run(), &terms, &span, now()).await.unwrap()
    }

    #[tokio::test]
    async fn looking_writes_nothing_and_sees_the_same_each_time() {
        let world = Arc::new(World::default());
        let (first, second) = (plan_of_two_months(&world).await, plan_of_two_months(&world).await);
        assert_eq!((first.units.len(), &first.units), (122, &second.units));
        let line = &first.lines[0];
        assert_eq!((line.dataset, line.partitions, line.units), ("8x8CallDetailRecords", 2, 122));
        assert_eq!(line.to, Some(now() - TimeDelta::minutes(15)));
        world.see(|state| assert!(state.runs.is_empty() && state.units.is_empty() && state.published.is_empty()));
    }

    #[tokio::test]
    async fn each_partition_goes_on_from_its_own_history() {
        let world = Arc::new(World::default());
        let hole = Window { from: now() - TimeDelta::hours(300), to: now() - TimeDelta::hours(299) };
        let newest_whole = Some(now() - TimeDelta::hours(1));
        world.change(|state| {
            state.histories.insert("p".into(), History { newest_whole, holes: vec![hole] });
            state.histories.insert("q".into(), History { newest_whole, holes: vec![] });
        });
        let terms = [terms("a", vec![pbxes(&["p", "q"])])];
        let plan = planner(&world).look(&run(), &terms, &Span::Due, now()).await.unwrap();
        let of = |partition| plan.units.iter().filter(move |unit| unit.partition == partition);
        assert_eq!(of("p").next().map(|unit| unit.window), Some(hole));
        assert_eq!(of("q").next().map(|unit| unit.window.from), Some(now() - TimeDelta::hours(27)));
        assert_eq!(of("p").count(), of("q").count() + 1);
    }

    #[tokio::test]
    async fn starting_twice_issues_nothing_twice() {
        let world = Arc::new(World::default());
        let plan = plan_of_two_months(&world).await;
        let planner = planner(&world);
        assert_eq!(planner.start(&plan, "due", now()).await.unwrap(), Issued { units: 122, published: 122 });
        assert_eq!(planner.start(&plan, "due", now()).await.unwrap(), Issued { units: 122, published: 0 });
        assert_eq!(planner.issue(&run(), now()).await.unwrap(), 0);
        let ids = world.message_ids();
        let expected: Vec<String> = plan.units.iter().map(|unit| message_id(unit, 0)).collect();
        assert_eq!(ids, expected);
        world.see(|state| {
            assert_eq!((&state.runs, &state.planned), (&vec![(run(), "due".into())], &vec![run()]));
            let queue = Queue::Fetch(SourceName::EightByEight, name("a"));
            assert!(state.published.iter().all(|(on, _)| *on == queue));
        });
    }

    #[tokio::test]
    async fn whatever_call_fails_starting_again_leaves_each_unit_under_one_message_id() {
        let clean = Arc::new(World::default());
        let plan = plan_of_two_months(&clean).await;
        clean.change(|state| state.calls = 0);
        planner(&clean).start(&plan, "due", now()).await.unwrap();
        let calls = clean.see(|state| state.calls);
        assert_eq!(calls, 1 + 2 + 1 + 1 + 122 + 2);

        for (call, failing) in
            (1..=calls).flat_map(|call| [(call, Failing::BeforeTheWork), (call, Failing::AfterTheWork)])
        {
            let world = Arc::new(World::default());
            world.change(|state| state.fail = Some((call, failing)));
            let error = planner(&world).start(&plan, "due", now()).await.unwrap_err();
            assert_eq!(error.fault(), Fault::Transient { after: None });
            planner(&world).start(&plan, "due", now()).await.unwrap();

            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            world.message_ids().into_iter().for_each(|id| *times.entry(id).or_default() += 1);
            let expected: BTreeSet<String> = plan.units.iter().map(|unit| message_id(unit, 0)).collect();
            assert_eq!(times.keys().cloned().collect::<BTreeSet<_>>(), expected, "{failing:?} {call}");
            assert!(times.values().all(|times| *times <= 2), "{failing:?} {call}");
            world.see(|state| {
                assert_eq!((state.runs.len(), state.planned.len()), (1, 1));
                let noted: Vec<_> = state.units.iter().map(|(pending, _)| &pending.unit).collect();
                assert_eq!(noted, plan.units.iter().collect::<Vec<_>>(), "{failing:?} {call}");
                assert!(state.units.iter().all(|(pending, _)| pending.issued == 1), "{failing:?} {call}");
            });
        }
    }

    #[tokio::test]
    async fn on_a_broker_that_can_tell_each_unit_stands_once_whichever_note_fails() {
        // The calls of the ledger alone: run, two chunks of units, planned, pending, two chunks of issued.
        for (call, failing) in (1..=7).flat_map(|call| [(call, Failing::BeforeTheWork), (call, Failing::AfterTheWork)])
        {
            let world = Arc::new(World::default());
            let plan = plan_of_two_months(&world).await;
            world.change(|state| (state.calls, state.fail) = (0, Some((call, failing))));
            let broker = EmbeddedBroker::in_memory(EmbeddedSettings::default()).unwrap();
            let planner = Planner::new(world.clone(), broker.clone(), Discovery::default());
            planner.start(&plan, "due", now()).await.unwrap_err();
            planner.start(&plan, "due", now()).await.unwrap();
            let depth = broker.depth(&Queue::Fetch(SourceName::EightByEight, name("a"))).await.unwrap();
            assert_eq!(depth.ready, 122, "{failing:?} {call}");
        }
    }

    #[tokio::test]
    async fn units_that_are_dead_or_whole_are_not_issued() {
        let world = Arc::new(World::default());
        let plan = plan_of_two_months(&world).await;
        // Published up to the last unit, and the note of the second chunk lost.
        world.change(|state| state.fail = Some((1 + 2 + 1 + 1 + 122 + 2, Failing::BeforeTheWork)));
        world.change(|state| state.calls = 0);
        let planner = planner(&world);
        planner.start(&plan, "due", now()).await.unwrap_err();
        world.change(|state| {
            state.published.clear();
            state.unit(&plan.units[100].id).0.dead = true;
            state.unit(&plan.units[101].id).1 = true;
        });
        assert_eq!(planner.issue(&run(), now()).await.unwrap(), 20);
        assert_eq!(world.message_ids().first(), Some(&message_id(&plan.units[102], 0)));
    }

    #[tokio::test]
    async fn a_lost_unit_is_issued_again_under_a_new_id_unless_it_is_dead_or_became_whole_meanwhile() {
        let world = Arc::new(World::default());
        let plan = plan_of_two_months(&world).await;
        let planner = planner(&world);
        planner.start(&plan, "due", now()).await.unwrap();
        world.change(|state| {
            state.published.clear();
            state.units[5..].iter_mut().for_each(|(_, whole)| *whole = true);
            state.units[0].0.dead = true;
            state.units[1].0.issued = 2;
            // Committed after the first look at what is pending.
            state.whole_at_depth = Some(plan.units[2].id.clone());
        });
        let lost = planner.issue_again(&run(), now()).await.unwrap();
        assert_eq!(lost, [plan.units[1].clone(), plan.units[3].clone(), plan.units[4].clone()]);
        let ids = [(1, 2), (3, 1), (4, 1)].map(|(unit, pass)| message_id(&plan.units[unit], pass));
        assert_eq!(world.message_ids(), ids);
        assert_eq!(world.see(|state| state.units[3].0.issued), 2);
    }

    #[tokio::test]
    async fn whatever_call_fails_issuing_again_loses_no_unit() {
        // Two looks at what is pending, two at queues, three publications, one note.
        for (call, failing) in (1..=8).flat_map(|call| [(call, Failing::BeforeTheWork), (call, Failing::AfterTheWork)])
        {
            let world = Arc::new(World::default());
            let plan = plan_of_two_months(&world).await;
            let planner = planner(&world);
            planner.start(&plan, "due", now()).await.unwrap();
            world.change(|state| {
                state.published.clear();
                state.units[3..].iter_mut().for_each(|(_, whole)| *whole = true);
                (state.calls, state.fail) = (0, Some((call, failing)));
            });
            planner.issue_again(&run(), now()).await.unwrap_err();
            let mut issued = world.message_ids();
            // A worker and a loader finish what was published.
            world.change(|state| {
                for (_, message) in std::mem::take(&mut state.published) {
                    state.unit(&message.about.unit).1 = true;
                }
            });
            planner.issue_again(&run(), now()).await.unwrap();
            issued.extend(world.message_ids());
            let lost: Vec<String> = plan.units[..3].iter().map(|unit| message_id(unit, 1)).collect();
            issued.sort_by_key(|id| lost.iter().position(|lost| lost == id));
            assert_eq!(issued, lost, "{failing:?} {call}");
        }
    }

    #[tokio::test]
    async fn nothing_is_issued_again_while_a_queue_that_could_hold_it_is_not_idle() {
        let load = Queue::load(catalog::find("8x8CallDetailRecords").unwrap());
        for queue in [Queue::Fetch(SourceName::EightByEight, name("a")), load] {
            let world = Arc::new(World::default());
            let plan = plan_of_two_months(&world).await;
            let planner = planner(&world);
            planner.start(&plan, "due", now()).await.unwrap();
            world.change(|state| {
                state.published.clear();
                state.busy.insert(queue.clone());
            });
            assert_eq!(planner.issue_again(&run(), now()).await.unwrap(), []);
            assert_eq!(world.message_ids(), Vec::<String>::new(), "{queue}");
        }
    }

    #[tokio::test]
    async fn an_account_that_is_refused_or_unreachable_does_not_stop_the_others() {
        let world = Arc::new(World::default());
        let terms = [
            terms("refused", vec![trouble(Trouble::Refused)]),
            terms("rejected", vec![trouble(Trouble::Rejected)]),
            terms("down", vec![unavailable()]),
            terms("silent", vec![]),
            terms("shaky", vec![unavailable(), trouble(Trouble::Malformed), pbxes(&["p"])]),
            terms_of("desk", &["contacts", "tags"], vec![pbxes(&[""])]),
        ];
        let planner = planner(&world);
        let plan = planner.look(&run(), &terms, &Span::Last(Duration::from_secs(60)), now()).await.unwrap();
        let names = |left: &[(AccountName, SourceError)]| -> Vec<String> {
            left.iter().map(|(account, _)| account.to_string()).collect()
        };
        assert_eq!(names(&plan.refused), ["refused", "rejected"]);
        assert_eq!(names(&plan.unreachable), ["down", "silent"]);
        assert!(plan.unreachable[0].1.to_string().ends_with("HTTP 500, in 3 of 3 tries"), "{:?}", plan.unreachable[0]);
        let units: Vec<_> = plan.units.iter().map(|unit| (unit.account.as_str(), unit.dataset.as_str())).collect();
        assert_eq!(units, [("shaky", "8x8CallDetailRecords"), ("desk", "contacts"), ("desk", "tags")]);

        planner.start(&plan, "last 60s", now()).await.unwrap();
        let asked =
            "last 60s; left out: refused (refused), rejected (refused), down (unreachable), silent (unreachable)";
        assert_eq!(world.see(|state| state.runs[0].1.clone()), asked);
    }

    #[tokio::test]
    async fn only_chosen_partitions_are_planned_and_those_that_are_not_there_are_named() {
        let world = Arc::new(World::default());
        let mut calls = terms("a", vec![pbxes(&["p", "q", "p"])]);
        calls.partitions = Some(vec!["gone".into(), "p".into()]);
        let mut desk = terms_of("desk", &["tags"], vec![pbxes(&[""])]);
        desk.partitions = Some(vec!["p".into()]);
        let span = Span::Last(Duration::from_secs(60));
        let plan = planner(&world).look(&run(), &[calls, desk], &span, now()).await.unwrap();
        assert_eq!(plan.units.iter().map(|unit| unit.partition.as_str()).collect::<Vec<_>>(), ["p", ""]);
        assert_eq!(plan.missing, [(name("a"), Partition::from("gone"))]);
    }

    #[tokio::test]
    async fn a_span_that_cannot_be_planned_and_a_stop_end_the_look() {
        let world = Arc::new(World::default());
        let planner = planner(&world);
        let look = async |terms: Terms, span: Span| planner.look(&run(), &[terms], &span, now()).await.unwrap_err();
        let ahead = Span::Between { from: now() + TimeDelta::hours(1), to: now() + TimeDelta::hours(2) };
        assert!(matches!(look(terms("a", vec![]), ahead).await, PlannerError::Span(_)));
        let old = Span::Between { from: now() - TimeDelta::days(60), to: now() - TimeDelta::days(50) };
        let error = look(terms_of("w", &["cdr_records"], vec![pbxes(&[""])]), old).await;
        assert!(matches!(&error, PlannerError::Plan { account, .. } if *account == name("w")), "{error}");
        let error = look(terms("a", vec![trouble(Trouble::Stopped)]), Span::Due).await;
        assert_eq!(error.fault(), Fault::Stopped);
    }

    #[test]
    fn a_planner_can_work_in_a_task_of_its_own() {
        fn check<T: Send>(_: T) {}
        let world = Arc::new(World::default());
        let (planner, run) = (planner(&world), run());
        check(planner.look(&run, &[], &Span::Due, now()));
        check(planner.issue(&run, now()));
        check(planner.issue_again(&run, now()));
    }
}
