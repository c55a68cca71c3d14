//! A cluster of real processes on one PostgreSQL: what callers see when nodes come, go, die and return.

#![expect(clippy::print_stderr, reason = "what a test measured, and the logs of one that fails")]

mod fleet;
mod joining;
mod recovery;
mod traffic;

use std::{process::Command, time::Duration};

use callboard_tests::local::{
    caller::{call, text},
    host::counter,
};
use fleet::{Fleet, callboard};
use serde_json::Value;
use traffic::{Client, Hosts, Traffic};

/// How long a cluster may take to be whole again in a debug build on a busy machine; what it takes on an idle one is
/// measured by `make bench`.
const WHOLE_AGAIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_a_call_to_any_actor_and_each_owns_a_share() {
    let fleet = Fleet::start(3).await;
    let _hosts = Hosts::start(&fleet.gateways()).await;
    let clients: Vec<Client> = fleet.gateways().into_iter().map(|at| Client::new(&[at])).collect();
    for key in 0..12 {
        let key = format!("c{key}");
        for (round, client) in clients.iter().enumerate() {
            let reply = client.insist(call("Counter", &key, "add", "5")).await.expect("served");
            assert_eq!(text(&reply), (5 * (round + 1)).to_string(), "{key} by node {round}");
        }
    }
    fleet
        .until(WHOLE_AGAIN, "every node owns shards", |status| {
            fleet::nodes(status).iter().all(|node| node["shardsOwned"].as_u64() > Some(0))
        })
        .await;
    for gateway in fleet.gateways() {
        let status = fleet::status(&gateway).expect("every node answers");
        let nodes = fleet::nodes(&status);
        let owned: u64 = nodes.iter().filter_map(|node| node["shardsOwned"].as_u64()).sum();
        assert_eq!(owned, 64, "{status}");
        assert!(nodes.iter().all(|node| node["state"] == "up"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_under_load_costs_no_acknowledged_add_and_no_call() {
    let mut fleet = Fleet::start(3).await;
    let _hosts = Hosts::start(&fleet.gateways()).await;
    let traffic = Traffic::start(&fleet.gateways(), 24, 6).await;
    traffic.until_served(200).await;
    // A follower, and then whoever leads.
    let leader = fleet.leader().await;
    for victim in [(leader + 1) % 3, leader] {
        fleet.kill(victim);
        traffic.until_served_by_everybody().await;
        fleet
            .until(WHOLE_AGAIN, "the dead node owns nothing", |status| {
                let nodes = fleet::nodes(status);
                nodes.iter().any(|node| node["state"] == "down" && node["shardsOwned"] == 0)
            })
            .await;
        fleet.start_again(victim).await;
        fleet
            .until(WHOLE_AGAIN, "all nodes are up", |status| {
                fleet::nodes(status).iter().all(|node| node["state"] == "up")
            })
            .await;
        traffic.until_served(200).await;
    }
    traffic.end().await.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_owns_nothing_and_fails_no_call_and_takes_its_share_again() {
    let fleet = Fleet::start(3).await;
    let _hosts = Hosts::start(&fleet.gateways()).await;
    let traffic = Traffic::start(&fleet.gateways(), 24, 6).await;
    traffic.until_served(100).await;
    callboard(&fleet.gateways()[0], &["cluster", "rebalance"]);
    fleet
        .until(WHOLE_AGAIN, "node 2 owns a share", |status| {
            fleet::node(status, 2)["shardsOwned"].as_u64() > Some(15)
        })
        .await;
    callboard(&fleet.gateways()[0], &["cluster", "drain", "2", "--wait"]);
    let status = fleet::status(&fleet.gateways()[1]).expect("a node answers");
    assert_eq!(fleet::node(&status, 2)["shardsOwned"], 0, "{status}");
    traffic.until_served_by_everybody().await;
    callboard(&fleet.gateways()[2], &["cluster", "undrain", "2"]);
    callboard(&fleet.gateways()[2], &["cluster", "rebalance"]);
    fleet
        .until(WHOLE_AGAIN, "node 2 owns a share again", |status| {
            fleet::node(status, 2)["shardsOwned"].as_u64() > Some(15)
        })
        .await;
    let report = traffic.end().await;
    report.check();
    assert_eq!(report.failed, 0, "a drain fails no call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_nodes_fails_no_call() {
    let mut fleet = Fleet::start(3).await;
    // So many calls, and so long, that no node's gateway is ever without one.
    let _hosts = Hosts::start_working(&fleet.gateways(), Duration::from_millis(10)).await;
    let traffic = Traffic::start(&fleet.gateways(), 24, 60).await;
    traffic.until_served(100).await;
    for node in 0..3 {
        fleet.terminate(node);
        fleet.start_again(node).await;
        fleet
            .until(WHOLE_AGAIN, "all nodes are up", |status| {
                fleet::nodes(status).iter().all(|node| node["state"] == "up")
            })
            .await;
        traffic.until_served_by_everybody().await;
    }
    let report = traffic.end().await;
    report.check();
    assert_eq!(report.failed, 0, "a rolling restart fails no call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_killed_at_once_come_back_with_every_acknowledged_add() {
    let mut fleet = Fleet::start(3).await;
    let _hosts = Hosts::start(&fleet.gateways()).await;
    let traffic = Traffic::start(&fleet.gateways(), 24, 6).await;
    traffic.until_served(200).await;
    for node in 0..3 {
        fleet.kill(node);
    }
    fleet.start_all_again().await;
    traffic.until_served_by_everybody().await;
    traffic.end().await.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_of_nodes_that_go_and_come_back() {
    let mut fleet = Fleet::start(3).await;
    let mut watch = fleet::Watch::start(&fleet.gateways()[0]);
    let (first, _) = (watch.next("Cluster"), ());
    assert_eq!(fleet::nodes(&first).len(), 3, "{first}");
    let number = fleet.number(2);
    fleet.kill(2);
    watch.until("node-down", number);
    fleet.start_again(2).await;
    watch.until("node-up", number);
}

/// The command line against a node that is no cluster: every verb says what is wrong or does what it can.
#[test]
fn a_node_that_is_alone_shows_itself_as_a_cluster_of_one() {
    let node = crate::node::Node::start();
    let output = node.callboard(&["-o", "json", "cluster", "status"]);
    let status: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(status["kind"], "Cluster");
    assert_eq!(status["leaseHeld"], true, "{status}");
    assert_eq!(fleet::nodes(&status).len(), 1);
    let output = node.callboard(&["cluster", "drain", "9"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no node 9"), "{output:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let path = file.to_str().expect("text");
    crate::node::succeeds(Command::new(crate::node::callboard()).args([
        "--server",
        node.address(),
        "backup",
        path,
    ]));
    assert!(std::fs::metadata(&file).expect("written").len() > 64);
    let again = node.callboard(&["backup", path]);
    assert_eq!(again.status.code(), Some(2), "a backup is never overwritten: {again:?}");
}
