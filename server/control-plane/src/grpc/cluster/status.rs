//! A view, and what the leader knows, as operators read it.

use std::collections::HashMap;

use callboard_proto::{
    control::v1::{GetClusterStatusResponse, Node, NodeState},
    peer::v1::NodeLease,
};
use callboard_types::{ClusterView, NodeId};

/// Shards of one node.
#[derive(Clone, Copy, Default)]
struct Shards {
    owned: u32,
    leaving: u32,
    arriving: u32,
}

/// The status by a view. `leases` is what the leader said, if it did.
pub(super) fn of(
    view: &ClusterView,
    cluster_version: u32,
    lease_held: bool,
    leases: Option<&[NodeLease]>,
) -> GetClusterStatusResponse {
    let shards = shards(view);
    let nodes = view.nodes.iter().map(|node| {
        let counted = shards.get(&node.id).copied().unwrap_or_default();
        let lease = leases.into_iter().flatten().find(|lease| lease.node_id == node.id.0);
        Node {
            node_id: node.id.0,
            address: node.address.clone(),
            voter: node.voter,
            shards_owned: counted.owned,
            state: state(node.state).into(),
            peer_address: node.peer_address.clone(),
            version: lease.map(|lease| lease.version.clone()).unwrap_or_default(),
            shards_leaving: counted.leaving,
            shards_arriving: counted.arriving,
            renewed_ago_ms: lease.and_then(|lease| lease.renewed_ago_ms),
            lease_remaining_ms: lease.map(|lease| lease.remaining_ms),
            view_version: lease.map(|lease| lease.view_version).unwrap_or_default(),
        }
    });
    GetClusterStatusResponse {
        cluster_id: view.cluster_id.clone(),
        node_id: view.node.0,
        leader_id: view.leader.unwrap_or_default().0,
        term: view.term,
        view_version: view.version,
        nodes: nodes.collect(),
        cluster_version,
        lease_held,
        leader_answered: leases.is_some(),
    }
}

fn shards(view: &ClusterView) -> HashMap<NodeId, Shards> {
    let mut shards: HashMap<NodeId, Shards> = HashMap::new();
    for owner in view.types.iter().flat_map(|view| view.shards.iter()) {
        let of_owner = shards.entry(owner.node).or_default();
        of_owner.owned += 1;
        if owner.is_moving() {
            of_owner.leaving += 1;
            shards.entry(owner.moving_to).or_default().arriving += 1;
        }
    }
    shards
}

fn state(state: callboard_types::NodeState) -> NodeState {
    match state {
        callboard_types::NodeState::Up => NodeState::Up,
        callboard_types::NodeState::Draining => NodeState::Draining,
        callboard_types::NodeState::Down => NodeState::Down,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use callboard_types::{Epoch, NodeView, ShardOwner, TypeDefinition, TypeView};

    use super::*;

    #[test]
    fn nodes_are_described_with_their_shards_and_with_their_leases_if_the_leader_answered() {
        let node = |id, voter, state| NodeView {
            id: NodeId(id),
            address: format!("n{id}:7070"),
            peer_address: format!("n{id}:7072"),
            voter,
            state,
        };
        let moving = ShardOwner { moving_to: NodeId(2), ..ShardOwner::new(NodeId(1), Epoch(1)) };
        let mut view = ClusterView {
            version: 9,
            cluster_id: "c".into(),
            node: NodeId(1),
            leader: Some(NodeId(2)),
            term: 3,
            nodes: vec![
                node(1, true, callboard_types::NodeState::Draining),
                node(2, false, callboard_types::NodeState::Up),
            ],
            ..ClusterView::default()
        };
        view.set_types(vec![Arc::new(TypeView {
            id: 7,
            system: "shop".into(),
            name: "Cart".into(),
            definition: TypeDefinition::new("Cart"),
            descriptor_hash: "".into(),
            descriptor_set: Arc::new([]),
            shards: [moving, ShardOwner::new(NodeId(1), Epoch(1))].into(),
        })]);
        let lease = NodeLease {
            node_id: 2,
            renewed_ago_ms: Some(40),
            remaining_ms: 2_160,
            view_version: 8,
            version: "0.1.0".into(),
        };
        let status = of(&view, 2, true, Some(&[lease]));
        assert_eq!((status.node_id, status.leader_id, status.term), (1, 2, 3));
        assert_eq!((status.cluster_id.as_str(), status.view_version), ("c", 9));
        assert!(status.lease_held && status.leader_answered);
        let [first, second] = &status.nodes[..] else { panic!("two nodes: {status:?}") };
        assert_eq!((first.shards_owned, first.shards_leaving, first.shards_arriving), (2, 1, 0));
        assert_eq!((first.state(), first.voter), (NodeState::Draining, true));
        assert_eq!((first.renewed_ago_ms, first.lease_remaining_ms), (None, None), "not heard of");
        assert_eq!((second.shards_owned, second.shards_arriving), (0, 1));
        assert_eq!((second.renewed_ago_ms, second.lease_remaining_ms), (Some(40), Some(2_160)));
        assert_eq!((second.version.as_str(), second.peer_address.as_str()), ("0.1.0", "n2:7072"));
        assert!(!of(&view, 2, true, None).leader_answered);
    }
}
