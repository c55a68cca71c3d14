//! `callboard actors …` from a shell: what operators do with single actors, on a node that is a process of its own.

use callboard_proto::types::v1::Durability;
use callboard_tests::local::{
    Definition,
    host::{counter, definition},
};
use serde_json::{Value, json};

use crate::shell::Shell;

/// Counters with a history, and such that are saved now and then.
async fn counters(shell: &Shell) {
    let kept = Definition {
        history_revisions: 3,
        ..definition("Counter", Durability::Durable, &["add", "total?"])
    };
    shell.host(kept).await.answer_all(counter);
    let draft = definition("Draft", Durability::Snapshot, &["add", "total?"]);
    let hour = Definition { snapshot_interval_ms: 3_600_000, ..draft };
    shell.host(hour).await.answer_all(counter);
}

fn revisions(list: &Value) -> Vec<u64> {
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|item| item["revision"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_past_of_an_actor_is_listed_printed_and_restored() {
    let shell = Shell::start();
    counters(&shell).await;
    for total in 1..=5 {
        let reply = shell.json(&["invoke", "Counter/u1", "add", "-d", "1"]);
        assert_eq!(reply["reply"], total);
    }
    let history = ["actors", "history", "Counter/u1"];
    let list = shell.json(&history);
    assert_eq!((&list["kind"], revisions(&list)), (&json!("RevisionList"), vec![5, 4, 3]));
    assert!(list["items"][0]["committedAtMs"].as_i64() > Some(0), "{list}");
    assert_eq!(revisions(&shell.json(&[&history[..], &["--below", "5"]].concat())), [4, 3]);
    let some = shell.json(&[&history[..], &["--limit", "2"]].concat());
    assert_eq!((revisions(&some), &some["truncated"]), (vec![5, 4], &json!(true)));

    let state_at = ["actors", "state-at", "Counter/u1"];
    let (exit, state, _) = shell.run(&[&state_at[..], &["--revision", "4"]].concat());
    assert_eq!((exit, state.as_str()), (Some(0), "4\n"));
    let past = shell.json(&[&state_at[..], &["--revision", "3"]].concat());
    assert_eq!((&past["kind"], &past["actor"]), (&json!("PastState"), &json!("Counter/u1")));
    assert_eq!((&past["revision"], &past["state"]), (&json!(3), &json!(3)));
    let newest = list["items"][0]["committedAtMs"].to_string();
    assert_eq!(shell.json(&[&state_at[..], &["--time", &newest]].concat())["revision"], 5);
    let forgotten = shell.fails(&[&state_at[..], &["--revision", "1"]].concat());
    assert_eq!(forgotten, (Some(3), "UNKNOWN_REVISION".to_owned()));
    let (exit, _, usage) = shell.run(&state_at);
    assert!(exit == Some(2) && usage.contains("--revision"), "{usage}");

    let restored = shell.says(&["actors", "restore", "Counter/u1", "--revision", "3"]);
    assert!(restored.contains("revision 3 again, at revision 6"), "{restored}");
    assert_eq!(shell.json(&["state", "get", "Counter/u1"])["state"], 3);
    let forgotten = shell.fails(&["actors", "restore", "Counter/u1", "--revision", "1"]);
    assert_eq!(forgotten, (Some(3), "UNKNOWN_REVISION".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn actors_are_saved_sent_out_of_memory_and_deleted() {
    let shell = Shell::start();
    counters(&shell).await;
    let active = |actor: &str| shell.json(&["actors", "get", actor])["active"].clone();

    shell.json(&["invoke", "Draft/d1", "add", "-d", "5"]);
    let saved = shell.says(&["actors", "checkpoint", "Draft/d1"]);
    assert!(saved.contains("Draft/d1 is saved at revision 1"), "{saved}");
    assert_eq!(active("Draft/d1"), true);
    shell.json(&["invoke", "Draft/d1", "add", "-d", "1"]);
    for _ in 0..2 {
        shell.says(&["actors", "deactivate", "Draft/d1"]);
        assert_eq!(active("Draft/d1"), false);
    }
    assert_eq!(shell.json(&["invoke", "Draft/d1", "total"])["reply"], 6, "it was saved first");

    shell.json(&["invoke", "Counter/u1", "add", "-d", "7"]);
    let deleted = shell.says(&["actors", "delete", "Counter/u1"]);
    assert!(deleted.contains("deleted, at revision 2"), "{deleted}");
    assert_eq!(shell.fails(&["state", "get", "Counter/u1"]).1, "NO_STATE");
    assert_eq!(shell.json(&["actors", "history", "Counter/u1"])["items"], json!([]));
    let (_, names, _) = shell.run(&["actors", "list", "Counter", "-o", "name"]);
    assert_eq!(names, "");
    shell.says(&["actors", "delete", "Counter/u1"]);
    let fresh = shell.json(&["invoke", "Counter/u1", "add", "-d", "1"]);
    assert_eq!((&fresh["reply"], &fresh["revision"]), (&json!(1), &json!(3)));

    for verb in ["checkpoint", "deactivate", "delete"] {
        let unknown = shell.fails(&["actors", verb, "Nobody/x"]);
        assert_eq!(unknown, (Some(3), "UNKNOWN_TYPE".to_owned()), "{verb}");
    }
}
