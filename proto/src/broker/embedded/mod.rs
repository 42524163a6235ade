//! The broker of a single process: a queue in an SQLite file.
//!
//! Guarantees what [`Broker`] and [`DeadLetters`] promise without a server: what was published or put aside is synced
//! before the answer, a killed process finds everything that it had not settled when it opens the file again, and only
//! one process works on a file at a time, while others may look at it ([`EmbeddedBroker::inspect`]). One thread owns the
//! file and takes what is asked of it meanwhile into one transaction. In memory ([`EmbeddedBroker::in_memory`]) there is
//! no thread and the runtime's clock is the only one, so that a paused test decides what time it is.
//!
//! Leaves to others: what a message means, how long to wait before it is tried again, when to give up.

mod clock;
mod engine;
mod file;
mod handed;
mod lease;
mod link;
mod room;
mod signal;
mod steps;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use self::clock::Clock;
use self::engine::{Engine, Stage};
use self::link::Link;
use self::room::Publish;
use self::signal::Signals;
use self::store::Store;
use self::trouble::Trouble;
use self::work::{Next, Op, Reply};
use super::{Broker, BrokerError, DeadLetters, Delivery, Depth, Queue, Tag};
use crate::fault::Verdict;
use crate::message::Message;

/// How often a receiver looks for what another process has put into the file.
const LOOK: Duration = Duration::from_secs(1);
/// No lease is longer.
const LONGEST_LEASE: Duration = Duration::from_secs(365 * 86_400);

/// What a queue file is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// How long a delivery may stay unsettled before it comes again.
    pub lease: Duration,
    /// How often a message may be handed out and come back unsettled before it is put aside.
    pub delivery_limit: u32,
    /// How many bytes each queue of batches may hold. An empty queue takes any message.
    pub max_bytes: u64,
    /// How long `publish` waits for room.
    pub publish_timeout: Duration,
}

impl Default for EmbeddedSettings {
    /// An hour, 10 times, 64 MiB, 30 s.
    fn default() -> Self {
        EmbeddedSettings {
            lease: Duration::from_secs(3600),
            delivery_limit: 10,
            max_bytes: 64 << 20,
            publish_timeout: Duration::from_secs(30),
        }
    }
}

/// A queue in an SQLite file.
pub struct EmbeddedBroker {
    link: Link,
    signals: Arc<Signals>,
    place: Arc<str>,
    publish_timeout: Duration,
    tickets: AtomicU64,
    closed: AtomicBool,
    /// How often receivers look again by themselves; `None` where nobody else can write.
    look: Option<Duration>,
    visits: bool,
}

impl EmbeddedBroker {
    /// Opens the queue file at `path` to work on it, and makes it where there is none. Everything that an earlier
    /// process left unsettled is ready at once.
    ///
    /// # Errors
    /// [`BrokerError::Taken`] when another process works on it, [`BrokerError::Corrupt`] when it is not a queue file
    /// or damaged, [`BrokerError::Failed`] with what to do when it cannot be made or written.
    pub fn open(path: impl AsRef<Path>, settings: EmbeddedSettings) -> Result<Arc<Self>, BrokerError> {
        let (store, lock) = file::own(path.as_ref())?;
        Self::on_thread(path.as_ref(), store, Some(lock), settings)
    }

    /// Opens the queue file at `path` beside the process that works on it: to see how deep its queues are, to browse,
    /// to replay and discard what is dead, and to publish. It cannot receive, and disturbs no one who does. Messages
    /// that a killed process had in hand count as in flight until the next one opens the file.
    ///
    /// # Errors
    /// [`BrokerError::Corrupt`] when it is not a queue file or damaged, [`BrokerError::Failed`] when there is none or
    /// it cannot be written.
    pub fn inspect(path: impl AsRef<Path>, settings: EmbeddedSettings) -> Result<Arc<Self>, BrokerError> {
        let store = file::visit(path.as_ref())?;
        Self::on_thread(path.as_ref(), store, None, settings)
    }

    /// A queue in memory that begins now.
    ///
    /// # Errors
    /// When SQLite fails, which it does only for want of memory.
    pub fn in_memory(settings: EmbeddedSettings) -> Result<Arc<Self>, BrokerError> {
        Self::in_memory_from(settings, Utc::now())
    }

    /// A queue in memory for which it is `base` now, and later as tokio's time goes: paused time included.
    ///
    /// # Errors
    /// When SQLite fails, which it does only for want of memory.
    pub fn in_memory_from(settings: EmbeddedSettings, base: DateTime<Utc>) -> Result<Arc<Self>, BrokerError> {
        let place: Arc<str> = Arc::from("memory");
        let store = file::memory().map_err(|error| Trouble::from(error).at(&place))?;
        let clock = Clock::From { base, start: Instant::now() };
        let engine = engine(store, None, settings, clock, place);
        Ok(Arc::new(Self::around(engine, false, |engine| Ok(Link::inline(engine)))?))
    }

    /// Ends it: what was asked before is done, the log is moved into the file, the file is free when this returns.
    /// Everything after this, and every `receive` that waits, answers [`BrokerError::Closed`].
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let (reply, answer) = oneshot::channel();
        if self.link.pass(Op::Close { reply }).await && answer.await.is_err() {
            tracing::debug!(place = %self.place, "closed twice");
        }
        self.link.join();
    }

    fn on_thread(
        path: &Path,
        store: Store,
        lock: Option<std::fs::File>,
        settings: EmbeddedSettings,
    ) -> Result<Arc<Self>, BrokerError> {
        let visits = lock.is_none();
        let engine = engine(store, lock, settings, Clock::System, Arc::from(path.display().to_string()));
        Ok(Arc::new(Self::around(engine, visits, |engine| {
            Link::thread(engine).map_err(|error| BrokerError::Failed {
                place: path.display().to_string(),
                reason: format!("no thread could be started for it: {error}"),
            })
        })?))
    }

    fn around(
        engine: Engine,
        visits: bool,
        link: impl FnOnce(Engine) -> Result<Link, BrokerError>,
    ) -> Result<Self, BrokerError> {
        let (signals, place) = (engine.signals.clone(), engine.place.clone());
        let publish_timeout = engine.settings.publish_timeout;
        let link = link(engine)?;
        let look = matches!(link, Link::Thread { .. }).then_some(LOOK);
        let (tickets, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(EmbeddedBroker { link, signals, place, publish_timeout, tickets, closed, look, visits })
    }

    async fn ask<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, BrokerError> {
        let (reply, answer) = oneshot::channel();
        if !self.link.pass(op(reply)).await {
            return Err(self.gone());
        }
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Nobody answers any more.
    fn gone(&self) -> BrokerError {
        if self.closed.load(Ordering::Acquire) {
            BrokerError::Closed
        } else {
            Trouble::Failed(String::from("its thread ended: restart, nothing was lost")).at(&self.place)
        }
    }
}

fn engine(
    store: Store,
    lock: Option<std::fs::File>,
    settings: EmbeddedSettings,
    clock: Clock,
    place: Arc<str>,
) -> Engine {
    Engine {
        store,
        settings: EmbeddedSettings { lease: settings.lease.min(LONGEST_LEASE), ..settings },
        clock,
        place,
        signals: Arc::default(),
        home: Arc::default(),
        leases: lease::Leases::default(),
        room: room::Room::default(),
        woken: std::collections::BTreeSet::new(),
        stage: Stage::Open,
        failed: false,
        broken: None,
        lock,
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        if !self.link.pass(Op::Publish(Box::new(Publish { ticket, queue: queue.clone(), message, reply }))).await {
            return Err(self.gone());
        }
        if let Ok(answer) = timeout(self.publish_timeout, &mut answer).await {
            return answer.unwrap_or_else(|_| Err(self.gone()));
        }
        // It may be taken at this very moment, so whether it was is not ours to say.
        if !self.link.pass(Op::Withdraw { queue: queue.clone(), ticket }).await {
            return Err(self.gone());
        }
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    async fn receive(&self, queue: &Queue) -> Result<Delivery, BrokerError> {
        if self.visits {
            return Err(Trouble::Failed(String::from("it was opened to look at, not to receive from")).at(&self.place));
        }
        let signal = self.signals.of(queue);
        loop {
            // From here on, before the look, nothing that becomes ready is missed.
            let woken = signal.notified();
            let wait = match self.ask(|reply| Op::Receive { queue: queue.clone(), reply }).await? {
                Next::Nothing(wait) => wait,
                Next::Delivery(handed) => match handed.keep() {
                    Some(delivery) => return Ok(delivery),
                    None => Duration::ZERO,
                },
            };
            // Woken, due, or time to look again: all the same.
            let wait = self.look.map_or(wait, |look| look.min(wait));
            timeout(wait, woken).await.unwrap_or_default();
        }
    }

    async fn settle(&self, tag: Tag, verdict: Verdict) -> Result<(), BrokerError> {
        self.ask(|reply| Op::Settle { tag, verdict, reply }).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.ask(|reply| Op::Depth { queue: queue.clone(), reply }).await
    }

    async fn browse(&self, queue: &Queue, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError> {
        self.ask(|reply| Op::Browse { queue: queue.clone(), skip, limit, reply }).await
    }
}

#[async_trait]
impl DeadLetters for EmbeddedBroker {
    async fn replay(&self, dead: &Queue, id: &str) -> Result<Option<Queue>, BrokerError> {
        self.ask(|reply| Op::Replay { dead: dead.clone(), id: id.to_owned(), reply }).await
    }

    async fn discard(&self, dead: &Queue, id: &str) -> Result<bool, BrokerError> {
        self.ask(|reply| Op::Discard { dead: dead.clone(), id: id.to_owned(), reply }).await
    }
}
