//! One connection to a peer: TCP, HTTP/2, and the handshake of the side that calls.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use callboard_proto::peer::v1::{
    OpenRequest, OpenResponse, handshake_service_client::HandshakeServiceClient,
};
use callboard_types::{ErrorKind, NodeId};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, Uri, uri::Authority};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tonic::{Code, Status, body::Body};
use tower::Service;

use super::{
    CONNECT_TIMEOUT, HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT, Inner, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, PeerError, PeerIdentity, SESSION_KEY,
    handshake::{MYSELF, REFUSED_KEY},
    proof::{Answer, Digest, Nonce, Offer},
};
use crate::{server, status::from_status};

/// Who answered a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its cluster; empty if it has none yet.
    pub cluster_id: String,
    /// Its number; [`NodeId::ZERO`] if it has none yet.
    pub node: NodeId,
}

/// Whom to call.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// [`NodeId::ZERO`] if only the address is known.
    pub(super) node: NodeId,
    pub(super) address: String,
}

/// A connection with a session. It ends with its last clone.
#[derive(Clone)]
pub(super) struct Live {
    wire: Wire,
    token: HeaderValue,
    /// Who this node was when the session was opened.
    own: NodeId,
    pub(super) met: Met,
}

/// A connection as a service, for the handshake and for everything after it.
#[derive(Clone)]
struct Wire {
    sender: SendRequest<Body>,
    authority: Authority,
}

/// A handshake that this node begins: known to the answering side of the same node while it lasts.
struct Attempt<'a> {
    inner: &'a Inner,
    nonce: Nonce,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            NodeId::ZERO => f.write_str(&self.address),
            node => write!(f, "node {node} at {}", self.address),
        }
    }
}

// === impl Live ===

impl Live {
    /// Connects and proves both sides. The connection is driven on the current runtime.
    pub(super) async fn open(identity: &PeerIdentity, to: &Target) -> Result<Self, PeerError> {
        let wire = Wire::connect(to).await?;
        let attempt = Attempt::begin(&identity.0);
        let offer = Offer {
            protocol: *identity.0.protocols.end(),
            cluster_id: identity.cluster_id(),
            from_node: identity.node().0,
            to_node: to.node.0,
            nonce: &attempt.nonce,
        };
        let request = OpenRequest {
            protocol: offer.protocol,
            cluster_id: offer.cluster_id.to_owned(),
            from_node: offer.from_node,
            to_node: offer.to_node,
            nonce: Bytes::copy_from_slice(offer.nonce),
            proof: Bytes::copy_from_slice(&identity.0.secret.prove_offer(&offer)),
        };
        let mut client = HandshakeServiceClient::new(wire.clone())
            .max_decoding_message_size(HANDSHAKE_BYTES_MAX);
        let answer = tokio::time::timeout(HANDSHAKE_TIMEOUT, client.open(request)).await;
        let response = answer
            .map_err(|_| PeerError::Unreachable {
                peer: to.to_string(),
                reason: format!("no answer for {} s", HANDSHAKE_TIMEOUT.as_secs()),
            })?
            .map_err(|status| refusal(to, &status))?
            .into_inner();
        let token = check(identity, to, &offer, &response)?;
        let met = Met { cluster_id: response.cluster_id, node: NodeId(response.node_id) };
        Ok(Self { wire, token: token_header(&token), own: NodeId(offer.from_node), met })
    }

    /// True if it can be used in this name: a node that got its number opens sessions anew.
    pub(super) fn serves(&self, own: NodeId) -> bool {
        self.own == own && !self.wire.sender.is_closed()
    }

    /// True if both are the same session.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.token == other.token
    }

    pub(super) async fn send(
        mut self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, Status> {
        request.headers_mut().insert(SESSION_KEY, self.token);
        self.wire.call(request).await
    }
}

/// What a status of the handshake says.
fn refusal(to: &Target, status: &Status) -> PeerError {
    let (peer, error) = (to.to_string(), from_status(status));
    let is_typed = matches!(error.kind, ErrorKind::PeerRefused | ErrorKind::ProtocolVersion);
    match status.code() {
        _ if error.metadata.get(REFUSED_KEY).is_some_and(|why| why == MYSELF) => {
            PeerError::Myself { peer }
        }
        _ if is_typed => PeerError::Refused { peer, error },
        Code::Unavailable | Code::DeadlineExceeded => {
            PeerError::Unreachable { peer, reason: status.message().to_owned() }
        }
        _ => PeerError::NotANode { peer, reason: status.message().to_owned() },
    }
}

/// Checks the other side's answer. The session's token if it is sound.
fn check(
    identity: &PeerIdentity,
    to: &Target,
    offer: &Offer<'_>,
    response: &OpenResponse,
) -> Result<Digest, PeerError> {
    let peer = || to.to_string();
    let Ok(nonce) = <&Nonce>::try_from(response.nonce.as_ref()) else {
        let reason = "its nonce does not have 32 bytes".to_owned();
        return Err(PeerError::NotANode { peer: peer(), reason });
    };
    let answer = Answer {
        protocol: response.protocol,
        cluster_id: &response.cluster_id,
        node: response.node_id,
        nonce,
    };
    let secret = &identity.0.secret;
    if !secret.answer_holds(offer, &answer, &response.proof) {
        return Err(PeerError::WrongSecret { peer: peer() });
    }
    let protocols = &identity.0.protocols;
    if !protocols.contains(&response.protocol) {
        let (min, max) = (*protocols.start(), *protocols.end());
        return Err(PeerError::Version { peer: peer(), theirs: response.protocol, min, max });
    }
    if !offer.cluster_id.is_empty() && response.cluster_id != offer.cluster_id {
        let (theirs, ours) = (response.cluster_id.clone(), offer.cluster_id.to_owned());
        return Err(PeerError::ForeignCluster { peer: peer(), theirs, ours });
    }
    if offer.to_node != 0 && response.node_id != offer.to_node {
        return Err(PeerError::OtherNode { peer: peer(), theirs: response.node_id });
    }
    Ok(secret.token(offer, &answer))
}

// === impl Attempt ===

impl<'a> Attempt<'a> {
    fn begin(inner: &'a Inner) -> Self {
        let nonce = rand::random();
        inner.dialing.lock().push(nonce);
        Self { inner, nonce }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.inner.dialing.lock().retain(|nonce| *nonce != self.nonce);
    }
}

// === impl Wire ===

impl Wire {
    async fn connect(to: &Target) -> Result<Self, PeerError> {
        let unreachable = |reason: String| PeerError::Unreachable { peer: to.to_string(), reason };
        let authority: Authority = to
            .address
            .parse()
            .map_err(|_| unreachable(format!("\"{}\" is no host:port", to.address)))?;
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&to.address))
            .await
            .map_err(|_| unreachable(format!("no answer for {} s", CONNECT_TIMEOUT.as_secs())))?
            .map_err(|error| unreachable(error.to_string()))?;
        // Without it, small frames wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(server::WINDOW_BYTES)
            .initial_connection_window_size(server::WINDOW_BYTES)
            .max_frame_size(server::FRAME_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let peer = to.to_string();
        tokio::spawn(connection.map(move |ended| {
            if let Err(error) = ended {
                tracing::debug!(peer, %error, "a connection to a peer broke");
            }
        }));
        Ok(Self { sender, authority })
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.sender.poll_ready(cx).map_err(|error| broken(&error))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        match Uri::from_parts(parts) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => {
                let status = Status::internal(format!("the path of a call: {error}"));
                return Box::pin(std::future::ready(Err(status)));
            }
        }
        let answer = self.sender.send_request(request);
        Box::pin(async move { answer.await.map_err(|error| broken(&error)) })
    }
}

/// The connection ended before an answer came. What was sent may have been done.
fn broken(error: &hyper::Error) -> Status {
    Status::unavailable(format!("the connection to the peer broke: {error}"))
}

/// A token as metadata.
fn token_header(token: &Digest) -> HeaderValue {
    let text: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut value = HeaderValue::try_from(text).expect("hexadecimal digits");
    // Kept out of what HTTP/2 remembers, and of debug output.
    value.set_sensitive(true);
    value
}

/// Reads a token from metadata.
pub(super) fn token_of(value: &HeaderValue) -> Option<Digest> {
    let (digits, mut token) = (value.as_bytes(), Digest::default());
    if digits.len() != 2 * token.len() {
        return None;
    }
    for (byte, pair) in token.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(token)
}
