//! A process in a namespace: started, stopped, paused and killed by its id. One that is dropped is killed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::Child;

use super::Error;
use crate::signal;

/// How long to wait for a process that was killed.
const REAP_MAX: Duration = Duration::from_secs(20);

/// A process with a log.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Option<Child>,
    paused: bool,
}

impl Process {
    /// A process that is not yet started.
    #[must_use]
    pub fn new(name: &str, log: &Path) -> Self {
        Self { name: name.into(), log: log.into(), child: None, paused: false }
    }

    /// Starts it, unless it runs. The command says where and how.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self, mut command: Command) -> Result<(), Error> {
        if self.is_running()? {
            return Ok(());
        }
        let output = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Error::io(format!("opening {}", self.log.display())))?;
        let errors = output.try_clone().map_err(Error::io("opening a log"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut command = tokio::process::Command::from(command);
        let child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io(format!("starting {}", self.name)))?;
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// True if it was started and did not end.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.child.is_some() && self.ended()?.is_none())
    }

    /// How it ended, if it did so without being told to.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        match &mut self.child {
            Some(child) => {
                child.try_wait().map_err(Error::io(format!("looking for {}", self.name)))
            }
            None => Ok(None),
        }
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// If it is still there after a while.
    pub async fn kill(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        match tokio::time::timeout(REAP_MAX, child.kill()).await {
            Ok(killed) => killed.map_err(Error::io(format!("killing {}", self.name))),
            Err(_) => Err(Error::failed(format!("{} is still there after SIGKILL", self.name))),
        }
    }

    /// Asks it to end, and waits. True if it ended well and in time; else it is killed.
    ///
    /// # Errors
    /// If it cannot be signalled or killed.
    pub async fn stop(&mut self, signal: i32, patience: Duration) -> Result<bool, Error> {
        self.signal(signal)?;
        let Some(child) = &mut self.child else {
            return Ok(true);
        };
        let ended = tokio::time::timeout(patience, child.wait()).await;
        let well = matches!(ended, Ok(Ok(status)) if status.success());
        self.kill().await?;
        Ok(well)
    }

    /// Stops its time.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.paused = true;
        self.signal(libc::SIGSTOP)
    }

    /// Lets its time go on.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub fn resume(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.paused) { self.signal(libc::SIGCONT) } else { Ok(()) }
    }

    fn signal(&self, signal: i32) -> Result<(), Error> {
        let sent = signal::send(self.child.as_ref(), signal);
        sent.map(drop).map_err(Error::io(format!("signalling {}", self.name)))
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
