//! What operators ask for, of any node.

use std::sync::Arc;

use bytes::Bytes;
use callboard_proto::control::v1::{
    ClusterEventKind, GetClusterStatusRequest, NodeState as State, WatchClusterStatusRequest,
    cluster_service_server::ClusterService,
};
use callboard_types::{Epoch, NodeId, ShardId, Tick};
use futures::StreamExt;
use tonic::Request;

use super::fixture::{Node, PATIENCE, cluster, counter, measured, prepare, together};
use crate::{Error, FirstStart, grpc::cluster::Cluster, machine::COMMAND_VERSIONS, recover};

#[test]
fn the_leadership_goes_where_it_is_sent_asked_of_any_node() {
    let nodes = cluster(3, |_| {});
    let leader = nodes.iter().find(|node| node.handle.is_leader()).expect("one leads").id();
    let follower = nodes.iter().find(|node| node.id() != leader).expect("others follow");
    let since = Tick::now();
    let moved = follower.run(follower.handle.transfer_leader(follower.id()));
    measured(&format!("the leadership moved in {} us", Tick::now().micros_since(since)));
    assert_eq!(moved.map(|(leader, _)| leader), Ok(follower.id()));
    let moved = follower.run(follower.handle.transfer_leader(NodeId::ZERO)).expect("to anybody");
    assert_ne!(moved.0, follower.id());
    let error = follower.run(follower.handle.transfer_leader(NodeId(9))).expect_err("nobody");
    assert!(error.message.contains("cluster status"), "{error}");
}

#[test]
fn every_node_tells_the_status_with_leases_and_watchers_hear_what_happens() {
    let mut nodes = cluster(3, |_| {});
    let status = nodes[2].run(async {
        let cluster = Cluster::new(nodes[2].handle.clone());
        let answer = cluster.get_cluster_status(Request::new(GetClusterStatusRequest {})).await;
        answer.expect("answered").into_inner()
    });
    assert!(status.leader_answered && status.lease_held);
    assert_eq!(status.cluster_version, COMMAND_VERSIONS.1);
    for node in &status.nodes {
        assert_eq!((node.state(), node.version.as_str()), (State::Up, env!("CARGO_PKG_VERSION")));
        assert!(node.lease_remaining_ms.is_some_and(|left| left > 1_000), "{node:?}");
    }

    let cluster = Cluster::new(nodes[0].handle.clone());
    let mut watch = nodes[0].run(async {
        let watching = cluster.watch_cluster_status(Request::new(WatchClusterStatusRequest {}));
        let mut watch = watching.await.expect("watching").into_inner();
        let first = watch.next().await.expect("a message").expect("well");
        assert!(first.events.is_empty() && first.status.is_some());
        watch
    });
    let fourth = Node::join(&nodes[1], |_| {});
    let mut seen = Vec::new();
    nodes[0].run(async {
        let hearing = async {
            while !seen.contains(&(ClusterEventKind::NodeUp, 4)) {
                let message = watch.next().await.expect("a message").expect("well");
                seen.extend(message.events.iter().map(|event| (event.kind(), event.node_id)));
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("heard");
    });
    assert!(seen.contains(&(ClusterEventKind::NodeJoined, 4)), "{seen:?}");
    drop(fourth);
    nodes[0].run(async {
        let hearing = async {
            while !seen.contains(&(ClusterEventKind::NodeDown, 4)) {
                let message = watch.next().await.expect("a message").expect("well");
                seen.extend(message.events.iter().map(|event| (event.kind(), event.node_id)));
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("heard");
    });
    nodes[2].stop();
}

#[test]
fn a_snapshot_is_taken_on_demand() {
    let node = Node::bootstrap(|_| {});
    node.run(node.handle.create_system("shop")).expect("created");
    let version = node.handle.view().borrow().version;
    let index = node.run(node.handle.take_snapshot()).expect("written");
    assert!(index >= version);
}

#[test]
fn a_lost_control_plane_comes_back_from_a_backup_above_every_stored_epoch() {
    let mut nodes = cluster(3, |_| {});
    let register = nodes[1].handle.register_types("default", vec![counter()], Bytes::new());
    nodes[1].run(register).expect("registered");
    nodes[1].run(nodes[1].handle.create_system("shop")).expect("created");
    let follower = nodes.iter().find(|node| !node.handle.is_leader()).expect("others follow");
    let backup: Arc<[u8]> = follower.run(follower.handle.backup()).expect("made").into();
    let lost = nodes[0].handle.view().borrow().cluster_id.clone();
    let info = recover::inspect(&backup).expect("whole");
    assert_eq!((info.cluster_id.as_str(), info.types), (lost.as_str(), 1));
    let mut damaged = backup.to_vec();
    damaged[40] ^= 1;
    assert!(matches!(recover::inspect(&damaged), Err(Error::Backup(_))));
    let mut survivor = nodes.pop().expect("three");
    survivor.kill();
    drop(nodes);

    let shard = |number| ShardId { system: "default".into(), actor_type: "Counter".into(), number };
    let recover = FirstStart::Recover {
        cluster_id: lost.clone(),
        backup: Some(backup),
        epochs: vec![(shard(0), Epoch(70)), (shard(1), Epoch(1))],
    };
    let recovered = together(vec![prepare(recover, |_| {})]);
    let view = recovered[0].handle.view().borrow().clone();
    assert_eq!(view.cluster_id, lost, "the store knows it by this name");
    assert!(view.has_system("shop"));
    assert_eq!(view.nodes.len(), 1);
    let shards = &view.type_of("default", "Counter").expect("registered").shards;
    assert!(shards.iter().all(|owner| owner.node == recovered[0].id()));
    assert!(shards[0].epoch > Epoch(70) && shards[1].epoch > Epoch(1));
    recovered[0].until_lease(true);

    // Others join it as they join any cluster, and a node of the lost one does not belong to it any more.
    let second = Node::join(&recovered[0], |_| {});
    second.until_lease(true);
    survivor.restart();
    recovered[0].run(recovered[0].handle.create_system("on-we-go")).expect("undisturbed");
    assert_eq!(recovered[0].handle.view().borrow().nodes.len(), 2);
}

#[test]
fn a_control_plane_without_a_backup_comes_back_empty_under_its_name() {
    let recover = |cluster_id: &str| FirstStart::Recover {
        cluster_id: cluster_id.into(),
        backup: None,
        epochs: vec![],
    };
    let mut nodes = together(vec![prepare(recover("a-lost-one"), |_| {})]);
    assert_eq!(nodes[0].handle.view().borrow().cluster_id, "a-lost-one");
    // The store refuses the first claim; the cluster raises above what it has.
    let register = nodes[0].handle.register_types("default", vec![counter()], Bytes::new());
    nodes[0].run(register).expect("registered");
    let shard = ShardId { system: "default".into(), actor_type: "Counter".into(), number: 3 };
    nodes[0].handle.epoch_too_low(vec![(shard, Epoch(41))]);
    nodes[0].view("an epoch above what is stored", |view| {
        view.type_of("default", "Counter").expect("registered").shards[3].epoch == Epoch(42)
    });
    nodes[0].stop();
    nodes[0].restart();
    assert_eq!(
        nodes[0].handle.view().borrow().cluster_id,
        "a-lost-one",
        "it is not recovered twice"
    );
}

#[test]
fn a_node_that_ends_gives_its_shards_and_the_leadership_away() {
    let nodes = cluster(3, |_| {});
    let leader = nodes.iter().find(|node| node.handle.is_leader()).expect("one leads");
    for node in &nodes {
        let types = vec![(Arc::from("default"), Arc::from("Counter"))];
        node.run(node.handle.set_hosted(types, true));
    }
    let register = leader.handle.register_types("default", vec![counter()], Bytes::new());
    leader.run(register).expect("registered");
    let since = Tick::now();
    assert!(leader.run(leader.handle.drain_self(PATIENCE)), "it owns nothing");
    measured(&format!("drained in {} ms", Tick::now().micros_since(since) / 1_000));
    assert_eq!(leader.handle.shards_of(leader.id()), 0);
    let other = nodes.iter().find(|node| node.id() != leader.id()).expect("others");
    other.view("another leader", |view| view.leader.is_some_and(|now| now != leader.id()));
}
