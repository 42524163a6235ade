//! What becomes of a delivery, or of one that nobody settles.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Limits, SOON, Subject, dead, depth_becomes, later, next, nothing, publish, settle, units};
use crate::broker::Broker;
use crate::fault::Verdict;
use crate::message::Trail;

/// A message that is settled as done never comes again.
pub async fn done_is_forgotten(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1"]).await;
    settle(&*broker, next(&*broker, &units()).await, Verdict::Done).await;
    nothing(subject, &*broker, &units()).await;
    depth_becomes(&*broker, &units(), [0, 0, 0, 0]).await;
    publish(&*broker, &units(), &["u1"]).await;
    assert_eq!(next(&*broker, &units()).await.message.id, "u1", "the id may be used again");
}

/// `Later` holds a message back for its time, counts an attempt and no return, and notes the cause.
pub async fn later_waits_and_counts_an_attempt(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1"]).await;
    for attempt in 1..=2 {
        let delivery = next(&*broker, &units()).await;
        assert_eq!((delivery.message.trail.attempts, delivery.returns), (attempt - 1, 0));
        let start = Instant::now();
        settle(&*broker, delivery, later(subject)).await;
        depth_becomes(&*broker, &units(), [0, 0, 1, 0]).await;
        let delivery = timeout(subject.delay() + SOON, broker.receive(&units())).await;
        let delivery = delivery.expect("it comes after its time").expect("receive");
        assert!(start.elapsed() + Duration::from_millis(2) >= subject.delay(), "after {:?} already", start.elapsed());
        let trail = &delivery.message.trail;
        assert_eq!((trail.attempts, trail.cause(), delivery.returns), (attempt, Some("not yet"), 0));
        assert!(trail.first_failed_at.is_some() && trail.origin.is_none());
        settle(&*broker, delivery, Verdict::Return).await;
    }
}

/// A message that waits holds up none behind it.
pub async fn who_waits_holds_up_nobody(subject: &impl Subject) {
    let broker = subject.fresh(Limits::default()).await;
    publish(&*broker, &units(), &["u1", "u2"]).await;
    settle(&*broker, next(&*broker, &units()).await, later(subject)).await;
    let second = next(&*broker, &units()).await;
    assert_eq!(second.message.id, "u2");
    settle(&*broker, second, Verdict::Done).await;
    assert_eq!(next(&*broker, &units()).await.message.id, "u1");
}

/// `Return` gives a message back at once and at its old place, and counts neither an attempt nor a return.
pub async fn return_is_at_once_and_not_counted(subject: &impl Subject) {
    let broker = subject.fresh(Limits { delivery_limit: 3, ..Limits::default() }).await;
    publish(&*broker, &units(), &["u1", "u2"]).await;
    for _ in 0..8 {
        let delivery = next(&*broker, &units()).await;
        assert_eq!(delivery.message.id, "u1");
        assert_eq!((delivery.returns, &delivery.message.trail), (0, &Trail::default()));
        settle(&*broker, delivery, Verdict::Return).await;
    }
}

/// For brokers with leases: what is not settled in time comes again and is counted.
pub async fn unsettled_comes_again_after_its_lease(subject: &impl Subject) {
    let broker = subject.fresh(Limits { lease: subject.delay(), ..Limits::default() }).await;
    publish(&*broker, &units(), &["u1"]).await;
    for returns in 0..3 {
        let start = Instant::now();
        let delivery = timeout(subject.delay() + SOON, broker.receive(&units())).await;
        let delivery = delivery.expect("it comes again").expect("receive");
        assert_eq!((delivery.message.id.as_str(), delivery.returns), ("u1", returns));
        assert_eq!(delivery.message.trail, Trail::default());
        assert!(returns == 0 || start.elapsed() > subject.delay() / 2, "after {:?} already", start.elapsed());
    }
}

/// For brokers with leases: settling too late changes nothing for the one who has the message now.
pub async fn a_stale_settle_is_harmless(subject: &impl Subject) {
    // Wide enough that the second leases last until the check is done, on a busy machine too.
    let broker = subject.fresh(Limits { lease: subject.delay() * 6, ..Limits::default() }).await;
    publish(&*broker, &units(), &["u1", "u2", "u3", "u4"]).await;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for deliveries in [&mut first, &mut second] {
        for _ in 0..4 {
            deliveries.push(next(&*broker, &units()).await);
        }
    }
    for (delivery, verdict) in first.into_iter().zip([Verdict::Done, Verdict::Return, later(subject), dead("why")]) {
        settle(&*broker, delivery, verdict).await;
    }
    depth_becomes(&*broker, &units(), [0, 4, 0, 0]).await;
    for delivery in second {
        assert_eq!((delivery.returns, &delivery.message.trail), (1, &Trail::default()));
        settle(&*broker, delivery, Verdict::Done).await;
    }
    depth_becomes(&*broker, &units(), [0, 0, 0, 0]).await;
}
