//! Health and metrics over HTTP, for probes and Prometheus. Nothing here changes anything.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// What the probes answer from.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(pub(crate) watch::Receiver<bool>);

/// Binds the admin address.
///
/// # Errors
/// It cannot be bound.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the token is cancelled.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    ready: Readiness,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(ready));
    let listener = TcpListener::from_std(listener)?;
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn readyz(State(ready): State<Arc<Readiness>>) -> (StatusCode, &'static str) {
    if *ready.0.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics() -> String {
    let handle = telemetry::metrics();
    handle.run_upkeep();
    handle.render()
}
