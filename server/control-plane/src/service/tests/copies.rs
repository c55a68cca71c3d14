//! Goal: a copy of a node's folder never takes the node's place once the node went on.

use std::{fs, path::PathBuf};

use callboard_types::{NodeState, Tick};

use super::fixture::{Node, PATIENCE, cluster};
use crate::{Error, FirstStart, Options, Seeds, peers::Claim};

fn among(seeds: &[&Node]) -> impl Fn(&mut Options) + use<> {
    let seeds = Seeds::fixed(seeds.iter().map(|node| node.options.peer_address.clone()));
    move |options| options.first_start = FirstStart::Join { seeds: seeds.clone() }
}

fn refusal(started: Result<Node, Error>) -> String {
    let text = started.map(|node| node.id()).expect_err("refused").to_string();
    assert!(text.contains("an old copy") && text.contains("a folder of its own"), "{text}");
    text
}

fn all_go_on(nodes: &[Node], name: &str) {
    for node in nodes {
        node.until_lease(true);
        node.run(node.handle.create_system(name)).expect("agreed");
        node.view(name, |view| view.has_system(name));
    }
}

fn record_of(node: &Node) -> PathBuf {
    node.options.data_dir.join("control/lives.json")
}

#[test]
fn an_old_copy_of_a_folder_is_refused_and_disturbs_nobody() {
    let mut nodes = cluster(3, |_| {});
    nodes[2].stop();
    let copied = nodes[2].copied();
    nodes[2].restart();
    nodes[2].until_lease(true);
    nodes[2].run(nodes[2].handle.create_system("later")).expect("agreed");
    nodes[2].view("it", |view| view.has_system("later"));

    refusal(Node::on_copy(copied, among(&[&nodes[0]])));
    for node in &nodes {
        node.run(node.handle.create_system("undisturbed")).expect("agreed");
        assert!(node.handle.lease().holds_at(Tick::now()));
    }
}

#[test]
fn nodes_that_do_not_lead_refuse_an_old_copy_and_do_not_take_it_for_the_node() {
    let mut nodes = cluster(3, |_| {});
    let id = nodes[2].id();
    nodes[2].stop();
    let copied = nodes[2].copied();
    // Whoever greets the others does not find the node itself, which leads: only it knows how far its log was.
    nodes[2].relocate();
    let seeds = among(&[&nodes[0]]);
    seeds(&mut nodes[2].options);
    nodes[2].restart();
    nodes[2].until_lease(true);
    nodes[2].run(nodes[2].handle.transfer_leader(id)).expect("it leads");
    for node in &nodes[..2] {
        node.view("it leads", |view| {
            let there = view.node_of(id).map(|node| node.peer_address.clone());
            view.leader == Some(id) && there.as_ref() == Some(&nodes[2].options.peer_address)
        });
    }

    refusal(Node::on_copy(copied, seeds));
    // If either took the copy for the node, the node would hear nothing of what it decides as the leader.
    for node in &nodes[..2] {
        node.run(node.handle.transfer_leader(node.id())).expect("it leads");
        all_go_on(&nodes, &format!("led-by-{}", node.id()));
    }
}

#[test]
fn a_copy_that_was_caught_up_with_the_cluster_ends_and_never_becomes_the_node() {
    let mut nodes = cluster(3, |_| {});
    nodes[2].stop();
    let copied = nodes[2].copied();
    for node in &mut nodes[..2] {
        node.stop();
    }
    for node in &mut nodes {
        node.relocate();
    }
    let all = among(&nodes.iter().collect::<Vec<_>>());
    for node in &mut nodes {
        all(&mut node.options);
        node.restart();
    }
    all_go_on(&nodes, "elsewhere");
    let life_of = |node: &Node| {
        let state = node.handle.proposer.replicated.read();
        state.machine.member(nodes[2].id()).expect("a member").life()
    };
    let life = life_of(&nodes[0]);

    // It finds nobody, so that nobody can tell it what it is. Then a leader takes it for the node.
    let copy = Node::on_copy(copied, |_| {}).expect("it waits for others");
    let leader = nodes[..2].iter().find(|node| node.handle.is_leader());
    let leader = leader.unwrap_or_else(|| {
        nodes[0].run(nodes[0].handle.transfer_leader(nodes[0].id())).expect("it leads");
        &nodes[0]
    });
    let claim = Claim { address: copy.options.peer_address.clone(), lives: vec![], since: life };
    leader.handle.proposer.peers.moved(copy.id().0, claim);

    let fatal = copy.run(async { tokio::time::timeout(PATIENCE, copy.handle.fatal()).await });
    let text = fatal.expect("told").to_string();
    assert!(text.contains("an old copy"), "{text}");
    assert!(life_of(&copy) == life && life_of(leader) == life, "nobody took the node's place");
}

#[test]
fn processes_that_ended_before_the_cluster_heard_of_them_leave_the_node_as_it_was() {
    let mut nodes = cluster(3, |_| {});
    nodes.iter_mut().for_each(Node::kill);
    for _ in 0..3 {
        nodes[2].restart();
        nodes[2].kill();
    }
    nodes.iter_mut().for_each(Node::restart);
    all_go_on(&nodes, "again");
    // Written down, and never agreed on: the node's next process has it among its own.
    nodes[2].stop();
    let record = fs::read_to_string(record_of(&nodes[2])).expect("there");
    fs::write(record_of(&nodes[2]), record.replace("]}", ",7]}")).expect("written");
    nodes[2].restart();
    all_go_on(&nodes, "and-again");
}

#[test]
fn a_folder_of_an_older_version_gets_its_record_with_the_next_life() {
    let mut nodes = cluster(3, |_| {});
    nodes.iter_mut().for_each(Node::stop);
    for node in &nodes {
        fs::remove_file(record_of(node)).expect("there");
    }
    nodes.iter_mut().for_each(Node::restart);
    all_go_on(&nodes, "newer");
    for node in &nodes {
        assert!(record_of(node).exists(), "its life is agreed on");
    }
    nodes[2].stop();
    let copied = nodes[2].copied();
    nodes[2].restart();
    nodes[2].until_lease(true);
    let text = refusal(Node::on_copy(copied, among(&[&nodes[0]])));
    assert!(text.contains("another process was started as node 3"), "{text}");
    nodes[0].view("it is up", |view| {
        view.node_of(nodes[2].id()).is_some_and(|node| node.state == NodeState::Up)
    });
}
