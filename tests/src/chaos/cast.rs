//! Everybody who takes part in a run, each in a namespace of its own, tied to one switch.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::{
    Error, HostCommand, Options, clock,
    database::Database,
    history::Recorder,
    node::{self, Node, Setup},
    process::Process,
};
use crate::net::{Namespace, Port, Ports, Switch};

/// The database's place at the switch.
pub const DATABASE: Port = 20;

/// The place of the first host.
pub const FIRST_HOST: Port = 30;

/// This process's place, where the clients are.
pub const CLIENTS: Port = 60;

/// How long a host may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(30);

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its place at the switch.
    pub port: Port,
    command: HostCommand,
    servers: String,
    namespace: Namespace,
    process: Process,
}

impl Host {
    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> Result<(), Error> {
        let [program, arguments @ ..] = self.command.command.as_slice() else {
            return Err(Error::failed("a host has no command"));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.command.folder)
            .env("CALLBOARD_SERVER", &self.servers);
        self.namespace.confine(&mut command);
        self.process.start(command)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// If it is still there afterwards.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Asks it to leave in good order. True if it did.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub async fn leave(&mut self) -> Result<bool, Error> {
        self.process.stop(libc::SIGTERM, LEAVE_MAX).await
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.command.name
    }
}

/// Everybody.
pub struct Cast {
    /// What ties them together.
    pub switch: Switch,
    /// The database, unless there is only one node.
    pub database: Option<Mutex<Database>>,
    /// Nodes by port, from 1; the last ones are spare and not started.
    pub nodes: Vec<Mutex<Node>>,
    /// Nodes at the start.
    pub started: u8,
    /// Hosts.
    pub hosts: Vec<Mutex<Host>>,
    /// The history.
    pub recorder: Arc<Recorder>,
}

impl Cast {
    /// Builds the network and starts everybody but the clients.
    ///
    /// # Errors
    /// What keeps somebody from starting.
    pub async fn start(options: &Options, recorder: Arc<Recorder>) -> Result<Self, Error> {
        let ports = node_ports(options.nodes);
        let host_ports = (FIRST_HOST..).take(options.hosts.len());
        let mut parties = vec![(CLIENTS, Namespace::own()?)];
        for port in ports.iter().copied().chain([DATABASE]).chain(host_ports) {
            parties.push((port, Namespace::create()?));
        }
        let switch = Switch::start(&parties, options.seed)?;
        let place = |port: Port| {
            let found = parties.iter().find(|(at, _)| *at == port);
            found
                .map(|(_, namespace)| namespace.clone())
                .ok_or_else(|| Error::failed(format!("nobody is at port {port}")))
        };
        let cluster = options.nodes > 1;
        let database = match cluster {
            true => Some(Database::create(DATABASE, &options.folder, place(DATABASE)?).await?),
            false => None,
        };
        let setup = Setup {
            bin: options.node_bin.clone(),
            folder: options.folder.clone(),
            clock: clock::build(&options.folder)?,
            store: database.as_ref().map(Database::url).unwrap_or_default(),
            bootstrap: if cluster { options.nodes } else { 0 },
            planted: options.planted.clone(),
        };
        let mut nodes = Vec::new();
        for port in &ports {
            let mut node = Node::create(*port, &setup, place(*port)?)?;
            if *port <= options.nodes {
                node.start()?;
            }
            nodes.push(Mutex::new(node));
        }
        let servers: Vec<String> = ports.iter().map(|port| node::gateway(*port)).collect();
        let servers = servers[..usize::from(options.nodes)].join(",");
        let mut hosts = Vec::new();
        for (index, command) in (0..).zip(&options.hosts) {
            let port = FIRST_HOST + index;
            let mut host = Host {
                port,
                servers: servers.clone(),
                namespace: place(port)?,
                process: host_process(command, &options.folder),
                command: command.clone(),
            };
            host.start()?;
            hosts.push(Mutex::new(host));
        }
        let database = database.map(Mutex::new);
        Ok(Self { switch, database, nodes, started: options.nodes, hosts, recorder })
    }

    /// The node at a port.
    ///
    /// # Errors
    /// If there is none.
    pub fn node(&self, port: Port) -> Result<&Mutex<Node>, Error> {
        let index = usize::from(port).checked_sub(1);
        index
            .and_then(|index| self.nodes.get(index))
            .ok_or_else(|| Error::failed(format!("there is no node at port {port}")))
    }

    /// Everybody who is not a node.
    #[must_use]
    pub fn others(&self) -> Ports {
        Ports::of(1..=self.nodes.len() as Port).others()
    }
}

fn host_process(command: &HostCommand, folder: &Path) -> Process {
    Process::new(&command.name, &folder.join(format!("host-{}.log", command.name)))
}

/// The ports of all nodes that a run can have.
#[must_use]
pub fn node_ports(nodes: u8) -> Vec<Port> {
    let spare = if nodes > 1 { node::SPARE } else { 0 };
    (1..=nodes + spare).collect()
}
