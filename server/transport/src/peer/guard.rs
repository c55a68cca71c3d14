//! The layer around the listener for nodes: without a session, nothing but a handshake.
//!
//! It looks at headers only. Whoever is refused has made this node read no body, and no service has seen the request.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use callboard_types::{CallError, ErrorKind, NodeId};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::{Status, transport::server::TcpConnectInfo};
use tower::{Layer, Service};

use super::{
    HANDSHAKE_TIMEOUT, PeerIdentity, PeerNode, SESSION_KEY, SESSION_UNKNOWN_KEY, dial::token_of,
};
use crate::{metrics::PEER_REFUSED, status::to_status};

/// What may be called without a session.
const OPEN: &str = "/callboard.peer.v1.HandshakeService/Open";
/// What a node without a number may call: who is there, and may I join.
const NEWCOMERS: [&str; 2] =
    ["/callboard.peer.v1.MembershipService/Greet", "/callboard.peer.v1.MembershipService/Join"];

/// Refuses every request that has no session, with [`ErrorKind::PeerRefused`] and before its body is read; puts
/// [`PeerNode`] into the extensions of the others.
#[derive(Clone, Debug)]
pub struct PeerGuard {
    identity: PeerIdentity,
}

/// A service behind the guard.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    identity: PeerIdentity,
}

// === impl PeerGuard ===

impl PeerGuard {
    /// The guard of one node's listener.
    #[must_use]
    pub fn new(identity: PeerIdentity) -> Self {
        Self { identity }
    }
}

impl<S> Layer<S> for PeerGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, identity: self.identity.clone() }
    }
}

// === impl Guarded ===

impl<S> Guarded<S> {
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        remote: Option<SocketAddr>,
    ) -> Result<PeerNode, (&'static str, String)> {
        let mut tokens = headers.get_all(SESSION_KEY).iter();
        let (Some(token), None) = (tokens.next(), tokens.next()) else {
            let text = "this port is for the nodes of a cluster, which open a session first";
            return Err(("no_session", text.to_owned()));
        };
        let session = token_of(token).and_then(|token| self.identity.session(&token, remote));
        let Some(peer) = session else {
            let text = "the session is not known (any more); open another one".to_owned();
            return Err(("unknown_session", text));
        };
        if peer.0 == NodeId::ZERO && !NEWCOMERS.contains(&path) {
            return Err(("no_number", "a node that has not joined may only join".to_owned()));
        }
        Ok(peer)
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if request.uri().path() == OPEN {
            let answer = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.inner.call(request));
            return Box::pin(async {
                answer.await.unwrap_or_else(|_| {
                    Ok(Status::deadline_exceeded("the handshake took too long").into_http())
                })
            });
        }
        let remote = request.extensions().get::<TcpConnectInfo>().and_then(|info| info.remote_addr);
        match self.admit(request.uri().path(), request.headers(), remote) {
            Ok(peer) => {
                request.extensions_mut().insert(peer);
                Box::pin(self.inner.call(request))
            }
            Err((label, text)) => {
                ::metrics::counter!(PEER_REFUSED, "reason" => label).increment(1);
                tracing::debug!(?remote, reason = label, "a request of a stranger was refused");
                let error = CallError::new(ErrorKind::PeerRefused, text);
                let mut response = to_status(&error).into_http();
                if label == "unknown_session" {
                    let set = HeaderValue::from_static("1");
                    response.headers_mut().insert(SESSION_UNKNOWN_KEY, set);
                }
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}
