use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use callboard_types::{NodeId, Tick};

use super::fixture::{Node, PATIENCE, cluster, counter, measured};

/// The owners of Counter's shards, as the node sees them.
fn owners(node: &Node) -> BTreeSet<u64> {
    let view = node.view("Counter", |view| view.type_of("default", "Counter").is_some());
    let counter = view.type_of("default", "Counter").expect("waited for it");
    counter.shards.iter().map(|owner| owner.node.0).collect()
}

fn epochs(node: &Node) -> BTreeSet<u64> {
    let view = node.handle.view().borrow().clone();
    let counter = view.type_of("default", "Counter").expect("registered");
    counter.shards.iter().map(|owner| owner.epoch.0).collect()
}

fn has_system(node: &Node, name: &str) {
    node.view(name, |view| view.has_system(name));
}

#[test]
fn three_nodes_agree_survive_their_leader_and_take_it_back() {
    let mut nodes = cluster(3, |_| {});

    // A host at a follower registers: the follower asks the leader and has the type in its own view.
    let register = nodes[2].handle.register_types("default", vec![counter()], Bytes::new());
    nodes[2].run(register).expect("registered through the leader");
    for node in &nodes {
        assert_eq!(owners(node), BTreeSet::from([3]), "the node with the host owns the shards");
    }
    let version = nodes[2].handle.view().borrow().version;
    assert_eq!(nodes[0].handle.view().borrow().version, version, "versions mean the same anywhere");

    nodes[1].stop();
    nodes[0].run(nodes[0].handle.create_system("while-away")).expect("two of three agree");
    nodes[1].restart();
    has_system(&nodes[1], "while-away");

    nodes[0].kill();
    let term = nodes[0].handle.view().borrow().term;
    for node in &nodes[1..] {
        node.view("another leader", |view| {
            view.term > term && view.leader.is_some_and(|leader| leader != NodeId(1))
        });
    }
    nodes[1].run(nodes[1].handle.create_system("after")).expect("agreed without the old leader");
    nodes[2].run(nodes[2].handle.create_system("after-too")).expect("from either node");

    nodes[0].restart();
    has_system(&nodes[0], "after-too");
    assert_eq!(owners(&nodes[0]), BTreeSet::from([3]));
}

#[test]
fn a_node_that_was_away_for_longer_than_the_log_comes_back_by_snapshot() {
    let mut nodes = cluster(3, |options| options.snapshot_entries = 50);
    nodes[2].kill();
    let (leader, handle) = (&nodes[0], nodes[0].handle.clone());
    leader.run(async {
        let names: Vec<String> = (0..600).map(|number| format!("s{number}")).collect();
        for created in
            futures::future::join_all(names.iter().map(|n| handle.create_system(n))).await
        {
            created.expect("created");
        }
        let purged = handle.proposer.raft.wait(Some(PATIENCE));
        let purged = purged.metrics(|m| m.purged.is_some_and(|id| id.index > 100), "cut");
        purged.await.expect("the log is cut");
    });
    nodes[2].restart();
    has_system(&nodes[2], "s599");
    nodes[2].stop();
    nodes[2].restart();
    has_system(&nodes[2], "s599");
}

#[test]
fn a_node_that_cannot_win_does_not_unseat_the_leader() {
    let mut nodes = cluster(3, |_| {});
    nodes[0].kill();
    nodes[1].kill();
    let term = nodes[2].handle.view().borrow().term;
    // Nobody answers it. Two seconds are at least three election timeouts of at most 600 ms.
    nodes[2].run(async { tokio::time::sleep(Duration::from_secs(2)).await });
    let waited = nodes[2].handle.proposer.raft.metrics();
    let after = openraft::async_runtime::watch::WatchReceiver::borrow_watched(&waited).current_term;
    assert_eq!(after, term, "it only asked whether it would be elected");
    nodes[0].restart();
    nodes[0].view("a leader", |view| view.leader.is_some());
    nodes[0].run(nodes[0].handle.create_system("again")).expect("a majority is back");
    has_system(&nodes[2], "again");
}

#[test]
fn a_dead_peer_costs_a_few_attempts_a_second_and_no_spin() {
    let mut nodes = cluster(3, |_| {});
    nodes[2].kill();
    let listener = std::net::TcpListener::bind(nodes[2].peer_address).expect("its port is free");
    listener.set_nonblocking(true).expect("a flag");
    let attempts = nodes[0].run(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("registered");
        let mut attempts = 0;
        let counting = async {
            loop {
                drop(listener.accept().await);
                attempts += 1;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), counting).await.expect_err("endless");
        attempts
    });
    assert!(attempts < 200, "{attempts} connections in two seconds");
}

#[test]
fn shards_spread_by_planned_moves_and_follow_the_hosts_after_the_grace_period() {
    let nodes = cluster(3, |options| options.host_grace = Duration::from_millis(300));
    let hosted = |node: &Node, hosted| {
        let types = vec![(Arc::from("default"), Arc::from("Counter"))];
        node.run(node.handle.set_hosted(types, hosted));
    };
    for node in &nodes[..2] {
        hosted(node, true);
        node.run(node.handle.register_types("default", vec![counter()], Bytes::new()))
            .expect("registered");
    }
    let settled = |what: &str, shares: [usize; 3]| {
        nodes[2].view(what, |view| {
            let counter = view.type_of("default", "Counter").expect("registered");
            let at =
                |id| counter.shards.iter().filter(|o| o.node.0 == id && !o.is_moving()).count();
            [1, 2, 3].map(at) == shares
        });
    };
    settled("an even spread over the nodes with hosts", [32, 32, 0]);
    assert_eq!(nodes[2].run(nodes[2].handle.rebalance()), Ok(0), "it is even");
    // Asked of the node whose view was waited for: the others may be a moment behind.
    assert_eq!(epochs(&nodes[2]), [1, 2].into(), "who stayed kept its epoch");

    hosted(&nodes[0], false);
    settled("every shard where the host is", [0, 64, 0]);
    hosted(&nodes[1], false);
    // Nobody is left: it stays where it is however long it takes.
    nodes[1].run(async { tokio::time::sleep(Duration::from_millis(900)).await });
    settled("they stay", [0, 64, 0]);
    hosted(&nodes[2], true);
    settled("they go to a host that is there", [0, 0, 64]);
}

#[test]
fn what_is_agreed_is_in_every_view_within_fifty_milliseconds() {
    let nodes = cluster(3, |_| {});
    let asked = nodes.iter().find(|node| !node.handle.is_leader()).expect("others follow");
    let mut took = Vec::new();
    for number in 0..200 {
        let name = format!("system-{number}");
        let since = Tick::now();
        asked.run(asked.handle.create_system(&name)).expect("agreed");
        for node in &nodes {
            has_system(node, &name);
        }
        took.push(Tick::now().micros_since(since));
    }
    took.sort_unstable();
    let [few, half, most] = [10, 50, 99].map(|percent| took[took.len() * percent / 100]);
    measured(&format!(
        "from asking a follower to every view: p10 {few} us, p50 {half} us, p99 {most} us"
    ));
    // The median holds on a quiet machine; a design that waits for timers shows on any.
    assert!(few < 50_000, "p10 {few} us");
}
