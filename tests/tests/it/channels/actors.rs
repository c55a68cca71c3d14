//! What actors say themselves: in the commit of their turn, and not without it.

use callboard_proto::{
    control::v1::{
        DeadLetter, ListDeadLettersRequest, RetryDeadLetterRequest,
        dead_letters_service_client::DeadLettersServiceClient,
    },
    host::v1::{Broadcast, TurnResult, Workflow, host_frame, turn_result},
    types::v1::{Deliver, Durability, Kind},
};
use callboard_tests::{
    local::{
        Definition,
        caller::{call, json},
        host::definition,
    },
    mesh::Mesh,
};
use callboard_transport::status::from_status;
use callboard_types::ErrorKind;
use tonic::transport::Channel;

use super::{found, hearer, hosts, keys, news, publish, totals};

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
    named.kind = Kind::Named.into();
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

async fn dead(letters: &mut DeadLettersServiceClient<Channel>) -> Vec<DeadLetter> {
    let page = letters.list_dead_letters(ListDeadLettersRequest::default()).await;
    page.expect("listed").into_inner().letters
}

#[tokio::test]
async fn a_message_for_too_many_shards_becomes_a_letter_and_is_said_once_when_fewer_listen() {
    let mesh = Mesh::start(1).await;
    let mut journal = hearer("Journal", Durability::Durable, Deliver::Every);
    journal.kind = Kind::Named.into();
    hosts(&mesh, 1, &journal).await;
    let mut sessions = Vec::new();
    let wide = |number: u32| {
        let mut wide = hearer(&format!("Wide{number}"), Durability::Durable, Deliver::Every);
        wide.shards = 4_096;
        wide
    };
    for number in 0..4 {
        sessions.push(mesh.host(1, wide(number)).await);
    }
    let mut speaker = mesh.host(1, definition("Speaker", Durability::Durable, &["speak"])).await;
    let (caller, asked) = (mesh.caller(1).await, call("Speaker", "s", "speak", "0"));
    let answer = tokio::spawn(async move { caller.invoke(asked).await });
    let turn = speaker.turn().await;
    speaker.send(vec![saying(turn.turn_id, &["7"])]).await;
    answer.await.expect("no panic").expect("the turn itself is fine");

    let mut letters = DeadLettersServiceClient::new(mesh.channel(1).await);
    let letter = loop {
        match dead(&mut letters).await.pop() {
            Some(letter) => break letter,
            None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    assert_eq!(letter.error.as_ref().map(|why| why.reason.as_str()), Some("QUOTA_EXCEEDED"));
    assert_eq!((letter.channel.as_str(), letter.target.is_none()), ("news", true));
    assert_eq!(letter.payload.as_ref().map(|said| said.data.clone()), Some("7".into()));
    let retry = || RetryDeadLetterRequest { id: letter.id.clone() };
    let refused = letters.retry_dead_letter(retry()).await.expect_err("as many listen");
    assert_eq!(from_status(&refused).kind, ErrorKind::QuotaExceeded);
    assert_eq!(dead(&mut letters).await, std::slice::from_ref(&letter), "it is kept");

    for number in 0..4 {
        let deaf = Definition { subscriptions: Vec::new(), ..wide(number) };
        sessions.push(mesh.host(1, deaf).await);
    }
    let mut other = letters.clone();
    let both = tokio::join!(letters.retry_dead_letter(retry()), other.retry_dead_letter(retry()));
    for error in [both.0, both.1].into_iter().filter_map(Result::err) {
        assert_eq!(from_status(&error).kind, ErrorKind::UnknownDeadLetter);
    }
    assert_eq!(dead(&mut letters).await, []);
    // A shard tells its actors one message after the other.
    publish(&mesh, 1, news("10")).await.expect("said");
    totals(&mesh, "Journal", &["Journal".to_owned()], 17).await;
}
