//! What a queue at its limit does.

use std::collections::HashSet;

use tokio::task::JoinSet;

use super::{Limits, Subject, batch, batches, next, nothing, publish, settle, units};
use crate::broker::{Broker, BrokerError};
use crate::fault::Verdict;

/// A queue of batches at its limit makes publishers wait, takes nothing that it refuses, and goes on when it drains.
pub async fn a_full_queue_pushes_back_and_goes_on(subject: &impl Subject) {
    let limits = Limits { max_bytes: 100_000, publish_timeout: subject.delay(), ..Limits::default() };
    let broker = subject.fresh(limits).await;
    let mut taken = Vec::new();
    let refused = loop {
        let id = format!("b{}", taken.len());
        match broker.publish(&batches(), batch(&id, 10_000)).await {
            Ok(()) => taken.push(id),
            Err(BrokerError::Full { queue, .. }) => {
                assert_eq!(queue, batches().to_string());
                break id;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(taken.len() < 40, "it took four times its limit");
    };
    assert!(taken.len() > 5, "it took {}", taken.len());
    publish(&*broker, &units(), &["u1"]).await; // another queue is another queue
    // Now publishers wait, and somebody drains.
    let mut tasks = JoinSet::new();
    let mut ids = vec![refused];
    ids.extend((0..10).map(|n| format!("late{n}")));
    for id in ids.clone() {
        let broker = broker.clone();
        tasks.spawn(async move {
            loop {
                match broker.publish(&batches(), batch(&id, 10_000)).await {
                    Err(BrokerError::Full { .. }) => {}
                    other => return other.expect("publish"),
                }
            }
        });
    }
    taken.extend(ids);
    let mut seen = HashSet::new();
    while seen.len() < taken.len() {
        let delivery = next(&*broker, &batches()).await;
        assert_eq!(delivery.message.body.len(), 10_000);
        seen.insert(delivery.message.id.clone());
        settle(&*broker, delivery, Verdict::Done).await;
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no panic");
    }
    assert!(taken.iter().all(|id| seen.contains(id)));
    nothing(subject, &*broker, &batches()).await;
}

/// An empty queue takes a message that is larger than its limit: otherwise it could never be loaded.
pub async fn an_empty_queue_takes_any_message(subject: &impl Subject) {
    let limits = Limits { max_bytes: 1000, publish_timeout: subject.delay(), ..Limits::default() };
    let broker = subject.fresh(limits).await;
    broker.publish(&batches(), batch("b1", 50_000)).await.expect("publish");
    settle(&*broker, next(&*broker, &batches()).await, Verdict::Done).await;
}
