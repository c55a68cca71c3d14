//! Who may serve, and who takes over. Times are those of design.md, with room for a busy machine where a figure is only
//! measured.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{ErrorKind, NodeId, NodeState, Retry, Tick};

use super::fixture::{Node, cluster, counter, measured};

/// Lets Counter live on the nodes.
fn host(nodes: &[&Node]) {
    for node in nodes {
        let types = vec![(Arc::from("default"), Arc::from("Counter"))];
        node.run(node.handle.set_hosted(types, true));
        node.run(node.handle.register_types("default", vec![counter()], Bytes::new()))
            .expect("registered");
    }
}

/// Milliseconds until the node sees every shard of Counter owned by others than `gone`.
fn taken_over(node: &Node, gone: NodeId, since: Tick) -> u64 {
    node.view("every shard elsewhere", |view| {
        let counter = view.type_of("default", "Counter").expect("registered");
        counter.shards.iter().all(|owner| owner.node != gone)
    });
    Tick::now().micros_since(since) / 1_000
}

#[test]
fn a_killed_followers_shards_are_elsewhere_within_its_lease_and_a_second_and_not_before() {
    let mut nodes = cluster(3, |_| {});
    let leader = nodes.iter().position(|node| node.handle.is_leader()).expect("one leads");
    let gone = (leader + 1) % 3;
    let stays = (leader + 2) % 3;
    host(&[&nodes[gone], &nodes[stays]]);
    let (gone_id, lease) = (nodes[gone].id(), nodes[gone].handle.lease());
    let since = Tick::now();
    nodes[gone].kill();
    let took = taken_over(&nodes[stays], gone_id, since);
    assert!(!lease.holds_at(Tick::now()), "nobody takes over while the owner may serve");
    measured(&format!("a killed follower's shards were taken over after {took} ms"));
    assert!((1_800..=3_000).contains(&took), "{took} ms");

    nodes[gone].restart();
    nodes[gone].until_lease(true);
    nodes[stays].view("it is back", |view| {
        view.node_of(gone_id).is_some_and(|node| node.state == NodeState::Up)
    });
}

#[test]
fn a_killed_leaders_shards_are_elsewhere_within_election_lease_margin_and_a_second() {
    let mut nodes = cluster(3, |_| {});
    let leader = nodes.iter().position(|node| node.handle.is_leader()).expect("one leads");
    let stays = (leader + 1) % 3;
    host(&[&nodes[leader], &nodes[stays]]);
    let (gone, term) = (nodes[leader].id(), nodes[leader].handle.view().borrow().term);
    let since = Tick::now();
    nodes[leader].kill();
    nodes[stays].view("another leader", |view| {
        view.term > term && view.leader.is_some_and(|leader| leader != gone)
    });
    let elected = Tick::now().micros_since(since) / 1_000;
    let took = taken_over(&nodes[stays], gone, since);
    measured(&format!(
        "a new leader after {elected} ms, the old one's shards taken over after {took} ms"
    ));
    assert!(elected < 2_000, "{elected} ms");
    assert!(took <= 600 * 2 + 2_000 + 200 + 1_000, "{took} ms");
    let other = (leader + 2) % 3;
    assert!(nodes[other].handle.lease().holds_at(Tick::now()), "leases outlive an election");
}

#[test]
fn a_minority_stops_serving_says_why_and_recovers() {
    let mut nodes = cluster(3, |_| {});
    host(&[&nodes[0]]);
    let [_, second, third] = &mut nodes[..] else { panic!("three nodes") };
    second.kill();
    third.kill();
    nodes[0].until_lease(false);
    let error = nodes[0].run(nodes[0].handle.create_system("nobody-agrees"));
    let error = error.expect_err("no majority");
    assert_eq!((error.kind, error.kind.retry()), (ErrorKind::StoreUnavailable, Retry::SameId));
    assert!(error.message.contains("majority"), "{error}");

    nodes[1].restart();
    for node in &nodes[..2] {
        node.until_lease(true);
        node.run(node.handle.create_system("agreed")).expect("a majority is back");
    }
}

#[test]
fn all_nodes_killed_at_once_come_back_with_everything() {
    let mut nodes = cluster(3, |_| {});
    host(&[&nodes[1]]);
    let before = nodes[1].handle.view().borrow().clone();
    for node in &mut nodes {
        node.kill();
    }
    for node in &mut nodes {
        node.restart();
    }
    for node in &nodes {
        node.until_lease(true);
    }
    let after = nodes[1].handle.view().borrow().clone();
    let (before, after) = (
        before.type_of("default", "Counter").expect("registered"),
        after.type_of("default", "Counter").expect("still registered"),
    );
    assert_eq!(after.definition, before.definition);
    let risen = before.shards.iter().zip(after.shards.iter()).all(|(b, a)| a.epoch > b.epoch);
    assert!(risen, "nothing of the earlier life can commit");
}
