//! Channels to peers: lazy, cloneable, and opened anew whenever they broke.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use callboard_types::{NodeId, Tick};
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    PeerError, PeerIdentity, SESSION_UNKNOWN_KEY,
    dial::{Live, Met, Target},
};
use crate::metrics::PEER_DIALS_FAILED;

/// The pause after a first attempt that failed, and the longest one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Makes channels to other nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerDialer {
    identity: PeerIdentity,
}

/// A channel to one peer, for the generated clients: `RaftServiceClient::new(channel)`. Clones share one connection.
///
/// It connects at the first call, and again at the first call after the connection broke. After a failed attempt, calls
/// fail at once with the same reason until a pause has passed, which grows and is random; so a caller that repeats needs
/// no timer of its own to be harmless, but should have one. Errors are of [`tonic::Code::Unavailable`] if the peer cannot
/// be reached (the call was not sent) or the connection broke (it may have been done), and typed refusals otherwise; the
/// [`PeerError`] is the source of those that were not sent.
///
/// A deadline (`grpc-timeout`) is kept by the receiver only: bound calls with [`tokio::time::timeout`] as well.
#[derive(Clone)]
pub struct PeerChannel(Arc<Shared>);

struct Shared {
    identity: PeerIdentity,
    to: Target,
    state: Mutex<State>,
    /// Held by the one call that connects; the others wait for what comes of it.
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    failures: u32,
    /// Why the last attempt failed, and until when nobody tries again.
    pause: Option<(PeerError, Tick)>,
}

// === impl PeerDialer ===

impl PeerDialer {
    /// A dialer in this node's name.
    #[must_use]
    pub fn new(identity: PeerIdentity) -> Self {
        Self { identity }
    }

    /// A channel to a node at an address (host:port; names are looked up at each attempt). [`NodeId::ZERO`] if only the
    /// address is known. Every channel has a connection of its own, so that what is sent on one cannot delay another.
    #[must_use]
    pub fn channel(&self, to: NodeId, address: &str) -> PeerChannel {
        PeerChannel(Arc::new(Shared {
            identity: self.identity.clone(),
            to: Target { node: to, address: address.to_owned() },
            state: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }))
    }

    /// Who listens at an address: a handshake and nothing else.
    ///
    /// # Errors
    /// Nobody does, or nobody of this cluster.
    pub async fn meet(&self, address: &str) -> Result<Met, PeerError> {
        let to = Target { node: NodeId::ZERO, address: address.to_owned() };
        Ok(Live::open(&self.identity, &to).await?.met)
    }
}

// === impl PeerChannel ===

impl PeerChannel {
    /// The address that it calls.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.to.address
    }
}

impl fmt::Debug for PeerChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerChannel({})", self.0.to)
    }
}

impl Service<Request<Body>> for PeerChannel {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.send(request).await })
    }
}

// === impl Shared ===

impl Shared {
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Incoming>, Status> {
        let live = match self.live() {
            Some(live) => live,
            // A task of its own: callers with short deadlines must not keep a slow connection from ever being made.
            None => match tokio::spawn(Arc::clone(&self).dial()).await {
                Ok(dialed) => dialed?,
                Err(_) => return Err(Status::unavailable("the node is stopping")),
            },
        };
        let response = live.clone().send(request).await?;
        if response.headers().contains_key(SESSION_UNKNOWN_KEY) {
            // The peer forgot the session; the next call opens another.
            let mut state = self.state.lock();
            state.live = state.live.take().filter(|current| !current.is(&live));
        }
        Ok(response)
    }

    fn live(&self) -> Option<Live> {
        let own = self.identity.node();
        self.state.lock().live.as_ref().filter(|live| live.serves(own)).cloned()
    }

    async fn dial(self: Arc<Self>) -> Result<Live, PeerError> {
        let _turn = self.dialing.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        {
            let state = self.state.lock();
            if let Some((error, until)) = &state.pause
                && Tick::now() < *until
            {
                return Err(error.clone());
            }
        }
        let opened = Box::pin(Live::open(&self.identity, &self.to)).await;
        let mut state = self.state.lock();
        match opened {
            Ok(live) => {
                *state = State { live: Some(live.clone()), failures: 0, pause: None };
                Ok(live)
            }
            Err(error) => {
                ::metrics::counter!(PEER_DIALS_FAILED, "reason" => error.label()).increment(1);
                // Seeds may name the node itself, and nodes that begin a cluster together start one by one.
                let expected = self.to.node == NodeId::ZERO && !error.is_refusal();
                if state.failures == 0 && expected {
                    tracing::debug!(%error, "no connection to a possible peer");
                } else if state.failures == 0 {
                    tracing::warn!(%error, "no connection to a peer; it is tried again");
                }
                let pause = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                state.pause = Some((error.clone(), Tick::now().plus_millis(pause)));
                Err(error)
            }
        }
    }
}

/// Milliseconds to wait after so many failures: random, so that nodes that lost the same peer do not come back at once.
fn backoff(failures: u32) -> u64 {
    let (first, most) = (BACKOFF.0.as_millis() as u64, BACKOFF.1.as_millis() as u64);
    let longest = first.saturating_mul(1 << failures.min(16)).min(most);
    rand::random_range(longest / 2..=longest)
}
