//! A cluster whose nodes lost all their folders comes back from its database, with a backup and without one.

use std::{collections::BTreeMap, fs, process::Output};

use callboard_tests::{
    local::caller::{call, text},
    postgres,
};

use super::{Client, Fleet, Hosts, WHOLE_AGAIN, callboard, fleet};

/// How many actors there are.
const KEYS: usize = 24;

/// The epochs in the database, by shard.
fn epochs(store: &str) -> BTreeMap<u32, u64> {
    let rows = postgres::sql(store, "SELECT shard, epoch FROM shard_fence");
    let row = |line: &str| {
        let (shard, epoch) = line.split_once('|').expect("two columns");
        (shard.parse().expect("a shard"), epoch.parse().expect("an epoch"))
    };
    rows.lines().map(row).collect()
}

/// Adds to every actor, and checks what it has then.
async fn add(client: &Client, amount: i64, total: i64) {
    for key in 0..KEYS {
        let add = call("Counter", &format!("c{key}"), "add", &amount.to_string());
        let reply = client.insist(add).await.expect("served");
        assert_eq!(text(&reply), total.to_string(), "c{key}");
    }
}

/// Begins a cluster, gives its actors something to remember, does something with it, and loses every folder.
async fn lost(before: impl FnOnce(&Fleet)) -> Fleet {
    let mut fleet = Fleet::start(3).await;
    let hosts = Hosts::start(&fleet.gateways()).await;
    add(&Client::new(&fleet.gateways()), 5, 5).await;
    before(&fleet);
    // After the backup, so that it knows less than the database.
    fleet.terminate(2);
    add(&Client::new(&fleet.gateways()[..2]), 2, 7).await;
    drop(hosts);
    for at in [0, 1] {
        fleet.kill(at);
    }
    for at in 0..3 {
        fleet.member(at).lose();
    }
    fleet
}

/// Recovers on one node, lets the others join, and finds everything as it was.
async fn comes_back(mut fleet: Fleet, verb: &[&str]) {
    let before = epochs(fleet.store());
    assert!(!before.is_empty());
    let output = fleet.run_as(1, verb);
    assert!(output.status.success(), "{output:?}");
    let fenced = epochs(fleet.store());
    let above = |(shard, epoch): (&u32, &u64)| fenced[shard] > *epoch;
    assert!(before.iter().all(above), "a node that still ran could commit: {before:?} {fenced:?}");
    let again = fleet.run_as(1, verb);
    refused(&again, "has a control plane");

    fleet.start_all_again().await;
    fleet
        .until(WHOLE_AGAIN, "three nodes are up", |status| {
            let nodes = fleet::nodes(status);
            nodes.len() == 3 && nodes.iter().all(|node| node["state"] == "up")
        })
        .await;
    let _hosts = Hosts::start(&fleet.gateways()).await;
    let clients: Vec<Client> = fleet.gateways().into_iter().map(|at| Client::new(&[at])).collect();
    for (client, total) in clients.iter().zip(8..) {
        add(client, 1, total).await;
    }
    let now = epochs(fleet.store());
    assert!(fenced.iter().all(|(shard, epoch)| now[shard] >= *epoch), "{fenced:?} {now:?}");
}

/// A command that recovers nothing, and why.
fn refused(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains(why), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cluster_is_restored_from_its_backup_with_every_acknowledged_add() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let path = file.to_str().expect("text");
    let backup = |fleet: &Fleet| drop(callboard(&fleet.gateways()[0], &["backup", path]));
    let mut fleet = lost(backup).await;

    // What is refused leaves folder and database alone.
    let before = epochs(fleet.store());
    let whole = fs::read(&file).expect("it was written");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damaged = folder.path().join("damaged");
    for bytes in [&flipped[..], &whole[..whole.len() / 2], b"", b"something else altogether"] {
        fs::write(&damaged, bytes).expect("written");
        let output = fleet.run_as(1, &["restore", damaged.to_str().expect("text")]);
        refused(&output, "backup");
    }
    let data = fleet.member(1).data().to_owned();
    fs::create_dir(&data).expect("made");
    fs::write(data.join("notes"), "not to be lost").expect("written");
    refused(&fleet.run_as(1, &["restore", path]), "notes is in it");
    fs::remove_dir_all(&data).expect("removed");
    let name = |name: &str| {
        let old = "(SELECT value FROM store_meta WHERE name = 'cluster_id')";
        let set = format!("UPDATE store_meta SET value = '{name}' WHERE name = 'cluster_id'");
        postgres::sql(fleet.store(), &format!("SELECT {old}; {set}"))
    };
    let own = name("another-one");
    refused(&fleet.run_as(1, &["restore", path]), "belongs to cluster another-one");
    name(&own);
    assert!(!data.exists() && epochs(fleet.store()) == before);

    comes_back(fleet, &["restore", path]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cluster_without_a_backup_comes_back_when_hosts_register_again() {
    let fleet = lost(|_| {}).await;
    comes_back(fleet, &["cluster", "recover"]).await;
}
