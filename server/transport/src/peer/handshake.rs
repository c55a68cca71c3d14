//! `HandshakeService`: the side that is called.

use std::net::SocketAddr;

use bytes::Bytes;
use callboard_proto::peer::v1::{
    OpenRequest, OpenResponse, handshake_service_server::HandshakeService,
};
use callboard_types::{CallError, ErrorKind, NodeId};
use tonic::{Request, Response, Status};

use super::{
    PeerIdentity,
    proof::{Answer, Nonce, Offer},
};
use crate::{
    metrics::{PEER_REFUSED, PEER_SESSIONS_OPENED},
    status::to_status,
};

/// Answers handshakes; see [`PeerIdentity::handshake_service`].
#[derive(Clone, Debug)]
pub struct Handshake {
    identity: PeerIdentity,
}

/// Metadata of a refusal: its word in metrics.
pub(super) const REFUSED_KEY: &str = "refused";
/// The word of a handshake that a node had with itself.
pub(super) const MYSELF: &str = "self";

/// A refusal, and its word in metrics.
type Refusal = (&'static str, CallError);

// === impl Handshake ===

impl Handshake {
    pub(super) fn new(identity: PeerIdentity) -> Self {
        Self { identity }
    }

    fn answer(
        &self,
        request: &OpenRequest,
        remote: Option<SocketAddr>,
    ) -> Result<OpenResponse, Refusal> {
        let protocol = self.common_version(request.protocol)?;
        let Ok(nonce) = <&Nonce>::try_from(request.nonce.as_ref()) else {
            return Err(refused("malformed", "the nonce must have 32 bytes".to_owned()));
        };
        let offer = Offer {
            protocol: request.protocol,
            cluster_id: &request.cluster_id,
            from_node: request.from_node,
            to_node: request.to_node,
            nonce,
        };
        let secret = &self.identity.0.secret;
        // Before anything about this node is said: strangers learn nothing.
        if !secret.offer_holds(&offer, &request.proof) {
            let text = "the secrets differ; set the same cluster.secret on every node".to_owned();
            return Err(refused("secret", text));
        }
        self.check_names(request, nonce)?;
        let (own, own_nonce): (_, Nonce) = (self.identity.node(), rand::random());
        let cluster_id = self.identity.cluster_id();
        let answer = Answer { protocol, cluster_id, node: own.0, nonce: &own_nonce };
        let token = secret.token(&offer, &answer);
        self.identity.0.sessions.open(token, NodeId(request.from_node), remote);
        Ok(OpenResponse {
            protocol,
            cluster_id: cluster_id.to_owned(),
            node_id: own.0,
            nonce: Bytes::copy_from_slice(&own_nonce),
            proof: Bytes::copy_from_slice(&secret.prove_answer(&offer, &answer)),
        })
    }

    /// The newest version that both speak. The caller names its newest one, and refuses one that is too old for it.
    fn common_version(&self, theirs: u32) -> Result<u32, Refusal> {
        let (min, max) = (*self.identity.0.protocols.start(), *self.identity.0.protocols.end());
        if theirs >= min {
            return Ok(theirs.min(max));
        }
        let text = format!(
            "this node speaks versions {min} to {max} of the protocol between nodes, and the other \
             one none after {theirs}: upgrade the other one"
        );
        Err(("version", CallError::new(ErrorKind::ProtocolVersion, text)))
    }

    fn check_names(&self, request: &OpenRequest, nonce: &Nonce) -> Result<(), Refusal> {
        if self.identity.0.dialing.lock().contains(nonce) {
            return Err(refused(MYSELF, "this is the node itself".to_owned()));
        }
        let (cluster_id, own) = (self.identity.cluster_id(), self.identity.node().0);
        if request.to_node != 0 && request.to_node != own {
            let text = match own {
                0 => "this node has no number yet; it is about to join".to_owned(),
                own => format!("this is node {own}, not node {}", request.to_node),
            };
            return Err(refused("other_node", text));
        }
        if cluster_id.is_empty() {
            return Ok(());
        }
        if !request.cluster_id.is_empty() && request.cluster_id != cluster_id {
            let text = format!(
                "this node belongs to cluster {cluster_id}, and the other one to {}; is one of \
                 them set to the wrong peers, or to a data folder of another cluster?",
                request.cluster_id
            );
            return Err(refused("cluster", text));
        }
        if request.from_node == own {
            let text = format!(
                "both nodes say that they are node {own}; was a data folder copied? Give one of \
                 them an empty one"
            );
            return Err(refused("same_node", text));
        }
        Ok(())
    }
}

fn refused(label: &'static str, text: String) -> Refusal {
    (label, CallError::new(ErrorKind::PeerRefused, text).with(REFUSED_KEY, label))
}

#[tonic::async_trait]
impl HandshakeService for Handshake {
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let remote = request.remote_addr();
        let request = request.into_inner();
        match self.answer(&request, remote) {
            Ok(answer) => {
                ::metrics::counter!(PEER_SESSIONS_OPENED).increment(1);
                tracing::debug!(node = request.from_node, ?remote, "a peer opened a session");
                Ok(Response::new(answer))
            }
            Err((label, error)) => {
                ::metrics::counter!(PEER_REFUSED, "reason" => label).increment(1);
                // Strangers could fill a log that tells of each; the counter does, and the other side's log.
                tracing::debug!(?remote, reason = label, "a handshake was refused");
                Err(to_status(&error))
            }
        }
    }
}
