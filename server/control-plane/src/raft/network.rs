//! Raft between nodes, over `callboard.peer.v1.RaftService`.
//!
//! Requests are unary: openraft hands over a request before an RPC is opened for it, so that a dead peer costs one
//! attempt per backoff and not a spin. Every request carries whose it is; the other side refuses a foreign cluster,
//! group or node before it decodes anything.

use std::{collections::HashMap, future::Future, io, sync::Arc, time::Duration};

use callboard_proto::peer::v1::{
    AppendEntriesRequest, Envelope, InstallSnapshotRequest, ProposeRequest, VoteRequest,
    raft_service_client::RaftServiceClient,
};
use callboard_transport::{server, status};
use callboard_types::{CallError, ErrorKind, limits::MESSAGE_BYTES_MAX};
use openraft::{
    BasicNode, OptionalSend,
    error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RaftNetworkFactory, RaftNetworkV2},
    raft,
};
use parking_lot::Mutex;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{
    codec::{self, FORMAT},
    snapshot_store::{CHUNK_BYTES, SnapshotBytes},
    types::{Proposal, Reply, Snapshot, TypeConfig, Vote},
};

/// The consensus group of the control plane; later groups get other names.
pub(crate) const GROUP: &str = "control";
/// Largest message between nodes: an entry that holds one largest registration, and its frame.
pub(crate) const PEER_MESSAGE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// How long connecting to a peer may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// An append waits for the peer's disk at least this long: one stall of a disk is no reason to send everything again.
const APPEND_TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// Connections to the other nodes, one per address. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cluster_id: String,
    node: u64,
    channels: Mutex<HashMap<String, Channel>>,
}

/// openraft's client for one peer.
#[derive(Debug)]
pub(crate) struct Peer {
    peers: Peers,
    target: u64,
    client: Result<RaftServiceClient<Channel>, String>,
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(cluster_id: &str, node: u64) -> Self {
        Self(Arc::new(Inner { cluster_id: cluster_id.into(), node, channels: Mutex::default() }))
    }

    /// Sends a command to the leader at the address.
    pub(crate) async fn propose(
        &self,
        target: u64,
        address: &str,
        proposal: &Proposal,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let unavailable = |text: String| CallError::new(ErrorKind::StoreUnavailable, text);
        let mut client = self.client(address).map_err(unavailable)?;
        let body = proposal.as_bytes().to_vec().into();
        let request = ProposeRequest { envelope: Some(self.envelope(target)), body };
        let answer = tokio::time::timeout(timeout, client.propose(request))
            .await
            .map_err(|_| unavailable("the control plane's leader did not answer".into()))?
            .map_err(|error| status::from_status(&error))?;
        codec::decode(&answer.into_inner().body)
            .map_err(|error| unavailable(format!("the leader's answer: {error}")))
    }

    fn envelope(&self, target: u64) -> Envelope {
        Envelope {
            cluster_id: self.0.cluster_id.clone(),
            group: GROUP.into(),
            from_node: self.0.node,
            to_node: target,
            format: FORMAT.into(),
        }
    }

    fn client(&self, address: &str) -> Result<RaftServiceClient<Channel>, String> {
        let mut channels = self.0.channels.lock();
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))
                    .map_err(|error| format!("\"{address}\" is no address: {error}"))?;
                let channel = endpoint
                    .connect_timeout(CONNECT_TIMEOUT)
                    .tcp_nodelay(true)
                    .initial_stream_window_size(server::WINDOW_BYTES)
                    .initial_connection_window_size(server::WINDOW_BYTES)
                    .http2_keep_alive_interval(server::KEEPALIVE_INTERVAL)
                    .keep_alive_timeout(server::KEEPALIVE_TIMEOUT)
                    .keep_alive_while_idle(true)
                    .connect_lazy();
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        Ok(RaftServiceClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { peers: self.clone(), target, client: self.client(&node.addr) }
    }
}

// === impl Peer ===

impl Peer {
    fn client(&self) -> Result<RaftServiceClient<Channel>, Unreachable<TypeConfig>> {
        self.client.clone().map_err(Unreachable::from_string)
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
