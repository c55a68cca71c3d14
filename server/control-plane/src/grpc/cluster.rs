//! `callboard.control.v1.ClusterService`.

use std::{collections::HashMap, sync::Arc};

use callboard_proto::control::v1::{
    GetClusterStatusRequest, GetClusterStatusResponse, Node, cluster_service_server::ClusterService,
};
use callboard_types::{ClusterView, NodeId};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::current;

/// The cluster as a whole.
#[derive(Clone, Debug)]
pub struct Cluster {
    view: watch::Receiver<Arc<ClusterView>>,
}

impl Cluster {
    /// Answers from this view.
    #[must_use]
    pub fn new(view: watch::Receiver<Arc<ClusterView>>) -> Self {
        Self { view }
    }
}

fn status(view: &ClusterView) -> GetClusterStatusResponse {
    let mut owned: HashMap<NodeId, u32> = HashMap::new();
    for owner in view.types.iter().flat_map(|view| view.shards.iter()) {
        *owned.entry(owner.node).or_default() += 1;
    }
    let nodes = view.nodes.iter().map(|node| Node {
        node_id: node.id.0,
        address: node.address.clone(),
        voter: node.voter,
        shards_owned: owned.get(&node.id).copied().unwrap_or_default(),
    });
    GetClusterStatusResponse {
        cluster_id: view.cluster_id.clone(),
        node_id: view.node.0,
        leader_id: view.leader.unwrap_or_default().0,
        term: view.term,
        view_version: view.version,
        nodes: nodes.collect(),
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn get_cluster_status(
        &self,
        _request: Request<GetClusterStatusRequest>,
    ) -> Result<Response<GetClusterStatusResponse>, Status> {
        Ok(Response::new(status(&current(&self.view))))
    }
}
