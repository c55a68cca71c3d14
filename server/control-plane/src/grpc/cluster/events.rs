//! What happened between two views, in words.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard_proto::control::v1::{ClusterEvent, ClusterEventKind as Kind};
use callboard_types::{ClusterView, NodeId, NodeState, NodeView};

/// What happened, the leader first, then nodes by id, then shards.
pub(super) fn between(before: &ClusterView, after: &ClusterView) -> Vec<ClusterEvent> {
    let mut events = Vec::new();
    if before.leader != after.leader {
        let leader = after.leader.unwrap_or_default();
        let text = match after.leader {
            Some(leader) => format!("node {leader} leads since term {}", after.term),
            None => "nobody leads; most nodes cannot reach each other, or an election is under way"
                .into(),
        };
        events.push(event(Kind::LeaderChanged, leader, text));
    }
    let ids = before.nodes.iter().chain(&after.nodes).map(|node| node.id);
    for id in ids.collect::<BTreeSet<NodeId>>() {
        match (before.node_of(id), after.node_of(id)) {
            (None, Some(node)) => {
                let text = format!("node {id} joined, at {}", node.address);
                events.push(event(Kind::NodeJoined, id, text));
                events.extend(changes(None, node));
            }
            (Some(_), None) => {
                events.push(event(Kind::NodeLeft, id, format!("node {id} was removed")));
            }
            (Some(before), Some(after)) => events.extend(changes(Some(before), after)),
            (None, None) => {}
        }
    }
    events.extend(moves(before, after));
    events
}

fn changes(before: Option<&NodeView>, after: &NodeView) -> Vec<ClusterEvent> {
    let (id, mut events) = (after.id, Vec::new());
    if before.map(|before| before.state) != Some(after.state) {
        let (kind, text) = match after.state {
            NodeState::Up => (Kind::NodeUp, format!("node {id} serves")),
            NodeState::Draining => {
                (Kind::NodeDraining, format!("node {id} gives its shards away and gets none"))
            }
            NodeState::Down if before.is_none() => {
                (Kind::NodeDown, format!("node {id} has not shown itself yet"))
            }
            NodeState::Down => (
                Kind::NodeDown,
                format!("node {id} missed its lease; its shards go to other nodes"),
            ),
        };
        events.push(event(kind, id, text));
    }
    if let Some(before) = before
        && (&before.address, &before.peer_address) != (&after.address, &after.peer_address)
    {
        let text = format!(
            "node {id} is at {} now, and other nodes reach it at {}",
            after.address, after.peer_address
        );
        events.push(event(Kind::NodeMoved, id, text));
    }
    match (before.is_some_and(|before| before.voter), after.voter) {
        (false, true) => events.push(event(Kind::VoterAdded, id, format!("node {id} votes now"))),
        (true, false) => {
            events.push(event(Kind::VoterRemoved, id, format!("node {id} no longer votes")));
        }
        _ => {}
    }
    events
}

/// One event per pair of nodes.
fn moves(before: &ClusterView, after: &ClusterView) -> Vec<ClusterEvent> {
    let mut moved: BTreeMap<(NodeId, NodeId), u32> = BTreeMap::new();
    for now in &after.types {
        let Some(was) = before.type_of(&now.system, &now.name) else {
            continue;
        };
        if !Arc::ptr_eq(was, now) {
            for (was, now) in was.shards.iter().zip(now.shards.iter()) {
                if was.node != now.node {
                    *moved.entry((was.node, now.node)).or_default() += 1;
                }
            }
        }
    }
    let texts = moved.into_iter().map(|((from, to), count)| {
        let shards = if count == 1 { "shard" } else { "shards" };
        event(Kind::ShardsMoved, to, format!("{count} {shards} went from node {from} to node {to}"))
    });
    texts.collect()
}

fn event(kind: Kind, node: NodeId, text: String) -> ClusterEvent {
    ClusterEvent { kind: kind.into(), node_id: node.0, text }
}
