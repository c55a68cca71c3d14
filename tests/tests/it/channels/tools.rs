//! Channels from a shell: the command line, and grpcurl without any file of ours.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::node::{Node, callboard, grpcurl, succeeds};

/// A program whose lines are read as they come. Killed when dropped.
struct Listening {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the program runs");
        let stdout = process.stdout.take().expect("stdout is a pipe");
        Self { process, lines: BufReader::new(stdout).lines() }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("another line").expect("text")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn publish(address: &str, message: &str) -> Value {
    let arguments = ["-o", "jsonl", "--server", address, "publish", "news", "-d", message];
    let said = succeeds(Command::new(callboard()).args(arguments));
    serde_json::from_slice(&said.stdout).expect("one JSON line")
}

#[test]
fn grpcurl_hears_what_the_command_line_says() {
    let node = Node::start();
    let asked = r#"{"channels": ["news"]}"#;
    let method = "callboard.gateway.v1.GatewayService/Subscribe";
    let mut command = Command::new(grpcurl());
    let mut listening =
        Listening::start(command.args(["-plaintext", "-d", asked, node.address(), method]));
    let mut document = || {
        // Documents are indented, so that each one ends with a brace at the margin.
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            text.push_str(&listening.line());
            text.push('\n');
        }
        serde_json::from_str::<Value>(&text).expect("a document")
    };
    assert!(document()["subscribed"]["resumeToken"].is_string());
    assert_eq!(publish(node.address(), r#"{"title": "It rains"}"#)["types"], 0);
    let heard = &document()["message"];
    assert_eq!(heard["channel"], "news");
    assert_eq!(heard["json"], json!({"title": "It rains"}));
}

#[test]
fn the_command_line_hears_what_it_says_and_goes_on_where_it_was() {
    let node = Node::start();
    let subscribe = |more: &[&str]| {
        let first = ["-o", "jsonl", "--server", node.address(), "subscribe", "news"];
        let mut command = Command::new(callboard());
        command.args(first).args(more).stderr(Stdio::piped());
        let mut listening = Listening::start(&mut command);
        // It says on stderr that it listens.
        let stderr = listening.process.stderr.take().expect("stderr is a pipe");
        let talk = BufReader::new(stderr).lines().next().expect("a line").expect("text");
        assert!(talk.contains("listening"), "{talk}");
        listening
    };
    let mut listening = subscribe(&["--count", "1"]);
    publish(node.address(), "1");
    let first: Value = serde_json::from_str(&listening.line()).expect("one JSON line");
    assert_eq!((&first["kind"], &first["message"]), (&json!("ChannelMessage"), &json!(1)));
    assert!(listening.process.wait().expect("it ends").success(), "after one message");
    publish(node.address(), "2");
    let token = first["resumeToken"].as_str().expect("a token");
    let mut again = subscribe(&["--resume", token]);
    let second: Value = serde_json::from_str(&again.line()).expect("one JSON line");
    assert_eq!(second["message"], 2);
}
