//! Stopping: the first signal stops gracefully, the second ends the process at once. Both lose nothing: what is not
//! settled is on the queue.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::output::Output;

/// Listens for signals as long as it lives.
pub(crate) struct Signals {
    /// Cancelled by the first signal.
    pub stop: CancellationToken,
    _listener: JoinSet<()>,
}

impl Signals {
    /// Listens from now on.
    #[must_use]
    pub(crate) fn listen(output: Output) -> Signals {
        let stop = CancellationToken::new();
        let token = stop.clone();
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            signal().await;
            output.say("stopping: what is under way is finished first; a second signal ends at once");
            token.cancel();
            signal().await;
            std::process::exit(Exit::Interrupted as i32);
        });
        Signals { stop, _listener: listener }
    }
}

/// Waits for Ctrl-C, or for SIGTERM where there is one. Where signals cannot be heard it waits for ever.
async fn signal() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminations) => {
            terminations.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
