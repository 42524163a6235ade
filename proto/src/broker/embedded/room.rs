//! How much each queue holds, and who waits for room, in order of arrival.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::sync::oneshot;

use super::store::Store;
use crate::broker::{BrokerError, Queue};
use crate::message::Message;

/// A message that somebody wants to publish.
pub(super) struct Publish {
    /// Names it for [`Room::withdraw`].
    pub(super) ticket: u64,
    pub(super) queue: Queue,
    pub(super) message: Message,
    pub(super) reply: oneshot::Sender<Result<(), BrokerError>>,
}

/// What queues hold and who waits.
#[derive(Default)]
pub(super) struct Room {
    /// Bytes per queue, for those that were asked for; forgotten when they may be wrong.
    held: HashMap<Queue, u64>,
    waiting: BTreeMap<Queue, VecDeque<Publish>>,
    seen: Option<i64>,
}

impl Room {
    /// Forgets what it knows of the queues when another process has written to the file.
    pub(super) fn look(&mut self, data_version: i64) {
        if self.seen.replace(data_version) != Some(data_version) {
            self.held.clear();
        }
    }

    /// Forgets what it knows of the queues: something was rolled back.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    pub(super) fn add(&mut self, queue: &Queue, bytes: u64) {
        if let Some(held) = self.held.get_mut(queue) {
            *held += bytes;
        }
    }

    pub(super) fn subtract(&mut self, queue: &Queue, bytes: u64) {
        if let Some(held) = self.held.get_mut(queue) {
            *held = held.saturating_sub(bytes);
        }
    }

    /// Whether a message of that size may go on a queue with that limit. An empty queue takes any.
    pub(super) fn fits(&mut self, store: &Store, queue: &Queue, size: u64, limit: u64) -> rusqlite::Result<bool> {
        let held = match self.held.get(queue) {
            Some(held) => *held,
            None => {
                let held = store.bytes(&queue.to_string())?;
                self.held.insert(queue.clone(), held);
                held
            }
        };
        Ok(held == 0 || held.saturating_add(size) <= limit)
    }

    /// Whether somebody waits already, so that nobody is overtaken.
    pub(super) fn is_awaited(&self, queue: &Queue) -> bool {
        self.waiting.contains_key(queue)
    }

    pub(super) fn wait(&mut self, publish: Publish) {
        self.waiting.entry(publish.queue.clone()).or_default().push_back(publish);
    }

    /// The queues that somebody waits for.
    pub(super) fn awaited(&self) -> Vec<Queue> {
        self.waiting.keys().cloned().collect()
    }

    /// The one who waits longest, leaving out those who have gone.
    pub(super) fn take_first(&mut self, queue: &Queue) -> Option<Publish> {
        let waiting = self.waiting.get_mut(queue)?;
        let mut first = waiting.pop_front();
        while first.as_ref().is_some_and(|publish| publish.reply.is_closed()) {
            first = waiting.pop_front();
        }
        if waiting.is_empty() {
            self.waiting.remove(queue);
        }
        first
    }

    /// Lets the one who was first wait on, still first.
    pub(super) fn put_first(&mut self, publish: Publish) {
        self.waiting.entry(publish.queue.clone()).or_default().push_front(publish);
    }

    /// Takes back somebody's wish. `None` when it was granted or refused already.
    pub(super) fn withdraw(&mut self, queue: &Queue, ticket: u64) -> Option<Publish> {
        let waiting = self.waiting.get_mut(queue)?;
        let place = waiting.iter().position(|publish| publish.ticket == ticket)?;
        let publish = waiting.remove(place);
        if waiting.is_empty() {
            self.waiting.remove(queue);
        }
        publish
    }

    /// Everybody who waits; nobody does afterwards.
    pub(super) fn drain(&mut self) -> Vec<Publish> {
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }
}
