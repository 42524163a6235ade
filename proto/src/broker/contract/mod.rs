//! What every broker promises, one check per promise. An implementation runs each check as one test of its own, under
//! the same name; a broker that cannot do what a check needs does not run that check.
//!
//! Nothing here sleeps: a check waits for a delivery, or, where nothing may come, for [`Subject::delay`]'s half.

mod delivery;
mod grave;
mod kill;
mod limit;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::time::timeout;

pub use self::delivery::*;
pub use self::grave::*;
pub use self::kill::*;
pub use self::limit::*;
pub use self::verdict::*;
use super::{Broker, DeadLetters, Delivery, Depth, Queue};
use crate::dataset::SourceName;
use crate::fault::Verdict;
use crate::id::{AccountName, RunId, UnitId};
use crate::message::{About, FORMAT, Kind, Message, Trail};

/// What a check asks of a broker. One that does not know a limit leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a delivery may stay unsettled.
    pub lease: Duration,
    /// How often a message may come back unsettled.
    pub delivery_limit: u32,
    /// How many bytes a queue of batches may hold. A broker may take a few messages more.
    pub max_bytes: u64,
    /// How long `publish` waits for room.
    pub publish_timeout: Duration,
}

impl Default for Limits {
    /// So wide that a check never meets them.
    fn default() -> Self {
        Limits {
            lease: Duration::from_secs(3600),
            delivery_limit: 10,
            max_bytes: 64 << 20,
            publish_timeout: Duration::from_secs(20),
        }
    }
}

/// Brings brokers to check.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The broker.
    type Broker: Broker + DeadLetters + 'static;

    /// A broker with nothing on its queues.
    async fn fresh(&self, limits: Limits) -> Arc<Self::Broker>;

    /// The shortest delay that it can do and that can be told from none. At most 3 s: checks wait for it.
    fn delay(&self) -> Duration;
}

/// Brings brokers whose process can be killed.
#[async_trait]
pub trait Mortal: Subject {
    /// What the next process finds after the one that had `broker` was killed: nothing was closed or given back.
    async fn kill(&self, broker: Arc<Self::Broker>, limits: Limits) -> Arc<Self::Broker>;
}

/// How long something that must happen may take.
const SOON: Duration = Duration::from_secs(20);

/// The queue of units that the checks use.
#[must_use]
pub fn units() -> Queue {
    Queue::Fetch(SourceName::EightByEight, account())
}

/// The queue of batches that the checks use.
#[must_use]
pub fn batches() -> Queue {
    Queue::load(crate::catalog::ALL[0])
}

/// A unit's message with nothing much in it.
#[must_use]
pub fn unit(id: &str) -> Message {
    let about = About {
        source: SourceName::EightByEight,
        account: account(),
        dataset: crate::catalog::ALL[0].name.to_owned(),
        run: RunId::parse("contract").expect("it is a name"),
        unit: UnitId::derive(&[id]),
    };
    let body = Bytes::from(format!("{{\"id\":\"{id}\"}}"));
    let (id, meta, trail) = (id.to_owned(), String::new(), Trail::default());
    Message { format: FORMAT, id, kind: Kind::Unit, about, trail, meta, body }
}

/// A batch's message of that many random bytes.
#[must_use]
pub fn batch(id: &str, bytes: usize) -> Message {
    let mut body = vec![0; bytes];
    StdRng::seed_from_u64(bytes as u64).fill_bytes(&mut body);
    Message { kind: Kind::Batch, meta: format!("{{\"id\":\"{id}\"}}"), body: body.into(), ..unit(id) }
}

fn account() -> AccountName {
    AccountName::parse("contract").expect("it is a name")
}

async fn publish(broker: &impl Broker, queue: &Queue, ids: &[&str]) {
    for id in ids {
        let message = if matches!(queue, Queue::Load(_)) { batch(id, 100) } else { unit(id) };
        broker.publish(queue, message).await.expect("publish");
    }
}

/// The next delivery, which must come by itself and soon.
async fn next(broker: &impl Broker, queue: &Queue) -> Delivery {
    let delivery = timeout(SOON, broker.receive(queue)).await.expect("a message that is there must come");
    delivery.expect("receive")
}

async fn settle(broker: &impl Broker, delivery: Delivery, verdict: Verdict) {
    broker.settle(delivery.tag, verdict).await.expect("settle");
}

/// Nothing may come for a while.
async fn nothing(subject: &impl Subject, broker: &impl Broker, queue: &Queue) {
    if let Ok(delivery) = timeout(subject.delay() / 2, broker.receive(queue)).await {
        panic!("nothing may come, but there was {delivery:?}");
    }
}

/// The figures of a queue become these. Some brokers count with a lag.
async fn depth_becomes(broker: &impl Broker, queue: &Queue, expected: [u64; 4]) -> Depth {
    let mut depth = Depth::default();
    for _ in 0..2000 {
        depth = broker.depth(queue).await.expect("depth");
        if [depth.ready, depth.in_flight, depth.waiting, depth.dead] == expected {
            return depth;
        }
        tokio::task::yield_now().await;
    }
    panic!("[ready, in flight, waiting, dead] of {queue} must become {expected:?}, but it is {depth:?}");
}

fn later(subject: &impl Subject) -> Verdict {
    Verdict::Later { after: subject.delay(), cause: String::from("not yet") }
}

fn dead(cause: &str) -> Verdict {
    Verdict::Dead { cause: cause.to_owned() }
}
