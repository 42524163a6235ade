//! Works off operations on a queue file, many in one transaction: one sync to disk for all of them.
//!
//! Guarantees that an operation happens whole or not at all and that one that fails leaves its neighbours alone; that no
//! answer is given before its commit; that a message is in one pair of hands at a time. Knows nothing of threads and
//! futures: who calls it and who waits for its answers is [`super::link`]'s business.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::EmbeddedSettings;
use super::clock::{Clock, Moment};
use super::handed::Home;
use super::lease::Leases;
use super::room::Room;
use super::signal::Signals;
use super::store::Store;
use super::trouble::Trouble;
use super::work::{Answer, Op, Worked};
use crate::broker::Queue;

/// Everything behind one queue file.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) settings: EmbeddedSettings,
    pub(super) clock: Clock,
    pub(super) place: Arc<str>,
    pub(super) signals: Arc<Signals>,
    pub(super) home: Arc<Home>,
    pub(super) leases: Leases,
    pub(super) room: Room,
    /// Queues on which something became ready in this transaction.
    pub(super) woken: BTreeSet<Queue>,
    pub(super) stage: Stage,
    /// A verdict of this transaction failed, so its message is due again.
    pub(super) failed: bool,
    /// Why the transaction cannot be committed any more.
    pub(super) broken: Option<Trouble>,
    /// Held as long as this process owns the file. After `store`, so that it is let go last.
    pub(super) lock: Option<std::fs::File>,
}

/// Where in its life an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It works.
    Open,
    /// It was told to close and refuses everything; [`Engine::finish`] comes next.
    Closing,
    /// It is done.
    Closed,
}

pub(super) type Outcome<T> = Result<T, Trouble>;

impl Engine {
    /// Does all of it in one transaction. The answers must be told when the engine is free again.
    pub(super) fn work(&mut self, ops: Vec<Op>) -> Worked {
        if self.stage == Stage::Open {
            self.transact(ops)
        } else {
            let answers = ops.into_iter().filter_map(|op| op.refuse(&Trouble::Closed)).collect();
            Worked { answers, trouble: None, place: self.place.clone() }
        }
    }

    /// Whether it was told to close, and [`Engine::finish`] is due.
    pub(super) fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    fn transact(&mut self, ops: Vec<Op>) -> Worked {
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(ops.len());
        if let Err(trouble) = self.begin(&ops, now) {
            for op in &ops {
                if let Op::Settle { tag, .. } = op {
                    self.leases.abandon(tag, now.instant);
                }
            }
            self.undo(now);
            answers.extend(ops.into_iter().filter_map(|op| op.refuse(&trouble)));
            return Worked { answers, trouble: None, place: self.place.clone() };
        }
        for op in ops {
            self.apply(op, now, &mut answers);
        }
        self.admit(now, &mut answers);
        let committed = match self.broken.take() {
            Some(trouble) => Err(trouble),
            None => self.store.commit().map_err(Trouble::from),
        };
        match &committed {
            Ok(()) => {
                self.leases.commit();
                self.signals.wake(&std::mem::take(&mut self.woken));
                if std::mem::take(&mut self.failed) {
                    self.signals.wake_all();
                }
            }
            Err(_) => self.undo(now),
        }
        Worked { answers, trouble: committed.err(), place: self.place.clone() }
    }

    /// The last thing: gives back what nobody took, refuses who still waits for room, and moves the log into the file.
    /// Nothing is lost if it fails.
    pub(super) fn finish(&mut self) -> Worked {
        let mut worked = self.transact(Vec::new());
        self.stage = Stage::Closed;
        for publish in self.room.drain() {
            worked.answers.extend(Op::Publish(Box::new(publish)).refuse(&Trouble::Closed));
        }
        // A visitor leaves the log to whoever works on the file.
        if self.lock.is_some()
            && let Err(error) = self.store.checkpoint()
        {
            tracing::debug!(%error, "the queue file's log stays for the next time");
        }
        self.signals.wake_all();
        worked
    }

    fn begin(&mut self, ops: &[Op], now: Moment) -> Outcome<()> {
        let over = self.leases.next_expiry().is_some_and(|expires| expires <= now.instant);
        let writes = over || !self.home.is_empty() || ops.iter().any(Op::writes);
        self.store.begin(writes, ops.iter().any(Op::must_be_durable))?;
        self.room.look(self.store.data_version()?);
        if !writes {
            return Ok(());
        }
        for tag in self.home.take() {
            if let Some(lease) = self.leases.end(&tag) {
                self.store.take_back(tag.message as i64, !lease.queue.is_dead())?;
                self.woken.insert(lease.queue);
            }
        }
        while let Some((message, lease)) = self.leases.end_expired(now.instant) {
            tracing::warn!(queue = %lease.queue, message, "a delivery was not settled within its lease");
            self.store.take_back(message as i64, false)?;
            self.woken.insert(lease.queue);
        }
        Ok(())
    }

    /// Takes back the whole transaction.
    fn undo(&mut self, now: Moment) {
        self.store.roll_back();
        self.leases.roll_back(0, now.instant);
        self.room.forget();
        self.woken.clear();
        // What had been settled is ready again, and receivers that wait do not know.
        self.signals.wake_all();
    }

    fn apply(&mut self, op: Op, now: Moment, answers: &mut Vec<Answer>) {
        if self.stage != Stage::Open {
            return answers.extend(op.refuse(&Trouble::Closed));
        }
        match op {
            Op::Publish(publish) => return answers.extend(self.publish(publish, now)),
            Op::Withdraw { queue, ticket } => {
                // Room that there is now is given first.
                self.admit(now, answers);
                if let Some(publish) = self.room.withdraw(&queue, ticket) {
                    answers.push(Answer::full(publish, self.settings.publish_timeout.as_secs()));
                }
                return;
            }
            // Whoever asked has gone: handing it out would only take the message round.
            Op::Receive { reply, .. } if reply.is_closed() => return,
            Op::Nudge => return,
            _ => {}
        }
        answers.push(match op {
            Op::Receive { queue, reply } => Answer::of(reply, self.step(now, |engine| engine.receive(&queue, now))),
            Op::Settle { tag, verdict, reply } => {
                let settled = self.step(now, |engine| engine.settle(&tag, &verdict, now));
                if settled.is_err() {
                    self.leases.abandon(&tag, now.instant);
                    self.failed = true;
                }
                Answer::of(reply, settled)
            }
            Op::Depth { queue, reply } => {
                Answer::of(reply, self.store.depth(&queue.to_string(), now.wall).map_err(Trouble::from))
            }
            Op::Browse { queue, skip, limit, reply } => {
                Answer::of(reply, self.store.browse(&queue.to_string(), skip, limit).map_err(Trouble::from))
            }
            Op::Replay { dead, id, reply } => Answer::of(reply, self.step(now, |engine| engine.replay(&dead, &id))),
            Op::Discard { dead, id, reply } => Answer::of(reply, self.step(now, |engine| engine.discard(&dead, &id))),
            Op::Close { reply } => {
                self.stage = Stage::Closing;
                Answer::of(reply, Ok(()))
            }
            Op::Publish(_) | Op::Withdraw { .. } | Op::Nudge => return,
        });
    }

    /// Does one operation whole or not at all, and leaves the rest of the transaction as it was.
    pub(super) fn step<T>(&mut self, now: Moment, step: impl FnOnce(&mut Engine) -> Outcome<T>) -> Outcome<T> {
        if let Some(trouble) = &self.broken {
            return Err(trouble.clone());
        }
        let mark = self.leases.mark();
        self.store.set_mark()?;
        let outcome = step(self);
        let ended = if outcome.is_ok() { self.store.keep() } else { self.store.return_to_mark() };
        if let (Err(trouble), _) | (Ok(_), Err(trouble)) = (&outcome, &ended.map_err(Trouble::from)) {
            self.leases.roll_back(mark, now.instant);
            self.room.forget();
            if !self.store.is_in_transaction() {
                // SQLite gave up all of it (the disk is full, or failed): nobody in it may be told that it worked.
                self.broken = Some(trouble.clone());
            }
            return Err(trouble.clone());
        }
        outcome
    }
}
