//! Who a node is to other nodes, and how both ends of a connection prove it.
//!
//! Nodes of one cluster share a secret. The first call on every connection is `HandshakeService.Open`: each side proves
//! by HMAC-SHA256 over both sides' fresh nonces, ids, the cluster's id and the protocol's version that it knows the
//! secret, which never travels. What comes of it is a session: a token that both sides derive and that goes as metadata
//! with every further call. A session belongs to its connection: a token that somebody overheard opens nothing elsewhere.
//!
//! * [`PeerIdentity`]: the secret, and who this node is once it knows. One per node, shared by the two below.
//! * [`PeerDialer`] makes a [`PeerChannel`] per purpose, fit for every generated client of `callboard.peer.v1`.
//! * [`PeerGuard`] is the layer around the listener for nodes; [`PeerIdentity::handshake_service`] is served behind it.
//!
//! # For services behind the guard
//!
//! The guard puts [`PeerNode`] into the extensions of every request: who the session's handshake proved to be. A message
//! that names its sender (`Envelope.from_node`) must be compared with it, and refused with
//! [`callboard_types::ErrorKind::PeerRefused`] if it names another: [`PeerNode::check`] does that. `PeerNode(NodeId::ZERO)`
//! is a node without a number, which the guard lets call `MembershipService.Join` and `Greet` only.
//!
//! # What it does not do
//!
//! It authenticates; it does not encrypt. Who can change packets between two nodes can take over their connection.

mod channel;
mod dial;
mod error;
mod guard;
mod handshake;
mod proof;
mod sessions;

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
    time::Duration,
};

use callboard_proto::peer::v1::handshake_service_server::HandshakeServiceServer;
use callboard_types::{CallError, ErrorKind, NodeId};
use parking_lot::Mutex;

pub use channel::{PeerChannel, PeerDialer};
pub use dial::Met;
pub use error::PeerError;
pub use guard::PeerGuard;
pub use handshake::Handshake;

use proof::{Nonce, Secret};
use sessions::Sessions;

/// The versions of the protocol between nodes that this build speaks.
pub const PROTOCOLS: RangeInclusive<u32> = 1..=1;
/// Shortest secret of a cluster, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Sessions that a node keeps. A node opens two or three with each of its peers; a cluster has at most 100 or so.
pub const SESSIONS_MAX: usize = 1_024;
/// How long connecting to a peer may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a handshake may take, on either side.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection between nodes may be silent before it is asked for a sign of life. Half of a lease, so that
/// calls on a dead connection are taken up again about when their actors are elsewhere.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the sign of life may take.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest message of a handshake.
const HANDSHAKE_BYTES_MAX: usize = 4 * 1024;
/// Metadata that carries the session's token.
const SESSION_KEY: &str = "callboard-peer-session";
/// Metadata of a refusal that says that the token opens nothing (any more): a new handshake is due.
const SESSION_UNKNOWN_KEY: &str = "callboard-peer-session-unknown";

/// The node at the other end of a session, as its handshake proved. In the extensions of every request behind
/// [`PeerGuard`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerNode(pub NodeId);

/// The secret of the cluster, and who this node is in it once that is known. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct PeerIdentity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    secret: Secret,
    protocols: RangeInclusive<u32>,
    settled: OnceLock<Settled>,
    sessions: Sessions,
    /// Nonces of handshakes that this node begins now: one that comes back was sent to itself.
    dialing: Mutex<Vec<Nonce>>,
}

/// A node's name for life.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    cluster_id: String,
    node: NodeId,
}

// === impl PeerNode ===

impl PeerNode {
    /// Refuses a message that names another sender than its session's.
    ///
    /// # Errors
    /// [`ErrorKind::PeerRefused`].
    pub fn check(self, claimed: NodeId) -> Result<(), CallError> {
        if self.0 == claimed && claimed != NodeId::ZERO {
            return Ok(());
        }
        let text = format!(
            "the message says that node {claimed} sent it, and its connection is node {}'s; it was \
             not read",
            self.0
        );
        Err(CallError::new(ErrorKind::PeerRefused, text))
    }
}

// === impl PeerIdentity ===

impl PeerIdentity {
    /// A node that knows the cluster's secret and not yet its own name. Secrets shorter than [`SECRET_BYTES_MIN`] are for
    /// the configuration to refuse.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self::with_protocols(secret, PROTOCOLS)
    }

    fn with_protocols(secret: impl AsRef<[u8]>, protocols: RangeInclusive<u32>) -> Self {
        Self(Arc::new(Inner {
            secret: Secret::new(secret.as_ref()),
            protocols,
            settled: OnceLock::new(),
            sessions: Sessions::new(SESSIONS_MAX),
            dialing: Mutex::default(),
        }))
    }

    /// Tells the node its name. From now on it refuses other clusters, in both directions.
    ///
    /// # Panics
    /// If it was told another name before: a node keeps its name for life.
    pub fn settle(&self, cluster_id: impl Into<String>, node: NodeId) {
        let settled = Settled { cluster_id: cluster_id.into(), node };
        let known = self.0.settled.get_or_init(|| settled.clone());
        assert_eq!(*known, settled, "a node keeps its name for life");
    }

    /// The node's number; [`NodeId::ZERO`] before it is settled.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.settled.get().map_or(NodeId::ZERO, |settled| settled.node)
    }

    /// The cluster; empty before the node is settled.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.0.settled.get().map_or("", |settled| &settled.cluster_id)
    }

    /// Answers handshakes. To be served on the listener for nodes, behind [`PeerGuard`].
    #[must_use]
    pub fn handshake_service(&self) -> HandshakeServiceServer<Handshake> {
        HandshakeServiceServer::new(Handshake::new(self.clone()))
            .max_decoding_message_size(HANDSHAKE_BYTES_MAX)
    }

    /// Who the session with this token is, if it is one and came over this connection.
    fn session(&self, token: &[u8], remote: Option<SocketAddr>) -> Option<PeerNode> {
        self.0.sessions.find(token, remote)
    }
}

#[cfg(test)]
mod tests;
