//! How operations reach the engine: through a bounded channel to the one thread that owns the file, or, in memory, by
//! a call.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::engine::Engine;
use super::work::Op;

/// How many operations may wait for the thread.
const WAITING: usize = 256;
/// How many operations share a commit at most.
const TOGETHER: usize = 64;

/// The way to an engine.
pub(super) enum Link {
    Thread { inbox: mpsc::Sender<Op>, thread: Mutex<Option<JoinHandle<()>>> },
    Inline(Arc<Mutex<Engine>>),
}

/// The way to an engine that does not keep it alive.
pub(super) enum WeakLink {
    Thread(mpsc::WeakSender<Op>),
    Inline(Weak<Mutex<Engine>>),
}

impl Link {
    /// An engine on a thread of its own. It ends when the link is closed or dropped.
    pub(super) fn thread(engine: Engine) -> io::Result<Link> {
        let (inbox, ops) = mpsc::channel(WAITING);
        engine.home.attach(WeakLink::Thread(inbox.downgrade()));
        let thread = std::thread::Builder::new().name(String::from("backhaul-queue")).spawn(|| run(engine, ops))?;
        Ok(Link::Thread { inbox, thread: Mutex::new(Some(thread)) })
    }

    /// An engine that works when it is called.
    pub(super) fn inline(engine: Engine) -> Link {
        let home = engine.home.clone();
        let engine = Arc::new(Mutex::new(engine));
        home.attach(WeakLink::Inline(Arc::downgrade(&engine)));
        Link::Inline(engine)
    }

    /// Passes an operation on. `false` when nobody works any more.
    pub(super) async fn pass(&self, op: Op) -> bool {
        match self {
            Link::Thread { inbox, .. } => inbox.send(op).await.is_ok(),
            Link::Inline(engine) => {
                call(engine, vec![op]);
                true
            }
        }
    }

    /// Waits until the thread has ended. Only after it was told to: then it is a matter of microseconds.
    pub(super) fn join(&self) {
        if let Link::Thread { thread, .. } = self {
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the thread of the queue file panicked");
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Link::Thread { inbox, .. } = self {
            // The thread ends when the last sender goes.
            *inbox = mpsc::channel(1).0;
            self.join();
        }
    }
}

impl WeakLink {
    /// Sees to it that a transaction begins soon.
    pub(super) fn nudge(&self) {
        match self {
            // A full channel means that a transaction begins soon in any case.
            WeakLink::Thread(inbox) => {
                if let Some(inbox) = inbox.upgrade() {
                    drop(inbox.try_send(Op::Nudge));
                }
            }
            WeakLink::Inline(engine) => {
                if let Some(engine) = engine.upgrade() {
                    call(&engine, vec![Op::Nudge]);
                }
            }
        }
    }
}

fn call(engine: &Mutex<Engine>, ops: Vec<Op>) {
    let (worked, finished) = {
        let mut engine = lock(engine);
        let worked = engine.work(ops);
        let finished = engine.is_closing().then(|| engine.finish());
        (worked, finished)
    };
    if let Some(finished) = finished {
        finished.tell();
    }
    worked.tell();
}

fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(mut engine: Engine, mut ops: mpsc::Receiver<Op>) {
    let mut last = None;
    while let Some(first) = ops.blocking_recv() {
        let mut together = vec![first];
        while together.len() < TOGETHER
            && let Ok(next) = ops.try_recv()
        {
            together.push(next);
        }
        let worked = engine.work(together);
        if engine.is_closing() {
            last = Some(worked);
            break;
        }
        worked.tell();
    }
    ops.close();
    let mut late = Vec::new();
    while let Ok(op) = ops.try_recv() {
        late.push(op);
    }
    let refused = engine.work(late);
    let finished = engine.finish();
    // The file and its lock are free before anybody hears that the broker is closed.
    drop(engine);
    for worked in [Some(refused), Some(finished), last].into_iter().flatten() {
        worked.tell();
    }
}
