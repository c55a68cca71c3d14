//! The command that `callboard dev -- COMMAND` runs beside the node, usually a host.

use std::{
    ffi::OsString,
    net::SocketAddr,
    process::{ExitCode, ExitStatus},
};

use tokio::process::Command;

use crate::failure::{Exit, Failure};

/// The command, if there is one. Killed if it is dropped while it runs.
pub(super) struct Child {
    process: Option<tokio::process::Child>,
}

// === impl Child ===

impl Child {
    /// Starts the command with the node's address in CALLBOARD_SERVER. No words, no command.
    pub(super) fn start(command: &[OsString], server: SocketAddr) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Ok(Self { process: None });
        };
        let process = Command::new(program)
            .args(arguments)
            .env("CALLBOARD_SERVER", server.to_string())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let message = format!("{} cannot be run: {error}", program.display());
                Failure::new(Exit::Other, "COMMAND", message)
            })?;
        Ok(Self { process: Some(process) })
    }

    /// Waits for the command's own end; for ever if there is none. Gives its exit code on.
    pub(super) async fn ended(&mut self) -> Result<ExitCode, Failure> {
        match &mut self.process {
            Some(process) => Ok(code_of(process.wait().await?)),
            None => std::future::pending().await,
        }
    }

    /// Asks the command to end, and waits until it has.
    pub(super) async fn stop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) {
            terminate(pid);
        }
        // It was started by this process, so that waiting cannot fail in a way that matters here.
        let _ = process.wait().await;
    }
}

/// A command that a signal ended has no code; 128 and the signal's number is what shells say.
fn code_of(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Sends SIGTERM. A process that has ended meanwhile is still ours to wait for, so the id names no other process.
fn terminate(pid: i32) {
    #[expect(unsafe_code, reason = "std offers no way to send a signal other than SIGKILL")]
    // SAFETY: kill touches no memory; the id is that of a child that has not been waited for.
    unsafe {
        libc::kill(pid, libc::SIGTERM);
    }
}
