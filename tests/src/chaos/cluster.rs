//! What the nemesis asks the cluster itself: who leads, who owns a shard, who belongs to it.

use std::time::Duration;

use callboard_proto::{
    control::v1::{
        DrainNodeRequest, GetActorTypeRequest, GetClusterStatusRequest, GetClusterStatusResponse,
        NodeState, RemoveNodeRequest, UndrainNodeRequest,
        actor_types_service_client::ActorTypesServiceClient,
        cluster_service_client::ClusterServiceClient,
    },
    types::v1::ActorId,
};
use callboard_types::shard;
use tonic::transport::{Channel, Endpoint};

use super::{Error, node};
use crate::net::Port;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a change of membership may take until it is answered.
const CHANGE_MAX: Duration = Duration::from_secs(15);

/// A connection to a node for one question.
///
/// # Errors
/// If the node does not take it in time.
pub async fn connect(port: Port, patience: Duration) -> Result<Channel, Error> {
    let address = node::gateway(port);
    Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Error::failed(format!("{address}: {error}")))?
        .connect_timeout(ANSWER_MAX)
        .timeout(patience)
        .connect()
        .await
        .map_err(|error| Error::failed(format!("node {port} takes no connection: {error}")))
}

/// What a node knows of the cluster.
///
/// # Errors
/// If it does not answer in time.
pub async fn status(port: Port) -> Result<GetClusterStatusResponse, Error> {
    let channel = connect(port, ANSWER_MAX).await?;
    let answer = ClusterServiceClient::new(channel)
        .get_cluster_status(GetClusterStatusRequest {})
        .await
        .map_err(|status| Error::failed(format!("node {port}: {}", status.message())))?;
    Ok(answer.into_inner())
}

/// The cluster's status as the first of these nodes says that answers.
pub async fn any_status(ports: &[Port]) -> Option<GetClusterStatusResponse> {
    for port in ports {
        if let Ok(status) = status(*port).await {
            return Some(status);
        }
    }
    None
}

/// The port of the node with a number in the cluster.
#[must_use]
pub fn port_of(status: &GetClusterStatusResponse, node: u64) -> Option<Port> {
    let found = status.nodes.iter().find(|one| one.node_id == node)?;
    let host = found.address.rsplit_once(':')?.0;
    host.rsplit_once('.')?.1.parse().ok()
}

/// The number in the cluster of the node at a port.
#[must_use]
pub fn number_of(status: &GetClusterStatusResponse, port: Port) -> Option<u64> {
    let address = node::gateway(port);
    status.nodes.iter().find(|node| node.address == address).map(|node| node.node_id)
}

/// The port of the leader, as any of these nodes says.
pub async fn leader(ports: &[Port]) -> Option<Port> {
    let status = any_status(ports).await?;
    port_of(&status, status.leader_id)
}

/// The port of the node that owns an actor's shard, as any of these nodes says.
pub async fn owner(ports: &[Port], actor: &ActorId) -> Option<Port> {
    let status = any_status(ports).await?;
    for port in ports {
        if let Some(owner) = owner_by(*port, actor).await {
            return port_of(&status, owner);
        }
    }
    None
}

async fn owner_by(port: Port, actor: &ActorId) -> Option<u64> {
    let channel = connect(port, ANSWER_MAX).await.ok()?;
    let request =
        GetActorTypeRequest { system: actor.system.clone(), r#type: actor.r#type.clone() };
    let described =
        ActorTypesServiceClient::new(channel).get_actor_type(request).await.ok()?.into_inner();
    let count = u32::try_from(described.shards.len()).ok()?;
    let shard = shard::shard_of(&actor.key, count);
    described.shards.iter().find(|owner| owner.shard == shard).map(|owner| owner.node_id)
}

/// True if the node at a port belongs to the cluster and serves.
#[must_use]
pub fn is_up(status: &GetClusterStatusResponse, port: Port) -> bool {
    let address = node::gateway(port);
    let found = status.nodes.iter().find(|node| node.address == address);
    found.is_some_and(|node| node.state() == NodeState::Up)
}

/// What can be asked of a cluster about one of its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Take its shards from it.
    Drain,
    /// Let it have shards again.
    Undrain,
    /// Remove it for good.
    Remove,
}

/// Asks a node to change something about the one at another port. A node that is no member any longer need not be
/// removed.
///
/// # Errors
/// If the node does not answer, or refuses.
pub async fn change(asked: Port, port: Port, change: Change) -> Result<(), Error> {
    let status = status(asked).await?;
    let Some(node_id) = number_of(&status, port) else {
        return match change {
            Change::Remove => Ok(()),
            _ => Err(Error::failed(format!("node {asked} does not know node {port}"))),
        };
    };
    let mut client = ClusterServiceClient::new(connect(asked, CHANGE_MAX).await?);
    let done = match change {
        Change::Drain => client.drain_node(DrainNodeRequest { node_id }).await.map(|_| ()),
        Change::Undrain => client.undrain_node(UndrainNodeRequest { node_id }).await.map(|_| ()),
        Change::Remove => client.remove_node(RemoveNodeRequest { node_id }).await.map(|_| ()),
    };
    done.map_err(|status| Error::failed(format!("node {asked}: {}", status.message())))
}
