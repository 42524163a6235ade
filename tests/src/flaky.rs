//! Brokers, destinations and ledgers that fail now and then: before the work, or after it, so that only the answer is
//! lost. A seed decides when; [`Weather::clear`] ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use loader::load::{Load, Receipt};
use loader::sink::{Sink, SinkError};
use proto::batch::Batch;
use proto::broker::{Broker, BrokerError, Delivery, Depth, Queue, Tag};
use proto::dataset::Dataset;
use proto::fault::{Fault, Verdict};
use proto::id::{AccountName, RunId, UnitId};
use proto::ledger::{FaultNote, History, Ledger, LedgerError, Pending, RunFigures, UnitFigures};
use proto::message::Message;
use proto::unit::{Partition, Unit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// It works.
    Good,
    /// It fails and nothing was done.
    Before,
    /// It fails and everything was done.
    After,
}

/// When things fail: drawn from a seed, until the sky is clear.
pub struct Weather {
    chance: Mutex<StdRng>,
    failures: f64,
    clear: AtomicBool,
}

impl Weather {
    /// Failures of this share of all calls, decided by the seed.
    #[must_use]
    pub fn new(seed: u64, failures: f64) -> Arc<Weather> {
        Arc::new(Weather { chance: Mutex::new(StdRng::seed_from_u64(seed)), failures, clear: AtomicBool::new(false) })
    }

    /// Nothing fails from now on.
    pub fn clear(&self) {
        self.clear.store(true, Ordering::SeqCst);
    }

    /// What happens to the next call.
    #[must_use]
    pub fn luck(&self) -> Luck {
        if self.clear.load(Ordering::SeqCst) {
            return Luck::Good;
        }
        let mut chance = self.chance.lock().unwrap();
        match chance.random_bool(self.failures) {
            false => Luck::Good,
            true if chance.random_bool(0.5) => Luck::Before,
            true => Luck::After,
        }
    }

    /// A number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.chance.lock().unwrap().random_range(0..end.max(1))
    }

    /// Whether something of this share happens; never when the sky is clear.
    #[must_use]
    pub fn strikes(&self, share: f64) -> bool {
        !self.clear.load(Ordering::SeqCst) && self.chance.lock().unwrap().random_bool(share)
    }
}

/// A part under the weather.
pub struct Flaky<T: ?Sized> {
    /// The part.
    pub part: Arc<T>,
    /// The weather.
    pub weather: Arc<Weather>,
}

impl<T: ?Sized> Flaky<T> {
    /// Puts `part` under `weather`.
    #[must_use]
    pub fn new(part: Arc<T>, weather: &Arc<Weather>) -> Arc<Flaky<T>> {
        Arc::new(Flaky { part, weather: Arc::clone(weather) })
    }
}

fn broker_failed() -> BrokerError {
    BrokerError::Failed { place: String::from("simulation"), reason: String::from("scripted") }
}

#[async_trait]
impl<B: Broker + ?Sized> Broker for Flaky<B> {
    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        match self.weather.luck() {
            Luck::Good => self.part.publish(queue, message).await,
            Luck::Before => Err(broker_failed()),
            Luck::After => self.part.publish(queue, message).await.and(Err(broker_failed())),
        }
    }

    async fn receive(&self, queue: &Queue) -> Result<Delivery, BrokerError> {
        self.part.receive(queue).await
    }

    async fn settle(&self, tag: Tag, verdict: Verdict) -> Result<(), BrokerError> {
        match self.weather.luck() {
            Luck::Good => self.part.settle(tag, verdict).await,
            Luck::Before => Err(broker_failed()),
            Luck::After => self.part.settle(tag, verdict).await.and(Err(broker_failed())),
        }
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.part.depth(queue).await
    }

    async fn browse(&self, queue: &Queue, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError> {
        self.part.browse(queue, skip, limit).await
    }
}

fn sink_failed() -> SinkError {
    SinkError::Failed { place: String::from("simulation"), reason: String::from("scripted") }
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for Flaky<S> {
    async fn prepare(&self, datasets: &[&'static Dataset]) -> Result<(), SinkError> {
        self.part.prepare(datasets).await
    }

    async fn commit(&self, load: &Load) -> Result<Receipt, SinkError> {
        match self.weather.luck() {
            Luck::Good => self.part.commit(load).await,
            Luck::Before => Err(sink_failed()),
            Luck::After => self.part.commit(load).await.and(Err(sink_failed())),
        }
    }

    async fn probe(&self, batch: &Batch, upto: u32, refused: &[u32]) -> Result<(), SinkError> {
        self.part.probe(batch, upto, refused).await
    }
}

impl<L: ?Sized> Flaky<L> {
    async fn noting(&self, work: impl Future<Output = Result<(), LedgerError>> + Send) -> Result<(), LedgerError> {
        let failed = LedgerError {
            place: String::from("simulation"),
            reason: String::from("scripted"),
            fault: Fault::Transient { after: Some(Duration::from_secs(1)) },
        };
        match self.weather.luck() {
            Luck::Good => work.await,
            Luck::Before => Err(failed),
            Luck::After => work.await.and(Err(failed)),
        }
    }
}

#[async_trait]
impl<L: Ledger + ?Sized> Ledger for Flaky<L> {
    async fn note_run(&self, run: &RunId, asked: &str, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.noting(self.part.note_run(run, asked, now)).await
    }

    async fn note_units(&self, units: &[Unit], now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.noting(self.part.note_units(units, now)).await
    }

    async fn note_planned(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.noting(self.part.note_planned(run, now)).await
    }

    async fn note_issued(&self, units: &[UnitId], now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.noting(self.part.note_issued(units, now)).await
    }

    async fn note_fault(&self, fault: &FaultNote) -> Result<(), LedgerError> {
        self.noting(self.part.note_fault(fault)).await
    }

    async fn note_replayed(&self, units: &[UnitId], now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.noting(self.part.note_replayed(units, now)).await
    }

    async fn note_discarded(
        &self,
        message: &str,
        unit: &UnitId,
        who: &str,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.noting(self.part.note_discarded(message, unit, who, why, now)).await
    }

    async fn is_whole(&self, unit: &UnitId) -> Result<bool, LedgerError> {
        self.part.is_whole(unit).await
    }

    async fn pending(&self, run: &RunId) -> Result<Vec<Pending>, LedgerError> {
        self.part.pending(run).await
    }

    async fn history(
        &self,
        account: &AccountName,
        dataset: &'static Dataset,
        partition: &Partition,
    ) -> Result<History, LedgerError> {
        self.part.history(account, dataset, partition).await
    }

    async fn newest_run(&self) -> Result<Option<RunId>, LedgerError> {
        self.part.newest_run().await
    }

    async fn figures(&self, run: &RunId) -> Result<Option<RunFigures>, LedgerError> {
        self.part.figures(run).await
    }

    async fn unit_figures(&self, run: &RunId) -> Result<Vec<UnitFigures>, LedgerError> {
        self.part.unit_figures(run).await
    }
}
