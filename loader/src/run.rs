//! The loader's loop for one dataset: receive, gather, commit, settle.
//!
//! A delivery is settled only after its rows and ledger entries are committed. A crash before that brings the batches
//! again; the ledger knows them and the second commit changes nothing. What a destination refuses is narrowed down: the
//! batches of a load one by one, then the rows of a batch by bisection, so that only the bad row is put aside.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use proto::batch::Batch;
use proto::broker::{Broker, BrokerError, Delivery, Queue, Tag};
use proto::dataset::Dataset;
use proto::fault::{Fault, Patience, Verdict};
use proto::ledger::{FaultNote, Ledger};
use proto::mark;
use proto::message::{About, Trail};
use proto::progress::Progress;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::load::{Load, LoadBatch, Receipt};
use crate::sink::{Sink, SinkError};

/// How loads are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A load is committed when it has this many rows.
    pub rows: u64,
    /// Or this many compressed bytes: what a load holds in memory.
    pub bytes: u64,
    /// Or when its first batch has waited this long.
    pub linger: Duration,
    /// How long failures are put up with.
    pub patience: Patience,
}

impl Default for Settings {
    /// 20,000 rows, 4 MiB compressed, 200 ms.
    fn default() -> Self {
        Settings { rows: 20_000, bytes: 4 << 20, linger: Duration::from_millis(200), patience: Patience::default() }
    }
}

/// How a loader ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// The destination refuses; the batches are still on the queue.
    Refused {
        /// Why.
        cause: String,
    },
    /// The broker does not work.
    Failed {
        /// Why.
        cause: String,
    },
}

/// Loads the batches of datasets.
#[derive(Clone)]
pub struct Loader {
    /// Where rows go.
    pub sink: Arc<dyn Sink>,
    /// Where failures are noted.
    pub ledger: Arc<dyn Ledger>,
    /// Where batches come from.
    pub broker: Arc<dyn Broker>,
    /// Counters for a display.
    pub progress: Arc<Progress>,
    /// How loads are gathered.
    pub settings: Settings,
}

/// A batch in our hands, and what to settle it with.
struct Held {
    batch: Batch,
    tag: Tag,
    trail: Trail,
}

impl Loader {
    /// Loads batches of `dataset` until it is told to stop, or the destination or the broker refuse. On `stop` the load
    /// at hand is committed and settled.
    pub async fn run(self, dataset: &'static Dataset, stop: CancellationToken) -> Outcome {
        let queue = Queue::load(dataset);
        loop {
            let held = match self.gather(&queue, &stop).await {
                Ok(held) if held.is_empty() => return Outcome::Stopped,
                Ok(held) => {
                    mark::reached("loader.gathered");
                    held
                }
                Err(BrokerError::Closed) => return Outcome::Stopped,
                Err(error) => return Outcome::Failed { cause: error.to_string() },
            };
            let outcome = self.load(dataset, &queue, held).await;
            self.progress.changed();
            if let Err(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Gathers batches until a limit is reached or the first has waited long enough; none only when told to stop.
    async fn gather(&self, queue: &Queue, stop: &CancellationToken) -> Result<Vec<Held>, BrokerError> {
        let mut held = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut until = None;
        while rows < self.settings.rows && bytes < self.settings.bytes {
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.receive(queue, until) => match received {
                    Some(delivery) => delivery?,
                    None => break,
                },
            };
            if let Some(one) = self.open(delivery, queue).await {
                rows += u64::from(one.batch.meta.rows);
                bytes += one.batch.payload.len() as u64;
                held.push(one);
                until.get_or_insert_with(|| Instant::now() + self.settings.linger);
            }
        }
        Ok(held)
    }

    async fn receive(&self, queue: &Queue, until: Option<Instant>) -> Option<Result<Delivery, BrokerError>> {
        match until {
            None => Some(self.broker.receive(queue).await),
            Some(until) => timeout_at(until, self.broker.receive(queue)).await.ok(),
        }
    }

    /// Opens a delivery; one that does not read is put aside at once.
    async fn open(&self, delivery: Delivery, queue: &Queue) -> Option<Held> {
        let Delivery { message, tag, .. } = delivery;
        match Batch::open(&message) {
            Ok(batch) => Some(Held { batch, tag, trail: message.trail }),
            Err(error) => {
                let verdict = Verdict::Dead { cause: error.to_string() };
                self.note(&message.about, None, &Fault::Poison, &verdict, &error.to_string()).await;
                self.settle(tag, verdict, queue).await;
                None
            }
        }
    }

    /// Commits what was gathered and settles it, whatever comes of it.
    async fn load(&self, dataset: &'static Dataset, queue: &Queue, held: Vec<Held>) -> Result<(), Outcome> {
        let (held, twins) = unique(held);
        // The same batch twice in one load: its twin holds the same rows and is settled with it below.
        let load = Load { dataset, batches: held.iter().map(|one| whole(&one.batch)).collect() };
        let outcome = self.commit(&load).await;
        match outcome {
            Ok(receipt) => {
                mark::reached("loader.committed");
                self.progress.committed(dataset, receipt.rows());
                for tag in held.into_iter().map(|one| one.tag).chain(twins) {
                    self.settle(tag, Verdict::Done, queue).await;
                    mark::reached("loader.settled");
                }
                Ok(())
            }
            Err(error) => {
                // Given back: they come again, and by then the twin's batch is in the ledger or fails by itself.
                for tag in twins {
                    self.settle(tag, Verdict::Return, queue).await;
                }
                self.narrow(dataset, queue, held, error).await
            }
        }
    }

    /// A load failed. Where rows are to blame, the batches are committed one by one and bad rows put aside; otherwise
    /// the whole load waits or stops.
    async fn narrow(
        &self,
        dataset: &'static Dataset,
        queue: &Queue,
        held: Vec<Held>,
        error: SinkError,
    ) -> Result<(), Outcome> {
        let mut stops = Ok(());
        let alone = held.len() == 1;
        let mut known = Some(error);
        for one in held {
            // The error of a load of one batch is the batch's own; otherwise each gets a commit of its own.
            let result = match known.take_if(|error| alone || error.fault() != Fault::Poison || stops.is_err()) {
                Some(error) => Err(error),
                None if stops.is_err() => {
                    self.settle(one.tag, Verdict::Return, queue).await;
                    continue;
                }
                None => self.commit(&Load { dataset, batches: vec![whole(&one.batch)] }).await,
            };
            let result = match result {
                Err(error) if error.fault() == Fault::Poison => self.isolate(dataset, &one.batch).await,
                other => other,
            };
            match result {
                Ok(receipt) => {
                    self.progress.committed(dataset, receipt.rows());
                    self.settle(one.tag, Verdict::Done, queue).await;
                }
                Err(error) => {
                    let (fault, cause) = (error.fault(), error.to_string());
                    let verdict = self.settings.patience.verdict(&fault, cause.clone(), &one.trail, Utc::now());
                    self.note(&one.batch.meta.unit.about(), Some(&one.batch), &fault, &verdict, &cause).await;
                    self.settle(one.tag, verdict, queue).await;
                    if fault == Fault::Fatal {
                        stops = Err(Outcome::Refused { cause });
                    } else {
                        // The destination is down for the rest of the load too.
                        known = Some(error);
                    }
                }
            }
        }
        stops
    }

    /// Finds the rows that the destination refuses, puts each aside as a message of its own, and commits the rest.
    async fn isolate(&self, dataset: &'static Dataset, batch: &Batch) -> Result<Receipt, SinkError> {
        let rows = |reason: String| SinkError::Rows { table: dataset.table.to_owned(), reason, row: None };
        check_readable(batch).map_err(|error| rows(error.to_string()))?;
        let mut refused: Vec<(u32, String)> = Vec::new();
        while let Some((row, reason)) = self.first_refused(batch, &refused).await? {
            match refused.binary_search_by_key(&row, |(known, _)| *known) {
                // It is refused though it is left out: nothing that we know of helps.
                Ok(_) => return Err(rows(reason)),
                Err(place) => refused.insert(place, (row, reason)),
            }
        }
        // First the rows' own messages, then the commit that counts them as dead: a crash in between puts the same rows
        // aside again under the same ids.
        self.put_aside(dataset, batch, &refused).await?;
        let refused = refused.into_iter().map(|(row, _)| row).collect();
        self.commit(&Load { dataset, batches: vec![LoadBatch { batch: batch.clone(), refused }] }).await
    }

    /// The first row that the destination refuses when it takes the batch from the start, less those in `refused`. Where
    /// it does not say which, the shortest start that it refuses tells: so rows that only clash with each other are
    /// found too.
    async fn first_refused(
        &self,
        batch: &Batch,
        refused: &[(u32, String)],
    ) -> Result<Option<(u32, String)>, SinkError> {
        let without: Vec<u32> = refused.iter().map(|(row, _)| *row).collect();
        let mut culprit = None;
        let (mut taken, mut upto) = (0, batch.meta.rows);
        while taken < upto {
            // The whole batch first, then by bisection.
            let probed = if culprit.is_none() { upto } else { taken + (upto - taken) / 2 };
            if probed == taken {
                break;
            }
            match self.sink.probe(batch, probed, &without).await {
                Ok(()) if culprit.is_none() => return Ok(None),
                Ok(()) => taken = probed,
                Err(SinkError::Rows { row: Some(row), reason, .. }) => return Ok(Some((row, reason))),
                Err(SinkError::Rows { row: None, reason, .. }) => {
                    upto = probed;
                    culprit = Some((upto - 1, reason));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(culprit)
    }

    async fn put_aside(
        &self,
        dataset: &'static Dataset,
        batch: &Batch,
        refused: &[(u32, String)],
    ) -> Result<(), SinkError> {
        if batch.meta.heals.is_some() {
            // A dead row that was sent round again and is refused again stays the message that it is.
            return match refused.first() {
                Some((_, reason)) => {
                    Err(SinkError::Rows { table: dataset.table.to_owned(), reason: reason.clone(), row: Some(0) })
                }
                None => Ok(()),
            };
        }
        let damaged = |error: std::io::Error| SinkError::Rows {
            table: dataset.table.to_owned(),
            reason: error.to_string(),
            row: None,
        };
        let mut lines = batch.lines().map_err(damaged)?;
        let mut wanted = refused.iter().peekable();
        let mut row = 0;
        while let Some((index, reason)) = wanted.peek() {
            let Some(line) = lines.next_line().map_err(damaged)? else { break };
            if row == *index {
                let now = Utc::now();
                let mut message = batch.of_row(row, line, now).map_err(damaged)?.to_message();
                let cause = format!("the destination refuses the row: {reason}");
                message.trail.died(&Queue::load(dataset).to_string(), &cause, now);
                let about = message.about.clone();
                self.broker.publish(&Queue::DeadBatches, message).await.map_err(|error| SinkError::Failed {
                    place: Queue::DeadBatches.to_string(),
                    reason: error.to_string(),
                })?;
                mark::reached("loader.row-put-aside");
                // Only the row is put aside: its unit can be whole but for it.
                let verdict = Verdict::Dead { cause: cause.clone() };
                self.note_as(&about, Some(batch), &Fault::Poison, &verdict, &cause, false).await;
                wanted.next();
            }
            row += 1;
        }
        Ok(())
    }

    async fn commit(&self, load: &Load) -> Result<Receipt, SinkError> {
        let began = Instant::now();
        let receipt = self.sink.commit(load).await?;
        tracing::debug!(
            dataset = load.dataset.name,
            batches = load.batches.len(),
            rows = receipt.rows(),
            inserted = receipt.inserted,
            millis = began.elapsed().as_millis() as u64,
            "load committed"
        );
        Ok(receipt)
    }

    async fn settle(&self, tag: Tag, verdict: Verdict, queue: &Queue) {
        if let Err(error) = self.broker.settle(tag, verdict).await {
            // Not settled: it comes again, and the ledger knows its batch.
            tracing::warn!(%queue, %error, "a delivery could not be settled");
        }
    }

    async fn note(&self, about: &About, batch: Option<&Batch>, fault: &Fault, verdict: &Verdict, cause: &str) {
        // A dead row that is refused again leaves its unit as it was: whole but for the row.
        let heals = batch.is_some_and(|batch| batch.meta.heals.is_some());
        let buries = matches!(verdict, Verdict::Dead { .. }) && !heals;
        self.note_as(about, batch, fault, verdict, cause, buries).await;
    }

    async fn note_as(
        &self,
        about: &About,
        batch: Option<&Batch>,
        fault: &Fault,
        verdict: &Verdict,
        cause: &str,
        buries: bool,
    ) {
        tracing::warn!(dataset = %about.dataset, unit = %about.unit, fault = fault.name(), verdict = verdict.name(), cause, "load failed");
        let note = FaultNote {
            run: about.run.clone(),
            unit: about.unit.clone(),
            batch: batch.map(|batch| batch.meta.id.clone()),
            source: about.source,
            account: about.account.clone(),
            dataset: about.dataset.clone(),
            fault: fault.clone(),
            verdict: verdict.name(),
            cause: cause.to_owned(),
            buries,
            at: Utc::now(),
        };
        if let Err(error) = self.ledger.note_fault(&note).await {
            tracing::warn!(%error, "a failure could not be noted in the ledger");
        }
    }
}

fn whole(batch: &Batch) -> LoadBatch {
    LoadBatch { batch: batch.clone(), refused: Vec::new() }
}

/// Whether the payload decompresses into as many lines as the batch says: if not, no row of it can be told apart.
fn check_readable(batch: &Batch) -> std::io::Result<()> {
    let mut lines = batch.lines()?;
    let mut rows = 0_u32;
    while lines.next_line()?.is_some() {
        rows += 1;
    }
    if rows == batch.meta.rows {
        Ok(())
    } else {
        let stated = batch.meta.rows;
        Err(std::io::Error::other(format!("the batch states {stated} rows and holds {rows}")))
    }
}

/// Each batch once, in order, and the tags of those that stand there a second time.
fn unique(held: Vec<Held>) -> (Vec<Held>, Vec<Tag>) {
    let mut seen = std::collections::HashSet::new();
    let mut twins = Vec::new();
    let mut once = Vec::with_capacity(held.len());
    for one in held {
        if seen.insert(one.batch.meta.id.clone()) {
            once.push(one);
        } else {
            twins.push(one.tag);
        }
    }
    (once, twins)
}
