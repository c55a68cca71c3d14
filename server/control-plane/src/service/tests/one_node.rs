use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use callboard_types::{Durability, ErrorKind, Tick, TypeDefinition};
use futures::future::join_all;
use tempfile::TempDir;

use super::fixture::counter;
use crate::{ControlPlane, Error, Handle, Options, raft::types::Proposal};

fn options(folder: &TempDir) -> Options {
    Options::new(folder.path(), "127.0.0.1:7070")
}

async fn start(options: Options) -> (ControlPlane, Handle) {
    ControlPlane::start(options).await.expect("started")
}

#[tokio::test]
async fn a_fresh_node_is_ready_well_below_300_ms() {
    let mut fastest = u64::MAX;
    // The fastest of several: other tests use the same disk.
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder");
        let began = Tick::now();
        let (plane, handle) = start(options(&folder)).await;
        fastest = fastest.min(Tick::now().micros_since(began));
        assert!(handle.view().borrow().has_system("default"), "ready means ready");
        plane.shutdown().await;
    }
    assert!(fastest < 300_000, "it took {fastest} us");
}

#[tokio::test]
async fn the_first_registration_owns_its_shards_when_it_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, handle) = start(options(&folder)).await;
    let version = handle
        .register_types("default", vec![counter()], Bytes::from_static(b"files"))
        .await
        .expect("registered");
    let view = handle.view().borrow().clone();
    assert!(view.version >= version);
    assert_eq!(view.leader, Some(view.node));
    let registered = view.type_of("default", "Counter").expect("there");
    assert!(registered.shards.iter().all(|owner| owner.node == view.node && owner.epoch.0 == 1));
    assert_eq!(&*registered.descriptor_set, b"files");
    assert_eq!(plane.cluster_id(), view.cluster_id);
    plane.shutdown().await;
}

#[tokio::test]
async fn everything_agreed_on_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, handle) = start(options(&folder)).await;
    handle.create_system("shop").await.expect("created");
    handle.register_types("shop", vec![counter()], Bytes::new()).await.expect("registered");
    let before = handle.view().borrow().clone();
    plane.shutdown().await;

    let (plane, handle) = start(options(&folder)).await;
    let after = handle.view().borrow().clone();
    assert_eq!(after.cluster_id, before.cluster_id);
    let (was, is) = (&before.types[0], &after.types[0]);
    assert_eq!((was.id, &was.definition), (is.id, &is.definition));
    let risen = was.shards.iter().zip(is.shards.iter());
    assert!(
        { risen }.all(|(was, is)| was.node == is.node && is.epoch == was.epoch.next()),
        "the same owner in a new life"
    );
    assert!(after.has_system("shop"));
    assert!(after.version >= before.version, "versions never go back");
    plane.shutdown().await;
}

#[tokio::test]
async fn registering_again_costs_nothing_and_a_conflict_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, handle) = start(options(&folder)).await;
    let register = |types| handle.register_types("default", types, Bytes::new());
    let first = register(vec![counter()]).await.expect("registered");
    assert_eq!(register(vec![counter()]).await, Ok(first), "the same version: nothing happened");

    let mut other = counter();
    other.durability = Durability::Volatile;
    let error = register(vec![TypeDefinition::new("New"), other]).await.expect_err("a conflict");
    assert_eq!(error.kind, ErrorKind::IncompatibleType);
    assert_eq!(handle.view().borrow().types.len(), 1, "all types of a registration or none");

    let error = handle.register_types("nowhere", vec![counter()], Bytes::new()).await;
    assert_eq!(error.expect_err("no such system").kind, ErrorKind::UnknownSystem);
    plane.shutdown().await;
}

#[tokio::test]
async fn a_second_process_cannot_use_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, _) = start(options(&folder)).await;
    let error = ControlPlane::start(options(&folder)).await.expect_err("in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    plane.shutdown().await;
}

#[tokio::test]
async fn the_log_stays_bounded_and_a_snapshot_brings_everything_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let short = Options { snapshot_entries: 50, ..options(&folder) };
    let (plane, handle) = start(short.clone()).await;
    let names: Vec<String> = (0..400).map(|number| format!("s{number}")).collect();
    for created in join_all(names.iter().map(|name| handle.create_system(name))).await {
        created.expect("created");
    }
    let before = handle.view().borrow().clone();
    let raft = handle.proposer.raft.clone();
    let purged = raft.wait(Some(Duration::from_secs(30)));
    let purged = purged.metrics(|metrics| metrics.purged.is_some(), "old entries are gone").await;
    purged.expect("the log is cut");
    plane.shutdown().await;

    let (plane, handle) = start(short).await;
    let after = handle.view().borrow().clone();
    assert!(after.systems == before.systems, "all 401 are there");
    plane.shutdown().await;
}

#[tokio::test]
async fn an_unknown_command_stops_the_node_now_and_at_every_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, handle) = start(options(&folder)).await;
    let fatal = handle.fatal();
    let of_a_newer_version = Proposal::from_bytes(vec![1, 250, 0]);
    handle.proposer.raft.client_write(of_a_newer_version).await.expect_err("it stops");
    let error = tokio::time::timeout(Duration::from_secs(30), fatal).await.expect("told");
    assert!(error.to_string().contains("Restart the node"), "{error}");
    handle.create_system("late").await.expect_err("nothing is agreed on any more");
    plane.shutdown().await;

    let error = ControlPlane::start(options(&folder)).await.expect_err("never passed over");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
    let error = ControlPlane::start(options(&folder)).await.expect_err("still not");
    assert!(matches!(error, Error::Damaged { .. }), "a failed start lets go of its files: {error}");
}

#[tokio::test]
async fn a_node_that_lost_its_log_refuses_to_start_over() {
    for file in ["log.redb", "snapshot.redb"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (plane, _) = start(options(&folder)).await;
        plane.shutdown().await;
        std::fs::remove_file(folder.path().join("control").join(file)).expect("removed");
        let error = ControlPlane::start(options(&folder)).await.expect_err("it was a member");
        assert!(matches!(error, Error::LogMissing { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_start_that_was_cut_off_before_it_had_a_name_begins_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control");
    std::fs::create_dir(&control).expect("a folder");
    for file in ["identity.json.new", "log.redb", "snapshot.redb"] {
        std::fs::write(control.join(file), "half a file").expect("written");
    }
    let (plane, handle) = start(options(&folder)).await;
    assert!(handle.view().borrow().has_system("default"));
    plane.shutdown().await;
}

#[tokio::test]
async fn a_damaged_file_of_a_member_is_reported_and_left_as_it_is() {
    for file in ["log.redb", "snapshot.redb"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (plane, _) = start(options(&folder)).await;
        plane.shutdown().await;
        let path = folder.path().join("control").join(file);
        std::fs::write(&path, "half a file").expect("written");
        let error = ControlPlane::start(options(&folder)).await.expect_err("damaged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("let it join again"), "it says what to do: {error}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "half a file");
    }
}

#[tokio::test]
async fn a_node_is_found_at_its_new_address_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plane, _) = start(options(&folder)).await;
    plane.shutdown().await;
    let moved = Options { address: "elsewhere:7070".into(), ..options(&folder) };
    let (plane, handle) = start(moved).await;
    let mut view = handle.view();
    let found = view.wait_for(|view| view.nodes.iter().any(|n| n.address == "elsewhere:7070"));
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("soon").expect("alive");
    plane.shutdown().await;
}

#[tokio::test]
async fn hosts_that_leave_for_good_are_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let grace = Duration::from_secs(3_600);
    let (plane, handle) = start(Options { host_grace: grace, ..options(&folder) }).await;
    let types = || vec![(Arc::from("default"), Arc::from("Counter"))];
    handle.set_hosted(types(), true).await;
    let registered = handle.register_types("default", vec![counter()], Bytes::new()).await;
    let version = registered.expect("registered");
    handle.hosts_left(types());
    let mut view = handle.view();
    let lost = view.wait_for(|view| view.version > version);
    tokio::time::timeout(Duration::from_secs(30), lost).await.expect("soon").expect("alive");
    assert!(handle.proposer.replicated.read().machine.hosted_by(handle.node()).next().is_none());
    plane.shutdown().await;
}

#[tokio::test]
async fn hosts_that_come_back_within_the_grace_period_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let grace = Duration::from_millis(100);
    let (plane, handle) = start(Options { host_grace: grace, ..options(&folder) }).await;
    let hosted = |hosted| {
        let types = vec![(Arc::from("default"), Arc::from("Counter"))];
        handle.set_hosted(types, hosted)
    };
    let is_eligible = || {
        let state = handle.proposer.replicated.read();
        state.machine.hosted_by(handle.node()).next().is_some()
    };
    // Said before anybody registered it: remembered.
    hosted(true).await;
    let registered = handle.register_types("default", vec![counter()], Bytes::new()).await;
    let version = registered.expect("registered");
    hosted(false).await;
    hosted(true).await;
    tokio::time::sleep(grace * 5).await;
    assert_eq!(handle.view().borrow().version, version, "nothing was proposed");
    assert!(is_eligible());

    hosted(false).await;
    let mut view = handle.view();
    let lost = view.wait_for(|view| view.version > version);
    tokio::time::timeout(Duration::from_secs(30), lost).await.expect("soon").expect("alive");
    assert!(!is_eligible());
    let view = handle.view().borrow().clone();
    let counter = view.type_of("default", "Counter").expect("registered");
    assert!(counter.shards.iter().all(|owner| owner.node == view.node), "the shards stay");

    // What an earlier life left behind goes as well, after the same grace.
    hosted(true).await;
    let mut view = handle.view();
    let version = view.borrow().version;
    let back = view.wait_for(|view| view.version > version);
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("soon").expect("alive");
    plane.shutdown().await;
    let (plane, handle) = start(Options { host_grace: grace, ..options(&folder) }).await;
    let version = handle.view().borrow().version;
    let mut view = handle.view();
    let lost = view.wait_for(|view| view.version > version);
    tokio::time::timeout(Duration::from_secs(30), lost).await.expect("soon").expect("alive");
    assert!(handle.proposer.replicated.read().machine.hosted_by(handle.node()).next().is_none());
    plane.shutdown().await;
}
