//! `callboard dev` and `callboard serve` as a shell sees them: what starts, what is refused, what ends them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{host::CounterHost, node};

fn callboard(arguments: &[&str]) -> Command {
    let mut command = Command::new(node::callboard());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Arguments of a node with free ports and its data in a folder; it says on stdout where it listens.
fn dev(folder: &TempDir) -> Vec<&str> {
    let data = folder.path().to_str().expect("the path is text");
    vec!["-o", "jsonl", "dev", "--port", "0", "--admin-port", "0", "--data", data]
}

/// Starts a node and waits until it serves. Its address, too.
fn start(folder: &TempDir) -> (Child, String) {
    let mut node = callboard(&dev(folder)).spawn().expect("the binary runs");
    let mut line = String::new();
    let stdout = node.stdout.take().expect("stdout is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("the node says that it is ready");
    let ready: Value = serde_json::from_str(&line).expect("one JSON line");
    assert_eq!(ready["kind"], "Node");
    (node, ready["address"].as_str().expect("an address").to_owned())
}

fn terminate(process: &Child) {
    node::succeeds(Command::new("kill").args(["-TERM", &process.id().to_string()]));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sigterm_ends_a_node_in_order_and_its_data_stay() {
    let folder = folder();
    for total in 1..=2 {
        let (process, address) = start(&folder);
        let host = CounterHost::start(&address);
        let add = ["-o", "jsonl", "--server", &address, "invoke", "Counter/u1", "add", "-d", "{}"];
        let output = node::succeeds(&mut callboard(&add));
        let reply: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
        assert_eq!(reply["reply"]["total"], total);
        drop(host);
        terminate(&process);
        let output = process.wait_with_output().expect("the node ends");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_command_beside_the_node_finds_it_and_its_exit_code_is_the_answer() {
    let folder = folder();
    let binary = node::callboard();
    let script = format!("{} health -o name >&2 && exit 7", binary.display());
    let arguments = [&dev(&folder)[..], &["--", "sh", "-c", &script]].concat();
    let output = callboard(&arguments).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("SERVING"), "{}", stderr(&output));
}

#[test]
fn a_command_beside_the_node_is_asked_to_end_before_the_node_does() {
    let folder = folder();
    // The command has time to use the node after it was asked to end.
    let script = format!(
        "trap '{} health -o name >&2; exit 0' TERM; echo up; while :; do sleep 0.05; done",
        node::callboard().display()
    );
    let arguments = [&dev(&folder)[..], &["--", "sh", "-c", &script]].concat();
    let mut process = callboard(&arguments).spawn().expect("the binary runs");
    let mut lines = BufReader::new(process.stdout.take().expect("stdout is a pipe")).lines();
    let up = lines.find(|line| line.as_ref().is_ok_and(|line| line == "up"));
    assert!(up.is_some(), "the command starts");
    terminate(&process);
    let output = process.wait_with_output().expect("the node ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("SERVING"), "{}", stderr(&output));
}

#[test]
fn a_data_folder_has_one_node_at_a_time() {
    let folder = folder();
    let (mut process, _) = start(&folder);
    let output = callboard(&dev(&folder)).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("--data"), "{}", stderr(&output));
    process.kill().expect("the first node still runs");
    process.wait().expect("a killed process ends");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    let port = listener.local_addr().expect("an address").port().to_string();
    let output = callboard(&["dev", "--ephemeral", "--admin-port", "0", "--port", &port])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&port), "{}", stderr(&output));
}

#[test]
fn a_node_does_not_listen_beyond_loopback_unless_told_that_it_is_insecure() {
    let output = callboard(&["serve", "--listen", "0.0.0.0:0"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--insecure"), "{}", stderr(&output));
}

#[test]
fn a_misspelt_setting_is_refused_with_the_right_name() {
    let output = callboard(&["serve", "--set", "node.workrs=2"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("node.workers"), "{}", stderr(&output));
}

#[test]
fn a_service_takes_its_settings_from_a_file_the_environment_and_flags() {
    let folder = folder();
    let file = folder.path().join("callboard.toml");
    std::fs::write(&file, "[node]\nworkers = 2\n[listen]\nconnections_max = 10\n").expect("write");
    let output = node::succeeds(
        callboard(&["config", "view", "--origin", "-o", "json", "--config"])
            .arg(&file)
            .env("CALLBOARD__NODE__WORKERS", "3"),
    );
    let list: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let setting = |key: &str| {
        let items = list["items"].as_array().expect("a list");
        items.iter().find(|item| item["key"] == key).expect("every setting is listed").clone()
    };
    assert_eq!(setting("node.workers")["value"], 3);
    assert_eq!(setting("node.workers")["origin"], "environment CALLBOARD__NODE__WORKERS");
    assert_eq!(setting("listen.connections_max")["value"], 10);
    assert_eq!(setting("node.drain_ms")["origin"], "default");
}
