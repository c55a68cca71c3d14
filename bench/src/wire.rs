//! Connections as every process of a measurement makes them.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};

use crate::error::Error;

/// The baseline's service, generated from `proto/echo.proto`.
pub(crate) mod echo {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "the code is generated from a documented proto file"
    )]
    include!(concat!(env!("OUT_DIR"), "/callboard.bench.v1.rs"));
}

/// Flow-control windows of streams and connections. Small frames are budgeted by the window, so thousands of calls in
/// flight need a wide one; the adaptive window is never used, because it makes h2 close busy connections.
pub(crate) const WINDOW_BYTES: u32 = 16 << 20;

/// Largest message either side takes: a batch of 8,192 turns of some 500 bytes is 4 MiB.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Connects to a server, trying for a few seconds, because it may have been started a moment ago.
pub(crate) async fn connect(server: &str) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if tokio::time::Instant::now() >= give_up => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Binds a loopback port (0 for any) and returns the connections to it with the address.
pub(crate) async fn listen(port: u16) -> Result<(TcpIncoming, SocketAddr), Error> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    Ok((TcpIncoming::from(listener).with_nodelay(Some(true)), address))
}

/// A server with the windows that the measurements use.
pub(crate) fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
}
