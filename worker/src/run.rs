//! The worker's loop: receive a slice, read it page by page, publish what was cut, settle.
//!
//! A slice is settled only after every batch of it, and the continuation, were taken by the broker. A crash anywhere
//! before that repeats at most one slice; the batches of the first try are loaded too and change nothing, and they are
//! in no manifest, so they can never make the unit look complete.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use proto::batch::Manifest;
use proto::broker::{Broker, BrokerError, Delivery, Queue};
use proto::dataset::{Dataset, SourceName};
use proto::fault::{Fault, Patience, Verdict};
use proto::id::{AccountName, BatchId};
use proto::ledger::{FaultNote, Ledger, LedgerError};
use proto::mark;
use proto::message::{About, OpenError};
use proto::progress::Progress;
use proto::source::{Page, Source, SourceError, Trouble};
use proto::unit::{Cursor, Slice};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cut::{BatchLimits, Cutter};
use crate::fetch::{self, WalkError};

/// How much one delivery works on before it hands the rest on. Bounds what a crash costs in vendor requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceLimits {
    /// Pages; at least 1.
    pub pages: u32,
    /// Bytes of vendor answers.
    pub bytes: u64,
    /// Time.
    pub time: Duration,
}

impl Default for SliceLimits {
    /// 16 pages, 32 MiB, one minute.
    fn default() -> Self {
        SliceLimits { pages: 16, bytes: 32 << 20, time: Duration::from_secs(60) }
    }
}

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How much one delivery works on.
    pub slice: SliceLimits,
    /// How large a batch may grow.
    pub batch: BatchLimits,
    /// Units of the account that are worked on at once; at least 1.
    pub in_flight: usize,
    /// How long failures are put up with.
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            slice: SliceLimits::default(),
            batch: BatchLimits::default(),
            in_flight: 1,
            patience: Patience::default(),
        }
    }
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// The vendor refuses the account; its units are still on the queue.
    Refused {
        /// Why, in the vendor's words.
        cause: String,
    },
    /// The broker or the ledger does not work.
    Failed {
        /// Why.
        cause: String,
    },
}

/// How often a walk may begin anew before a person must look.
const MOST_ROUNDS: u32 = 3;

/// Works on the units of one account.
pub struct Worker {
    /// The vendor, with the account's credentials.
    pub source: Arc<dyn Source>,
    /// The vendor's name.
    pub name: SourceName,
    /// The account.
    pub account: AccountName,
    /// Where slices come from and batches go.
    pub broker: Arc<dyn Broker>,
    /// Where failures are noted, and whether a unit is whole already.
    pub ledger: Arc<dyn Ledger>,
    /// Counters for a display.
    pub progress: Arc<Progress>,
    /// How it works.
    pub settings: Settings,
}

/// What went wrong with a slice.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("out of memory while compressing rows")]
    Compress(#[from] std::io::Error),
    #[error("stopping")]
    Stopping,
}

impl WorkError {
    fn fault(&self) -> Fault {
        match self {
            WorkError::Open(_) => Fault::Poison,
            WorkError::Source(error) => error.fault(),
            WorkError::Walk(_) | WorkError::Compress(_) => Fault::Transient { after: None },
            WorkError::Broker(error) => error.fault(),
            WorkError::Ledger(error) => error.fault(),
            WorkError::Stopping => Fault::Stopped,
        }
    }

    /// Whether the walk must begin anew, and not go on from its cursor.
    fn restarts(&self) -> bool {
        match self {
            WorkError::Walk(_) => true,
            WorkError::Source(error) => matches!(error.trouble, Trouble::Restart { .. } | Trouble::Incomplete),
            WorkError::Open(_)
            | WorkError::Broker(_)
            | WorkError::Ledger(_)
            | WorkError::Compress(_)
            | WorkError::Stopping => false,
        }
    }
}

impl Worker {
    /// Works until it is told to stop, the vendor refuses the account, or broker or ledger fail for good. On `stop`
    /// each slice at hand ends with its page: what is cut is published, the rest continues as a new message.
    pub async fn run(self, stop: CancellationToken) -> Outcome {
        let worker = Arc::new(self);
        let halt = stop.child_token();
        let mut loops = JoinSet::new();
        for _ in 0..worker.settings.in_flight.max(1) {
            loops.spawn(Arc::clone(&worker).work(halt.clone()));
        }
        let mut outcome = Outcome::Stopped;
        while let Some(ended) = loops.join_next().await {
            let ended =
                ended.unwrap_or_else(|error| Outcome::Failed { cause: format!("a worker task ended: {error}") });
            if ended != Outcome::Stopped {
                halt.cancel();
                outcome = ended;
            }
        }
        worker.progress.changed();
        outcome
    }

    async fn work(self: Arc<Self>, halt: CancellationToken) -> Outcome {
        let queue = Queue::Fetch(self.name, self.account.clone());
        loop {
            let received = tokio::select! {
                biased;
                () = halt.cancelled() => return Outcome::Stopped,
                received = self.broker.receive(&queue) => received,
            };
            let delivery = match received {
                Ok(delivery) => {
                    mark::reached("worker.received");
                    delivery
                }
                Err(BrokerError::Closed) => return Outcome::Stopped,
                Err(error) => return Outcome::Failed { cause: error.to_string() },
            };
            if let Err(refused) = self.handle(delivery, &queue, &halt).await {
                return refused;
            }
        }
    }

    /// Works on one delivery and settles it. Fails only with what must stop the account.
    async fn handle(
        self: &Arc<Self>,
        delivery: Delivery,
        queue: &Queue,
        halt: &CancellationToken,
    ) -> Result<(), Outcome> {
        let Delivery { message, tag, .. } = delivery;
        // A task of its own, so that a panic in an adapter costs one attempt of one unit and not the account.
        let mut task = JoinSet::new();
        let (worker, stop, opened) = (Arc::clone(self), halt.clone(), Slice::open(&message));
        let trail = message.trail.clone();
        task.spawn(async move {
            let mut slice = opened?;
            if trail.replays > 0 && slice.round >= MOST_ROUNDS {
                // A person sends a walk round again that came out wrong: it begins anew, with all its rounds.
                slice = Slice::first(slice.unit, slice.pass);
            }
            worker.slice(slice, trail.cause().is_some(), &stop).await
        });
        let worked = match task.join_next().await {
            Some(Ok(worked)) => worked,
            Some(Err(error)) => Err(WorkError::Broker(BrokerError::Failed {
                place: queue.to_string(),
                reason: format!("the work on the unit panicked: {error}"),
            })),
            None => Err(WorkError::Stopping),
        };
        let mut stops = None;
        let verdict = match worked {
            Ok(()) => Verdict::Done,
            Err(error) => {
                let (fault, cause, now) = (error.fault(), error.to_string(), Utc::now());
                let verdict = match give_up_on(&error, &message) {
                    Some(cause) => Verdict::Dead { cause },
                    None => self.settings.patience.verdict(&fault, cause.clone(), &message.trail, now),
                };
                self.note(&message.about, &fault, &verdict, &cause).await;
                if fault == Fault::Fatal {
                    stops = Some(match error {
                        WorkError::Source(_) => Outcome::Refused { cause },
                        _ => Outcome::Failed { cause },
                    });
                }
                verdict
            }
        };
        if let Err(error) = self.broker.settle(tag, verdict).await {
            // Not settled: it comes again, and what was published already changes nothing the second time.
            tracing::warn!(%queue, %error, "a delivery could not be settled");
        }
        mark::reached("worker.settled");
        self.progress.changed();
        stops.map_or(Ok(()), Err)
    }

    async fn note(&self, about: &About, fault: &Fault, verdict: &Verdict, cause: &str) {
        if *fault == Fault::Stopped {
            return;
        }
        tracing::warn!(account = %about.account, dataset = %about.dataset, unit = %about.unit, fault = fault.name(), verdict = verdict.name(), cause, "unit failed");
        let note = FaultNote {
            run: about.run.clone(),
            unit: about.unit.clone(),
            batch: None,
            source: about.source,
            account: about.account.clone(),
            dataset: about.dataset.clone(),
            fault: fault.clone(),
            verdict: verdict.name(),
            cause: match verdict {
                Verdict::Dead { cause } => cause.clone(),
                Verdict::Done | Verdict::Later { .. } | Verdict::Return => cause.to_owned(),
            },
            buries: matches!(verdict, Verdict::Dead { .. }),
            at: Utc::now(),
        };
        if let Err(error) = self.ledger.note_fault(&note).await {
            tracing::warn!(%error, "a failure could not be noted in the ledger");
        }
    }

    /// Works on a slice until its unit is done, its limits are reached, or something fails. Ok means that everything
    /// it stands for was taken by the broker: batches, and the continuation if there is one.
    async fn slice(&self, mut slice: Slice, failed_before: bool, halt: &CancellationToken) -> Result<(), WorkError> {
        let dataset = slice.unit.dataset()?;
        // A unit that is whole needs no second pass: the planner may have issued it again, or a crash repeated us.
        if (slice.index == 0 || failed_before) && self.ledger.is_whole(&slice.unit.id).await? {
            return Ok(());
        }
        let mut cutter = Cutter::new(slice.unit.clone(), dataset, self.settings.batch.clone())?;
        slice.progress.began.get_or_insert_with(Utc::now);
        let began = Instant::now();
        let (mut pages, mut bytes) = (0, 0);
        loop {
            let page = match self.source.fetch(&slice.unit, slice.cursor.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    slice.progress.requests += u64::from(error.requests);
                    cutter.add_requests(error.requests);
                    return self.salvage(slice, cutter, pages, error.into()).await;
                }
            };
            mark::reached("worker.page-fetched");
            pages += 1;
            bytes += page.body.len() as u64;
            if let Err(error) = self.page(&mut slice, &mut cutter, &page, dataset).await {
                return match error {
                    WorkError::Walk(_) => self.anew(&slice, cutter, error).await,
                    other => Err(other),
                };
            }
            let Some(next) = page.next else {
                return match fetch::finish(&slice.progress) {
                    Ok(()) => self.finish(slice, cutter).await,
                    Err(error) => self.anew(&slice, cutter, error.into()).await,
                };
            };
            let resumable = next.resumable;
            slice.cursor = Some(next);
            let limits = &self.settings.slice;
            let full = pages >= limits.pages || bytes >= limits.bytes || began.elapsed() >= limits.time;
            if resumable && (full || halt.is_cancelled()) {
                return self.hand_on(slice, cutter).await;
            }
            if halt.is_cancelled() {
                // The vendor keeps the place of this walk: it cannot be handed on and begins anew.
                return Err(WorkError::Stopping);
            }
        }
    }

    /// Cuts the rows of a page into batches and publishes those that are full.
    async fn page(
        &self,
        slice: &mut Slice,
        cutter: &mut Cutter,
        page: &Page,
        dataset: &'static Dataset,
    ) -> Result<(), WorkError> {
        let mut keys = Vec::with_capacity(page.records.len());
        let mut from = 0;
        cutter.begin_page(page);
        while from < page.records.len() {
            from = cutter.add(page, from, &mut keys)?;
            if cutter.is_full() {
                self.publish(slice, cutter, None).await?;
            }
        }
        self.progress.page(dataset, page.records.len() as u64);
        fetch::absorb(&mut slice.progress, page, &keys)?;
        Ok(())
    }

    /// The last page was read: publishes what is left as the last batch, with the manifest of the pass. An empty unit
    /// still yields one empty batch, so that "nothing there" and "not fetched" never look alike.
    async fn finish(&self, mut slice: Slice, mut cutter: Cutter) -> Result<(), WorkError> {
        let id = BatchId::new();
        let progress = &mut slice.progress;
        progress.batches.push(id.clone());
        let now = Utc::now();
        let manifest = Manifest {
            batches: progress.batches.clone(),
            pages: progress.pages,
            requests: progress.requests,
            rows: progress.rows,
            repeats: progress.repeats,
            stated: progress.stated,
            began: progress.began.unwrap_or(now),
            ended: now,
        };
        let batch = cutter.cut(id, Some(manifest), now)?;
        self.send(&Queue::load(slice.unit.dataset()?), batch.to_message()).await?;
        mark::reached("worker.last-published");
        Ok(())
    }

    /// Publishes what is cut, then the continuation from the slice's cursor.
    async fn hand_on(&self, mut slice: Slice, mut cutter: Cutter) -> Result<(), WorkError> {
        if !cutter.is_empty() {
            self.publish(&mut slice, &mut cutter, None).await?;
        }
        slice.index += 1;
        let queue = Queue::Fetch(self.name, self.account.clone());
        self.send(&queue, slice.to_message()).await?;
        mark::reached("worker.continuation-published");
        Ok(())
    }

    /// A page could not be read. What was read before it is kept where the walk can go on from its cursor, so that the
    /// failure costs no vendor request twice; the continuation meets the failure itself, if it lasts.
    async fn salvage(&self, slice: Slice, mut cutter: Cutter, pages: u32, error: WorkError) -> Result<(), WorkError> {
        let resumable = slice.cursor.as_ref().is_some_and(|cursor: &Cursor| cursor.resumable);
        if error.restarts() {
            return self.anew(&slice, cutter, error).await;
        }
        if pages > 0 && resumable && error.fault() != Fault::Poison {
            tracing::info!(unit = %slice.unit.id, %error, "a page failed; what was read before it is kept");
            return self.hand_on(slice, cutter).await;
        }
        self.leave(&slice, &mut cutter).await?;
        Err(error)
    }

    /// The walk is wrong or lost its place. A continuation cannot go on: the walk begins anew as a new message, a
    /// bounded number of times. What was read so far is loaded all the same and counts for nothing.
    async fn anew(&self, slice: &Slice, mut cutter: Cutter, error: WorkError) -> Result<(), WorkError> {
        self.leave(slice, &mut cutter).await?;
        let stays = slice.round >= MOST_ROUNDS;
        let first = slice.index == 0 && !matches!(error, WorkError::Walk(_));
        if stays || first {
            // Repeating this very message begins the walk anew, after the delay that the fault asks for.
            return Err(error);
        }
        self.note(
            &slice.unit.about(),
            &error.fault(),
            &Verdict::Later { after: Duration::ZERO, cause: String::new() },
            &error.to_string(),
        )
        .await;
        self.send(&Queue::Fetch(self.name, self.account.clone()), slice.anew().to_message()).await
    }

    /// Publishes what was cut of a pass that is given up, so that its rows and requests are in the ledger's figures.
    async fn leave(&self, slice: &Slice, cutter: &mut Cutter) -> Result<(), WorkError> {
        if cutter.is_empty() {
            return Ok(());
        }
        self.publish(&mut slice.clone(), cutter, None).await
    }

    async fn publish(
        &self,
        slice: &mut Slice,
        cutter: &mut Cutter,
        manifest: Option<Manifest>,
    ) -> Result<(), WorkError> {
        let id = BatchId::new();
        let batch = cutter.cut(id.clone(), manifest, Utc::now())?;
        self.send(&Queue::load(slice.unit.dataset()?), batch.to_message()).await?;
        mark::reached("worker.batch-published");
        slice.progress.batches.push(id);
        Ok(())
    }

    /// Publishes; a full queue is waited for, because giving up would ask the vendor for the same pages again.
    async fn send(&self, queue: &Queue, message: proto::message::Message) -> Result<(), WorkError> {
        for _ in 0..FULL_TRIES {
            match self.broker.publish(queue, message.clone()).await {
                Err(BrokerError::Full { waited, .. }) => tracing::info!(%queue, waited, "the queue is full"),
                other => return Ok(other?),
            }
        }
        Ok(self.broker.publish(queue, message).await?)
    }
}

/// How often a full queue is tried, each time for the broker's own publish timeout.
const FULL_TRIES: u32 = 20;

/// A walk that came out wrong again and again is for a person to look at, with the vendor's figure and ours.
fn give_up_on(error: &WorkError, message: &proto::message::Message) -> Option<String> {
    let WorkError::Walk(walk) = error else { return None };
    let rounds = Slice::open(message).map_or(0, |slice| slice.round) + 1;
    Some(format!("{walk}, in each of {rounds} walks"))
}
