//! Wakes receivers when something became ready on their queue.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::broker::Queue;

/// One signal per queue that somebody has received from. It wakes all who wait: one of them finds the message, and none
/// can take a wake-up along when it is dropped.
#[derive(Default)]
pub(super) struct Signals(Mutex<HashMap<Queue, Arc<Notify>>>);

impl Signals {
    pub(super) fn of(&self, queue: &Queue) -> Arc<Notify> {
        self.lock().entry(queue.clone()).or_default().clone()
    }

    pub(super) fn wake(&self, queues: &BTreeSet<Queue>) {
        let signals = self.lock();
        for signal in queues.iter().filter_map(|queue| signals.get(queue)) {
            signal.notify_waiters();
        }
    }

    pub(super) fn wake_all(&self) {
        for signal in self.lock().values() {
            signal.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Queue, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
