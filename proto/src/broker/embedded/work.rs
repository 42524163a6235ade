//! What can be asked of a queue file, and answers that wait for the commit.

use tokio::sync::oneshot;

use super::handed::Handed;
use super::room::Publish;
use super::trouble::Trouble;
use crate::broker::{BrokerError, Depth, Queue, Tag};
use crate::fault::Verdict;
use crate::message::Message;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

/// What came of asking for a delivery.
pub(super) enum Next {
    /// It.
    Delivery(Box<Handed>),
    /// Nothing is ready; something known will be after this long, if nothing happens before.
    Nothing(std::time::Duration),
}

/// One thing to do.
pub(super) enum Op {
    Publish(Box<Publish>),
    Withdraw {
        queue: Queue,
        ticket: u64,
    },
    Receive {
        queue: Queue,
        reply: Reply<Next>,
    },
    Settle {
        tag: Tag,
        verdict: Verdict,
        reply: Reply<()>,
    },
    Depth {
        queue: Queue,
        reply: Reply<Depth>,
    },
    Browse {
        queue: Queue,
        skip: usize,
        limit: usize,
        reply: Reply<Vec<Message>>,
    },
    Replay {
        dead: Queue,
        id: String,
        reply: Reply<Option<Queue>>,
    },
    Discard {
        dead: Queue,
        id: String,
        reply: Reply<bool>,
    },
    /// Something returned to [`super::handed::Home`].
    Nudge,
    Close {
        reply: Reply<()>,
    },
}

impl Op {
    /// Whether it changes the file.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Op::Depth { .. } | Op::Browse { .. } | Op::Close { .. })
    }

    /// Whether its answer says that something survives a loss of power; all of it survives the end of the process. A
    /// hand-out need not: the message is there in any case, it would only be counted once less. Nor need `Done`: the
    /// message would come once more, which everything here can bear, and the next sync carries it along.
    pub(super) fn must_be_durable(&self) -> bool {
        let spared = matches!(self, Op::Receive { .. } | Op::Nudge | Op::Settle { verdict: Verdict::Done, .. });
        self.writes() && !spared
    }

    /// The answer that it was not done.
    pub(super) fn refuse(self, trouble: &Trouble) -> Option<Answer> {
        match self {
            Op::Publish(publish) => Some(Answer::of(publish.reply, Err(trouble.clone()))),
            Op::Settle { reply, .. } | Op::Close { reply } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Receive { reply, .. } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Depth { reply, .. } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Browse { reply, .. } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Replay { reply, .. } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Discard { reply, .. } => Some(Answer::of(reply, Err(trouble.clone()))),
            Op::Withdraw { .. } | Op::Nudge => None,
        }
    }
}

/// Sends an answer: what went wrong with the whole transaction, and where, in its stead.
type Tell = dyn FnOnce(Option<&Trouble>, &str) + Send;

/// An answer that waits for the commit.
pub(super) struct Answer(Box<Tell>);

impl Answer {
    /// `result`, unless the commit fails.
    pub(super) fn of<T: Send + 'static>(reply: Reply<T>, result: Result<T, Trouble>) -> Answer {
        Answer(Box::new(move |trouble, place| {
            let result = match trouble {
                Some(trouble) => Err(trouble.at(place)),
                None => result.map_err(|trouble| trouble.at(place)),
            };
            // Whoever asked may have gone; a delivery then goes home by itself.
            drop(reply.send(result));
        }))
    }

    /// That a queue stayed full: true whatever becomes of the commit.
    pub(super) fn full(publish: Publish, waited: u64) -> Answer {
        Answer(Box::new(move |_, _| {
            drop(publish.reply.send(Err(BrokerError::Full { queue: publish.queue.to_string(), waited })));
        }))
    }
}

/// A finished transaction: its answers, and what went wrong with all of it.
#[must_use]
pub(super) struct Worked {
    pub(super) answers: Vec<Answer>,
    pub(super) trouble: Option<Trouble>,
    pub(super) place: std::sync::Arc<str>,
}

impl Worked {
    /// Tells everyone. Never to be called with the engine locked: a delivery that nobody takes comes back at once.
    pub(super) fn tell(self) {
        for Answer(answer) in self.answers {
            answer(self.trouble.as_ref(), &self.place);
        }
    }
}
