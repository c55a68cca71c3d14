//! What operators do with single actors, from any node: save, drop, delete, look back, restore; and with dead letters.

use callboard_proto::{
    control::v1::{
        CheckpointActorRequest, DeactivateActorRequest, DeleteActorRequest, DropDeadLetterRequest,
        GetActorRequest, GetRevisionRequest, ListDeadLettersRequest, ListRevisionsRequest,
        RestoreActorRequest, RetryDeadLetterRequest, actors_service_client::ActorsServiceClient,
        dead_letters_service_client::DeadLettersServiceClient, get_revision_request,
        restore_actor_request,
    },
    types::v1::Durability,
};
use callboard_tests::{
    local::{
        Caller,
        caller::{actor, call, text},
        host::{Definition, counter, definition},
    },
    mesh::Mesh,
};
use callboard_transport::status::from_status;
use callboard_types::ErrorKind;
use tonic::transport::Channel;

async fn counters(mesh: &Mesh, durability: Durability) {
    for node in 1..=2 {
        let kept = if durability == Durability::Durable { 3 } else { 0 };
        let counters = Definition {
            history_revisions: kept,
            ..definition("Counter", durability, &["add", "total?"])
        };
        mesh.host(node, counters).await.answer_all(counter);
    }
}

async fn tools(mesh: &Mesh) -> ActorsServiceClient<Channel> {
    ActorsServiceClient::new(mesh.channel(1).await)
}

async fn total(caller: &Caller, key: &str) -> String {
    text(&caller.invoke(call("Counter", key, "total", "")).await.expect("read"))
}

#[tokio::test]
async fn an_actor_is_deleted_from_any_node_and_begins_anew_with_a_higher_revision() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, Durability::Durable).await;
    let (key, caller) = (mesh.key_on("Counter", 2, 0), mesh.caller(1).await);
    let add = call("Counter", &key, "add", "5");
    caller.invoke(add.clone()).await.expect("added");
    let request = || DeleteActorRequest { actor: Some(actor("Counter", &key)) };
    let mut tools = tools(&mesh).await;
    assert_eq!(tools.delete_actor(request()).await.expect("deleted").into_inner().revision, 2);
    assert!(!caller.state(actor("Counter", &key)).await.expect("read").exists);
    assert_eq!(tools.delete_actor(request()).await.expect("nothing left").into_inner().revision, 2);
    assert_eq!(text(&caller.invoke(add).await.expect("the stored outcome")), "5");
    assert_eq!(total(&caller, &key).await, "0");
    let fresh = caller.invoke(call("Counter", &key, "add", "1")).await.expect("added");
    assert_eq!((text(&fresh).as_str(), fresh.revision), ("1", 3));
}

#[tokio::test]
async fn past_states_are_listed_read_and_restored_as_a_new_revision() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, Durability::Durable).await;
    let (key, caller) = (mesh.key_on("Counter", 2, 0), mesh.caller(1).await);
    for _ in 0..5 {
        caller.invoke(call("Counter", &key, "add", "1")).await.expect("added");
    }
    let mut tools = tools(&mesh).await;
    let id = || Some(actor("Counter", &key));
    let request = ListRevisionsRequest { actor: id(), page_size: 0, below: 0 };
    let listed = tools.list_revisions(request).await.expect("listed").into_inner().revisions;
    assert_eq!(listed.iter().map(|one| one.revision).collect::<Vec<_>>(), [5, 4, 3]);
    let at = |number| Some(get_revision_request::At::Revision(number));
    let request = |number| GetRevisionRequest { actor: id(), at: at(number), as_json: false };
    let past = tools.get_revision(request(3)).await.expect("kept").into_inner();
    assert_eq!(past.state.expect("set").data, "3");
    let gone = from_status(&tools.get_revision(request(1)).await.expect_err("forgotten"));
    assert_eq!(gone.kind, ErrorKind::UnknownRevision);
    let at = Some(restore_actor_request::At::Revision(3));
    let request = RestoreActorRequest { actor: id(), at };
    let restored = tools.restore_actor(request).await.expect("restored").into_inner();
    assert_eq!((restored.revision, restored.restored), (6, 3));
    assert_eq!(total(&caller, &key).await, "3");
}

#[tokio::test]
async fn a_snapshot_actor_is_saved_on_request_and_comes_back_with_what_it_had() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, Durability::Snapshot).await;
    let (key, caller) = (mesh.key_on("Counter", 2, 0), mesh.caller(1).await);
    let id = || Some(actor("Counter", &key));
    caller.invoke(call("Counter", &key, "add", "5")).await.expect("added");
    let mut tools = tools(&mesh).await;
    let saved = tools.checkpoint_actor(CheckpointActorRequest { actor: id() }).await;
    assert_eq!(saved.expect("saved").into_inner().revision, 1);
    let state = caller.state(actor("Counter", &key)).await.expect("read");
    assert_eq!(state.state.expect("stored").data, "5");
    caller.invoke(call("Counter", &key, "add", "1")).await.expect("added");
    tools.deactivate_actor(DeactivateActorRequest { actor: id() }).await.expect("left");
    let shown = tools.get_actor(GetActorRequest { actor: id() }).await.expect("stored");
    assert!(!shown.into_inner().actor.expect("set").active);
    assert_eq!(total(&caller, &key).await, "6");
}

#[tokio::test]
async fn a_letter_that_nobody_knows_is_neither_retried_nor_dropped() {
    let mesh = Mesh::start(2).await;
    let mut letters = DeadLettersServiceClient::new(mesh.channel(2).await);
    let list = || ListDeadLettersRequest { page_size: 10, ..Default::default() };
    assert!(
        letters.list_dead_letters(list()).await.expect("listed").into_inner().letters.is_empty()
    );
    let unknown = letters.retry_dead_letter(RetryDeadLetterRequest { id: "no".into() }).await;
    let unknown = from_status(&unknown.expect_err("no such letter")).kind;
    assert_eq!(unknown, ErrorKind::UnknownDeadLetter);
    let unknown = letters.drop_dead_letter(DropDeadLetterRequest { id: "no".into() }).await;
    assert_eq!(from_status(&unknown.expect_err("none")).kind, ErrorKind::UnknownDeadLetter);
}
