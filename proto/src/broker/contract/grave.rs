//! What dies, is looked at, replayed and discarded.

use super::{Limits, Subject, batches, dead, depth_becomes, later, next, publish, settle, unit, units};
use crate::broker::{Broker, DeadLetters, Queue};
use crate::fault::Verdict;

/// A dead message is on the dead queue with its cause, where it died and what happened before.
pub async fn dead_keeps_cause_origin_and_history(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    for (queue, grave) in [(units(), Queue::DeadUnits), (batches(), Queue::DeadBatches)] {
        publish(&*broker, &queue, &["m1"]).await;
        let sent = next(&*broker, &queue).await;
        let body = sent.message.body.clone();
        settle(&*broker, sent, later(subject)).await;
        settle(&*broker, next(&*broker, &queue).await, dead("the row is bad")).await;
        depth_becomes(&*broker, &queue, [0, 0, 0, 1]).await;
        let delivery = next(&*broker, &grave).await;
        let trail = &delivery.message.trail;
        assert_eq!((delivery.message.id.as_str(), &delivery.message.body), ("m1", &body));
        assert_eq!(trail.origin, Some(queue.to_string()));
        let causes: Vec<&str> = trail.history.iter().map(|mishap| mishap.cause.as_str()).collect();
        assert_eq!((causes, trail.attempts), (vec!["not yet", "the row is bad"], 1));
        assert!(trail.died_at.is_some());
    }
}

/// A message that dies again under its id is one dead message: the newest.
pub async fn dying_again_replaces_the_dead_one(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    for cause in ["first", "second"] {
        publish(&*broker, &units(), &["u1"]).await;
        settle(&*broker, next(&*broker, &units()).await, dead(cause)).await;
    }
    depth_becomes(&*broker, &units(), [0, 0, 0, 1]).await;
    let found = broker.browse(&Queue::DeadUnits, 0, 10).await.expect("browse");
    assert_eq!(found.iter().map(|message| message.trail.cause()).collect::<Vec<_>>(), [Some("second")]);
}

/// What lies on a dead queue is never counted as returned and never dies of it.
pub async fn a_dead_message_stays_however_often_it_is_looked_at(subject: &impl Subject) {
    let broker = subject.fresh(Limits { delivery_limit: 2, ..Limits::default() }).await;
    publish(&*broker, &units(), &["u1"]).await;
    settle(&*broker, next(&*broker, &units()).await, dead("why")).await;
    for _ in 0..6 {
        let delivery = next(&*broker, &Queue::DeadUnits).await;
        assert_eq!((delivery.returns, delivery.message.trail.origin.clone()), (0, Some(units().to_string())));
        settle(&*broker, delivery, Verdict::Return).await;
    }
    depth_becomes(&*broker, &units(), [0, 0, 0, 1]).await;
}

/// A replayed message is back where it died, with its attempts at 0, its history kept and the replay counted.
pub async fn replay_brings_a_dead_message_back(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    for replays in 1..=2 {
        if replays == 1 {
            publish(&*broker, &units(), &["u1", "u2"]).await;
        }
        let delivery = next(&*broker, &units()).await;
        assert_eq!(delivery.message.id, if replays == 1 { "u1" } else { "u2" }, "a replay goes to the end");
        settle(&*broker, delivery, if replays == 1 { dead("why") } else { Verdict::Done }).await;
        if replays == 1 {
            let origin = broker.replay(&Queue::DeadUnits, "u1").await.expect("replay");
            assert_eq!(origin, Some(units()));
            depth_becomes(&*broker, &units(), [2, 0, 0, 0]).await;
        }
    }
    let delivery = next(&*broker, &units()).await;
    let trail = &delivery.message.trail;
    assert_eq!((trail.replays, trail.attempts, trail.cause(), &trail.origin), (1, 0, Some("why"), &None));
    assert_eq!((delivery.returns, delivery.message.body.clone()), (0, unit("u1").body));
    depth_becomes(&*broker, &Queue::DeadUnits, [0, 0, 0, 0]).await;
}

/// Nothing is replayed or discarded that is not there, and nothing that is not dead.
pub async fn replay_and_discard_touch_only_the_dead(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1"]).await;
    assert_eq!(broker.replay(&Queue::DeadUnits, "u1").await.expect("replay"), None);
    assert!(!broker.discard(&Queue::DeadUnits, "u1").await.expect("discard"));
    assert_eq!(broker.replay(&units(), "u1").await.expect("replay"), None);
    assert!(!broker.discard(&units(), "u1").await.expect("discard"));
    assert_eq!(next(&*broker, &units()).await.message.id, "u1");
}

/// A discarded message is gone for good, and the others stay.
pub async fn discard_forgets_one_dead_message(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1", "u2", "u3"]).await;
    for _ in 0..3 {
        settle(&*broker, next(&*broker, &units()).await, dead("why")).await;
    }
    assert!(broker.discard(&Queue::DeadUnits, "u2").await.expect("discard"));
    assert!(!broker.discard(&Queue::DeadUnits, "u2").await.expect("discard"));
    depth_becomes(&*broker, &units(), [0, 0, 0, 2]).await;
    for id in ["u1", "u3"] {
        let delivery = next(&*broker, &Queue::DeadUnits).await;
        assert_eq!(delivery.message.id, id);
        settle(&*broker, delivery, Verdict::Done).await;
    }
    depth_becomes(&*broker, &Queue::DeadUnits, [0, 0, 0, 0]).await;
}
