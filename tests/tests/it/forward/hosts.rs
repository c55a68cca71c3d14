//! What hosts hear of the cluster, and what the cluster hears of hosts.

use callboard_data_plane::ports::Hosting;
use callboard_proto::{
    host::v1::{Topology, node_frame},
    types::v1::Durability,
};
use callboard_tests::{
    local::{ScriptedHost, host::definition},
    mesh::Mesh,
};
use callboard_types::NodeState;

/// The next Topology that names exactly these nodes; the same news may come twice.
async fn topology(host: &mut ScriptedHost, expected: &[u64]) -> Topology {
    loop {
        let topology = host.topology().await;
        if topology.nodes.iter().map(|node| node.node_id).eq(expected.iter().copied()) {
            return topology;
        }
    }
}

#[tokio::test]
async fn hosts_hear_which_nodes_there_are_whenever_that_changes() {
    let mesh = Mesh::start(3).await;
    let mut host = mesh.host_unready(1).await;
    let named: Vec<u64> = host.welcome.nodes.iter().map(|node| node.node_id).collect();
    assert_eq!((named, host.welcome.node_id), (vec![1, 2, 3], 1));
    mesh.script().set_state(2, NodeState::Down);
    let without = topology(&mut host, &[1, 3]).await;
    // A draining node still runs what it has, and needs its hosts for it: nothing changes for them.
    mesh.script().set_state(3, NodeState::Draining);
    mesh.script().set_state(2, NodeState::Up);
    let with = topology(&mut host, &[1, 2, 3]).await;
    assert!(with.view_version > without.view_version);
}

#[tokio::test]
async fn the_cluster_hears_whether_the_last_host_comes_back() {
    let mesh = Mesh::start(1).await;
    let short = mesh.host(1, definition("Restarted", Durability::Volatile, &["run"])).await;
    mesh.script().hosting(1, "Restarted", Hosting::Some).await;
    short.drain().await;
    drop(short);
    mesh.script().hosting(1, "Restarted", Hosting::None).await;
    let mut last = mesh.host(1, definition("Retired", Durability::Volatile, &["run"])).await;
    last.leave().await;
    assert!(matches!(last.next().await, Some(node_frame::Frame::Drained(_))));
    drop(last);
    mesh.script().hosting(1, "Retired", Hosting::NoneForGood).await;
}
