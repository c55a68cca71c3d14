//! The client commands against a real node: what people see, what scripts read, and the exit codes.

use std::process::Output;

use serde_json::{Value, json};

use crate::{host::CounterHost, node::Node};

/// A node with one host of `Counter`, and the command line pointed at it.
struct Stage {
    // Dropped first, so that the host does not see the node go.
    _host: CounterHost,
    node: Node,
}

// === impl Stage ===

impl Stage {
    fn new() -> Self {
        let node = Node::start();
        Self { _host: CounterHost::start(node.address()), node }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.node.callboard(arguments)
    }

    /// Runs a command that must succeed and print one JSON document.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["-o", "json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
    }

    /// Runs a command that must fail; its exit code and its error document.
    #[track_caller]
    fn failure(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[&["-o", "json"], arguments].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "stdout is for data only");
        let error = String::from_utf8_lossy(&output.stderr);
        let error = serde_json::from_str(&error).unwrap_or_else(|_| panic!("no JSON: {error}"));
        (output.status.code(), error)
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

#[test]
fn a_call_prints_its_reply_and_the_state_is_stored() {
    let stage = Stage::new();
    let reply = text(&stage.run(&["invoke", "Counter/u1", "add", "-d", r#"{"amount": 2}"#]));
    assert_eq!(serde_json::from_str::<Value>(&reply).ok(), Some(json!({"total": 2})));
    let state = text(&stage.run(&["state", "get", "Counter/u1"]));
    assert_eq!(serde_json::from_str::<Value>(&state).ok(), Some(json!({"total": 2})));
}

#[test]
fn a_call_with_the_same_key_is_applied_once() {
    let stage = Stage::new();
    let add = ["invoke", "Counter/u1", "add", "-d", r#"{"amount": 2}"#, "--key", "order-17"];
    let first = stage.json(&add);
    let second = stage.json(&add);
    assert_eq!(first["reply"], json!({"total": 2}));
    assert_eq!(first["requestId"], "order-17");
    assert_eq!(second, first, "the stored outcome answers");
    let other = ["invoke", "Counter/u1", "add", "-d", r#"{"amount": 3}"#, "--key", "order-17"];
    let (exit, error) = stage.failure(&other);
    assert_eq!((exit, &error["reason"]), (Some(6), &json!("REQUEST_ID_REUSED")));
}

#[test]
fn an_accepted_call_runs_although_nobody_waits() {
    let stage = Stage::new();
    let accepted = stage.json(&["invoke", "Counter/u1", "add", "-d", "{}", "--async"]);
    assert_eq!((&accepted["accepted"], &accepted["durable"]), (&json!(true), &json!(true)));
    // Calls of one caller to one actor run in order, so this reply counts the accepted call.
    let reply = stage.json(&["invoke", "Counter/u1", "add", "-d", r#"{"amount": 1}"#]);
    assert_eq!(reply["reply"]["total"], 2);
}

#[test]
fn an_error_of_the_actor_is_exit_code_8_with_the_actors_own_reason() {
    let stage = Stage::new();
    let (exit, error) = stage.failure(&["invoke", "Counter/u1", "fail"]);
    assert_eq!(exit, Some(8));
    assert_eq!(error["reason"], "OUT_OF_LUCK");
    assert_eq!(error["message"], "the actor does not want to");
    assert_eq!((&error["fromActor"], &error["retry"]), (&json!(true), &json!("never")));
}

#[test]
fn what_does_not_exist_is_exit_code_3() {
    let stage = Stage::new();
    let unknown: [(&[&str], &str); 4] = [
        (&["invoke", "Nobody/u1", "add"], "UNKNOWN_TYPE"),
        (&["invoke", "Counter/u1", "substract"], "UNKNOWN_ACTION"),
        (&["types", "describe", "Nobody"], "UNKNOWN_TYPE"),
        (&["state", "get", "Counter/never-called"], "NO_STATE"),
    ];
    for (command, reason) in unknown {
        let (exit, error) = stage.failure(command);
        assert_eq!((exit, &error["reason"]), (Some(3), &json!(reason)), "{command:?}: {error}");
    }
}

#[test]
fn lists_show_what_is_there() {
    let stage = Stage::new();
    for key in ["a", "b/c", "d"] {
        stage.json(&["invoke", &format!("Counter/{key}"), "add", "-d", "{}"]);
    }
    let names = text(&stage.run(&["actors", "list", "-o", "name"]));
    assert_eq!(names, "Counter/a\nCounter/b/c\nCounter/d\n");
    let names = text(&stage.run(&["actors", "list", "Counter", "--prefix", "b", "-o", "name"]));
    assert_eq!(names, "Counter/b/c\n");
    let some = stage.json(&["actors", "list", "Counter", "--limit", "2"]);
    assert_eq!(
        (some["items"].as_array().map(Vec::len), &some["truncated"]),
        (Some(2), &json!(true))
    );
    let actor = stage.json(&["actors", "get", "Counter/b/c"]);
    assert_eq!((&actor["kind"], &actor["key"]), (&json!("Actor"), &json!("b/c")));
    assert_eq!((&actor["active"], &actor["revision"]), (&json!(true), &json!(1)));

    assert_eq!(text(&stage.run(&["types", "list", "-o", "name"])), "Counter\n");
    assert_eq!(text(&stage.run(&["systems", "list", "-o", "name"])), "default\n");
    let hosts = stage.json(&["hosts", "list"]);
    assert_eq!(hosts["items"][0]["types"], json!(["default/Counter"]));
    let described = text(&stage.run(&["types", "describe", "Counter"]));
    assert!(described.contains("durable") && described.contains("total"), "{described}");
}

#[test]
fn a_node_that_serves_is_healthy_and_an_unknown_service_is_not_found() {
    let node = Node::start();
    for service in ["", "liveness", "readiness"] {
        let output = node.callboard(&["health", "--service", service, "-o", "name"]);
        assert_eq!(text(&output), "SERVING\n", "{service}");
    }
    let output = node.callboard(&["health", "--service", "nobody"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_grpcurl_twin_does_the_same() {
    let stage = Stage::new();
    let add = ["invoke", "Counter/u1", "add", "-d", r#"{"amount": 2}"#, "--print-grpcurl"];
    let twin = text(&stage.run(&add));
    let output = crate::node::succeeds(
        std::process::Command::new("bash")
            .args(["-c", &twin])
            .env("PATH", crate::node::tool_path()),
    );
    let answer: Value = serde_json::from_slice(&output.stdout).expect("grpcurl prints JSON");
    assert_eq!(answer["json"], json!({"total": 2}));
    let total = stage.json(&["invoke", "Counter/u1", "total", "-d", "{}"]);
    assert_eq!(total["reply"]["total"], 2);
}
