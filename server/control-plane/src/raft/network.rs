//! Raft between nodes, over `callboard.peer.v1.RaftService`.
//!
//! Requests are unary: openraft hands over a request before an RPC is opened for it, so that a dead peer costs one
//! attempt per backoff and not a spin. Every request carries whose it is; the other side refuses a foreign cluster,
//! group or node before it decodes anything.

use std::{future::Future, io, time::Duration};

use callboard_proto::peer::v1::{
    AppendEntriesRequest, Envelope, InstallSnapshotRequest, TransferLeaderRequest, VoteRequest,
};
use openraft::{
    BasicNode, OptionalSend,
    error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RaftNetworkFactory, RaftNetworkV2},
    raft,
};
use tonic::{Code, Status};

use super::{
    codec,
    snapshot_store::{CHUNK_BYTES, SnapshotBytes},
    types::{Snapshot, TypeConfig, Vote},
};
use crate::peers::{Peers, RaftClient};

/// An append waits for the peer's disk at least this long: one stall of a disk is no reason to send everything again.
const APPEND_TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// openraft's client for one peer.
#[derive(Debug)]
pub(crate) struct Peer {
    peers: Peers,
    target: u64,
    /// Where the membership says that it is; it may have told us of a newer place.
    address: String,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { peers: self.clone(), target, address: node.addr.clone() }
    }
}

// === impl Peer ===

impl Peer {
    fn client(&self) -> Result<RaftClient, Unreachable<TypeConfig>> {
        let client = self.peers.raft(self.target, &self.address);
        client.map_err(|error| Unreachable::from_string(error.to_string()))
    }

    fn envelope(&self) -> Option<Envelope> {
        Some(self.peers.envelope(self.target))
    }

    async fn ask_for_vote(
        &self,
        request: &raft::VoteRequest<TypeConfig>,
        pre_vote: bool,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client()?;
        let body = codec::encode(request).into();
        let request = VoteRequest { envelope: self.envelope(), body, pre_vote };
        let answer = within(option.hard_ttl(), client.vote(request)).await?;
        Ok(codec::decode(&answer.body).map_err(garbled)?)
    }

    /// The snapshot in pieces; the first carries what it is.
    fn pieces(&self, vote: Vote, snapshot: &Snapshot) -> Vec<InstallSnapshotRequest> {
        let header = (vote, &snapshot.meta, snapshot.snapshot.len());
        let first = InstallSnapshotRequest {
            envelope: self.envelope(),
            header: codec::encode(&header).into(),
            ..InstallSnapshotRequest::default()
        };
        let rest = snapshot.snapshot.chunks(CHUNK_BYTES).map(|chunk| InstallSnapshotRequest {
            chunk: chunk.to_vec().into(),
            ..InstallSnapshotRequest::default()
        });
        std::iter::once(first).chain(rest).collect()
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotBytes;

    async fn append_entries(
        &mut self,
        request: raft::AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<raft::AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client()?;
        let body = codec::encode(&request).into();
        let request = AppendEntriesRequest { envelope: self.envelope(), body };
        let patience = option.hard_ttl().max(APPEND_TIMEOUT_MIN);
        let answer = within(patience, client.append_entries(request)).await?;
        Ok(codec::decode(&answer.body).map_err(garbled)?)
    }

    async fn vote(
        &mut self,
        request: raft::VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(&request, false, option).await
    }

    async fn pre_vote(
        &mut self,
        request: raft::VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(&request, true, option).await
    }

    async fn transfer_leader(
        &mut self,
        request: raft::TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<raft::TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client()?;
        let body = codec::encode(&request).into();
        let request = TransferLeaderRequest { envelope: self.envelope(), body };
        let answer = within(option.hard_ttl(), client.transfer_leader(request)).await?;
        Ok(codec::decode(&answer.body).map_err(garbled)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<raft::SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut client = self.client()?;
        let pieces = futures::stream::iter(self.pieces(vote, &snapshot));
        let sending = within(option.hard_ttl(), client.install_snapshot(pieces));
        let answer = tokio::select! {
            closed = cancel => return Err(closed.into()),
            answer = sending => answer?,
        };
        Ok(codec::decode(&answer.body).map_err(garbled)?)
    }
}

/// Waits for an answer. A peer that is not there is `Unreachable`, which makes openraft back off.
async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status.code() == Code::Unavailable => {
            Err(Unreachable::new(&status).into())
        }
        Ok(Err(status)) => Err(NetworkError::new(&status).into()),
        Err(_) => {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            Err(Unreachable::new(&late).into())
        }
    }
}

fn garbled(error: codec::CodecError) -> NetworkError<TypeConfig> {
    NetworkError::new(&io::Error::from(error))
}
