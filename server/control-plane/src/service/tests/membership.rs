//! Who belongs to the cluster, through starts, moves, copies and removals.

use std::{collections::BTreeSet, fs, time::Duration};

use callboard_transport::peer::PeerIdentity;
use callboard_types::{ClusterView, ErrorKind, NodeId, NodeState, Tick};

use super::fixture::{Node, PATIENCE, SECRET, cluster, prepare, together};
use crate::{
    ControlPlane, Error, FirstStart, Options, Seeds,
    machine::{COMMAND_VERSIONS, Command, command::NodeStarted},
};

fn voters(view: &ClusterView) -> BTreeSet<u64> {
    view.nodes.iter().filter(|node| node.voter).map(|node| node.id.0).collect()
}

/// Settings for nodes that expect each other, all of them among the seeds of each.
fn expecting(count: usize) -> Vec<(Options, std::net::SocketAddr, tempfile::TempDir)> {
    let mut prepared: Vec<_> = (0..count).map(|_| prepare(FirstStart::Bootstrap, |_| {})).collect();
    let addresses: Vec<String> = prepared.iter().map(|(_, at, _)| at.to_string()).collect();
    for (options, _, _) in &mut prepared {
        let seeds = Seeds::fixed(addresses.clone());
        options.first_start = FirstStart::Expect { count, seeds };
    }
    prepared
}

#[test]
fn nodes_that_expect_each_other_begin_one_cluster_and_find_it_again() {
    let mut nodes = together(expecting(3));
    for node in &nodes {
        node.view("three voters", |view| voters(view).len() == 3);
        node.until_lease(true);
    }
    let ids: BTreeSet<u64> = nodes.iter().map(|node| node.id().0).collect();
    assert_eq!(ids, [1, 2, 3].into());
    let names: BTreeSet<String> =
        nodes.iter().map(|node| node.handle.view().borrow().cluster_id.clone()).collect();
    assert_eq!(names.len(), 1, "one cluster");

    // A fourth one that expects three others finds a cluster, and joins it.
    let addresses: Vec<_> = nodes.iter().map(|node| node.options.peer_address.clone()).collect();
    let (mut late, at, folder) = prepare(FirstStart::Bootstrap, |_| {});
    late.first_start = FirstStart::Expect { count: 3, seeds: Seeds::fixed(addresses) };
    let late = together(vec![(late, at, folder)]);
    assert_eq!(late[0].id(), NodeId(4));

    let before: Vec<NodeId> = nodes.iter().map(Node::id).collect();
    for node in &mut nodes {
        node.stop();
    }
    for node in &mut nodes {
        node.restart();
    }
    assert_eq!(nodes.iter().map(Node::id).collect::<Vec<_>>(), before, "they keep their numbers");
    nodes[0].until_lease(true);
    nodes[0].run(nodes[0].handle.create_system("again")).expect("they agree");
}

#[test]
fn up_to_five_nodes_vote_and_one_that_was_removed_is_replaced_and_learns_of_it() {
    let mut nodes = cluster(6, |_| {});
    let view = nodes[0].view("five voters", |view| voters(view).len() == 5);
    let learner = view.nodes.iter().find(|node| !node.voter).expect("one learns").id;
    let gone = nodes.iter().position(|node| node.id() != learner && !node.handle.is_leader());
    let mut gone = nodes.remove(gone.expect("a voter that does not lead"));
    let asked = &nodes[0];
    asked.run(asked.handle.remove_node(gone.id(), PATIENCE)).expect("removed");
    asked.view("the learner votes instead", |view| {
        voters(view).contains(&learner.0) && voters(view).len() == 5 && view.nodes.len() == 5
    });
    let fatal = gone.run(async { tokio::time::timeout(PATIENCE, gone.handle.fatal()).await });
    let text = fatal.expect("told").to_string();
    assert!(text.contains("was removed") && text.contains("empty its data folder"), "{text}");

    // And again when it is started anew, by whoever it asks.
    gone.stop();
    gone.restart();
    let fatal = gone.run(async { tokio::time::timeout(PATIENCE, gone.handle.fatal()).await });
    assert!(fatal.expect("told").to_string().contains("was removed"));
}

#[test]
fn nodes_are_found_at_new_addresses_even_if_all_of_them_moved_at_once() {
    let mut nodes = cluster(3, |_| {});
    nodes[2].stop();
    nodes[2].relocate();
    nodes[2].restart();
    let there = nodes[2].options.peer_address.clone();
    nodes[0].view("its new place", |view| {
        view.node_of(NodeId(3)).is_some_and(|node| node.peer_address == there)
    });
    nodes[2].until_lease(true);

    for node in &mut nodes {
        node.stop();
        node.relocate();
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.options.peer_address.clone()).collect();
    for node in &mut nodes {
        node.options.first_start = FirstStart::Join { seeds: Seeds::fixed(addresses.clone()) };
        node.restart();
    }
    for node in &nodes {
        node.until_lease(true);
        node.view("everybody's new place", |view| {
            view.nodes.iter().all(|node| addresses.contains(&node.peer_address))
        });
    }
}

#[test]
fn the_older_of_two_processes_of_one_node_ends_and_says_why() {
    let nodes = cluster(3, |_| {});
    let older = &nodes[2];
    // What the process of a copied folder does when it starts.
    let life = older.run(async {
        let state = older.handle.proposer.replicated.read();
        state.machine.member(older.id()).expect("a member").life()
    });
    let newer = NodeStarted {
        node: older.id(),
        life: life ^ 1,
        previous_life: life,
        address: older.options.address.clone(),
        peer_address: older.options.peer_address.clone(),
        commands_min: COMMAND_VERSIONS.0,
        commands_max: COMMAND_VERSIONS.1,
    };
    let newer = Command::NodeStarted(newer);
    nodes[0].run(nodes[0].handle.proposer.propose(&newer)).expect("agreed");
    let fatal = older.run(async { tokio::time::timeout(PATIENCE, older.handle.fatal()).await });
    let text = fatal.expect("told").to_string();
    assert!(text.contains("another process was started as node 3"), "{text}");
    assert!(text.contains("a folder of its own"), "{text}");
    assert!(!older.handle.lease().holds_at(Tick::now()));
}

#[test]
fn a_node_waits_for_its_cluster_and_a_wrong_secret_lets_nobody_in() {
    let (first, at, folder) = prepare(FirstStart::Bootstrap, |_| {});
    let seeds = Seeds::fixed([at.to_string()]);
    let early = prepare(FirstStart::Join { seeds: seeds.clone() }, |_| {});
    let waiting = std::thread::spawn(move || together(vec![early]));
    let stranger = prepare(FirstStart::Join { seeds }, |options| {
        options.peer = PeerIdentity::new("another secret of another cluster");
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let first = together(vec![(first, at, folder)]);
    let joined = waiting.join().expect("let in");
    assert_eq!(joined[0].id(), NodeId(2));
    runtime.block_on(async {
        let start = ControlPlane::start(stranger.0.clone());
        let start = tokio::time::timeout(Duration::from_secs(2), start);
        start.await.expect_err("it asks for ever");
    });
    assert_eq!(first[0].handle.view().borrow().nodes.len(), 2);
    assert_ne!(SECRET, "another secret of another cluster");
}

#[test]
fn the_last_node_stays_and_an_unknown_one_cannot_be_drained() {
    let node = Node::bootstrap(|_| {});
    let error = node.run(node.handle.remove_node(NodeId(1), PATIENCE)).expect_err("the last one");
    assert!(error.message.contains("delete its data folder instead"), "{error}");
    let error = node.run(node.handle.set_draining(NodeId(7), true)).expect_err("nobody");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    node.view("still up", |view| view.nodes[0].state == NodeState::Up);
}

#[test]
fn a_damaged_node_says_how_it_is_rebuilt_and_that_works() {
    let mut nodes = cluster(3, |_| {});
    nodes[2].run(nodes[2].handle.create_system("shop")).expect("agreed");
    let mut damaged = nodes.pop().expect("three");
    damaged.stop();
    let id = damaged.id();
    let log = damaged.options.data_dir.join("control/log.redb");
    let whole = fs::read(&log).expect("there");
    let cut = [&whole[..whole.len() / 2], b"junk"].concat();
    fs::write(&log, if cut.len() > 4096 { &cut[..] } else { b"junk" }).expect("written");
    let options = Options { peer: PeerIdentity::new(SECRET), ..damaged.options.clone() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = runtime.block_on(ControlPlane::start(options)).expect_err("damaged");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("cluster remove") && text.contains("let it join again"), "{text}");

    nodes[0].run(nodes[0].handle.remove_node(id, PATIENCE)).expect("removed, once it is down");
    let rebuilt = Node::join(&nodes[0], |_| {});
    assert_ne!(rebuilt.id(), id, "numbers are never used again");
    rebuilt.view("everything", |view| view.has_system("shop") && voters(view).len() == 3);
}

#[test]
fn a_node_that_stays_down_is_removed_by_the_policy() {
    let mut nodes = cluster(3, |options| {
        options.remove_down_after = Some(Duration::from_secs(5));
    });
    let gone = nodes.pop().expect("three");
    let id = gone.id();
    drop(gone);
    nodes[0].view("it is gone", |view| view.node_of(id).is_none() && voters(view).len() == 2);
}

#[tokio::test]
async fn a_node_of_a_cluster_needs_an_address_for_its_peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = Options::new(folder.path(), "a:1");
    options.first_start = FirstStart::Join { seeds: Seeds::fixed(["b:1"]) };
    let error = ControlPlane::start(options).await.expect_err("refused");
    assert!(matches!(error, Error::Options(_)), "{error}");
}
