//! `callboard.peer.v1.RaftService`: what other nodes ask of this one.
//!
//! The envelope is checked before a body is decoded: a foreign cluster, group or node is refused and changes nothing.

use callboard_proto::peer::v1::{
    AppendEntriesRequest, AppendEntriesResponse, Envelope, InstallSnapshotRequest,
    InstallSnapshotResponse, ProposeRequest, ProposeResponse, VoteRequest, VoteResponse,
    raft_service_server::{RaftService, RaftServiceServer},
};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ErrorKind};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    identity::Identity,
    propose::{Proposer, stopped},
    raft::{
        codec::{self, FORMAT},
        network::{GROUP, PEER_MESSAGE_BYTES_MAX},
        snapshot_store::SNAPSHOT_BYTES_MAX,
        types::{Proposal, Snapshot, SnapshotMeta, Vote},
    },
};

/// Serves the other nodes of the cluster.
#[derive(Clone)]
pub struct PeerService {
    cluster_id: String,
    node: u64,
    proposer: Proposer,
}

impl std::fmt::Debug for PeerService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerService").field("node", &self.node).finish_non_exhaustive()
    }
}

impl PeerService {
    pub(crate) fn new(identity: &Identity, proposer: Proposer) -> Self {
        Self { cluster_id: identity.cluster_id.clone(), node: identity.node_id, proposer }
    }

    /// The service to add to the cluster's listener, with its limits.
    #[must_use]
    pub fn into_server(self) -> RaftServiceServer<Self> {
        RaftServiceServer::new(self)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    fn check(&self, envelope: Option<&Envelope>) -> Result<(), Status> {
        let refuse = |kind, text: String| Err(to_status(&CallError::new(kind, text)));
        let Some(envelope) = envelope else {
            return refuse(ErrorKind::InvalidArgument, "the envelope is missing".into());
        };
        if u32::from(FORMAT) != envelope.format {
            let text = format!("this node speaks peer format {FORMAT}, not {}", envelope.format);
            return refuse(ErrorKind::ProtocolVersion, text);
        }
        if envelope.cluster_id != self.cluster_id || envelope.group != GROUP {
            let text = "this node belongs to another cluster or group; check the peer addresses";
            return refuse(ErrorKind::InvalidArgument, text.into());
        }
        if envelope.to_node != self.node {
            let text = format!("this is node {}, not node {}", self.node, envelope.to_node);
            return refuse(ErrorKind::InvalidArgument, text);
        }
        Ok(())
    }
}

fn malformed(what: &str) -> Status {
    to_status(&CallError::new(ErrorKind::InvalidArgument, format!("{what} cannot be decoded")))
}

fn halted<E>(_: E) -> Status {
    to_status(&stopped())
}

#[tonic::async_trait]
impl RaftService for PeerService {
    async fn append_entries(
        &self,
        request: Request<AppendEntriesRequest>,
    ) -> Result<Response<AppendEntriesResponse>, Status> {
        let request = request.into_inner();
        self.check(request.envelope.as_ref())?;
        let entries = codec::decode(&request.body).map_err(|_| malformed("the entries"))?;
        let answer = self.proposer.raft.append_entries(entries).await.map_err(halted)?;
        Ok(Response::new(AppendEntriesResponse { body: codec::encode(&answer).into() }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let request = request.into_inner();
        self.check(request.envelope.as_ref())?;
        let ballot = codec::decode(&request.body).map_err(|_| malformed("the vote"))?;
        let raft = &self.proposer.raft;
        let answer =
            if request.pre_vote { raft.pre_vote(ballot).await } else { raft.vote(ballot).await };
        let body = codec::encode(&answer.map_err(halted)?).into();
        Ok(Response::new(VoteResponse { body }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<InstallSnapshotRequest>>,
    ) -> Result<Response<InstallSnapshotResponse>, Status> {
        let mut pieces = request.into_inner();
        let first = pieces.message().await?.ok_or_else(|| malformed("an empty snapshot"))?;
        self.check(first.envelope.as_ref())?;
        let (vote, meta, length): (Vote, SnapshotMeta, usize) =
            codec::decode(&first.header).map_err(|_| malformed("the snapshot's header"))?;
        if length > SNAPSHOT_BYTES_MAX {
            return Err(malformed("a snapshot over the limit"));
        }
        // Grows with what arrives, not with what was announced.
        let mut bytes = first.chunk.to_vec();
        while let Some(piece) = pieces.message().await? {
            bytes.extend_from_slice(&piece.chunk);
            if bytes.len() > length {
                return Err(malformed("a snapshot longer than announced"));
            }
        }
        let snapshot: std::sync::Arc<[u8]> = bytes.into();
        if snapshot.len() != length || !crate::raft::state_machine::is_whole(&snapshot) {
            return Err(malformed("a snapshot that is cut off or damaged"));
        }
        let snapshot = Snapshot { meta, snapshot };
        let installed = self.proposer.raft.install_full_snapshot(vote, snapshot).await;
        let body = codec::encode(&installed.map_err(halted)?).into();
        Ok(Response::new(InstallSnapshotResponse { body }))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let request = request.into_inner();
        self.check(request.envelope.as_ref())?;
        let proposal = Proposal::from_bytes(request.body.to_vec());
        let reply = self.proposer.apply_for_peer(proposal).await;
        let body = codec::encode(&reply.map_err(|error| to_status(&error))?).into();
        Ok(Response::new(ProposeResponse { body }))
    }
}
