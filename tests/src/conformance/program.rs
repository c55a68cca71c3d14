//! The SDK's conformance program as a process: started, signalled, read from, and surely ended.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::check::{Check, Failure};

/// How long a result of a client program may take beyond what the scenario expects.
const RESULT_PATIENCE: Duration = Duration::from_secs(20);
/// How many lines of the program's standard error a failure shows.
const LOG_LINES: usize = 12;
/// How long the last lines on standard error may take once the program has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a line on standard error may take.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// What the program printed on standard error.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Printed>);

#[derive(Debug, Default)]
struct Printed {
    lines: Mutex<Vec<String>>,
    more: Notify,
}

impl Log {
    fn push(&self, line: String) {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self.0.more.notify_waiters();
    }

    /// Waits until a line contains `text`.
    ///
    /// # Errors
    /// If none does in time.
    pub async fn says(&self, text: &str) -> Check {
        let said = async {
            loop {
                let more = self.0.more.notified();
                tokio::pin!(more);
                // Registered before looking, so that a line between looking and waiting is not missed.
                more.as_mut().enable();
                if self.contains(text) {
                    return;
                }
                more.await;
            }
        };
        let failure = || Failure(format!("standard error does not say {text:?}"));
        timeout(LOG_PATIENCE, said).await.map_err(|_| failure())
    }

    fn contains(&self, text: &str) -> bool {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().any(|line| line.contains(text))
    }

    /// Its end, indented below a failure; empty if nothing was printed.
    pub fn tail(&self) -> String {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let from = lines.len().saturating_sub(LOG_LINES);
        lines[from..].iter().map(|line| format!("\n        | {line}")).collect()
    }
}

/// Which of its two programs the SDK shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Registers the type Conformance.
    Host,
    /// Makes the calls that its standard input names.
    Client,
}

/// Which nodes a host program shall connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whatever the SDK does if nobody says: all nodes of the cluster.
    Default,
    /// Only the node that it is told of.
    Sidecar,
}

/// A running program. Its whole process group is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    group: Option<u32>,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    stderr: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts `command` against the servers at `addresses`, separated by commas.
    ///
    /// # Errors
    /// If the command cannot be started.
    pub fn start(
        command: &[String],
        role: Role,
        mode: Mode,
        addresses: &str,
        log: &Log,
    ) -> Result<Self, Failure> {
        let [program, arguments @ ..] = command else {
            return Err(Failure("no command was given".to_owned()));
        };
        let role = if role == Role::Host { "host" } else { "client" };
        let mut process = Command::new(program);
        if mode == Mode::Sidecar {
            process.env("CALLBOARD_CONFORMANCE_MODE", "sidecar");
        }
        let mut child = process
            .args(arguments)
            .env("CALLBOARD_SERVER", addresses)
            .env("CALLBOARD_CONFORMANCE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::of(&format!("cannot start {program}"), error))?;
        let (send, lines) = mpsc::channel(1024);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, move |line| {
                let send = send.clone();
                async move {
                    // Nobody listens any more once the scenario is over.
                    let _ = send.send(line).await;
                }
            }));
        }
        let stderr = child.stderr.take().map(|stderr| {
            let log = log.clone();
            tokio::spawn(read_lines(stderr, move |line| {
                log.push(line);
                std::future::ready(())
            }))
        });
        Ok(Program { group: child.id(), stdin: child.stdin.take(), child, lines, stderr })
    }

    /// Sends a signal by name, such as `TERM`.
    ///
    /// # Errors
    /// If the program is gone already.
    pub async fn signal(&self, name: &str) -> Result<(), Failure> {
        let id = self.child.id().ok_or_else(|| Failure("the program has ended".to_owned()))?;
        let command = format!("kill -{name} {id}");
        let status = Command::new("sh").args(["-c", &command]).status().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(Failure(format!("{command}: {other:?}"))),
        }
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// If it has not within `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus, Failure> {
        let Ok(status) = timeout(patience, self.child.wait()).await else {
            return Err(Failure(format!("the program did not end within {patience:?}")));
        };
        if let Some(stderr) = self.stderr.take() {
            // What it said last is often the reason; a child of its own may keep the pipe open for ever.
            let _ = timeout(LAST_WORDS, stderr).await;
        }
        status.map_err(|error| Failure::of("waiting for the program", error))
    }

    /// True if the program still runs.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn is_running(&mut self) -> Result<bool, Failure> {
        let status = self.child.try_wait().map_err(|error| Failure::of("the program", error))?;
        Ok(status.is_none())
    }

    /// Gives a client program commands, all in one write.
    ///
    /// # Errors
    /// If its standard input is closed.
    pub async fn commands(&mut self, commands: &[Value]) -> Result<(), Failure> {
        let text: String = commands.iter().map(|command| format!("{command}\n")).collect();
        let closed = || Failure("the program's standard input is closed".to_owned());
        let stdin = self.stdin.as_mut().ok_or_else(closed)?;
        stdin.write_all(text.as_bytes()).await.map_err(|_| closed())?;
        stdin.flush().await.map_err(|_| closed())
    }

    /// Closes standard input: no more commands come.
    pub fn no_more_commands(&mut self) {
        self.stdin = None;
    }

    /// The next line that a client program prints, as JSON.
    ///
    /// # Errors
    /// If none comes in time, or it is not JSON.
    pub async fn result(&mut self) -> Result<Value, Failure> {
        match timeout(RESULT_PATIENCE, self.lines.recv()).await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .map_err(|error| Failure::of(&format!("not a result: {line}"), error)),
            Ok(None) => Err(Failure("the client program closed its output".to_owned())),
            Err(_) => Err(Failure(format!("no result within {RESULT_PATIENCE:?}"))),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // A shell that did not exec leaves a child behind; the group has both.
            let _ = std::process::Command::new("sh")
                .args(["-c", &format!("kill -KILL -{group} 2>/dev/null")])
                .status();
        }
    }
}

async fn read_lines<F: Future<Output = ()>>(
    source: impl AsyncRead + Unpin,
    mut take: impl FnMut(String) -> F,
) {
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
        take(String::from_utf8_lossy(&line).trim_end().to_owned()).await;
        line.clear();
    }
}
