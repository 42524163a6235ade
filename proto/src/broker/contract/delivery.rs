//! What comes, in which order, and to whom.

use std::collections::{BTreeMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{
    Limits, SOON, Subject, account, batch, batches, dead, depth_becomes, later, next, nothing, publish, settle, unit,
    units,
};
use crate::broker::{Broker, Queue};
use crate::dataset::SourceName;
use crate::fault::Verdict;
use crate::message::{FORMAT, Kind, Mishap, Trail};

/// A message arrives as it was published: envelope, trail and properties.
pub async fn a_message_arrives_as_it_was_published(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let mut sent = batch("b1", 5000);
    sent.format = FORMAT + 1;
    sent.trail = Trail {
        attempts: 3,
        first_failed_at: DateTime::from_timestamp_millis(1_700_000_000_123),
        history: vec![Mishap { at: DateTime::<Utc>::UNIX_EPOCH, cause: String::from("Grüße \u{1f4de} \"'") }],
        replays: 2,
        ..Trail::default()
    };
    broker.publish(&batches(), sent.clone()).await.expect("publish");
    let delivery = next(&*broker, &batches()).await;
    assert_eq!(delivery.message, sent);
    assert_eq!(delivery.returns, 0);
}

/// A large body arrives byte for byte, an empty one too.
pub async fn a_body_of_a_mebibyte_survives_byte_for_byte(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    for bytes in [1 << 20, 0] {
        let sent = batch(&format!("b{bytes}"), bytes);
        broker.publish(&batches(), sent.clone()).await.expect("publish");
        let delivery = next(&*broker, &batches()).await;
        assert!(delivery.message.body == sent.body, "{bytes} bytes changed on the way");
        settle(&*broker, delivery, Verdict::Done).await;
    }
}

/// Messages of a queue come in the order in which they were published.
pub async fn messages_come_in_order(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let ids: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    for id in &ids {
        broker.publish(&units(), unit(id)).await.expect("publish");
    }
    for id in &ids {
        let delivery = next(&*broker, &units()).await;
        assert_eq!(delivery.message.id, *id);
        settle(&*broker, delivery, Verdict::Done).await;
    }
}

/// A message is on its own queue and on no other.
pub async fn queues_are_apart(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let other = Queue::Fetch(SourceName::Webex, account());
    publish(&*broker, &units(), &["same"]).await;
    publish(&*broker, &batches(), &["same"]).await;
    nothing(subject, &*broker, &other).await;
    assert_eq!(next(&*broker, &units()).await.message.kind, Kind::Unit);
    assert_eq!(next(&*broker, &batches()).await.message.kind, Kind::Batch);
    nothing(subject, &*broker, &units()).await;
}

/// Somebody who waits gets the message when it comes.
pub async fn a_waiting_receiver_is_woken(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let waiting = broker.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { next(&*waiting, &units()).await.message.id });
    tokio::task::yield_now().await;
    publish(&*broker, &units(), &["u1"]).await;
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), "u1");
}

/// For brokers that can tell: an id that is on a queue already is not taken twice, wherever its message is.
pub async fn the_same_id_twice_is_one_message(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1", "u1"]).await;
    let delivery = next(&*broker, &units()).await;
    publish(&*broker, &units(), &["u1"]).await;
    settle(&*broker, delivery, later(subject)).await;
    publish(&*broker, &units(), &["u1"]).await;
    let delivery = next(&*broker, &units()).await;
    assert_eq!(delivery.message.trail.attempts, 1, "the first one stays");
    settle(&*broker, delivery, Verdict::Done).await;
    nothing(subject, &*broker, &units()).await;
}

/// The figures say where each message is.
pub async fn depth_says_where_each_message_is(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    depth_becomes(&*broker, &batches(), [0, 0, 0, 0]).await;
    publish(&*broker, &batches(), &["b1", "b2", "b3", "b4", "b5"]).await;
    let depth = depth_becomes(&*broker, &batches(), [5, 0, 0, 0]).await;
    assert!(depth.bytes >= 500 && !depth.is_idle(), "{depth:?}");
    settle(&*broker, next(&*broker, &batches()).await, later(subject)).await;
    settle(&*broker, next(&*broker, &batches()).await, dead("why")).await;
    settle(&*broker, next(&*broker, &batches()).await, Verdict::Done).await;
    let held = next(&*broker, &batches()).await;
    depth_becomes(&*broker, &batches(), [1, 1, 1, 1]).await;
    settle(&*broker, held, Verdict::Return).await;
    depth_becomes(&*broker, &batches(), [2, 0, 1, 1]).await;
    depth_becomes(&*broker, &units(), [0, 0, 0, 0]).await;
}

/// Looking takes, counts and reorders nothing.
pub async fn browsing_disturbs_nothing(subject: &impl Subject) {
    let broker = subject.fresh(Limits { delivery_limit: 2, ..Limits::default() }).await;
    publish(&*broker, &units(), &["u1", "u2", "u3", "u4"]).await;
    for _ in 0..5 {
        let found = broker.browse(&units(), 1, 2).await.expect("browse");
        assert_eq!(found.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["u2", "u3"]);
        assert_eq!(found[0], unit("u2"));
    }
    assert!(broker.browse(&units(), 4, 10).await.expect("browse").is_empty());
    for id in ["u1", "u2", "u3", "u4"] {
        let delivery = next(&*broker, &units()).await;
        assert_eq!((delivery.message.id.as_str(), delivery.returns), (id, 0));
        settle(&*broker, delivery, Verdict::Done).await;
    }
}

/// A message is in one pair of hands at a time, and each comes to somebody.
pub async fn two_receivers_never_have_the_same_message(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let total = 200;
    let held: Arc<Mutex<HashSet<String>>> = Arc::default();
    let done: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let mut tasks = JoinSet::new();
    for worker in 0..4_u64 {
        let (broker, held, done) = (broker.clone(), held.clone(), done.clone());
        tasks.spawn(async move {
            let mut chance = StdRng::seed_from_u64(worker);
            loop {
                let delivery = next(&*broker, &units()).await;
                let id = delivery.message.id.clone();
                if id == "end" {
                    return settle(&*broker, delivery, Verdict::Return).await;
                }
                assert!(lock(&held).insert(id.clone()), "{id} is in two pairs of hands");
                for _ in 0..chance.random_range(0..4) {
                    tokio::task::yield_now().await;
                }
                lock(&held).remove(&id);
                if chance.random_bool(0.3) {
                    settle(&*broker, delivery, Verdict::Return).await;
                } else {
                    *lock(&done).entry(id).or_default() += 1;
                    settle(&*broker, delivery, Verdict::Done).await;
                }
            }
        });
    }
    for n in 0..total {
        broker.publish(&units(), unit(&format!("u{n}"))).await.expect("publish");
    }
    depth_becomes_idle(&*broker, &units()).await;
    broker.publish(&units(), unit("end")).await.expect("publish");
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no panic");
    }
    let done = lock(&done);
    assert_eq!((done.len(), done.values().sum::<u32>()), (total, total as u32));
}

async fn depth_becomes_idle(broker: &impl Broker, queue: &Queue) {
    let idle = async {
        while !broker.depth(queue).await.expect("depth").is_idle() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, idle).await.expect("everything must come to somebody");
}

/// Many publishers at once lose nothing.
pub async fn many_publishers_lose_nothing(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let broker = broker.clone();
        tasks.spawn(async move { broker.publish(&units(), unit(&format!("u{n}"))).await });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no panic").expect("publish");
    }
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let delivery = next(&*broker, &units()).await;
        assert!(seen.insert(delivery.message.id.clone()));
        settle(&*broker, delivery, Verdict::Done).await;
    }
}

/// A `receive` that is dropped at whatever await loses no message, delays none and counts no return.
pub async fn a_dropped_receive_loses_nothing(subject: &impl Subject) {
    for seed in 0..6 {
        let broker = subject.fresh(Limits { delivery_limit: 2, ..Limits::default() }).await;
        let mut chance = StdRng::seed_from_u64(seed);
        let total = 60;
        let (mut sent, mut seen, mut dropped) = (0, HashSet::new(), 0);
        while seen.len() < total {
            if sent < total && chance.random_bool(0.5) {
                broker.publish(&units(), unit(&format!("u{sent}"))).await.expect("publish");
                sent += 1;
            }
            // In the end nobody is dropped: what is left must come soon.
            let last = sent == total && dropped > 300;
            let received = if last {
                timeout(SOON, broker.receive(&units())).await.ok()
            } else {
                polled(&*broker, broker.receive(&units()), &mut chance).await
            };
            let Some(delivery) = received else {
                dropped += 1;
                assert!(!last, "seed {seed}: {} of {total} came", seen.len());
                continue;
            };
            let delivery = delivery.expect("receive");
            let id = delivery.message.id.clone();
            assert_eq!(delivery.returns, 0, "seed {seed}: {id} was counted");
            assert!(seen.insert(id.clone()), "seed {seed}: {id} came twice");
            settle(&*broker, delivery, Verdict::Done).await;
        }
        assert!(dropped > 0, "seed {seed} dropped nothing and shows nothing");
        depth_becomes(&*broker, &units(), [0, 0, 0, 0]).await;
    }
}

/// Polls a future so often and drops it if it is not done then: right after a poll, after others ran, or when the
/// broker has answered something asked later, and so perhaps has a delivery on its way.
async fn polled<T>(broker: &impl Broker, receive: impl Future<Output = T>, chance: &mut StdRng) -> Option<T> {
    let mut receive = pin!(receive);
    for _ in 0..chance.random_range(1..5) {
        if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(receive.as_mut().poll(context))).await {
            return Some(output);
        }
        match chance.random_range(0..3) {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => drop(broker.depth(&units()).await.expect("depth")),
        }
    }
    None
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
