//! `callboard.peer.v1.RaftService`: what other nodes ask of this one.
//!
//! The envelope is checked before a body is decoded: a foreign cluster, group or node is refused and changes nothing. Who
//! the sender is was proved when its connection was opened; see [`callboard_transport::peer`].

use callboard_proto::peer::v1::{
    AppendEntriesRequest, AppendEntriesResponse, Envelope, InstallSnapshotRequest,
    InstallSnapshotResponse, ProposeRequest, ProposeResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
    raft_service_server::{RaftService, RaftServiceServer},
};
use callboard_transport::{peer::PeerNode, status::to_status};
use callboard_types::{CallError, ErrorKind, NodeId};
use openraft::raft;
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::{
    entrance::{Entrance, Member},
    peers::PEER_MESSAGE_BYTES_MAX,
    propose::stopped,
    raft::{
        codec::{self, FORMAT},
        snapshot_store::SNAPSHOT_BYTES_MAX,
        types::{Proposal, Snapshot, SnapshotMeta, TypeConfig, Vote},
    },
};

/// How far ahead of this node's term another one's may be. Terms rise by one per election: one that is further ahead was
/// never reached by elections, and taking it would leave no room for later ones.
const TERMS_AHEAD_MAX: u64 = 1 << 32;

/// Serves the other nodes of the cluster, once this node is a member.
#[derive(Clone, Debug)]
pub struct PeerService(Entrance);

impl PeerService {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self(entrance)
    }

    /// The service to add to the cluster's listener, with its limits. The listener must be guarded by
    /// [`callboard_transport::peer::PeerGuard`].
    #[must_use]
    pub fn into_server(self) -> RaftServiceServer<Self> {
        RaftServiceServer::new(self)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// Refuses a vote of a term that no election can have reached.
    fn check_term(member: &Member, vote: &Vote) -> Result<(), Status> {
        let own = member.proposer.term();
        if vote.leader_id.term > own.saturating_add(TERMS_AHEAD_MAX) {
            let text = format!(
                "term {} cannot have been reached by elections: this node is at term {own}. The sender's log is damaged; \
                 empty its data folder and let it join again",
                vote.leader_id.term
            );
            return Err(to_status(&CallError::new(ErrorKind::InvalidArgument, text)));
        }
        Ok(())
    }
}

/// Whose a message is, and that it is meant for this node. Returns the sender and what answers it.
pub(super) fn check<'a>(
    entrance: &'a Entrance,
    envelope: Option<&Envelope>,
    extensions: &Extensions,
) -> Result<(NodeId, &'a Member), Status> {
    let refuse = |kind, text: String| Err(to_status(&CallError::new(kind, text)));
    let Some(envelope) = envelope else {
        return refuse(ErrorKind::InvalidArgument, "the envelope is missing".into());
    };
    if u32::from(FORMAT) != envelope.format {
        let text = format!("this node speaks peer format {FORMAT}, not {}", envelope.format);
        return refuse(ErrorKind::ProtocolVersion, text);
    }
    let member = entrance.member().map_err(|error| to_status(&error))?;
    let Some(own) = entrance.peers().myself() else {
        return refuse(ErrorKind::ShuttingDown, "this node has no name yet".into());
    };
    if envelope.cluster_id != own.cluster_id || envelope.group != own.group {
        let text = "this node belongs to another cluster, or to one whose control plane was recovered; check the peer \
                    addresses, or empty the sender's data folder and let it join again";
        return refuse(ErrorKind::PeerRefused, text.into());
    }
    if envelope.to_node != own.node_id {
        let text = format!("this is node {}, not node {}", own.node_id, envelope.to_node);
        return refuse(ErrorKind::PeerRefused, text);
    }
    let from = NodeId(envelope.from_node);
    let proved = extensions.get::<PeerNode>().copied().unwrap_or(PeerNode(NodeId::ZERO));
    proved.check(from).map_err(|error| to_status(&error))?;
    Ok((from, member))
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
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.0, request.envelope.as_ref(), &extensions)?;
        let entries: raft::AppendEntriesRequest<TypeConfig> =
            codec::decode(&request.body).map_err(|_| malformed("the entries"))?;
        Self::check_term(member, &entries.vote)?;
        let answer = member.proposer.raft.append_entries(entries).await.map_err(halted)?;
        Ok(Response::new(AppendEntriesResponse { body: codec::encode(&answer).into() }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.0, request.envelope.as_ref(), &extensions)?;
        let ballot: raft::VoteRequest<TypeConfig> =
            codec::decode(&request.body).map_err(|_| malformed("the vote"))?;
        Self::check_term(member, &ballot.vote)?;
        let raft = &member.proposer.raft;
        let answer =
            if request.pre_vote { raft.pre_vote(ballot).await } else { raft.vote(ballot).await };
        let body = codec::encode(&answer.map_err(halted)?).into();
        Ok(Response::new(VoteResponse { body }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<InstallSnapshotRequest>>,
    ) -> Result<Response<InstallSnapshotResponse>, Status> {
        let (_, extensions, mut pieces) = request.into_parts();
        let first = pieces.message().await?.ok_or_else(|| malformed("an empty snapshot"))?;
        let (_, member) = check(&self.0, first.envelope.as_ref(), &extensions)?;
        let (vote, meta, length): (Vote, SnapshotMeta, usize) =
            codec::decode(&first.header).map_err(|_| malformed("the snapshot's header"))?;
        Self::check_term(member, &vote)?;
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
        let installed = member.proposer.raft.install_full_snapshot(vote, snapshot).await;
        let body = codec::encode(&installed.map_err(halted)?).into();
        Ok(Response::new(InstallSnapshotResponse { body }))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.0, request.envelope.as_ref(), &extensions)?;
        let proposal = Proposal::from_bytes(request.body.to_vec());
        let reply = member.proposer.apply_for_peer(proposal).await;
        let body = reply.map_err(|error| to_status(&error))?.encode().into();
        Ok(Response::new(ProposeResponse { body }))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.0, request.envelope.as_ref(), &extensions)?;
        let transfer = codec::decode(&request.body).map_err(|_| malformed("the transfer"))?;
        let answer = member.proposer.raft.handle_transfer_leader(transfer).await.map_err(halted)?;
        Ok(Response::new(TransferLeaderResponse { body: codec::encode(&answer).into() }))
    }
}
