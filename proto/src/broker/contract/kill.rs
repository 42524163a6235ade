//! What the next process finds.

use super::{Limits, Mortal, batch, batches, dead, depth_becomes, later, next, publish, settle, units};
use crate::broker::{Broker, DeadLetters, Queue};
use crate::fault::Verdict;

/// What `publish` answered for is there after a kill: in order, and whole.
pub async fn published_survives_a_kill(subject: &impl Mortal) {
    let broker = subject.fresh(Limits::default()).await;
    let sent = [batch("b1", 300_000), batch("b2", 10)];
    for message in &sent {
        broker.publish(&batches(), message.clone()).await.expect("publish");
    }
    let broker = subject.kill(broker, Limits::default()).await;
    for message in &sent {
        let delivery = next(&*broker, &batches()).await;
        assert!(delivery.message == *message && delivery.returns == 0);
        settle(&*broker, delivery, Verdict::Done).await;
    }
}

/// What was not settled comes again at once after a kill, and is counted; what was settled does not.
pub async fn unsettled_comes_again_after_a_kill(subject: &impl Mortal) {
    let mut broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u0", "u1"]).await;
    settle(&*broker, next(&*broker, &units()).await, Verdict::Done).await;
    for returns in 0..3 {
        let delivery = next(&*broker, &units()).await;
        assert_eq!((delivery.message.id.as_str(), delivery.returns), ("u1", returns));
        broker = subject.kill(broker, Limits::default()).await;
    }
}

/// A tag of a process that was killed is stale in the next.
pub async fn a_tag_does_not_outlive_its_process(subject: &impl Mortal) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1"]).await;
    let old = next(&*broker, &units()).await;
    let broker = subject.kill(broker, Limits::default()).await;
    settle(&*broker, old, Verdict::Done).await;
    let delivery = next(&*broker, &units()).await;
    assert_eq!((delivery.message.id.as_str(), delivery.returns), ("u1", 1));
}

/// Waiting, dead and replayed messages are so after a kill too.
pub async fn verdicts_survive_a_kill(subject: &impl Mortal) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1", "u2", "u3"]).await;
    settle(&*broker, next(&*broker, &units()).await, later(subject)).await;
    settle(&*broker, next(&*broker, &units()).await, dead("why")).await;
    settle(&*broker, next(&*broker, &units()).await, dead("why")).await;
    broker.replay(&Queue::DeadUnits, "u3").await.expect("replay");
    let broker = subject.kill(broker, Limits::default()).await;
    let delivery = next(&*broker, &units()).await;
    let ids = [delivery.message.id.clone(), next(&*broker, &units()).await.message.id];
    assert!(ids.contains(&String::from("u1")) && ids.contains(&String::from("u3")), "{ids:?}");
    let found = broker.browse(&Queue::DeadUnits, 0, 10).await.expect("browse");
    assert_eq!(found.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["u2"]);
    depth_becomes(&*broker, &units(), [0, 2, 0, 1]).await;
}

/// A message that kills its process each time is put aside instead of killing for ever.
pub async fn a_message_that_kills_is_put_aside(subject: &impl Mortal) {
    let limits = Limits { delivery_limit: 3, ..Limits::default() };
    let mut broker = subject.fresh(limits).await;
    publish(&*broker, &units(), &["bad", "good"]).await;
    for returns in 0..3 {
        let delivery = next(&*broker, &units()).await;
        assert_eq!((delivery.message.id.as_str(), delivery.returns), ("bad", returns));
        broker = subject.kill(broker, limits).await;
    }
    assert_eq!(next(&*broker, &units()).await.message.id, "good");
    let delivery = next(&*broker, &Queue::DeadUnits).await;
    let cause = delivery.message.trail.cause().unwrap_or_default();
    assert!(cause.starts_with("delivery limit"), "{cause}");
    assert_eq!(delivery.message.trail.origin, Some(units().to_string()));
    settle(&*broker, delivery, Verdict::Return).await;
    broker.replay(&Queue::DeadUnits, "bad").await.expect("replay");
    let delivery = next(&*broker, &units()).await;
    assert_eq!((delivery.message.id.as_str(), delivery.returns), ("bad", 0), "a replay starts the count anew");
}
