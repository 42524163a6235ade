//! Serves the three vendors and the simulator's own addresses on one port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::misfortune::{RuleReport, Script};
use crate::requests::Counts;
use crate::settings::Settings;
use crate::simulator::Simulator;
use crate::truth::Truth;
use crate::{eight_by_eight, gate, intercom, webex};

/// How long requests under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A running simulator. It stops when this is dropped; [`Running::stop`] also waits for it.
pub struct Running {
    addr: SocketAddr,
    simulator: Arc<Simulator>,
    stop: DropGuard,
    tasks: JoinSet<io::Result<()>>,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a perfect sync holds now.
    pub fn truth(&self) -> Truth {
        self.simulator.truth()
    }

    /// The handle to script misfortune.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// Stops serving; requests under way have two seconds.
    pub async fn stop(mut self) {
        self.stop.disarm().cancel();
        if tokio::time::timeout(GRACE, self.tasks.join_next()).await.is_err() {
            tracing::debug!("requests were under way when the simulator stopped");
        }
    }
}

/// Starts a simulator at `listen`; port 0 takes a free one.
pub async fn start(settings: Settings, listen: SocketAddr) -> io::Result<Running> {
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    let simulator = Arc::new(Simulator::new(settings));
    if simulator.settings().prerender {
        blocking(&simulator, |simulator| simulator.world.prerender()).await?;
    }
    let router = router(&simulator);
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "small packets may wait");
        }
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
    Ok(Running { addr, simulator, stop: stop.drop_guard(), tasks })
}

fn router(simulator: &Arc<Simulator>) -> Router {
    let vendors = Router::new()
        .merge(eight_by_eight::routes())
        .merge(webex::routes())
        .merge(intercom::routes(simulator))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(Arc::clone(simulator), gate::gate));
    let own = Router::new()
        .route("/truth", get(truth))
        .route("/requests", get(requests).delete(reset_requests))
        .route("/misfortune", get(rules).post(script).delete(clear));
    vendors.merge(own).with_state(Arc::clone(simulator))
}

async fn blocking<T: Send + 'static>(
    simulator: &Arc<Simulator>,
    work: impl FnOnce(&Simulator) -> T + Send + 'static,
) -> io::Result<T> {
    let simulator = Arc::clone(simulator);
    tokio::task::spawn_blocking(move || work(&simulator)).await.map_err(io::Error::other)
}

async fn truth(State(simulator): State<Arc<Simulator>>) -> Result<Json<Truth>, StatusCode> {
    blocking(&simulator, Simulator::truth).await.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn requests(State(simulator): State<Arc<Simulator>>) -> Json<Counts> {
    Json(simulator.requests())
}

async fn reset_requests(State(simulator): State<Arc<Simulator>>) -> StatusCode {
    simulator.reset_requests();
    StatusCode::NO_CONTENT
}

async fn rules(State(simulator): State<Arc<Simulator>>) -> Json<Vec<RuleReport>> {
    Json(simulator.rules())
}

async fn script(State(simulator): State<Arc<Simulator>>, Json(script): Json<Script>) -> Response {
    match simulator.run(script) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn clear(State(simulator): State<Arc<Simulator>>) -> StatusCode {
    simulator.clear();
    StatusCode::NO_CONTENT
}
