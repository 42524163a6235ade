//! The worker's loop: receive a slice, work on it (in `slice`), settle.
//!
//! A slice is settled only after every batch of it, and the continuation, were taken by the broker. A crash anywhere
//! before that repeats at most one slice; the batches of the first try are loaded too and change nothing, and they are
//! in no manifest, so they can never make the unit look complete.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use proto::broker::{Broker, BrokerError, Delivery, Queue};
use proto::dataset::SourceName;
use proto::fault::{Fault, Patience, Verdict};
use proto::id::AccountName;
use proto::ledger::{FaultNote, Ledger};
use proto::mark;
use proto::message::{About, Message};
use proto::progress::Progress;
use proto::source::Source;
use proto::unit::Slice;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cut::BatchLimits;
use crate::slice::{MOST_ROUNDS, WorkError};

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

    pub(crate) async fn note(&self, about: &About, fault: &Fault, verdict: &Verdict, cause: &str) {
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
}

/// A walk that came out wrong again and again is for a person to look at, with the vendor's figure and ours.
fn give_up_on(error: &WorkError, message: &Message) -> Option<String> {
    let slice = Slice::open(message).ok()?;
    let rounds = slice.round + 1;
    match error {
        wrong if wrong.is_wrong_walk() => Some(format!("{wrong}, in each of {rounds} walks")),
        // Behind the first slice the message holds the very cursor that is refused: waiting changes nothing.
        other if other.restarts() && slice.index > 0 && slice.round >= MOST_ROUNDS => {
            Some(format!("{other}, in each of {rounds} walks"))
        }
        _ => None,
    }
}
