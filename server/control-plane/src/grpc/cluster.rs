//! `callboard.control.v1.ClusterService`: the same from whichever node is asked.
//!
//! What changes the cluster is a command, which finds the leader by itself; only the leases and the leadership are asked
//! of the leader directly.

mod events;
mod status;

use std::{pin::Pin, sync::Arc, time::Duration};

use callboard_proto::control::v1::{
    BackupControlPlaneRequest, BackupControlPlaneResponse, DrainNodeRequest, DrainNodeResponse,
    GetClusterStatusRequest, GetClusterStatusResponse, RebalanceRequest, RebalanceResponse,
    RemoveNodeRequest, RemoveNodeResponse, TakeSnapshotRequest, TakeSnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse, UndrainNodeRequest, UndrainNodeResponse,
    WatchClusterStatusRequest, WatchClusterStatusResponse, cluster_service_server::ClusterService,
};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ClusterView, NodeId, Tick};
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::Handle;

/// Pause between two messages to one watcher: what happens meanwhile comes in one.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// A status is sent at least this often, so that the leases in it are fresh.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of one piece of a backup.
const BACKUP_CHUNK_BYTES: usize = 1024 * 1024;
/// How long [`ClusterService::remove_node`] waits for a drain if the call has no deadline of its own.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(60);

type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The cluster as a whole.
#[derive(Clone, Debug)]
pub struct Cluster {
    handle: Handle,
}

impl Cluster {
    /// Answers by what this node knows, and what the leader says.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    async fn status(&self, view: &ClusterView) -> GetClusterStatusResponse {
        let leases = self.handle.leases().await;
        let held = self.handle.lease().holds_at(Tick::now());
        status::of(view, self.handle.cluster_version(), held, leases.as_deref())
    }

    /// 0 means the node that answers.
    fn named(&self, node: u64) -> NodeId {
        if node == 0 { self.handle.node() } else { NodeId(node) }
    }
}

/// One watcher.
struct Watcher {
    cluster: Cluster,
    /// What was sent last, and how many views there were by then.
    before: Option<(Arc<ClusterView>, u64)>,
}

impl Watcher {
    /// The next message. Waits until there is something to say.
    async fn next(mut self) -> (Result<WatchClusterStatusResponse, Status>, Self) {
        let handle = self.cluster.handle.clone();
        let Some((before, seen)) = self.before.take() else {
            let (view, seen) = handle.proposer.publisher.counted();
            let status = Some(self.cluster.status(&view).await);
            self.before = Some((view, seen));
            return (Ok(WatchClusterStatusResponse { status, events: vec![], changes: 0 }), self);
        };
        tokio::time::sleep(WATCH_PAUSE).await;
        let mut views = handle.view();
        let news = views.wait_for(|view| !Arc::ptr_eq(view, &before));
        // A quiet cluster is no reason to end the watch.
        let _ = tokio::time::timeout(WATCH_INTERVAL, news).await;
        let (view, count) = handle.proposer.publisher.counted();
        let changes = u32::try_from(count - seen).unwrap_or(u32::MAX);
        let events = events::between(&before, &view);
        let status = Some(self.cluster.status(&view).await);
        self.before = Some((view, count));
        (Ok(WatchClusterStatusResponse { status, events, changes }), self)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn refused(error: CallError) -> Status {
    to_status(&error)
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    type WatchClusterStatusStream = Sent<WatchClusterStatusResponse>;
    type BackupControlPlaneStream = Sent<BackupControlPlaneResponse>;

    async fn get_cluster_status(
        &self,
        _request: Request<GetClusterStatusRequest>,
    ) -> Result<Response<GetClusterStatusResponse>, Status> {
        let view = self.handle.view().borrow().clone();
        Ok(Response::new(self.status(&view).await))
    }

    /// Holds one view per watcher and nothing else: a slow one is told later, of more at once.
    async fn watch_cluster_status(
        &self,
        _request: Request<WatchClusterStatusRequest>,
    ) -> Result<Response<Self::WatchClusterStatusStream>, Status> {
        let watcher = Watcher { cluster: self.clone(), before: None };
        let messages =
            futures::stream::unfold(watcher, |watcher| async { Some(watcher.next().await) });
        Ok(Response::new(messages.boxed()))
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeResponse>, Status> {
        let node = self.named(request.into_inner().node_id);
        self.handle.set_draining(node, true).await.map_err(refused)?;
        let shards_owned = self.handle.shards_of(node);
        Ok(Response::new(DrainNodeResponse { shards_owned }))
    }

    async fn undrain_node(
        &self,
        request: Request<UndrainNodeRequest>,
    ) -> Result<Response<UndrainNodeResponse>, Status> {
        let node = self.named(request.into_inner().node_id);
        self.handle.set_draining(node, false).await.map_err(refused)?;
        Ok(Response::new(UndrainNodeResponse {}))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node_id);
        self.handle.remove_node(node, REMOVE_TIMEOUT).await.map_err(refused)?;
        Ok(Response::new(RemoveNodeResponse {}))
    }

    async fn rebalance(
        &self,
        _request: Request<RebalanceRequest>,
    ) -> Result<Response<RebalanceResponse>, Status> {
        let shards_moving = self.handle.rebalance().await.map_err(refused)?;
        Ok(Response::new(RebalanceResponse { shards_moving }))
    }

    async fn take_snapshot(
        &self,
        _request: Request<TakeSnapshotRequest>,
    ) -> Result<Response<TakeSnapshotResponse>, Status> {
        let log_index = self.handle.take_snapshot().await.map_err(refused)?;
        Ok(Response::new(TakeSnapshotResponse { log_index }))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let to = NodeId(request.into_inner().node_id);
        let (leader, term) = self.handle.transfer_leader(to).await.map_err(refused)?;
        Ok(Response::new(TransferLeaderResponse { leader_id: leader.0, term }))
    }

    async fn backup_control_plane(
        &self,
        _request: Request<BackupControlPlaneRequest>,
    ) -> Result<Response<Self::BackupControlPlaneStream>, Status> {
        let bytes = bytes::Bytes::from(self.handle.backup().await.map_err(refused)?);
        let pieces = (0..bytes.len()).step_by(BACKUP_CHUNK_BYTES).map(move |from| {
            let chunk = bytes.slice(from..bytes.len().min(from + BACKUP_CHUNK_BYTES));
            Ok(BackupControlPlaneResponse { chunk })
        });
        Ok(Response::new(futures::stream::iter(pieces).boxed()))
    }
}
