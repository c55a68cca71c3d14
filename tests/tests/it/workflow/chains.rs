//! Pipes and forwards: the last actor answers the caller, wherever it is and whatever became of those before it.

use callboard_proto::gateway::v1::{InvokeMode, InvokeRequest};

use super::*;

/// A call that is piped through the stations.
fn piped(first: &str, stations: &[String]) -> InvokeRequest {
    call("Log", first, "pipe", &stations.join(" "))
}

fn station(key: &str, action: &str) -> String {
    format!("Log/{key}/{action}")
}

#[tokio::test]
async fn the_last_actor_of_a_pipe_answers_and_a_retry_hears_the_same() {
    let mesh = Mesh::start(3).await;
    talkers(&mesh, 3, "Log", Durability::Durable).await;
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Log", node, 0)).collect();
    for node in 1..=3 {
        let stations = [station(&keys[1], "pipe"), station(&keys[2], "note")];
        let request = piped(&keys[0], &stations);
        let caller = mesh.caller(node).await;
        let reply = caller.invoke(request.clone()).await.expect("answered by the last");
        assert_eq!(text(&reply), "end,".repeat(usize::try_from(node).expect("small")));
        let again = mesh.caller(node % 3 + 1).await.invoke(request).await.expect("the same");
        assert_eq!(text(&again), text(&reply), "a retry follows the links and runs nothing");
    }
}

#[tokio::test]
async fn a_forward_passes_its_own_argument_on() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (first, last) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let next = station(&last, "note");
    let forward = call("Log", &first, "forward", &next);
    let reply = mesh.caller(2).await.invoke(forward).await.expect("answered");
    assert_eq!(text(&reply), format!("{next},"));
}

#[tokio::test]
async fn a_chain_whose_middle_and_end_move_answers_its_caller() {
    let mesh = Mesh::start(3).await;
    talkers(&mesh, 3, "Log", Durability::Durable).await;
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Log", node, 0)).collect();
    let mut answers = Vec::new();
    for number in 0..40_u64 {
        let stations = [station(&keys[1], "pipe"), station(&keys[2], "note")];
        let request = piped(&keys[0], &stations);
        let caller = mesh.caller(number % 3 + 1).await;
        answers.push(tokio::spawn(async move { caller.invoke(request).await }));
        if number % 8 == 3 {
            mesh.script().give("Log", shard_of(&keys[1], 64), number / 8 % 3 + 1);
            mesh.script().begin_move("Log", shard_of(&keys[2], 64), number / 8 % 3 + 1);
        }
    }
    for answer in answers {
        let reply = answer.await.expect("no panic").expect("answered");
        assert!(text(&reply).ends_with("end,"), "{}", text(&reply));
    }
    let caller = mesh.caller(1).await;
    assert_eq!(noted(&caller, "Log", &keys[2]).await, "end,".repeat(40), "once per call");
    assert_eq!(noted(&caller, "Log", &keys[1]).await, "passed,".repeat(40));
}

#[tokio::test]
async fn a_chain_goes_to_its_end_though_its_caller_has_gone() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (first, last) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let shard = shard_of(&last, 64);
    let owner = mesh.script().owner("Log", shard).node.0;
    mesh.script().give("Log", shard, 0);
    let mut request = piped(&first, &[station(&last, "note")]);
    request.timeout_ms = 300;
    let caller = mesh.caller(1).await;
    let error = caller.invoke(request.clone()).await.expect_err("nobody serves the last one");
    assert!(matches!(error.kind, ErrorKind::DeadlineExceeded | ErrorKind::NotOwner), "{error}");
    mesh.script().give("Log", shard, owner);
    until_noted(&caller, &last, "end,").await;
    request.timeout_ms = 10_000;
    assert_eq!(text(&caller.invoke(request).await.expect("the stored reply")), "end,");
}

#[tokio::test]
async fn an_asynchronous_caller_of_a_chain_is_told_of_the_acceptance_only() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (first, last) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(2).await;
    let mut request = piped(&first, &[station(&last, "note")]);
    request.mode = InvokeMode::Async.into();
    assert!(caller.invoke(request).await.expect("accepted").durable);
    until_noted(&caller, &last, "end,").await;
    until_delivered(&mesh).await;
}

#[tokio::test]
async fn a_chain_that_comes_back_fails_and_changes_nothing() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    let (first, second) = (mesh.key_on("Log", 1, 0), mesh.key_on("Log", 2, 0));
    let caller = mesh.caller(1).await;
    let error = caller.invoke(piped(&first, &[station(&first, "pipe")])).await.expect_err("cycle");
    assert_eq!(error.kind, ErrorKind::CallCycle, "{error}");
    assert_eq!(noted(&caller, "Log", &first).await, "");
    let stations = [station(&second, "pipe"), station(&first, "pipe")];
    let error = caller.invoke(piped(&first, &stations)).await.expect_err("a longer cycle");
    assert_eq!(error.kind, ErrorKind::CallCycle, "{error}");
    assert_eq!(noted(&caller, "Log", &first).await, "passed,", "its own turn was fine");
    assert_eq!(noted(&caller, "Log", &second).await, "");
    let reply = caller.invoke(piped(&first, &[station(&first, "note")])).await.expect("no cycle");
    assert!(text(&reply).ends_with("end,"), "another action of the same actor is no cycle");
}

#[tokio::test]
async fn actors_that_keep_no_outcomes_answer_chains_while_they_remember() {
    let mesh = Mesh::start(2).await;
    talkers(&mesh, 2, "Log", Durability::Durable).await;
    talkers(&mesh, 2, "Memory", Durability::Volatile).await;
    let (first, last) = (mesh.key_on("Log", 1, 0), mesh.key_on("Memory", 2, 0));
    for node in [1, 2] {
        let request = call("Log", &first, "pipe", &format!("Memory/{last}/note"));
        let caller = mesh.caller(node).await;
        let reply = caller.invoke(request.clone()).await.expect("answered");
        let again = caller.invoke(request).await.expect("remembered");
        assert_eq!(text(&again), text(&reply));
    }
    let through = call("Memory", &last, "pipe", &format!("Log/{first}/read"));
    let reply = mesh.caller(1).await.invoke(through).await.expect("a read at the end of a chain");
    assert_eq!(text(&reply), "passed,passed,");
}
