//! The processes that are killed: a node on a data folder and its hosts. A handle that is dropped kills its process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use super::Error;
use crate::{ports, signal};

/// How long to wait for a process that was killed.
const REAP_MAX: Duration = Duration::from_secs(10);
/// How long a stopped process' threads may take to stand still.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How often they are looked at.
const STOP_LOOK: Duration = Duration::from_micros(100);

/// What may be under way in a process that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Still {
    /// Nothing: no thread waits for the disk.
    Idle,
    /// Threads may wait for the disk inside the kernel; they run no code of their own.
    InFlight,
}

/// A node that is started on the same folder and ports again and again.
pub struct Node {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    admin_port: u16,
    child: Option<Child>,
}

impl Node {
    /// A node that is not yet started. Its log goes beside its data.
    pub fn new(bin: &Path, data: &Path, log: &Path) -> Result<Self, Error> {
        Ok(Self {
            bin: bin.into(),
            data: data.into(),
            log: log.into(),
            port: ports::free(),
            admin_port: ports::free(),
            child: None,
        })
    }

    /// host:port of its gateway.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it. It does not yet serve on return.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = Command::new(&self.bin);
        command
            .arg("dev")
            .args(["--port", &self.port.to_string()])
            .args(["--admin-port", &self.admin_port.to_string()])
            .arg("--data")
            .arg(&self.data);
        self.child = Some(spawn(command, &self.log)?);
        Ok(())
    }

    /// Kills it with SIGKILL and waits until the kernel has taken it away.
    pub async fn kill(&mut self) -> Result<(), Error> {
        kill(&mut self.child, "the node").await
    }

    /// Stops its time with SIGSTOP, and waits until none of its threads runs code of its own.
    pub async fn freeze(&self, still: Still) -> Result<(), Error> {
        let Some(id) = self.signal(libc::SIGSTOP)? else { return Ok(()) };
        let begun = super::now();
        while !stands(id, still)? {
            if begun.elapsed() > STOP_MAX {
                return Err(Error::failed("the node does not stand still after SIGSTOP"));
            }
            tokio::time::sleep(STOP_LOOK).await;
        }
        Ok(())
    }

    /// Lets its time go on.
    pub fn thaw(&self) -> Result<(), Error> {
        self.signal(libc::SIGCONT).map(drop)
    }

    fn signal(&self, signal: i32) -> Result<Option<i32>, Error> {
        signal::send(self.child.as_ref(), signal).map_err(Error::io("signalling the node"))
    }

    /// Fails if the node ended by itself, with the end of its log.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        match child.try_wait().map_err(Error::io("looking for the node"))? {
            None => Ok(()),
            Some(status) => Err(Error::failed(format!(
                "the node ended by itself ({status}); the end of its log:\n{}",
                self.log_tail()
            ))),
        }
    }

    /// The last lines of the node's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// A ledger host that is started again and again.
pub struct Host {
    bin: PathBuf,
    server: String,
    volatile: bool,
    log: PathBuf,
    child: Option<Child>,
}

impl Host {
    /// A host that is not yet started.
    #[must_use]
    pub fn new(bin: &Path, server: &str, volatile: bool, log: &Path) -> Self {
        Self { bin: bin.into(), server: server.into(), volatile, log: log.into(), child: None }
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = Command::new(&self.bin);
        command.args(["host", "--server", &self.server]);
        if self.volatile {
            command.arg("--volatile");
        }
        self.child = Some(spawn(command, &self.log)?);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) -> Result<(), Error> {
        kill(&mut self.child, "a host").await
    }
}

/// True if all threads of a process stand still.
fn stands(id: i32, still: Still) -> Result<bool, Error> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task"));
    for thread in threads.map_err(Error::io("looking at the node's threads"))?.flatten() {
        // One that just ended runs nothing.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        // The name before it may hold anything, brackets too.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        let stopped = match state {
            Some('T' | 't' | 'Z' | 'X') => true,
            Some('D') => still == Still::InFlight,
            _ => false,
        };
        if !stopped {
            return Ok(false);
        }
    }
    Ok(true)
}

fn spawn(mut command: Command, log: &Path) -> Result<Child, Error> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::io(format!("opening {}", log.display())))?;
    let errors = output.try_clone().map_err(Error::io("opening a log"))?;
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io(format!("starting {program}")))
}

async fn kill(child: &mut Option<Child>, what: &str) -> Result<(), Error> {
    let Some(mut child) = child.take() else {
        return Ok(());
    };
    match tokio::time::timeout(REAP_MAX, child.kill()).await {
        Ok(killed) => killed.map_err(Error::io(format!("killing {what}"))),
        Err(_) => Err(Error::failed(format!("{what} is still there after SIGKILL"))),
    }
}
