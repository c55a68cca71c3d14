//! The binary without a node: exit codes, what goes to which stream, and what scripts can rely on.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn callboard(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_callboard"))
        .args(arguments)
        .env_remove("CALLBOARD_SERVER")
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is text")
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let output = callboard(&["invoke", "--nope"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
}

#[test]
fn half_an_actor_name_is_a_usage_error_that_names_the_argument() {
    let output = callboard(&["invoke", "Counter/", "Add"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("TYPE/KEY"), "{}", stderr(&output));
}

#[test]
fn an_argument_that_is_no_json_is_a_usage_error_before_anything_is_sent() {
    let output = callboard(&["invoke", "Counter/u1", "Add", "-d", "{amount: 1}"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not JSON"), "{}", stderr(&output));
}

#[test]
fn a_missing_argument_file_is_named() {
    let output = callboard(&["invoke", "Counter/u1", "Add", "-d", "@no-such-file.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no-such-file.json"), "{}", stderr(&output));
}

#[test]
fn a_node_that_is_not_there_is_exit_code_4_and_says_what_to_do() {
    let server = nobody();
    let output = callboard(&["--server", &server, "actors", "list"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "", "stdout is for data only");
    let talk = stderr(&output);
    assert!(talk.contains(&server), "{talk}");
    assert!(talk.contains("retry: safe"), "{talk}");
    assert!(talk.contains("callboard dev"), "{talk}");
}

#[test]
fn with_json_output_a_failure_is_one_json_line() {
    let output = callboard(&["--server", &nobody(), "-o", "json", "actors", "list"]);
    let failure: Value = serde_json::from_slice(&output.stderr).expect("stderr is one document");
    assert_eq!(failure["apiVersion"], "callboard.io/cli/v1");
    assert_eq!(failure["kind"], "Error");
    assert_eq!(failure["exitCode"], 4);
    assert_eq!(failure["retry"], "safe");
}

#[test]
fn a_server_with_tls_is_refused_instead_of_tried() {
    let output = callboard(&["--server", "https://127.0.0.1:7070", "health"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_server_may_come_from_the_environment() {
    let server = nobody();
    let output = Command::new(env!("CARGO_BIN_EXE_callboard"))
        .arg("health")
        .env("CALLBOARD_SERVER", &server)
        .output()
        .expect("the binary runs");
    assert!(stderr(&output).contains(&server), "{}", stderr(&output));
}

#[test]
fn talk_is_not_coloured_where_nobody_sees_it() {
    let output = callboard(&["--server", &nobody(), "health"]);
    assert!(!stderr(&output).contains('\u{1b}'));
    let output = callboard(&["--server", &nobody(), "--color", "always", "health"]);
    assert!(stderr(&output).contains('\u{1b}'));
}

#[test]
fn the_grpcurl_twin_is_printed_without_a_node() {
    let arguments = ["invoke", "Counter/u1", "Add", "-d", "{\"amount\": 1}", "--print-grpcurl"];
    let output = callboard(&arguments);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("grpcurl -plaintext -d '{"), "{}", stdout(&output));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = callboard(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("callboard"), "{shell}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = callboard(&["version", "-o", "name"]);
    assert_eq!(stdout(&output).trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let output = Command::new("sh")
        .args(["-c", "\"$0\" completions zsh | true", env!("CARGO_BIN_EXE_callboard")])
        .output()
        .expect("a shell runs");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_server_that_never_answers_is_exit_code_5_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    let server = silent.local_addr().expect("a bound socket has an address").to_string();
    let output = callboard(&["--server", &server, "--timeout", "200ms", "systems", "list"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_exit_code_130() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    let server = silent.local_addr().expect("a bound socket has an address").to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_callboard"))
        .args(["--server", &server, "systems", "list"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let _connection = silent.accept().expect("the command connects");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
}

#[test]
fn a_connection_that_breaks_is_exit_code_4_and_the_key_for_the_retry_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    let server = listener.local_addr().expect("a bound socket has an address").to_string();
    let hangs_up = std::thread::spawn(move || drop(listener.accept()));
    let output = callboard(&["--server", &server, "invoke", "Counter/u1", "add", "--key", "k-1"]);
    hangs_up.join().expect("somebody connected");
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("--key k-1"), "{}", stderr(&output));
}

#[test]
fn a_schedule_without_times_or_with_two_is_a_usage_error_before_anything_is_sent() {
    let call = ["schedule", "create", "report", "Report/daily", "Send"];
    let output = callboard(&call);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--cron"), "{}", stderr(&output));
    let output = callboard(&[&call[..], &["--every", "1m", "--cron", "@daily"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let output = callboard(&[&call[..], &["--at", "tomorrow"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("2027-01-31T09:00:00Z"), "{}", stderr(&output));
    let output = callboard(&[&call[..], &["--every", "1m", "--zone", "UTC"]].concat());
    assert_eq!(output.status.code(), Some(2), "a zone is for cron lines");
}
