//! Nodes as processes, with a database of their own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use callboard_tests::{ports, postgres::Postgres};
use callboard_types::Tick;
use serde_json::Value;
use tempfile::TempDir;

use crate::node;

/// What the nodes know each other by.
pub(super) const SECRET: &str = "what the nodes of a test know each other by";
/// How long a node may take to serve, or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// One node: its folder and ports stay, its process comes and goes.
pub(super) struct Member {
    folder: TempDir,
    gateway: String,
    admin: String,
    peer: String,
    process: Option<Child>,
    /// The node's number in its cluster, once it served.
    number: u64,
}

/// Several nodes that begin a cluster together.
pub(super) struct Fleet {
    members: Vec<Member>,
    store: String,
}

/// A free port on loopback, as an address.
pub(super) fn free() -> String {
    format!("127.0.0.1:{}", ports::free())
}

// === impl Member ===

impl Member {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder, gateway: free(), admin: free(), peer: free(), process: None, number: 0 }
    }

    pub(super) fn gateway(&self) -> &str {
        &self.gateway
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The command that runs it.
    pub(super) fn command(&self, settings: &[(&str, &str)]) -> Command {
        self.command_of(&["-o", "jsonl", "serve"], settings)
    }

    /// The command that does something with its settings.
    fn command_of(&self, verb: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(node::callboard());
        command.args(verb).args(["--listen", &self.gateway, "--admin", &self.admin]);
        command.args(["--peer-listen", &self.peer, "--data"]).arg(self.folder.path());
        for (key, value) in settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Runs it to its end, for nodes that do not start.
    pub(super) fn fails(&self, settings: &[(&str, &str)]) -> Output {
        let mut command = self.command(settings);
        let child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        ended(child)
    }

    /// Loses the folder of a node that does not run.
    pub(super) fn lose(&mut self) {
        assert!(self.process.is_none(), "it runs");
        std::fs::remove_dir_all(self.folder.path()).expect("its folder is there");
    }

    pub(super) fn spawn(&mut self, settings: &[(&str, &str)]) {
        assert!(self.process.is_none(), "it runs already");
        std::fs::create_dir_all(self.folder.path()).expect("a folder can be made");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log file");
        let child = self.command(settings).stderr(log).spawn().expect("the binary runs");
        self.process = Some(child);
    }

    /// Waits until it serves.
    pub(super) fn serves(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        let stdout = process.stdout.take().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("readable");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("the node does not serve:\n{}", self.log());
        });
        self.number = ready["nodeId"].as_u64().expect("a number");
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal and waits for the process's end.
    pub(super) fn end(&mut self, signal: &str) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        node::succeeds(Command::new("kill").args([signal, &process.id().to_string()]));
        process.wait().expect("it ends").code()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let last = log.lines().rev().take(25).collect::<Vec<_>>();
            eprintln!("--- node {} at {}", self.number, self.gateway);
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The output of a process that ends by itself.
fn ended(child: Child) -> Output {
    let id = child.id().to_string();
    let (done, waited) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = waited.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        let said = waited.recv().expect("a killed process ends").expect("its output").stderr;
        panic!("process {id} did not end by itself:\n{}", String::from_utf8_lossy(&said))
    });
    output.expect("its output")
}

// === impl Fleet ===

impl Fleet {
    /// Starts nodes on a new database and returns once all serve.
    pub(super) async fn start(count: usize) -> Self {
        let store = tokio::task::spawn_blocking(|| Postgres::shared().database());
        let store = store.await.expect("a database");
        let mut fleet = Self { members: (0..count).map(|_| Member::new()).collect(), store };
        fleet.start_all_again().await;
        let whole = |status: &Value| {
            let nodes = nodes(status);
            nodes.len() == count && nodes.iter().all(|node| node["role"] != "learner")
        };
        fleet.until(PATIENCE, "all nodes vote", whole).await;
        fleet
    }

    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// The settings of every node.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let peers: Vec<&str> = self.members.iter().map(|member| member.peer.as_str()).collect();
        vec![
            ("cluster.peers", peers.join(",")),
            ("cluster.bootstrap_expect", self.members.len().to_string()),
            ("cluster.secret", SECRET.to_owned()),
            ("store.url", self.store.clone()),
        ]
    }

    pub(super) fn gateways(&self) -> Vec<String> {
        self.members.iter().map(|member| member.gateway.clone()).collect()
    }

    pub(super) fn member(&mut self, at: usize) -> &mut Member {
        &mut self.members[at]
    }

    /// The number of a node in the cluster; positions in the fleet are something else.
    pub(super) fn number(&self, at: usize) -> u64 {
        self.members[at].number
    }

    /// Who leads, as a position in the fleet.
    pub(super) async fn leader(&self) -> usize {
        let led = |status: &Value| status["leaderId"] != 0;
        let status = self.until(PATIENCE, "somebody leads", led).await;
        let leader = status["leaderId"].as_u64();
        let found = self.members.iter().position(|member| Some(member.number) == leader);
        found.expect("the leader is one of the nodes")
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.members[at].end("-KILL");
    }

    /// Asks a node to end, and waits until it did so in order and had answered every call.
    pub(super) fn terminate(&mut self, at: usize) {
        let code = self.members[at].end("-TERM");
        let log = self.members[at].log();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("not every call ended in time"), "{log}");
    }

    /// Starts a node and returns once it serves.
    pub(super) async fn start_again(&mut self, at: usize) {
        self.spawn(at);
        let member = &mut self.members[at];
        tokio::task::block_in_place(|| member.serves());
    }

    pub(super) async fn start_all_again(&mut self) {
        for at in 0..self.members.len() {
            self.spawn(at);
        }
        tokio::task::block_in_place(|| self.members.iter_mut().for_each(Member::serves));
    }

    /// Runs a command with the settings of a node to its end.
    pub(super) fn run_as(&self, at: usize, verb: &[&str]) -> Output {
        let settings = self.settings();
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, &**value)).collect();
        self.members[at].command_of(verb, &settings).output().expect("the binary runs")
    }

    fn spawn(&mut self, at: usize) {
        let settings = self.settings();
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, &**value)).collect();
        self.members[at].spawn(&settings);
    }

    /// Waits until some node that answers sees the cluster in a state. Returns it.
    pub(super) async fn until(
        &self,
        patience: Duration,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let running: Vec<&Member> = self.members.iter().filter(|it| it.process.is_some()).collect();
        let look = || running.iter().find_map(|member| status(&member.gateway));
        poll(patience, what, look, is_so).await
    }

    /// Waits until one node sees the cluster in a state. Its view may lag behind what others see.
    pub(super) async fn until_at(&self, at: usize, what: &str, is_so: impl Fn(&Value) -> bool) {
        poll(super::WHOLE_AGAIN, what, || status(&self.members[at].gateway), is_so).await;
    }
}

async fn poll(
    patience: Duration,
    what: &str,
    look: impl Fn() -> Option<Value>,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Tick::now();
    loop {
        let seen = look();
        if let Some(status) = &seen
            && is_so(status)
        {
            return status.clone();
        }
        let waited = Duration::from_micros(Tick::now().micros_since(begun));
        assert!(waited < patience, "never so: {what}; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a node says of the cluster; none if it does not answer.
pub(super) fn status(gateway: &str) -> Option<Value> {
    let output = Command::new(node::callboard())
        .args(["-q", "-o", "json", "--timeout", "2s", "--server", gateway, "cluster", "status"])
        .output()
        .expect("the binary runs");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("a document"))
}

/// The nodes in a status.
pub(super) fn nodes(status: &Value) -> Vec<Value> {
    status["nodes"].as_array().cloned().unwrap_or_default()
}

/// One of them.
pub(super) fn node(status: &Value, number: u64) -> Value {
    let found = nodes(status).into_iter().find(|node| node["nodeId"] == number);
    found.unwrap_or_else(|| panic!("there is no node {number}: {status}"))
}

/// Runs a client command that must succeed.
pub(super) fn callboard(gateway: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(node::callboard());
    node::succeeds(command.args(["--timeout", "60s", "--server", gateway]).args(arguments))
}

/// `callboard cluster status --watch`.
pub(super) struct Watch {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn start(gateway: &str) -> Self {
        let mut process = Command::new(node::callboard())
            .args(["-o", "jsonl", "--server", gateway, "cluster", "status", "--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Self { process, lines }
    }

    /// The next document of a kind.
    pub(super) fn next(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the watch goes on").expect("readable");
            let document: Value = serde_json::from_str(&line).expect("a document");
            if document["kind"] == kind {
                return document;
            }
        }
    }

    /// Waits for an event of a node.
    pub(super) fn until(&mut self, event: &str, node: u64) {
        loop {
            let next = self.next("ClusterEvent");
            if next["event"] == event && next["nodeId"] == node {
                return;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
