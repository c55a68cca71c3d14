//! A node: its process, its disk, its clock and its place in the network.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Error, clock::Clock, process::Process};
use crate::net::{self, Namespace, Port};

/// Size of a node's disk. Its log of the control plane needs far less.
const DISK: &str = "size=96m";

/// How long a node may take to leave in good order.
const LEAVE_MAX: Duration = Duration::from_secs(40);

/// Nodes that a cluster can have over a run beyond those at its start.
pub const SPARE: u8 = 2;

/// The port of gateways.
pub const GATEWAY: u16 = 7070;
const ADMIN: u16 = 7071;
const PEER: u16 = 7072;

/// How all nodes of a run are started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The binary.
    pub bin: PathBuf,
    /// Where the run keeps its things.
    pub folder: PathBuf,
    /// The library for clocks.
    pub clock: PathBuf,
    /// The store; empty for SQLite in the node's folder.
    pub store: String,
    /// How many nodes make the cluster together; 0 for a node that is alone.
    pub bootstrap: u8,
    /// The planted bug, if any.
    pub planted: Option<String>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its place at the switch.
    pub port: Port,
    setup: Setup,
    namespace: Namespace,
    disk: PathBuf,
    clock: Clock,
    process: Process,
    /// True if it joins a cluster that exists, rather than making one with others.
    joins: bool,
}

/// Where a node's gateway is.
#[must_use]
pub fn gateway(port: Port) -> String {
    format!("{}:{GATEWAY}", net::address(port))
}

impl Node {
    /// A node that is not yet started, with a new disk.
    ///
    /// # Errors
    /// If its disk cannot be mounted.
    pub fn create(port: Port, setup: &Setup, namespace: Namespace) -> Result<Self, Error> {
        let disk = setup.folder.join(format!("node-{port}"));
        fs::create_dir_all(&disk).map_err(Error::io("making a node's folder"))?;
        mount_memory(&disk)?;
        let clock = Clock::create(&setup.clock, &setup.folder.join(format!("node-{port}.clock")))?;
        let log = setup.folder.join(format!("node-{port}.log"));
        let process = Process::new(&format!("node {port}"), &log);
        Ok(Self { port, setup: setup.clone(), namespace, disk, clock, process, joins: false })
    }

    /// Where its gateway is.
    #[must_use]
    pub fn gateway(&self) -> String {
        gateway(self.port)
    }

    /// Starts it, unless it runs. It does not yet serve on return.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> Result<(), Error> {
        let setup = &self.setup;
        let ip = net::address(self.port);
        let mut command = Command::new(&setup.bin);
        command
            .arg("serve")
            .arg("--insecure")
            .args(["--listen", &self.gateway(), "--admin", &format!("{ip}:{ADMIN}")])
            .arg("--data")
            .arg(self.disk.join("data"));
        let mut set = |key: &str, value: String| {
            command.arg("--set").arg(format!("{key}={value}"));
        };
        if setup.bootstrap > 0 {
            let expected = if self.joins { 0 } else { setup.bootstrap };
            let last = if self.joins { setup.bootstrap + SPARE } else { setup.bootstrap };
            let peers = (1..=last)
                .filter(|port| !self.joins || *port != self.port)
                .map(|port| format!("{}:{PEER}", net::address(port)))
                .collect::<Vec<_>>();
            set("listen.peer", format!("{ip}:{PEER}"));
            set("cluster.peers", peers.join(","));
            set("cluster.bootstrap_expect", expected.to_string());
            set("cluster.secret", "the secret of the chaos test, long enough".into());
            set("store.url", setup.store.clone());
        }
        if let Some(planted) = &setup.planted {
            command.env("CALLBOARD_PLANTED", planted);
        }
        self.clock.give_to(&mut command);
        self.namespace.confine(&mut command);
        self.process.start(command)
    }

    /// Lets it join a cluster that exists when it is started, instead of making one with others.
    pub fn joins(&mut self) {
        self.joins = true;
    }

    /// Its process, to be killed, paused and looked at.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to leave in good order. True if it did.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub async fn leave(&mut self) -> Result<bool, Error> {
        self.process.stop(libc::SIGTERM, LEAVE_MAX).await
    }

    /// Its wall clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The binary that it is started with from now on.
    pub fn set_bin(&mut self, bin: &Path) {
        self.setup.bin = bin.into();
    }

    /// Fills its disk to the last byte.
    ///
    /// # Errors
    /// If the filling cannot be begun.
    pub fn fill_disk(&self) -> Result<(), Error> {
        let mut file =
            File::create(self.disk.join("filling")).map_err(Error::io("filling a disk"))?;
        let block = [0; 65_536];
        let mut size = block.len();
        // Smaller and smaller pieces, until not even a byte fits.
        while size > 0 {
            if file.write_all(&block[..size]).is_err() {
                size /= 2;
            }
        }
        Ok(())
    }

    /// Makes room on its disk again.
    ///
    /// # Errors
    /// If the filling cannot be removed.
    pub fn empty_disk(&self) -> Result<(), Error> {
        match fs::remove_file(self.disk.join("filling")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("making room on a disk")(error))
            }
            _ => Ok(()),
        }
    }

    /// Throws away what is on its disk, as for a new machine.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn wipe_disk(&self) -> Result<(), Error> {
        let data = self.disk.join("data");
        if data.exists() {
            fs::remove_dir_all(data).map_err(Error::io("wiping a disk"))?;
        }
        Ok(())
    }
}

/// Mounts a small disk in memory. It goes with this process's mount namespace.
fn mount_memory(folder: &Path) -> Result<(), Error> {
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o", DISK, "none"])
        .arg(folder)
        .output()
        .map_err(Error::io("running mount"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(format!("a disk in memory cannot be mounted: {}", words.trim())))
}
