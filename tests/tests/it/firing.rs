//! Schedules that are due, over several nodes: each occurrence is fired by the owner of its target, once in effect.

use std::{collections::BTreeSet, time::Duration};

use callboard_data_plane::ports::Hosting;
use callboard_proto::types::v1::{Durability, Kind};
use callboard_tests::{
    local::{
        caller::{actor, call, now_ms},
        host::{Definition, counter, definition},
    },
    mesh::{Mesh, schedules::occurrence},
};
use callboard_types::{ErrorKind, OccurrenceEnd, Tick};

/// No firing of these tests takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn counters(mesh: &Mesh, nodes: u64, durability: Durability) {
    for node in 1..=nodes {
        let host = mesh.host(node, definition("Counter", durability, &["add", "total?"])).await;
        host.answer_all(counter);
    }
}

async fn ends(mesh: &Mesh, count: usize) -> Vec<OccurrenceEnd> {
    let ends = tokio::time::timeout(PATIENCE, mesh.schedules().ends(count)).await;
    ends.unwrap_or_else(|_| panic!("{count} occurrences did not end"))
}

async fn total(mesh: &Mesh, key: &str) -> String {
    let state = mesh.caller(1).await.state(actor("Counter", key)).await.expect("read");
    String::from_utf8_lossy(&state.state.unwrap_or_default().data).into_owned()
}

#[tokio::test]
async fn an_occurrence_is_fired_by_the_owner_of_its_target_and_never_early() {
    let mesh = Mesh::start(3).await;
    let mut host = mesh.host(2, definition("Log", Durability::Durable, &["note"])).await;
    let due = now_ms() + 300;
    mesh.schedules().add([occurrence(7, due, ("Log", &mesh.key_on("Log", 2, 0), "note"))]);
    let turn = host.turn().await;
    let now = now_ms();
    assert!(now >= due, "{now} is before {due}");
    assert_eq!(turn.request_id, "schedule-7-1-1");
    assert_eq!(turn.metadata["callboard-schedule"], "schedule 7");
    assert_eq!(turn.metadata["note"], "from the test");
    assert_eq!(turn.payload.as_ref().map(|payload| payload.data.clone()), Some("1".into()));
    host.fail(&turn, "NOT_TODAY").await;
    let end = ends(&mesh, 1).await.remove(0);
    assert!(end.fired_at.0 >= due);
    assert_eq!(end.error.expect("the action failed").reason(), "NOT_TODAY");
}

#[tokio::test]
async fn ends_that_nobody_agreed_on_are_not_fired_again_and_reported_later() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 1, 0);
    mesh.schedules().set_leaderless(true);
    mesh.schedules().add([occurrence(1, now_ms(), ("Counter", &key, "add"))]);
    while total(&mesh, &key).await != "1" {
        tokio::task::yield_now().await;
    }
    // Its shard goes to the other node, which finds the occurrence still due: it fires under the same request id.
    mesh.script().give("Counter", callboard_types::shard_of(&key, 64), 2);
    mesh.schedules().set_leaderless(false);
    let end = ends(&mesh, 1).await.remove(0);
    assert!(end.error.is_none(), "{end:?}");
    assert_eq!(total(&mesh, &key).await, "1");
}

#[tokio::test]
async fn an_occurrence_waits_for_a_host_and_for_an_owner_of_its_target() {
    let mesh = Mesh::start(2).await;
    let short = mesh.host(1, definition("Counter", Durability::Durable, &["add"])).await;
    let key = mesh.key_on("Counter", 1, 0);
    short.drain().await;
    drop(short);
    mesh.script().hosting(1, "Counter", Hosting::None).await;
    mesh.script().give("Counter", callboard_types::shard_of(&key, 64), 0);
    mesh.schedules().add([occurrence(1, now_ms(), ("Counter", &key, "add"))]);
    mesh.script().give("Counter", callboard_types::shard_of(&key, 64), 2);
    counters(&mesh, 2, Durability::Durable).await;
    assert!(ends(&mesh, 1).await.remove(0).error.is_none());
    assert_eq!(total(&mesh, &key).await, "1");
}

#[tokio::test]
async fn what_can_never_be_fired_ends_with_the_reason() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Volatile).await;
    let due = now_ms();
    mesh.schedules().add([
        occurrence(1, due, ("Nobody", "a", "add")),
        occurrence(2, due, ("Counter", "a", "no such action")),
        occurrence(3, due, ("Counter", "a", "$delete")),
    ]);
    let mut ended = ends(&mesh, 3).await;
    ended.sort_by_key(|end| end.schedule);
    let kinds = ended.into_iter().map(|end| end.error.expect("an error").kind);
    let expected = [ErrorKind::UnknownType, ErrorKind::UnknownAction, ErrorKind::InvalidArgument];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_schedule_may_call_a_pool() {
    let mesh = Mesh::start(2).await;
    let pool = Definition {
        kind: Kind::Pooled.into(),
        pool_max: 4,
        ..definition("Pool", Durability::Unspecified, &["add"])
    };
    for node in 1..=2 {
        mesh.host(node, pool.clone()).await.answer_all(counter);
    }
    let due = now_ms();
    mesh.schedules().add((1..=8).map(|n| occurrence(n, due, ("Pool", "Pool", "add"))));
    assert!(ends(&mesh, 8).await.iter().all(|end| end.error.is_none()));
}

#[tokio::test]
async fn a_delayed_call_is_made_when_it_is_due_and_its_repetition_is_the_same_call() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let caller = mesh.caller(1).await;
    let mut later = call("Counter", &mesh.key_on("Counter", 2, 0), "add", "5");
    let begun = now_ms();
    later.delay_ms = 200;
    let accepted = caller.invoke(later.clone()).await.expect("accepted");
    assert!(accepted.durable && accepted.reply.is_none());
    let again = mesh.caller(2).await.invoke(later.clone()).await.expect("accepted before");
    assert_eq!((again.schedule, again.request_id), (accepted.schedule, later.request_id.clone()));
    let mut stream = caller.stream().await;
    let mut third = call("Counter", &later.actor.as_ref().expect("set").key, "add", "2");
    third.due_at_ms = begun + 200;
    stream.send(vec![(9, third)]).await;
    let reply = stream.reply().await;
    assert_eq!(reply.0, 9);
    assert!(!reply.1.expect("accepted").schedule.is_empty());
    let ended = ends(&mesh, 2).await;
    assert!(ended.iter().all(|end| end.fired_at.0 >= begun + 200 && end.error.is_none()));
    assert_eq!(total(&mesh, &later.actor.expect("set").key).await, "7");
    let mut both = call("Counter", "a", "add", "5");
    (both.delay_ms, both.due_at_ms) = (1, 1);
    let error = caller.invoke(both).await.expect_err("which of the two?");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn ten_thousand_that_are_due_at_one_instant_are_fired_once_each() {
    let mesh = Mesh::start(1).await;
    counters(&mesh, 1, Durability::Volatile).await;
    let due = now_ms() + 1_000;
    let keys: Vec<String> = (0..100).map(|key| format!("key-{key}")).collect();
    let occurrences = (0..10_000_u64).map(|number| {
        let key = &keys[usize::try_from(number % 100).expect("small")];
        occurrence(number, due, ("Counter", key, "add"))
    });
    mesh.schedules().add(occurrences);
    let ended = ends(&mesh, 10_000).await;
    let names: BTreeSet<u64> = ended.iter().map(|end| end.schedule).collect();
    assert_eq!(names.len(), 10_000);
    assert!(ended.iter().all(|end| end.error.is_none() && end.fired_at.0 >= due));
    let caller = mesh.caller(1).await;
    for key in &keys {
        let total = caller.invoke(call("Counter", key, "total", "")).await.expect("read");
        assert_eq!(callboard_tests::local::caller::text(&total), "100", "{key}");
    }
}

#[tokio::test]
async fn occurrences_follow_their_shards_and_none_is_lost_or_applied_twice() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let begun = Tick::now();
    let due = now_ms();
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Counter", node, 0)).collect();
    let occurrences = (0..600_u64).map(|number| {
        let key = &keys[usize::try_from(number % 3).expect("small")];
        let at = due + i64::try_from(number).expect("small");
        occurrence(number, at, ("Counter", key, "add"))
    });
    mesh.schedules().add(occurrences);
    let mut to = 1;
    while Tick::now().micros_since(begun) < 700_000 {
        for key in &keys {
            let shard = callboard_types::shard_of(key, 64);
            mesh.script().begin_move("Counter", shard, to % 3 + 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
            to += 1;
        }
    }
    let ended = ends(&mesh, 600).await;
    assert!(ended.iter().all(|end| end.error.is_none()), "{ended:?}");
    for key in &keys {
        assert_eq!(total(&mesh, key).await, "200", "{key}");
    }
}
