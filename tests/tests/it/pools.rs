//! Pools over several nodes: who runs a call, how many run at a time, and what callers may not say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_proto::{
    control::v1::{GetActorRequest, actors_service_client::ActorsServiceClient},
    gateway::v1::InvokeMode,
    host::v1::{TurnCall, TurnRun, node_frame},
    types::v1::{Durability, Kind},
};
use callboard_tests::{
    local::{
        ScriptedHost,
        caller::{Caller, actor, call, json, text},
        host::{Definition, definition, result, state_of},
    },
    mesh::Mesh,
};
use callboard_types::ErrorKind;
use tokio::task::JoinHandle;

/// No call of these tests takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer =
    JoinHandle<Result<callboard_proto::gateway::v1::InvokeResponse, callboard_types::CallError>>;

fn pool(min: u32, max: u32) -> Definition {
    Definition {
        kind: Kind::Pooled.into(),
        pool_min: min,
        pool_max: max,
        ..definition("Pool", Durability::Unspecified, &["work", "state?"])
    }
}

fn work(caller: &Caller) -> Answer {
    let caller = caller.clone();
    tokio::spawn(async move { caller.invoke(call("Pool", "", "work", "1")).await })
}

fn key(run: &TurnRun) -> String {
    run.actor.as_ref().expect("named").key.clone()
}

async fn answer(host: &ScriptedHost, run: &TurnRun) {
    host.send(run.turns.iter().map(|turn| result(turn.turn_id, "1", None)).collect()).await;
}

#[tokio::test]
async fn as_many_turns_run_at_a_time_as_the_pool_has_instances_on_all_nodes_together() {
    let mesh = Mesh::start(2).await;
    let mut hosts = [mesh.host(1, pool(0, 4)).await, mesh.host(2, pool(0, 4)).await];
    let caller = mesh.caller(1).await;
    let mut answers: Vec<Answer> = (0..4).map(|_| work(&caller)).collect();
    let mut runs = Vec::new();
    for host in [0, 0, 1, 1] {
        runs.push((host, hosts[host].run().await));
    }
    let keys: BTreeSet<String> = runs.iter().map(|(_, run)| key(run)).collect();
    assert_eq!(keys.len(), 4, "each runs on an instance of its own");
    answers.extend((0..8).map(|_| work(&caller)));
    let mut turns = 0;
    while turns < 12 {
        let (host, run) = runs.remove(0);
        answer(&hosts[host], &run).await;
        turns += run.turns.len();
        if turns + runs.iter().map(|(_, run)| run.turns.len()).sum::<usize>() < 12 {
            let next = tokio::time::timeout(PATIENCE, hosts[host].run()).await;
            let next = next.expect("every instance has two more calls");
            assert!(runs.iter().all(|(_, run)| key(run) != key(&next)), "one run per instance");
            runs.push((host, next));
        }
    }
    for answer in answers {
        assert_eq!(text(&answer.await.expect("no panic").expect("answered")), "1");
    }
}

#[tokio::test]
async fn calls_one_after_the_other_need_one_instance_and_the_node_that_has_it() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, pool(0, 6)).await;
    let _elsewhere = mesh.host(1, pool(0, 6)).await;
    let caller = mesh.caller(2).await;
    for _ in 0..3 {
        let answered = work(&caller);
        let run = host.run().await;
        assert_eq!(key(&run), "1", "the lowest instance of node 2");
        assert_eq!(state_of(&run), None);
        // A state is not kept, whatever the host says.
        host.send(vec![result(run.turns[0].turn_id, "1", Some("7"))]).await;
        answered.await.expect("no panic").expect("answered");
    }
    assert!(!caller.state(actor("Pool", "")).await.expect("read").exists);
}

#[tokio::test]
async fn callers_do_not_choose_an_instance() {
    let mesh = Mesh::start(2).await;
    let _host = mesh.host(1, pool(0, 2)).await;
    for node in [1, 2] {
        let caller = mesh.caller(node).await;
        for key in ["0", "1", "7", "Nobody"] {
            let error = caller.invoke(call("Pool", key, "work", "1")).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::InvalidActorKey, "{key}");
        }
        let error = caller.invoke(call("Pool", "", "get", "")).await.expect_err("no state to get");
        assert_eq!(error.kind, ErrorKind::UnknownAction);
    }
}

#[tokio::test]
async fn an_instance_without_room_passes_one_call_on_and_a_full_pool_refuses() {
    let mesh = Mesh::start(2).await;
    let small = Definition { mailbox_limit: 2, ..pool(0, 2) };
    let mut hosts = [mesh.host(1, small.clone()).await, mesh.host(2, small).await];
    let (one, two) = (mesh.caller(1).await, mesh.caller(2).await);
    // Node 2 gives a call to its own instance, one to the other node's, and one more to its own.
    let own = work(&two);
    let second = hosts[1].run().await;
    let far = work(&two);
    let first = hosts[0].run().await;
    let waiting = work(&two);
    until_depth(&mesh, 2, 2).await;
    // Node 1 knows nothing of node 2's own calls, tries its instance first, and then takes the one that has room.
    let moved = work(&one);
    until_depth(&mesh, 1, 2).await;
    let refused = work(&one).await.expect("no panic").expect_err("no room anywhere");
    assert_eq!(refused.kind, ErrorKind::MailboxFull);
    answer(&hosts[0], &first).await;
    let run = hosts[0].run().await;
    answer(&hosts[0], &run).await;
    answer(&hosts[1], &second).await;
    let run = hosts[1].run().await;
    answer(&hosts[1], &run).await;
    for answered in [own, far, waiting, moved] {
        answered.await.expect("no panic").expect("answered");
    }
}

/// Waits until so many calls wait or run at the instances of a node.
async fn until_depth(mesh: &Mesh, node: u64, depth: u32) {
    let mut actors = ActorsServiceClient::new(mesh.channel(node).await);
    let instance = (node - 1).to_string();
    let request = || GetActorRequest { actor: Some(actor("Pool", &instance)) };
    let waited = async {
        loop {
            let shown = actors.get_actor(request()).await.expect("there").into_inner();
            if shown.actor.expect("set").mailbox_depth == depth {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("the calls come");
}

#[tokio::test]
async fn the_minimum_is_kept_in_memory_and_goes_along_when_its_shard_moves() {
    let mesh = Mesh::start(2).await;
    let mut idle = pool(2, 4);
    idle.idle_timeout_ms = 50;
    idle.actions.push(callboard_proto::types::v1::ActionDefinition {
        name: "init".to_owned(),
        ..Default::default()
    });
    let mut hosts = [mesh.host(1, idle.clone()).await, mesh.host(2, idle).await];
    for (host, expected) in hosts.iter_mut().zip(["0", "1"]) {
        let run = host.run().await;
        assert_eq!((key(&run).as_str(), run.turns[0].action.as_str()), (expected, "init"));
        answer(host, &run).await;
    }
    mesh.script().give("Pool", 0, 2);
    let run = hosts[1].run().await;
    assert_eq!((key(&run).as_str(), run.turns[0].action.as_str()), ("0", "init"));
    answer(&hosts[1], &run).await;
    assert!(!mesh.caller(1).await.state(actor("Pool", "")).await.expect("read").exists);
}

#[tokio::test]
async fn a_turn_calls_a_pool_and_never_the_instance_that_waits_for_it() {
    let mesh = Mesh::start(1).await;
    let mut host = mesh.host(1, pool(0, 2)).await;
    let caller = mesh.caller(1).await;
    let answered = work(&caller);
    let inside = |turn_id| TurnCall {
        turn_id,
        call_index: 0,
        target: Some(actor("Pool", "")),
        action: "work".to_owned(),
        payload: Some(json("1")),
        timeout_ms: 5_000,
        metadata: std::collections::HashMap::new(),
        request_id: String::new(),
    };
    let first = host.run().await;
    host.call(inside(first.turns[0].turn_id)).await;
    let second = host.run().await;
    assert_eq!((key(&first).as_str(), key(&second).as_str()), ("0", "1"));
    host.call(inside(second.turns[0].turn_id)).await;
    let Some(node_frame::Frame::CallResult(refused)) = host.next().await else {
        panic!("a third call has no instance left that does not wait for it");
    };
    assert!(format!("{:?}", refused.outcome).contains(ErrorKind::CallCycle.reason()));
    answer(&host, &second).await;
    assert!(matches!(host.next().await, Some(node_frame::Frame::CallResult(_))));
    answer(&host, &first).await;
    answered.await.expect("no panic").expect("answered");
}

#[tokio::test]
async fn accepted_calls_are_spread_over_all_instances_of_all_nodes() {
    let mesh = Mesh::start(2).await;
    let seen: Arc<std::sync::Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let ran = Arc::new(AtomicUsize::new(0));
    for node in 1..=2 {
        let (seen, ran) = (Arc::clone(&seen), Arc::clone(&ran));
        let host = mesh.host(node, pool(0, 8)).await;
        host.answer_all(move |_, _| {
            *seen.lock().expect("no panic").entry(node).or_default() += 1;
            ran.fetch_add(1, Ordering::AcqRel);
            (String::new(), None)
        });
    }
    let caller = mesh.caller(1).await;
    for _ in 0..40 {
        let mut later = call("Pool", "", "work", "1");
        later.mode = InvokeMode::Async.into();
        assert!(!caller.invoke(later).await.expect("accepted").durable);
    }
    while ran.load(Ordering::Acquire) < 40 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*seen.lock().expect("no panic"), BTreeMap::from([(1, 20), (2, 20)]));
}
