//! The real binary as tests use it: where it is, and a node of one's own.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::tidy::root;

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    let own = env::current_exe().expect("a test knows where it runs");
    let folder = own.ancestors().nth(3).expect("a test lies in target/PROFILE/deps");
    folder.to_owned()
}

/// The `callboard` binary, made from the present sources.
pub(crate) fn callboard() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            // The same selection as `cargo test --workspace`, so that nothing is compiled twice with other features.
            // Selecting the command line's own tests makes the binary, too.
            let arguments =
                ["test", "--workspace", "--no-run", "--quiet", "--test", "command_line"];
            succeeds(Command::new(env!("CARGO")).args(arguments).current_dir(root()));
            target().join("debug/callboard")
        })
        .clone()
}

/// The `grpcurl` program.
pub(crate) fn grpcurl() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let mut install = Command::new("tests/scripts/tools.sh");
            let output = succeeds(install.arg("grpcurl").current_dir(root()));
            PathBuf::from(String::from_utf8(output.stdout).expect("a path is text").trim())
        })
        .clone()
}

/// The search path of somebody who built the binary and has grpcurl.
pub(crate) fn tool_path() -> OsString {
    let folder =
        |program: PathBuf| program.parent().expect("a program lies in a folder").to_owned();
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = [folder(callboard()), folder(grpcurl())];
    env::join_paths(folders.into_iter().chain(env::split_paths(&own))).expect("no colon in a path")
}

/// Runs a program that must succeed.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// `callboard dev` with an empty data folder and free ports. Killed when dropped.
pub(crate) struct Node {
    process: Child,
    address: String,
    // A killed node cannot remove its folder itself.
    _data: TempDir,
}

// === impl Node ===

impl Node {
    /// Starts a node and returns once it serves.
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        let mut process = Command::new(callboard())
            .args(["-o", "jsonl", "-q", "dev", "--port", "0", "--admin-port", "0", "--data"])
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.take().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the node says where it listens");
        let ready: Value = serde_json::from_str(&line).expect("the node is ready");
        let address = ready["address"].as_str().expect("the node has an address").to_owned();
        Self { process, address, _data: data }
    }

    /// Where the node listens, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Runs a client command against the node.
    pub(crate) fn callboard(&self, arguments: &[&str]) -> Output {
        Command::new(callboard())
            .args(arguments)
            .env("CALLBOARD_SERVER", &self.address)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().expect("the node runs until it is dropped");
        self.process.wait().expect("a killed process ends");
    }
}
