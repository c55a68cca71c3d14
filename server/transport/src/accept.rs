//! Sockets with the limits that tonic does not set by itself.
//!
//! One [`Acceptor`] per listener takes connections, checks the caps, and hands them round-robin to N lanes: bounded
//! queues, one per runtime that serves connections. Each [`Incoming`] is such a lane and fits
//! `tonic::transport::Server::serve_with_incoming`. A connection that does not send the HTTP/2 preface in time, or sends
//! something else, is closed. A permit lives in each connection, so that the caps count what is really open.

mod caps;
mod connection;

pub use connection::Connection;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED};
use caps::{Caps, Permit};

/// Connections that wait for one lane to take them. A lane takes them as fast as its runtime turns.
const LANE_QUEUE: usize = 256;
/// Connections that the kernel queues while the acceptor is busy.
const BACKLOG: i32 = 1_024;
/// Pause after an accept that failed, so that running out of file descriptors does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections open at a time. Each costs a file descriptor and about 20 KiB.
    pub connections_max: usize,
    /// Connections open at a time from one IP address. High enough for every caller behind one NAT or on one machine.
    pub connections_per_ip_max: usize,
    /// How long a connection may take to send the 24 bytes of the HTTP/2 preface.
    pub preface_timeout: Duration,
    /// Silence after which the kernel asks whether the other side is still there.
    pub keepalive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_ip_max: 4_096,
            preface_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(60),
        }
    }
}

/// Takes connections from a bound listener. Nothing is taken until [`Acceptor::run`].
#[derive(Debug)]
pub struct Acceptor {
    listener: StdListener,
    local_address: SocketAddr,
    options: Options,
    caps: Arc<Caps>,
    lanes: Vec<mpsc::Sender<Accepted>>,
    next_lane: usize,
}

/// One lane's connections, as a stream that never yields an error. It ends when the acceptor does.
#[derive(Debug)]
pub struct Incoming {
    accepted: mpsc::Receiver<Accepted>,
    preface_timeout: Duration,
}

/// A connection on its way from the acceptor to the runtime that will serve it.
#[derive(Debug)]
struct Accepted {
    stream: StdStream,
    remote_address: SocketAddr,
    local_address: SocketAddr,
    permit: Permit,
}

/// Binds a listener and makes its lanes. The address is bound, and queues connections, when this returns.
///
/// # Errors
/// The address cannot be bound.
///
/// # Panics
/// If `lanes` is 0.
pub fn listen(
    address: SocketAddr,
    options: Options,
    lanes: usize,
) -> io::Result<(Acceptor, Vec<Incoming>)> {
    assert!(lanes > 0, "a listener needs somebody to serve its connections");
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted node must get its port back although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = StdListener::from(socket);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..lanes).map(|_| mpsc::channel(LANE_QUEUE)).unzip();
    let incoming = receivers
        .into_iter()
        .map(|accepted| Incoming { accepted, preface_timeout: options.preface_timeout })
        .collect();
    let acceptor = Acceptor {
        local_address: listener.local_addr()?,
        listener,
        caps: Caps::new(options.connections_max, options.connections_per_ip_max),
        options,
        lanes: senders,
        next_lane: 0,
    };
    Ok((acceptor, incoming))
}

// === impl Acceptor ===

impl Acceptor {
    /// The bound address; its port is the real one if port 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Takes connections until the token is cancelled or every lane is gone. Then the port is closed.
    ///
    /// # Errors
    /// The runtime does not take the listener. Failing accepts are no reason to end.
    pub async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        while self.lanes.iter().any(|lane| !lane.is_closed()) {
            let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else {
                break;
            };
            match accepted.and_then(|(stream, from)| Ok((stream.into_std()?, from))) {
                Ok((stream, from)) => self.admit(stream, from),
                Err(error) => {
                    tracing::warn!(%error, address = %self.local_address, "accept failed");
                    let pause = tokio::time::sleep(ERROR_PAUSE);
                    shutdown.run_until_cancelled(pause).await;
                }
            }
        }
        Ok(())
    }

    /// Closes the connection unless the caps and a lane have room for it.
    fn admit(&mut self, stream: StdStream, from: SocketAddr) {
        let permit = match self.caps.admit(from.ip()) {
            Ok(permit) => permit,
            Err(reason) => return refuse(reason.label()),
        };
        if let Err(error) = self.tune(&stream) {
            // The other side was gone before it was served.
            tracing::debug!(%error, %from, "a connection ended at once");
            return refuse("gone");
        }
        let mut accepted =
            Accepted { stream, remote_address: from, local_address: self.local_address, permit };
        for _ in 0..self.lanes.len() {
            let lane = self.next_lane;
            self.next_lane = (lane + 1) % self.lanes.len();
            match self.lanes[lane].try_send(accepted) {
                Ok(()) => return ::metrics::counter!(CONNECTIONS_ACCEPTED).increment(1),
                Err(
                    mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
                ) => accepted = back,
            }
        }
        refuse("lanes_full");
    }

    fn tune(&self, stream: &StdStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        // Without it, small frames wait for the acknowledgement of the one before: 0.03x the throughput.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(self.options.keepalive))
    }
}

fn refuse(reason: &'static str) {
    ::metrics::counter!(CONNECTIONS_REFUSED, "reason" => reason).increment(1);
}

// === impl Incoming ===

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    /// Must be polled on the runtime that serves the connections: each becomes that runtime's here.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(accepted) = ready!(self.accepted.poll_recv(cx)) else {
                return Poll::Ready(None);
            };
            match Connection::new(accepted, self.preface_timeout) {
                Ok(connection) => return Poll::Ready(Some(Ok(connection))),
                // An error would end some servers' accept loop; this concerns one connection only.
                Err(error) => tracing::warn!(%error, "a connection could not be registered"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
