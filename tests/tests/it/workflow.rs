//! Actors that talk: effects, pipes and forwards over several nodes, whatever moves, dies or breaks meanwhile.

mod chains;

use std::time::Duration;

use callboard_proto::types::v1::Durability;
use callboard_tests::{
    local::{
        Caller,
        caller::{actor, call, text},
        flow::{talk, talker},
    },
    mesh::Mesh,
};
use callboard_types::{ErrorKind, ShardId, Tick, shard_of};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Actors of a type that talk, with hosts at every node.
async fn talkers(mesh: &Mesh, nodes: u64, name: &str, durability: Durability) {
    for node in 1..=nodes {
        talk(mesh.host(node, talker(name, durability)).await);
    }
}

/// What an actor has noted.
async fn noted(caller: &Caller, actor_type: &str, key: &str) -> String {
    let state = caller.state(actor(actor_type, key)).await.expect("read").state;
    state.map(|s| String::from_utf8_lossy(&s.data).into_owned()).unwrap_or_default()
}

/// Waits until an actor has noted exactly this.
async fn until_noted(caller: &Caller, key: &str, expected: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while noted(caller, "Log", key).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    if waited.await.is_err() {
        panic!("expected {expected}, found {}", noted(caller, "Log", key).await);
    }
}

fn numbers(until: u64) -> String {
    (1..until).map(|number| format!("{number},")).collect()
}

/// Waits until no row of an outbox is left.
async fn until_delivered(mesh: &Mesh) {
    let rows = || async {
        let mut left = 0;
        for number in 0..64 {
            let (system, actor_type) = ("default".into(), "Log".into());
            let shard = ShardId { system, actor_type, number };
            let late = callboard_types::Millis(i64::MAX);
            let early = callboard_types::Millis(i64::MIN);
            left += mesh.store().outbox(&shard, (early, 0), late, 10).await.expect("read").len();
        }
        left
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        while rows().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("every row is let go once it was delivered");
}

#[tokio::test]
async fn effects_reach_actors_of_other_nodes_once_and_in_order() {
    let mesh = Mesh::start(3).await;
    talkers(&mesh, 3, "Log", Durability::Durable).await;
    let (source, near, far) =
        (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 1, 1), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(3).await;
    for key in [&near, &far] {
        let told = call("Log", &source, "tell", &format!("Log/{key}/1..50"));
        let reply = caller.invoke(told.clone()).await.expect("told");
        assert!(reply.durable);
        caller.invoke(told).await.expect("the same outcome, and no further effects");
    }
    until_noted(&caller, &near, &numbers(50)).await;
    until_noted(&caller, &far, &numbers(50)).await;
    until_delivered(&mesh).await;
    assert_eq!(noted(&caller, "Log", &source).await, "told,told,");
}

#[tokio::test]
async fn effects_of_a_node_that_died_are_delivered_once_and_in_order_by_the_next_owner() {
    let mesh = Mesh::start(3).await;
    talkers(&mesh, 3, "Log", Durability::Durable).await;
    let (source, target) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(3).await;
    let shard = shard_of(&source, 64);
    for round in 0..6 {
        let (from, to) = (round * 10 + 1, round * 10 + 11);
        let told = call("Log", &source, "tell", &format!("Log/{target}/{from}..{to}"));
        caller.invoke(told).await.expect("told");
        // Whatever the owner has in memory is gone, at whatever step of the delivery it is.
        mesh.script().give("Log", shard, round % 3 + 1);
    }
    until_noted(&caller, &target, &numbers(61)).await;
    until_delivered(&mesh).await;
    assert_eq!(noted(&caller, "Log", &target).await, numbers(61), "and none came again");
}

#[tokio::test]
async fn effects_wait_for_a_target_whose_node_died_or_whose_shard_moves() {
    let mesh = Mesh::start(3).await;
    talkers(&mesh, 3, "Log", Durability::Durable).await;
    let (source, target) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(1).await;
    let shard = shard_of(&target, 64);
    for round in 0..6 {
        let (from, to) = (round * 10 + 1, round * 10 + 11);
        let told = call("Log", &source, "tell", &format!("Log/{target}/{from}..{to}"));
        caller.invoke(told).await.expect("told");
        match round {
            0 | 3 => mesh.script().give("Log", shard, 0),
            1 | 4 => mesh.script().give("Log", shard, 3),
            _ => mesh.script().begin_move("Log", shard, 2),
        }
        mesh.cut(2);
    }
    until_noted(&caller, &target, &numbers(61)).await;
    until_delivered(&mesh).await;
}

#[tokio::test]
async fn poison_becomes_a_dead_letter_and_the_source_goes_on() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (source, target) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(1).await;
    let poison = call("Log", &source, "tell", &format!("Log/{target}/0+deaf"));
    caller.invoke(poison).await.expect("told");
    let told = call("Log", &source, "tell", &format!("Log/{target}/1..5"));
    caller.invoke(told).await.expect("told");
    until_noted(&caller, &target, &numbers(5)).await;
    until_delivered(&mesh).await;
    let letters = mesh.store().dead_letters("default", "", "", 10).await.expect("read");
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(*letters[0].source.key, *source);
    let letter = callboard_data_plane::deliveries::letter::Letter::decode(&letters[0].letter);
    assert_eq!(letter.expect("readable").error.kind, ErrorKind::UnknownAction);
}

#[tokio::test]
async fn a_delayed_effect_is_never_early_and_survives_its_node() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (source, target) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(2).await;
    let began = Tick::now();
    let later = call("Log", &source, "tell", &format!("Log/{target}/600+note"));
    caller.invoke(later).await.expect("told");
    mesh.script().give("Log", shard_of(&source, 64), 2);
    let now = call("Log", &target, "note", "first");
    caller.invoke(now).await.expect("noted");
    until_noted(&caller, &target, "first,told,").await;
    let waited = Tick::now().micros_since(began);
    assert!(waited >= 600_000, "{waited} us");
}

#[tokio::test]
async fn effects_wait_for_a_host_of_their_target() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let mut absent = mesh.host_unready(2).await;
    absent.register("default", vec![talker("Late", Durability::Durable)]).await.expect("known");
    drop(absent);
    let source = mesh.key_on("Log", 1, 0);
    let target = mesh.key_on("Late", 1, 0);
    let caller = mesh.caller(1).await;
    let told = call("Log", &source, "tell", &format!("Late/{target}/1..4"));
    caller.invoke(told).await.expect("told");
    talkers(&mesh, 2, "Late", Durability::Durable).await;
    until_delivered(&mesh).await;
    assert_eq!(noted(&caller, "Late", &target).await, numbers(4));
}

#[tokio::test]
async fn effects_of_and_to_actors_without_rows_arrive_while_nothing_fails() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Memory", Durability::Volatile).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (source, log) = (mesh.key_on("Memory", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(1).await;
    let told = call("Memory", &source, "tell", &format!("Log/{log}/1..20"));
    caller.invoke(told).await.expect("told");
    until_noted(&caller, &log, &numbers(20)).await;
    let memory = mesh.key_on("Memory", 2, 0);
    let told = call("Log", &log, "tell", &format!("Memory/{memory}/1..20"));
    caller.invoke(told).await.expect("told");
    until_delivered(&mesh).await;
    assert_eq!(noted(&caller, "Memory", &memory).await, numbers(20));
}

#[tokio::test]
async fn callers_may_not_use_names_of_internal_actions() {
    let mesh = Mesh::start(1).await;
    talkers(&mesh, 1, "Log", Durability::Durable).await;
    let refused = mesh.caller(1).await.invoke(call("Log", "a", "$delete", "")).await;
    let error = refused.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    let reply = mesh.caller(1).await.invoke(call("Log", "a", "note", "x")).await.expect("noted");
    assert_eq!(text(&reply), "x,");
}
