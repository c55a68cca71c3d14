//! The list of SDK hosts, `bench/hosts.toml`: how to start a host of each language and what to call on it.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::error::Error;

/// How long a host may take to drain after it was asked to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    host: Vec<SdkHost>,
}

/// A host program of one SDK.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SdkHost {
    /// The language, for people.
    pub(crate) name: String,
    /// The program with its arguments, run in the folder that the driver was started in, with `CALLBOARD_SERVER` set.
    command: Vec<String>,
    /// The actor type to call.
    #[serde(rename = "type")]
    pub(crate) actor_type: String,
    /// The action to call.
    pub(crate) action: String,
    /// Its argument as JSON without blanks.
    pub(crate) json: String,
    /// Calls in flight.
    pub(crate) in_flight: usize,
    /// What the language's gRPC runtime reached without an SDK, for comparison.
    pub(crate) runtime_alone: String,
}

/// Reads the list.
pub(crate) fn read(path: &Path) -> Result<Vec<SdkHost>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))?;
    let list: List = toml::from_str(&text)
        .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
    if let Some(host) = list.host.iter().find(|host| host.json.contains(char::is_whitespace)) {
        return Err(Error::failed(format!("{}: the JSON holds blanks", host.name)));
    }
    Ok(list.host)
}

impl SdkHost {
    /// Starts the host in a process group of its own, because its program is often a script that starts another.
    pub(crate) fn start(&self, server: &str, log: &Path) -> Result<RunningHost, Error> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::failed(format!("{}: the command is empty", self.name)))?;
        let output = File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .env("CALLBOARD_SERVER", server)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start {program}: {error}")))?;
        Ok(RunningHost { child })
    }
}

/// A host that runs.
pub(crate) struct RunningHost {
    child: Child,
}

impl RunningHost {
    /// Asks the host's process group to end, then kills it.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let Some(pid) = self.child.id() else {
            return Ok(());
        };
        signal_group("-TERM", pid).await?;
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            signal_group("-KILL", pid).await?;
            self.child.wait().await?;
        }
        Ok(())
    }
}

/// Signals a process group. The standard library has no call for it.
async fn signal_group(signal: &str, leader: u32) -> Result<(), Error> {
    Command::new("kill").args([signal, "--", &format!("-{leader}")]).status().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_of_hosts_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts.toml");
        let hosts = read(&path).expect("the list is valid");
        let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["typescript", "python", "java"]);
    }
}
