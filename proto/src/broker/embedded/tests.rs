//! The contract on a file and in memory, and what only a file can show.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::broker::contract::{Limits, Mortal, Subject, batch, batches, unit, units};

fn settings(limits: Limits) -> EmbeddedSettings {
    let Limits { lease, delivery_limit, max_bytes, publish_timeout } = limits;
    EmbeddedSettings { lease, delivery_limit, max_bytes, publish_timeout }
}

/// Queues in memory, under paused time.
struct Memory;

#[async_trait]
impl Subject for Memory {
    type Broker = EmbeddedBroker;

    async fn fresh(&self, limits: Limits) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::in_memory(settings(limits)).unwrap()
    }

    fn delay(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// Queue files.
struct Disk {
    directory: TempDir,
    files: AtomicU32,
}

impl Disk {
    fn new() -> Disk {
        Disk { directory: tempfile::tempdir().unwrap(), files: AtomicU32::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(format!("queue-{}.db", self.files.fetch_add(1, Ordering::Relaxed)))
    }
}

#[async_trait]
impl Subject for Disk {
    type Broker = EmbeddedBroker;

    async fn fresh(&self, limits: Limits) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::open(self.path(), settings(limits)).unwrap()
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(200)
    }
}

#[async_trait]
impl Mortal for Disk {
    /// Takes the file as it lies there, as a killed process leaves it: nothing closed, nothing moved out of the log.
    async fn kill(&self, broker: Arc<EmbeddedBroker>, limits: Limits) -> Arc<EmbeddedBroker> {
        let copy = self.path();
        copy_aside(Path::new(&*broker.place), &copy);
        drop(broker);
        EmbeddedBroker::open(copy, settings(limits)).unwrap()
    }
}

fn copy_aside(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if name(from).exists() {
            std::fs::copy(name(from), name(to)).unwrap();
        }
    }
}

mod in_memory {
    //! The contract in memory, where time stands still.

    use super::Memory;
    use crate::broker::contract;

    #[tokio::test(start_paused = true)]
    async fn a_message_arrives_as_it_was_published() {
        contract::a_message_arrives_as_it_was_published(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_a_mebibyte_survives_byte_for_byte() {
        contract::a_body_of_a_mebibyte_survives_byte_for_byte(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn messages_come_in_order() {
        contract::messages_come_in_order(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn queues_are_apart() {
        contract::queues_are_apart(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_receiver_is_woken() {
        contract::a_waiting_receiver_is_woken(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn done_is_forgotten() {
        contract::done_is_forgotten(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn later_waits_and_counts_an_attempt() {
        contract::later_waits_and_counts_an_attempt(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_holds_up_nobody() {
        contract::who_waits_holds_up_nobody(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn return_is_at_once_and_not_counted() {
        contract::return_is_at_once_and_not_counted(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn dead_keeps_cause_origin_and_history() {
        contract::dead_keeps_cause_origin_and_history(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn dying_again_replaces_the_dead_one() {
        contract::dying_again_replaces_the_dead_one(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_message_stays_however_often_it_is_looked_at() {
        contract::a_dead_message_stays_however_often_it_is_looked_at(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn replay_brings_a_dead_message_back() {
        contract::replay_brings_a_dead_message_back(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn replay_and_discard_touch_only_the_dead() {
        contract::replay_and_discard_touch_only_the_dead(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn discard_forgets_one_dead_message() {
        contract::discard_forgets_one_dead_message(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_id_twice_is_one_message() {
        contract::the_same_id_twice_is_one_message(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn depth_says_where_each_message_is() {
        contract::depth_says_where_each_message_is(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn browsing_disturbs_nothing() {
        contract::browsing_disturbs_nothing(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn two_receivers_never_have_the_same_message() {
        contract::two_receivers_never_have_the_same_message(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_publishers_lose_nothing() {
        contract::many_publishers_lose_nothing(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_receive_loses_nothing() {
        contract::a_dropped_receive_loses_nothing(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_pushes_back_and_goes_on() {
        contract::a_full_queue_pushes_back_and_goes_on(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_queue_takes_any_message() {
        contract::an_empty_queue_takes_any_message(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn unsettled_comes_again_after_its_lease() {
        contract::unsettled_comes_again_after_its_lease(&Memory).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_settle_is_harmless() {
        contract::a_stale_settle_is_harmless(&Memory).await;
    }
}

mod on_disk {
    //! The contract on a file, in real time, with more than one thread.

    use super::Disk;
    use crate::broker::contract;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_arrives_as_it_was_published() {
        contract::a_message_arrives_as_it_was_published(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_body_of_a_mebibyte_survives_byte_for_byte() {
        contract::a_body_of_a_mebibyte_survives_byte_for_byte(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_come_in_order() {
        contract::messages_come_in_order(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn queues_are_apart() {
        contract::queues_are_apart(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_waiting_receiver_is_woken() {
        contract::a_waiting_receiver_is_woken(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn done_is_forgotten() {
        contract::done_is_forgotten(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn later_waits_and_counts_an_attempt() {
        contract::later_waits_and_counts_an_attempt(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_holds_up_nobody() {
        contract::who_waits_holds_up_nobody(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn return_is_at_once_and_not_counted() {
        contract::return_is_at_once_and_not_counted(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dead_keeps_cause_origin_and_history() {
        contract::dead_keeps_cause_origin_and_history(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dying_again_replaces_the_dead_one() {
        contract::dying_again_replaces_the_dead_one(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_dead_message_stays_however_often_it_is_looked_at() {
        contract::a_dead_message_stays_however_often_it_is_looked_at(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replay_brings_a_dead_message_back() {
        contract::replay_brings_a_dead_message_back(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replay_and_discard_touch_only_the_dead() {
        contract::replay_and_discard_touch_only_the_dead(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn discard_forgets_one_dead_message() {
        contract::discard_forgets_one_dead_message(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_id_twice_is_one_message() {
        contract::the_same_id_twice_is_one_message(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn depth_says_where_each_message_is() {
        contract::depth_says_where_each_message_is(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn browsing_disturbs_nothing() {
        contract::browsing_disturbs_nothing(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_receivers_never_have_the_same_message() {
        contract::two_receivers_never_have_the_same_message(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_publishers_lose_nothing() {
        contract::many_publishers_lose_nothing(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_dropped_receive_loses_nothing() {
        contract::a_dropped_receive_loses_nothing(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_pushes_back_and_goes_on() {
        contract::a_full_queue_pushes_back_and_goes_on(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_empty_queue_takes_any_message() {
        contract::an_empty_queue_takes_any_message(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn unsettled_comes_again_after_its_lease() {
        contract::unsettled_comes_again_after_its_lease(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stale_settle_is_harmless() {
        contract::a_stale_settle_is_harmless(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn published_survives_a_kill() {
        contract::published_survives_a_kill(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn unsettled_comes_again_after_a_kill() {
        contract::unsettled_comes_again_after_a_kill(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_tag_does_not_outlive_its_process() {
        contract::a_tag_does_not_outlive_its_process(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn verdicts_survive_a_kill() {
        contract::verdicts_survive_a_kill(&Disk::new()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_that_kills_is_put_aside() {
        contract::a_message_that_kills_is_put_aside(&Disk::new()).await;
    }
}

async fn take(broker: &EmbeddedBroker, queue: &Queue) -> Delivery {
    timeout(Duration::from_secs(20), broker.receive(queue)).await.expect("it must come").unwrap()
}

#[tokio::test]
async fn a_file_is_worked_on_by_one_at_a_time_and_free_after_close() {
    let disk = Disk::new();
    let path = disk.path();
    let first = EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
    let taken = EmbeddedBroker::open(&path, EmbeddedSettings::default()).err().unwrap();
    assert!(matches!(taken, BrokerError::Taken { .. }), "{taken}");
    first.publish(&units(), unit("u1")).await.unwrap();
    first.close().await;
    let second = EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
    assert_eq!(take(&second, &units()).await.message.id, "u1");
    drop(second);
    EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
}

#[tokio::test]
async fn a_closed_broker_says_so_to_everybody_and_leaves_no_log() {
    let disk = Disk::new();
    let path = disk.path();
    let tiny = EmbeddedSettings { max_bytes: 1000, ..EmbeddedSettings::default() };
    for broker in [EmbeddedBroker::open(&path, tiny).unwrap(), EmbeddedBroker::in_memory(tiny).unwrap()] {
        broker.publish(&batches(), batch("b1", 2000)).await.unwrap();
        let mut tasks = JoinSet::new();
        let waits = broker.clone();
        tasks.spawn(async move { waits.receive(&units()).await.err() });
        let blocked = broker.clone();
        tasks.spawn(async move { blocked.publish(&batches(), batch("b2", 2000)).await.err() });
        tokio::task::yield_now().await;
        broker.close().await;
        while let Some(error) = tasks.join_next().await {
            assert!(matches!(error.unwrap(), Some(BrokerError::Closed)));
        }
        assert!(matches!(broker.depth(&units()).await, Err(BrokerError::Closed)));
        assert!(matches!(broker.publish(&units(), unit("u1")).await, Err(BrokerError::Closed)));
        broker.close().await;
    }
    assert!(!PathBuf::from(format!("{}-wal", path.display())).exists());
}

#[tokio::test]
async fn what_is_not_a_queue_file_is_refused_and_left_alone() {
    let disk = Disk::new();
    let (noise, other, newer) = (disk.path(), disk.path(), disk.path());
    std::fs::write(&noise, vec![7; 9000]).unwrap();
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE calls (id)").unwrap();
    EmbeddedBroker::open(&newer, EmbeddedSettings::default()).unwrap().close().await;
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for (path, word) in [(noise, "not a database"), (other, "something else"), (newer, "version 99")] {
        let before = std::fs::read(&path).unwrap();
        for opened in [
            EmbeddedBroker::open(&path, EmbeddedSettings::default()),
            EmbeddedBroker::inspect(&path, EmbeddedSettings::default()),
        ] {
            let error = opened.err().unwrap();
            assert!(matches!(error, BrokerError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(std::fs::read(&path).unwrap() == before, "{} was changed", path.display());
    }
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_no_wrong_message() {
    let disk = Disk::new();
    let path = disk.path();
    let broker = EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
    for n in 0..50 {
        broker.publish(&units(), unit(&format!("u{n}"))).await.unwrap();
    }
    broker.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let from = 4096;
    bytes[from..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = match EmbeddedBroker::open(&path, EmbeddedSettings::default()) {
        Ok(broker) => broker.receive(&units()).await.err().unwrap(),
        Err(error) => error,
    };
    assert!(matches!(error, BrokerError::Corrupt { .. }), "{error}");
}

/// Keeps the broker's thread waiting, so that what is asked of it meanwhile meets in one transaction.
fn hold_up(broker: &EmbeddedBroker) -> rusqlite::Connection {
    let beside = rusqlite::Connection::open(&*broker.place).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    beside
}

/// Lets every task of this one-threaded runtime ask for what it wants.
async fn let_all_ask() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_hundred_publishers_share_commits() {
    let disk = Disk::new();
    let broker = disk.fresh(Limits::default()).await;
    let pages = || std::fs::metadata(format!("{}-wal", broker.place)).unwrap().len() / 4120;
    let before = pages();
    let held_up = hold_up(&broker);
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let broker = broker.clone();
        tasks.spawn(async move { broker.publish(&units(), unit(&format!("u{n}"))).await });
    }
    let_all_ask().await;
    held_up.execute_batch("COMMIT").unwrap();
    while let Some(published) = tasks.join_next().await {
        published.unwrap().unwrap();
    }
    assert_eq!(broker.depth(&units()).await.unwrap().ready, 200);
    // Alone, each writes six pages or more into the log.
    let written = pages() - before;
    assert!(written < 400, "{written} pages for 200 messages: no commits were shared");
}

#[tokio::test]
async fn an_operation_that_fails_leaves_its_neighbours_alone() {
    let disk = Disk::new();
    let broker = disk.fresh(Limits::default()).await;
    broker.publish(&units(), unit("u1")).await.unwrap();
    let held_up = hold_up(&broker);
    held_up.execute("UPDATE messages SET kind = 'parcel'", []).unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..3 {
        let (publishes, receives) = (broker.clone(), broker.clone());
        tasks.spawn(async move { publishes.publish(&batches(), batch(&format!("b{n}"), 10)).await.is_ok() });
        tasks.spawn(async move { receives.receive(&units()).await.is_err() });
    }
    let_all_ask().await;
    held_up.execute_batch("COMMIT").unwrap();
    while let Some(as_expected) = tasks.join_next().await {
        assert!(as_expected.unwrap());
    }
    assert_eq!(broker.depth(&batches()).await.unwrap().ready, 3);
}

fn with_engine<T>(broker: &EmbeddedBroker, look: impl FnOnce(&mut Engine) -> T) -> T {
    let Link::Inline(engine) = &broker.link else { panic!("it is in memory") };
    look(&mut engine.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_takes_nothing_and_passes() {
    let broker = EmbeddedBroker::in_memory(EmbeddedSettings::default()).unwrap();
    with_engine(&broker, |engine| engine.store.limit_pages(60).unwrap());
    let mut taken = 0;
    let error = loop {
        match broker.publish(&batches(), batch(&format!("b{taken}"), 20_000)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("the disk is full: make room"), "{error}");
    assert_eq!(broker.depth(&batches()).await.unwrap().ready, taken);
    broker.settle(take(&broker, &batches()).await.tag, Verdict::Done).await.unwrap();
    broker.publish(&batches(), batch("b99", 20_000)).await.unwrap();
    assert_eq!(broker.depth(&batches()).await.unwrap().ready, taken);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_sqlite_gave_up_is_told_to_everybody_in_it() {
    let broker = EmbeddedBroker::in_memory(EmbeddedSettings::default()).unwrap();
    broker.publish(&units(), unit("u1")).await.unwrap();
    let held = take(&broker, &units()).await;
    let give_up = |engine: &mut Engine| engine.broken = Some(Trouble::Failed(String::from("gone")));
    with_engine(&broker, give_up);
    assert!(broker.settle(held.tag, Verdict::Done).await.is_err());
    with_engine(&broker, give_up);
    assert!(broker.publish(&units(), unit("u2")).await.is_err());
    let start = Instant::now();
    assert_eq!(take(&broker, &units()).await.returns, 1, "what could not be settled comes again");
    assert_eq!(start.elapsed(), Duration::ZERO, "at once");
    assert_eq!(broker.depth(&units()).await.unwrap().ready, 0, "and what was refused is not there");
}

#[tokio::test]
async fn a_visitor_sees_and_replays_beside_a_run_and_takes_nothing() {
    let disk = Disk::new();
    let path = disk.path();
    assert!(matches!(EmbeddedBroker::inspect(&path, EmbeddedSettings::default()), Err(BrokerError::Failed { .. })));
    let run = EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
    run.publish(&units(), unit("u1")).await.unwrap();
    run.publish(&units(), unit("u2")).await.unwrap();
    run.publish(&units(), unit("u3")).await.unwrap();
    let cause = String::from("why");
    run.settle(take(&run, &units()).await.tag, Verdict::Dead { cause: cause.clone() }).await.unwrap();
    run.settle(take(&run, &units()).await.tag, Verdict::Dead { cause }).await.unwrap();
    let held = take(&run, &units()).await;

    let visitor = EmbeddedBroker::inspect(&path, EmbeddedSettings::default()).unwrap();
    let depth = visitor.depth(&units()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight, depth.dead), (0, 1, 2));
    assert_eq!(visitor.browse(&Queue::DeadUnits, 0, 9).await.unwrap().len(), 2);
    assert!(matches!(visitor.receive(&units()).await, Err(BrokerError::Failed { .. })));
    // The run waits already when the visitor replays: it finds the message by itself.
    let waits = run.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { take(&waits, &units()).await });
    tokio::task::yield_now().await;
    assert_eq!(visitor.replay(&Queue::DeadUnits, "u1").await.unwrap(), Some(units()));
    assert!(visitor.discard(&Queue::DeadUnits, "u2").await.unwrap());
    visitor.close().await;
    let replayed = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((replayed.message.id.as_str(), replayed.message.trail.replays), ("u1", 1));
    run.settle(held.tag, Verdict::Done).await.unwrap();
    run.settle(replayed.tag, Verdict::Done).await.unwrap();
    assert_eq!(run.depth(&units()).await.unwrap(), Depth::default());
}

#[tokio::test]
async fn a_limit_counts_what_a_visitor_put_there() {
    let disk = Disk::new();
    let path = disk.path();
    let tight =
        EmbeddedSettings { max_bytes: 5000, publish_timeout: Duration::from_millis(50), ..EmbeddedSettings::default() };
    let run = EmbeddedBroker::open(&path, tight).unwrap();
    run.publish(&batches(), batch("b1", 1000)).await.unwrap();
    let visitor = EmbeddedBroker::inspect(&path, tight).unwrap();
    visitor.publish(&batches(), batch("b2", 3000)).await.unwrap();
    let full = run.publish(&batches(), batch("b3", 1000)).await.err().unwrap();
    assert!(matches!(full, BrokerError::Full { .. }), "{full}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_gets_it_in_order_and_gives_up_in_time() {
    let tight = EmbeddedSettings { max_bytes: 3000, ..EmbeddedSettings::default() };
    let broker = EmbeddedBroker::in_memory(tight).unwrap();
    broker.publish(&batches(), batch("b0", 2000)).await.unwrap();
    let mut tasks = JoinSet::new();
    // The small one would fit at once, but it came after the large one.
    for (id, bytes) in [("b1", 2000), ("b2", 10), ("b3", 2000)] {
        let broker = broker.clone();
        tasks.spawn(async move { broker.publish(&batches(), batch(id, bytes)).await.map(|()| id) });
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.depth(&batches()).await.unwrap().ready, 1);
    broker.settle(take(&broker, &batches()).await.tag, Verdict::Done).await.unwrap();
    assert_eq!(broker.depth(&batches()).await.unwrap().ready, 2);
    let start = Instant::now();
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome.unwrap());
    }
    assert_eq!(start.elapsed().as_secs(), 30);
    let taken: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(taken, ["b1", "b2"]);
    for id in ["b1", "b2"] {
        let delivery = take(&broker, &batches()).await;
        assert_eq!(delivery.message.id, id);
        broker.settle(delivery.tag, Verdict::Done).await.unwrap();
    }
    assert_eq!(broker.depth(&batches()).await.unwrap(), Depth::default(), "the one that gave up left nothing");
}

#[tokio::test(start_paused = true)]
async fn in_memory_the_time_is_the_runtimes() {
    let base = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
    let broker = EmbeddedBroker::in_memory_from(EmbeddedSettings::default(), base).unwrap();
    broker.publish(&units(), unit("u1")).await.unwrap();
    let delivery = take(&broker, &units()).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let after = Duration::from_secs(86_400);
    broker.settle(delivery.tag, Verdict::Later { after, cause: String::from("why") }).await.unwrap();
    let start = Instant::now();
    let delivery = broker.receive(&units()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 86_400);
    assert_eq!(delivery.message.trail.first_failed_at, Some(base + Duration::from_secs(60)));
}

#[tokio::test]
async fn a_trail_with_unknown_fields_is_read_and_an_unknown_kind_is_an_error() {
    let disk = Disk::new();
    let path = disk.path();
    let broker = EmbeddedBroker::open(&path, EmbeddedSettings::default()).unwrap();
    broker.publish(&units(), unit("u1")).await.unwrap();
    let beside = rusqlite::Connection::open(&path).unwrap();
    let change = |column: &str, value: &str| {
        beside.execute(&format!("UPDATE messages SET {column} = ?1, visible_at = 0"), [value]).unwrap();
    };
    change("trail", r#"{"attempts":4,"mood":"blue"}"#);
    let delivery = take(&broker, &units()).await;
    assert_eq!(delivery.message.trail.attempts, 4);
    broker.settle(delivery.tag, Verdict::Return).await.unwrap();
    change("kind", "parcel");
    let error = broker.receive(&units()).await.err().unwrap();
    assert!(matches!(error, BrokerError::Corrupt { .. }) && error.to_string().contains("parcel"), "{error}");
    change("kind", "unit");
    assert_eq!(take(&broker, &units()).await.returns, 0, "the failure left nothing behind");
}

#[tokio::test]
async fn a_dead_message_that_does_not_say_where_it_died_goes_where_its_kind_belongs() {
    let broker = EmbeddedBroker::in_memory(EmbeddedSettings::default()).unwrap();
    broker.publish(&Queue::DeadBatches, batch("b1", 10)).await.unwrap();
    broker.publish(&Queue::DeadUnits, unit("u1")).await.unwrap();
    assert_eq!(broker.replay(&Queue::DeadBatches, "b1").await.unwrap(), Some(batches()));
    assert_eq!(broker.replay(&Queue::DeadUnits, "u1").await.unwrap(), Some(units()));
}
