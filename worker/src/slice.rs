//! The work on one slice: read pages, publish what was cut, and end with the last batch, a continuation, or a failure
//! that says what to do next.
//!
//! Ok means that everything the slice stands for was taken by the broker, so its message may be forgotten.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use proto::batch::Manifest;
use proto::broker::{BrokerError, Queue};
use proto::dataset::Dataset;
use proto::fault::{Fault, Verdict};
use proto::id::BatchId;
use proto::ledger::LedgerError;
use proto::mark;
use proto::message::{Message, OpenError};
use proto::source::{Page, SourceError, Trouble};
use proto::unit::{Cursor, Slice};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cut::Cutter;
use crate::fetch::{self, WalkError};
use crate::run::Worker;

/// How often a walk may begin anew before a person must look.
pub(crate) const MOST_ROUNDS: u32 = 3;

/// How often a full queue is tried, each time for the broker's own publish timeout.
const FULL_TRIES: u32 = 20;

/// What went wrong with a slice.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
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
    pub(crate) fn fault(&self) -> Fault {
        match self {
            WorkError::Open(_) => Fault::Poison,
            WorkError::Source(error) => error.fault(),
            WorkError::Walk(_) | WorkError::Compress(_) => Fault::Transient { after: None },
            WorkError::Broker(error) => error.fault(),
            WorkError::Ledger(error) => error.fault(),
            WorkError::Stopping => Fault::Stopped,
        }
    }

    /// Whether the walk came out wrong, so that what it read is not all there is.
    pub(crate) fn is_wrong_walk(&self) -> bool {
        match self {
            WorkError::Walk(_) => true,
            WorkError::Source(error) => error.trouble == Trouble::Incomplete,
            WorkError::Open(_)
            | WorkError::Broker(_)
            | WorkError::Ledger(_)
            | WorkError::Compress(_)
            | WorkError::Stopping => false,
        }
    }

    /// Whether the walk must begin anew, and not go on from its cursor.
    pub(crate) fn restarts(&self) -> bool {
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
    /// Works on a slice until its unit is done, its limits are reached, or something fails. Ok means that everything
    /// it stands for was taken by the broker: batches, and the continuation if there is one.
    pub(crate) async fn slice(
        &self,
        mut slice: Slice,
        failed_before: bool,
        halt: &CancellationToken,
    ) -> Result<(), WorkError> {
        let dataset = slice.unit.dataset()?;
        // A unit that is whole needs no second pass: the planner may have issued it again, or a crash repeated us.
        if (slice.index == 0 || failed_before) && self.ledger.is_whole(&slice.unit.id).await? {
            return Ok(());
        }
        let mut cutter = Cutter::new(slice.unit.clone(), dataset, self.settings.batch.clone())?;
        slice.progress.began.get_or_insert_with(Utc::now);
        let began = Instant::now();
        let (mut pages, mut bytes) = (0, 0);
        let mut asked = JoinSet::new();
        self.ask(&mut asked, &slice, slice.cursor.clone());
        while let Some(answered) = asked.join_next().await {
            let page = match answered.unwrap_or_else(|error| resume_unwind(error.into_panic())) {
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
            let limits = &self.settings.slice;
            let full = pages >= limits.pages || bytes >= limits.bytes || began.elapsed() >= limits.time;
            let stops = halt.is_cancelled();
            // The next page is on its way while this one is encoded.
            if let Some(next) = &page.next
                && !(stops || next.resumable && full)
            {
                self.ask(&mut asked, &slice, Some(next.clone()));
            }
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
            if asked.is_empty() && resumable {
                return self.hand_on(slice, cutter).await;
            }
        }
        // We are stopping, and the vendor keeps the place of this walk: it cannot be handed on and begins anew.
        Err(WorkError::Stopping)
    }

    /// Asks for the page at `cursor` in a task of its own. Dropping `asked` drops the question.
    fn ask(&self, asked: &mut JoinSet<Result<Page, SourceError>>, slice: &Slice, cursor: Option<Cursor>) {
        let (source, unit) = (Arc::clone(&self.source), slice.unit.clone());
        asked.spawn(async move { source.fetch(&unit, cursor.as_ref()).await });
    }

    /// Cuts the rows of a page into batches and publishes those that are full.
    async fn page(
        &self,
        slice: &mut Slice,
        cutter: &mut Cutter,
        page: &Page,
        dataset: &'static Dataset,
    ) -> Result<(), WorkError> {
        let mut digests = Vec::with_capacity(page.records.len());
        let mut from = 0;
        cutter.begin_page(page);
        while from < page.records.len() {
            from = cutter.add(page, from, &mut digests)?;
            if cutter.is_full() {
                self.publish(slice, cutter, None).await?;
            }
        }
        self.progress.page(dataset, page.records.len() as u64);
        fetch::absorb(&mut slice.progress, page, &digests)?;
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
        let first = slice.index == 0 && !error.is_wrong_walk();
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
    async fn send(&self, queue: &Queue, message: Message) -> Result<(), WorkError> {
        for _ in 0..FULL_TRIES {
            match self.broker.publish(queue, message.clone()).await {
                Err(BrokerError::Full { waited, .. }) => tracing::info!(%queue, waited, "the queue is full"),
                other => return Ok(other?),
            }
        }
        Ok(self.broker.publish(queue, message).await?)
    }
}
