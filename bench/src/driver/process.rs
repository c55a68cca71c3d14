//! Processes of a measurement. Each is killed when its handle is dropped, so that nothing outlives the driver's rows.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    error::Error,
    measure::{self, Event},
};

/// How long a process may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a node may take until it serves, with a million schedules to read.
const NODE_PATIENCE: Duration = Duration::from_secs(300);

/// Where ports are looked for: below the range from which the kernel takes ports for outgoing connections, so that a
/// process that waits for a port to be served never connects to itself on it.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// The kernel's clock ticks per second in `/proc`: 100 on every architecture that Rust's Linux targets support.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process of this binary, which tells what it does in events.
pub(crate) struct Peer {
    child: Child,
    /// Closing it asks the process to end.
    stdin: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts this binary with arguments.
    pub(crate) fn start(exe: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let mut child = Command::new(exe)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        Ok(Self { child, stdin, events: BufReader::new(stdout).lines() })
    }

    /// Waits for the first event that `pick` takes; others are passed over.
    pub(crate) async fn wait_for<T>(
        &mut self,
        patience: Duration,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> Result<T, Error> {
        let picked = async {
            while let Some(line) = self.events.next_line().await? {
                if let Some(picked) = pick(serde_json::from_str(&line)?) {
                    return Ok(picked);
                }
            }
            Err(Error::failed("a process ended before it was done; see its message above"))
        };
        timeout(patience, picked)
            .await
            .unwrap_or_else(|_| Err(Error::failed("a process took too long")))
    }

    /// Asks the process to end, and kills it if it does not.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        drop(self.stdin.take());
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A node on a data folder.
pub(crate) struct Node {
    child: Child,
    address: String,
    begun: Instant,
    ready_after: Duration,
}

impl Node {
    /// Starts a node that is alone and waits until it serves. Its output goes to `node.log` beside the data folder.
    pub(crate) async fn start(node_bin: &Path, data: &Path) -> Result<Self, Error> {
        let (port, admin_port) = (free_port()?, free_port()?);
        let mut command = Command::new(node_bin);
        command
            .arg("dev")
            .args(["--port", &port.to_string()])
            .args(["--admin-port", &admin_port.to_string()])
            .arg("--data")
            .arg(data);
        let node = Self::spawn(command, port, data)?;
        node.until_ready(data).await
    }

    /// Starts a node as a service with settings, as SECTION.KEY=VALUE, and does not wait.
    pub(crate) fn serve(
        node_bin: &Path,
        data: &Path,
        port: u16,
        settings: &[String],
    ) -> Result<Self, Error> {
        let mut command = Command::new(node_bin);
        command.arg("serve").arg("--data").arg(data);
        for setting in settings {
            command.args(["--set", setting]);
        }
        Self::spawn(command, port, data)
    }

    fn spawn(mut command: Command, port: u16, data: &Path) -> Result<Self, Error> {
        let output = File::options().create(true).append(true).open(data.with_extension("log"))?;
        let begun = measure::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        let address = format!("127.0.0.1:{port}");
        Ok(Self { child, address, begun, ready_after: Duration::ZERO })
    }

    /// Waits until the node serves.
    pub(crate) async fn until_ready(mut self, data: &Path) -> Result<Self, Error> {
        let log = data.with_extension("log");
        tokio::select! {
            ready = timeout(NODE_PATIENCE, wait_until_ready(&self.address)) => {
                if ready.is_err() {
                    return Err(node_failed("the node was not ready in time", &log));
                }
            }
            _ = self.child.wait() => return Err(node_failed("the node ended at its start", &log)),
        }
        self.ready_after = self.begun.elapsed();
        Ok(self)
    }

    /// Asks the node to end in order, and waits until it has.
    pub(crate) async fn end_in_order(mut self) -> Result<(), Error> {
        let pid = self.child.id().ok_or_else(|| Error::failed("the node has ended"))?;
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let ended = timeout(NODE_PATIENCE, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if asked.success() && status.success() => Ok(()),
            _ => Err(Error::failed("the node did not end in order")),
        }
    }

    /// host:port of the gateway.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How long it took from the start of the process until it served.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// CPU time that the node has used, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        let stat = std::fs::read_to_string(self.proc("stat")?)?;
        cpu_of(&stat).ok_or_else(|| Error::failed("cannot read the node's CPU time"))
    }

    /// Memory that the node holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(self.proc("status")?)?;
        resident_bytes_of(&status).ok_or_else(|| Error::failed("cannot read the node's memory"))
    }

    /// Kills the node, as a crash would.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        self.child.kill().await?;
        Ok(())
    }

    fn proc(&self, file: &str) -> Result<PathBuf, Error> {
        let pid = self.child.id().ok_or_else(|| Error::failed("the node has ended"))?;
        Ok(PathBuf::from(format!("/proc/{pid}/{file}")))
    }
}

/// A loopback port that is free now.
pub(crate) fn free_port() -> Result<u16, Error> {
    (0..100)
        .map(|_| rand::rng().random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| Error::failed("no free port was found on loopback"))
}

async fn wait_until_ready(address: &str) {
    const PAUSE: Duration = Duration::from_millis(2);
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        if serves(address).await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn serves(address: &str) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return false;
    };
    let Ok(channel) = endpoint.connect().await else {
        return false;
    };
    let request = HealthCheckRequest { service: "readiness".into() };
    match HealthClient::new(channel).check(request).await {
        Ok(response) => response.into_inner().status() == ServingStatus::Serving,
        Err(_) => false,
    }
}

fn node_failed(what: &str, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    Error::failed(format!("{what}; the end of its log:\n{tail}"))
}

/// User and kernel time in a `/proc/PID/stat` line. The process name may hold spaces, so fields count from its end.
fn cpu_of(stat: &str) -> Option<Duration> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

fn resident_bytes_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_whatever_the_process_is_called() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 99 0 0";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tcallboard\nVmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(resident_bytes_of(status), Some(2 << 20));
    }
}
