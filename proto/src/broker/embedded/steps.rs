//! What each operation does to a queue, inside the engine's transaction.

use super::clock::Moment;
use super::engine::{Engine, Outcome};
use super::handed::Handed;
use super::room::Publish;
use super::store::Envelope;
use super::work::{Answer, Next};
use crate::broker::{Delivery, Queue, Tag};
use crate::fault::Verdict;
use crate::message::{Kind, Message};

impl Engine {
    /// Takes the message, or lets it wait for room; then its answer comes later.
    pub(super) fn publish(&mut self, publish: Box<Publish>, now: Moment) -> Option<Answer> {
        if publish.reply.is_closed() {
            return None;
        }
        match self.step(now, |engine| engine.take(&publish, now, false)) {
            Ok(false) => {
                self.room.wait(*publish);
                None
            }
            Ok(true) => Some(Answer::of(publish.reply, Ok(()))),
            Err(trouble) => Some(Answer::of(publish.reply, Err(trouble))),
        }
    }

    /// Gives room to those who wait for it, in the order in which they came.
    pub(super) fn admit(&mut self, now: Moment, answers: &mut Vec<Answer>) {
        for queue in self.room.awaited() {
            while let Some(publish) = self.room.take_first(&queue) {
                match self.step(now, |engine| engine.take(&publish, now, true)) {
                    Ok(false) => {
                        self.room.put_first(publish);
                        break;
                    }
                    Ok(true) => answers.push(Answer::of(publish.reply, Ok(()))),
                    Err(trouble) => answers.push(Answer::of(publish.reply, Err(trouble))),
                }
            }
        }
    }

    /// `false` when there is no room, or others wait for it and it is not this one's `turn`.
    fn take(&mut self, publish: &Publish, now: Moment, turn: bool) -> Outcome<bool> {
        let Publish { queue, message, .. } = publish;
        let name = queue.to_string();
        if self.store.find(&name, &message.id)?.is_some() {
            return Ok(true);
        }
        if matches!(queue, Queue::Load(_)) {
            let fits = self.room.fits(&self.store, queue, message.size(), self.settings.max_bytes)?;
            if !fits || (!turn && self.room.is_awaited(queue)) {
                return Ok(false);
            }
        }
        let origin = queue.is_dead().then_some(message.trail.origin.as_deref()).flatten();
        self.store.insert(&name, message, origin, now.wall)?;
        self.room.add(queue, message.size());
        self.woken.insert(queue.clone());
        Ok(true)
    }

    /// Hands out the first message whose turn it is. One that was handed out too often without being settled is put
    /// aside instead: it may be what ends the process.
    pub(super) fn receive(&mut self, queue: &Queue, now: Moment) -> Outcome<Next> {
        let name = queue.to_string();
        self.store.promote(&name, now.wall)?;
        while let Some(stored) = self.store.first_ready(&name)? {
            let returns = stored.deliveries;
            if !queue.is_dead() && returns >= self.settings.delivery_limit {
                let cause = format!("delivery limit: handed out {returns} times and never settled");
                self.bury(stored.seq as u64, queue, &cause, now)?;
                continue;
            }
            self.store.hand_out(stored.seq, !queue.is_dead())?;
            let tag = Tag::new(stored.seq as u64);
            self.leases.grant(&tag, queue, now.instant + self.settings.lease);
            let delivery = Delivery { message: stored.message, tag, returns };
            return Ok(Next::Delivery(Box::new(Handed::new(delivery, self.home.clone()))));
        }
        // A lease that somebody takes from now on ends later than one taken now would.
        let mut wait = self.settings.lease;
        if let Some(expires) = self.leases.next_expiry() {
            wait = wait.min(expires.saturating_duration_since(now.instant));
        }
        if let Some(at) = self.store.next_visible(&name)? {
            wait = wait.min(now.until(at));
        }
        Ok(Next::Nothing(wait))
    }

    /// Does what the verdict says, if the tag is not stale.
    pub(super) fn settle(&mut self, tag: &Tag, verdict: &Verdict, now: Moment) -> Outcome<()> {
        let Some(lease) = self.leases.end(tag) else { return Ok(()) };
        let (queue, seq) = (lease.queue, tag.message as i64);
        match verdict {
            Verdict::Done => {
                if let Some(bytes) = self.store.remove(seq)? {
                    self.room.subtract(&queue, bytes);
                }
            }
            Verdict::Later { after, cause } => {
                if let Some(Envelope { mut trail, .. }) = self.store.envelope(seq)? {
                    trail.failed(cause, now.wall);
                    self.store.wait(seq, &trail, now.plus(*after))?;
                }
                // Receivers that wait do not know yet when it will be ready.
                self.woken.insert(queue);
            }
            Verdict::Dead { cause } => self.bury(tag.message, &queue, cause, now)?,
            Verdict::Return => {
                self.store.take_back(seq, !queue.is_dead())?;
                self.woken.insert(queue);
            }
        }
        Ok(())
    }

    /// Moves a message to its dead queue; the one that is there under the same id goes. On a dead queue it stays where
    /// it is, with one more cause.
    fn bury(&mut self, message: u64, queue: &Queue, cause: &str, now: Moment) -> Outcome<()> {
        let seq = message as i64;
        let Some(Envelope { id, mut trail, bytes }) = self.store.envelope(seq)? else { return Ok(()) };
        let dead = queue.dead();
        let origin = match trail.origin.take() {
            Some(origin) if queue.is_dead() => origin,
            _ => queue.to_string(),
        };
        trail.died(&origin, cause, now.wall);
        if queue.is_dead() {
            self.store.wait(seq, &trail, 0)?;
        } else {
            if let Some(there) = self.store.find(&dead.to_string(), &id)? {
                self.store.remove(there)?;
            }
            self.store.shift(seq, &dead.to_string(), &trail, Some(&origin))?;
            self.room.subtract(queue, bytes);
        }
        self.woken.insert(dead);
        Ok(())
    }

    /// Moves a dead message back to where it died. See [`crate::broker::DeadLetters::replay`].
    pub(super) fn replay(&mut self, dead: &Queue, id: &str) -> Outcome<Option<Queue>> {
        let Some(seq) = self.dead(dead, id)? else { return Ok(None) };
        let mut message = self.store.read(seq)?;
        let queue = origin(&message);
        if self.store.find(&queue.to_string(), id)?.is_some() {
            self.store.remove(seq)?;
        } else {
            message.trail.replayed();
            self.store.shift(seq, &queue.to_string(), &message.trail, None)?;
            self.room.add(&queue, message.size());
        }
        self.woken.insert(queue.clone());
        Ok(Some(queue))
    }

    /// Forgets a dead message. See [`crate::broker::DeadLetters::discard`].
    pub(super) fn discard(&mut self, dead: &Queue, id: &str) -> Outcome<bool> {
        match self.dead(dead, id)? {
            Some(seq) => Ok(self.store.remove(seq)?.is_some()),
            None => Ok(false),
        }
    }

    fn dead(&self, dead: &Queue, id: &str) -> Outcome<Option<i64>> {
        if dead.is_dead() { Ok(self.store.find(&dead.to_string(), id)?) } else { Ok(None) }
    }
}

/// The queue that a dead message belongs on: the one it says it died in, or the one for what it is about.
fn origin(message: &Message) -> Queue {
    let said = message.trail.origin.as_deref().and_then(Queue::find).filter(|queue| !queue.is_dead());
    said.unwrap_or_else(|| match message.kind {
        Kind::Unit => Queue::Fetch(message.about.source, message.about.account.clone()),
        Kind::Batch => crate::catalog::find(&message.about.dataset).map_or(Queue::DeadBatches, Queue::load),
    })
}
