//! Why a connection to another node could not be made, in words for whoever reads the log.

use callboard_types::{CallError, ErrorKind};
use tonic::Status;

use crate::status::to_status;

/// Why there is no connection to a peer. No call was sent. `peer` is "node 2 at host:port", or the address alone.
///
/// [`super::PeerChannel`] gives it as the source of its [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Nobody listens there, or nobody answers.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable {
        /// Whom.
        peer: String,
        /// What the network says.
        reason: String,
    },
    /// What answered does not speak the protocol between nodes.
    #[error("{peer} does not answer like a node: {reason}. Is this its peer address?")]
    NotANode {
        /// Whom.
        peer: String,
        /// What it did.
        reason: String,
    },
    /// The peer refused the handshake.
    #[error("{peer} refused this node: {}", .error.message)]
    Refused {
        /// Whom.
        peer: String,
        /// What it said; [`ErrorKind::PeerRefused`] or [`ErrorKind::ProtocolVersion`].
        error: CallError,
    },
    /// The address is this node's own.
    #[error("{peer} is this node itself")]
    Myself {
        /// The address.
        peer: String,
    },
    /// The two speak no common version of the protocol.
    #[error(
        "{peer} speaks version {theirs} of the protocol between nodes, and this node {min} to \
         {max}: upgrade the older of the two"
    )]
    Version {
        /// Whom.
        peer: String,
        /// The version that it chose.
        theirs: u32,
        /// The oldest version that this node speaks.
        min: u32,
        /// The newest.
        max: u32,
    },
    /// The peer could not prove that it knows the secret.
    #[error(
        "{peer} does not know the secret of this cluster; set the same cluster.secret on every node"
    )]
    WrongSecret {
        /// Whom.
        peer: String,
    },
    /// The peer belongs to another cluster that has the same secret.
    #[error("{peer} belongs to cluster {theirs}, and this node to {ours}")]
    ForeignCluster {
        /// Whom.
        peer: String,
        /// Its cluster.
        theirs: String,
        /// This node's cluster.
        ours: String,
    },
    /// Another node has the address now.
    #[error("{peer} is node {theirs} now")]
    OtherNode {
        /// Whom.
        peer: String,
        /// The number of the node that answered; 0 if it has none.
        theirs: u64,
    },
}

impl PeerError {
    /// True if only a change of somebody's settings helps.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::OtherNode { .. } | Self::Myself { .. })
    }

    /// A word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::NotANode { .. } => "not_a_node",
            Self::Refused { .. } => "refused",
            Self::Myself { .. } => "self",
            Self::Version { .. } => "version",
            Self::WrongSecret { .. } => "secret",
            Self::ForeignCluster { .. } => "cluster",
            Self::OtherNode { .. } => "other_node",
        }
    }
}

impl From<PeerError> for Status {
    fn from(error: PeerError) -> Self {
        let kind = match &error {
            PeerError::Unreachable { .. } | PeerError::OtherNode { .. } => None,
            PeerError::Version { .. } => Some(ErrorKind::ProtocolVersion),
            PeerError::Refused { error, .. } => Some(error.kind),
            PeerError::NotANode { .. }
            | PeerError::Myself { .. }
            | PeerError::WrongSecret { .. }
            | PeerError::ForeignCluster { .. } => Some(ErrorKind::PeerRefused),
        };
        let text = error.to_string();
        let mut status = match kind {
            Some(kind) => to_status(&CallError::new(kind, text)),
            None => Self::unavailable(text),
        };
        status.set_source(std::sync::Arc::new(error));
        status
    }
}
