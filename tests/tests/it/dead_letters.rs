//! Dead letters on a real node, from the turn that set them going to their end: through the service, and from a shell.

use std::time::Duration;

use callboard_proto::{
    control::v1::{
        DeadLetter, DropDeadLetterRequest, ListDeadLettersRequest, RetryDeadLetterRequest,
        dead_letters_service_client::DeadLettersServiceClient,
    },
    gateway::v1::InvokeMode,
    host::v1::Turn,
    types::v1::Durability,
};
use callboard_tests::local::{
    Caller, Definition, LocalNode,
    caller::{call, text},
    flow::{talk, talker},
    host::{counter, definition},
};
use callboard_transport::status::from_status;
use callboard_types::{CallError, ErrorKind};
use serde_json::json;
use tonic::transport::Channel;

use crate::shell::Shell;

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Dead letters as operators see them.
#[derive(Clone)]
struct Letters(DeadLettersServiceClient<Channel>);

// === impl Letters ===

impl Letters {
    fn at(channel: Channel) -> Self {
        Self(DeadLettersServiceClient::new(channel))
    }

    async fn list(&self) -> Vec<DeadLetter> {
        let page = self.0.clone().list_dead_letters(ListDeadLettersRequest::default()).await;
        page.expect("listed").into_inner().letters
    }

    /// Waits until there are so many, and sorts them by what they call.
    async fn until(&self, count: usize) -> Vec<DeadLetter> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let mut letters = self.list().await;
                if letters.len() == count {
                    letters.sort_by(|a, b| a.action.cmp(&b.action));
                    return letters;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("what cannot be delivered becomes a letter")
    }

    async fn retry(&self, id: &str) -> Result<(), CallError> {
        let request = RetryDeadLetterRequest { id: id.to_owned() };
        let answer = self.0.clone().retry_dead_letter(request).await;
        answer.map(drop).map_err(|status| from_status(&status))
    }

    async fn forget(&self, id: &str) -> Result<(), CallError> {
        let request = DropDeadLetterRequest { id: id.to_owned() };
        let answer = self.0.clone().drop_dead_letter(request).await;
        answer.map(drop).map_err(|status| from_status(&status))
    }
}

/// Has an actor tell another one something.
async fn tell(caller: &Caller, what: &str) {
    caller.invoke(call("Log", "source", "tell", what)).await.expect("told");
}

/// A type of actors that talk, with one more action.
fn with_action(name: &str) -> Definition {
    definition("Log", Durability::Durable, &["note", "tell", "pipe", "forward", "read?", name])
}

fn reason(letter: &DeadLetter) -> &str {
    letter.error.as_ref().map_or("", |error| &error.reason)
}

fn kind(refused: Result<(), CallError>) -> ErrorKind {
    refused.expect_err("it is refused").kind
}

#[tokio::test]
async fn a_letter_whose_action_came_later_runs_once_however_often_it_is_retried() {
    let mut node = LocalNode::start().await;
    talk(node.host(talker("Log", Durability::Durable)).await);
    let caller = node.caller().await;
    tell(&caller, "Log/target/0+deaf").await;
    tell(&caller, "Log/target/0+dumb").await;
    let letters = Letters::at(node.channel().await).until(2).await;
    for (letter, action) in letters.iter().zip(["deaf", "dumb"]) {
        assert_eq!((reason(letter), letter.action.as_str()), ("UNKNOWN_ACTION", action));
        assert_eq!(letter.source.as_ref().map(|id| id.key.as_str()), Some("source"));
        assert_eq!(letter.target.as_ref().map(|id| id.key.as_str()), Some("target"));
        assert_eq!(letter.payload.as_ref().map(|said| said.data.clone()), Some("told".into()));
        assert_eq!(letter.attempts, 1, "no second try would find the action");
        assert!(!letter.request_id.is_empty());
        assert!(0 < letter.created_at_ms && letter.created_at_ms <= letter.died_at_ms);
    }
    let (retried, dropped) = (&letters[0].id, &letters[1].id);

    node.restart().await;
    let (letters_now, caller) = (Letters::at(node.channel().await), node.caller().await);
    talk(node.host(talker("Log", Durability::Durable)).await);
    assert_eq!(kind(letters_now.retry(retried).await), ErrorKind::UnknownAction);
    assert_eq!(letters_now.until(2).await, letters, "what cannot be delivered yet is kept");

    talk(node.host(with_action("deaf")).await);
    let both = tokio::join!(letters_now.retry(retried), letters_now.retry(retried));
    for error in [both.0, both.1].into_iter().filter_map(Result::err) {
        assert_eq!(error.kind, ErrorKind::UnknownDeadLetter, "the other one was first");
    }
    assert_eq!(letters_now.list().await.len(), 1, "it has left the list");
    assert_eq!(kind(letters_now.retry(retried).await), ErrorKind::UnknownDeadLetter);
    assert_eq!(kind(letters_now.forget(retried).await), ErrorKind::UnknownDeadLetter);
    // Accepted calls run in order, so this one finds whatever the letter did.
    let noted = caller.invoke(call("Log", "target", "note", "then")).await.expect("noted");
    assert_eq!(text(&noted), "told,then,");

    letters_now.forget(dropped).await.expect("dropped");
    assert_eq!(kind(letters_now.forget(dropped).await), ErrorKind::UnknownDeadLetter);
    assert_eq!(kind(letters_now.retry(dropped).await), ErrorKind::UnknownDeadLetter);
    assert_eq!(letters_now.list().await, []);
}

#[tokio::test]
async fn poison_that_kills_hosts_becomes_a_letter_and_runs_once_they_can_take_it() {
    let node = LocalNode::start().await;
    talk(node.host(talker("Log", Durability::Durable)).await);
    let caller = node.caller().await;
    let frail = || talker("Frail", Durability::Durable);
    for attempt in 1..=3 {
        let mut host = node.host(frail()).await;
        if attempt == 1 {
            tell(&caller, "Frail/target/7..8").await;
        }
        let turn = host.turn().await;
        assert_eq!((turn.action.as_str(), turn.attempt), ("note", attempt));
    }
    let letters = Letters::at(node.channel().await);
    let letter = letters.until(1).await.remove(0);
    assert_eq!(reason(&letter), "TURN_CRASHED_HOST");

    talk(node.host(frail()).await);
    letters.retry(&letter.id).await.expect("accepted");
    assert_eq!(letters.list().await, []);
    let noted = caller.invoke(call("Frail", "target", "note", "then")).await.expect("noted");
    assert_eq!(text(&noted), "7,then,", "under an id that the crashes do not stand for");
}

#[tokio::test]
async fn an_accepted_call_that_kills_hosts_becomes_a_letter_and_runs_once_they_can_take_it() {
    let mut node = LocalNode::start().await;
    let frail = || talker("Frail", Durability::Durable);
    let mut poison = call("Frail", "target", "note", "7");
    poison.mode = InvokeMode::Async as i32;
    for attempt in 1..=3 {
        let mut host = node.host(frail()).await;
        if attempt == 1 {
            node.caller().await.invoke(poison.clone()).await.expect("accepted");
        }
        let turn = host.turn().await;
        assert_eq!((turn.action.as_str(), turn.attempt), ("note", attempt));
    }
    let letter = Letters::at(node.channel().await).until(1).await.remove(0);
    assert_eq!((reason(&letter), letter.attempts), ("TURN_CRASHED_HOST", 3));
    assert_eq!(letter.request_id, poison.request_id);
    for actor in [&letter.source, &letter.target] {
        assert_eq!(actor.as_ref().map(|id| id.key.as_str()), Some("target"));
    }

    node.restart().await;
    let (letters, caller) = (Letters::at(node.channel().await), node.caller().await);
    let stored = letters.list().await;
    assert_eq!(stored.first(), Some(&letter), "it was stored with the end of the call");
    talk(node.host(frail()).await);
    poison.mode = InvokeMode::Sync as i32;
    let stored = caller.invoke(poison).await.expect_err("what is stored is what it came to");
    assert_eq!(stored.kind, ErrorKind::TurnCrashedHost);
    letters.retry(&letter.id).await.expect("accepted");
    assert_eq!(letters.list().await, []);
    let noted = caller.invoke(call("Frail", "target", "note", "then")).await.expect("noted");
    assert_eq!(text(&noted), "7,then,");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_command_line_lists_retries_and_drops() {
    let shell = Shell::start();
    talk(shell.host(talker("Log", Durability::Durable)).await);
    let caller = Caller::new(shell.channel().await);
    tell(&caller, "Late/kept/5..6").await;
    tell(&caller, "Late/wrong/7..8").await;
    Letters::at(shell.channel().await).until(2).await;

    let list = shell.json(&["dead-letters", "list"]);
    assert_eq!((&list["kind"], &list["truncated"]), (&json!("DeadLetterList"), &json!(false)));
    let letters = list["items"].as_array().expect("a list");
    for letter in letters {
        assert_eq!((&letter["source"], &letter["action"]), (&json!("Log/source"), &json!("note")));
        assert_eq!(letter["reason"], "UNKNOWN_TYPE");
        assert!(letter["attempts"].as_u64() > Some(1), "a type may be on its way: {letter}");
    }
    let id = |target: &str| {
        let found = letters.iter().find(|letter| letter["target"] == target);
        found.and_then(|letter| letter["id"].as_str()).expect("a letter").to_owned()
    };
    let (kept, wrong) = (id("Late/kept"), id("Late/wrong"));
    let (_, table, _) = shell.run(&["dead-letters", "list"]);
    assert!(table.contains("UNKNOWN_TYPE") && table.contains(&kept), "{table}");
    let (_, names, _) = shell.run(&["dead-letters", "list", "-o", "name"]);
    let mut both = [kept.as_str(), wrong.as_str()];
    both.sort_unstable();
    assert_eq!(names.lines().collect::<Vec<_>>(), both, "the oldest first");
    let page = ["dead-letters", "list", "--limit", "1"];
    assert_eq!(shell.json(&page)["truncated"], true);
    let next = shell.json(&[&page[..], &["--after", both[0]]].concat());
    assert_eq!(next["items"][0]["id"], both[1]);
    assert_eq!(shell.json(&["dead-letters", "list", "--source", "Late"])["items"], json!([]));

    let unknown = (Some(3), "UNKNOWN_TYPE".to_owned());
    assert_eq!(shell.fails(&["dead-letters", "retry", &kept]), unknown);
    shell
        .host(definition("Late", Durability::Durable, &["note"]))
        .await
        .answer_all(|turn, state| counter(&as_add(turn), state));
    let (exit, stdout, stderr) = shell.run(&["dead-letters", "retry", &kept]);
    assert_eq!((exit, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.contains(&kept), "{stderr}");
    let sum = shell.json(&["invoke", "Late/kept", "note", "-d", "10"]);
    assert_eq!(sum["reply"], 15, "it ran, once");
    let (exit, _, stderr) = shell.run(&["dead-letters", "drop", &wrong]);
    assert_eq!(exit, Some(0), "{stderr}");
    for arguments in [["retry", &kept], ["drop", &kept], ["retry", &wrong], ["drop", &wrong]] {
        let gone = (Some(3), "UNKNOWN_DEAD_LETTER".to_owned());
        assert_eq!(shell.fails(&[&["dead-letters"], &arguments[..]].concat()), gone);
    }
    assert_eq!(shell.json(&["dead-letters", "list"])["items"], json!([]));
    let sum = shell.json(&["invoke", "Late/wrong", "note", "-d", "10"]);
    assert_eq!(sum["reply"], 10, "what was dropped is never delivered");
}

/// What `note` means to an actor that counts.
fn as_add(turn: &Turn) -> Turn {
    Turn { action: "add".to_owned(), ..turn.clone() }
}
