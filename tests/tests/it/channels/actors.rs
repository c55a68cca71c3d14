//! What actors say themselves: in the commit of their turn, and not without it.

use callboard_proto::{
    host::v1::{Broadcast, TurnResult, Workflow, host_frame, turn_result},
    types::v1::{Deliver, Durability},
};
use callboard_tests::{
    local::{
        caller::{call, json},
        host::definition,
    },
    mesh::Mesh,
};

use super::{found, hearer, hosts, keys, totals};

fn saying(turn_id: u64, amounts: &[&str]) -> host_frame::Frame {
    let said = |amount: &&str| Broadcast {
        channel: "news".to_owned(),
        payload: Some(json(amount)),
        ..Broadcast::default()
    };
    host_frame::Frame::Result(TurnResult {
        turn_id,
        outcome: Some(turn_result::Outcome::Reply(json("\"said\""))),
        state: Some(json("1")),
        tags: None,
        workflow: Some(Workflow {
            broadcasts: amounts.iter().map(said).collect(),
            ..Workflow::default()
        }),
    })
}

#[tokio::test]
async fn what_an_actor_says_in_its_turn_reaches_every_actor_that_listens_once() {
    let mesh = Mesh::start(2).await;
    hosts(&mesh, 2, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(100);
    found(&mesh, "Counter", &keys).await;
    let mut speaker = mesh.host(1, definition("Speaker", Durability::Durable, &["speak"])).await;
    let key = mesh.key_on("Speaker", 1, 0);
    let caller = mesh.caller(2).await;
    let asked = call("Speaker", &key, "speak", "0");
    let again = asked.clone();
    let answer = tokio::spawn(async move { caller.invoke(asked).await });
    let turn = speaker.turn().await;
    speaker.send(vec![saying(turn.turn_id, &["1", "10", "100"])]).await;
    answer.await.expect("no panic").expect("said");
    // The same call again gets its outcome, and says nothing.
    mesh.caller(1).await.invoke(again).await.expect("the outcome");
    totals(&mesh, "Counter", &keys, 111).await;
}

#[tokio::test]
async fn subscribers_learn_which_actor_spoke_and_outsiders_hear_it_too() {
    let mesh = Mesh::start(2).await;
    let (mut outside, _) = super::listeners::listen(&mesh, 2, "").await;
    let mut named = hearer("Journal", Durability::Durable, Deliver::Every);
    named.kind = callboard_proto::types::v1::Kind::Named.into();
    let mut journal = mesh.host(1, named).await;
    let mut speaker = mesh.host(1, definition("Speaker", Durability::Volatile, &["speak"])).await;
    let key = mesh.key_on("Speaker", 1, 0);
    let (caller, asked) = (mesh.caller(1).await, call("Speaker", &key, "speak", "0"));
    let answer = tokio::spawn(async move { caller.invoke(asked).await });
    let turn = speaker.turn().await;
    speaker.send(vec![saying(turn.turn_id, &["7"])]).await;
    answer.await.expect("no panic").expect("said");
    let heard = journal.turn().await;
    let source = heard.caller.expect("the turn names its caller");
    assert_eq!((source.r#type.as_str(), source.key), ("Speaker", key));
    assert_eq!(super::listeners::heard(&mut outside).await.0, "7");
}
