//! `callboard serve`: a node that is configured like a service.

use std::{path::PathBuf, process::ExitCode};

use callboard_server::config::Loaded;
use clap::Args;

use crate::{
    args::Global,
    commands::{config, node},
    failure::Failure,
    output,
};

/// How much is logged with `-q`, without flags, with `-v` and with `-vv`.
const LOG_LEVELS: [&str; 4] = [
    "warn,openraft=error,sqlx::postgres::notice=error",
    "info,openraft=error,sqlx::postgres::notice=error",
    "debug",
    "trace",
];

/// A node, and the cluster that it is to be part of.
#[derive(Args)]
#[command(
    after_help = "Settings come from flags, then CALLBOARD__SECTION__KEY in the environment, then the file, \
    then defaults;\n`callboard config view --origin` shows them all.\n\nA node without --join and --peers is alone. Nodes of a \
    cluster need the same cluster.secret and a store.url that\nthey share:\n  \
    callboard serve --peers a:7072,b:7072,c:7072 --bootstrap-expect 3 --config callboard.toml"
)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,

    /// Join the cluster of the node at this peer address; may be given many times (cluster.peers)
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["peers", "bootstrap_expect"])]
    join: Vec<String>,

    /// Where nodes are: host:port, dns:name:port or srv:_service._tcp.name, with commas (cluster.peers)
    #[arg(long, value_name = "PLACES")]
    peers: Option<String>,

    /// Begin a cluster once so many nodes see each other; 1 begins it at once (cluster.bootstrap_expect)
    #[arg(long, value_name = "NODES")]
    bootstrap_expect: Option<u16>,
}

/// The settings that have flags of their own; `--set` takes every other.
#[derive(Args)]
pub(crate) struct Settings {
    /// The configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where callers and hosts connect (listen.gateway)
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,

    /// Where health and metrics are (listen.admin)
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<String>,

    /// Where other nodes connect (listen.peer)
    #[arg(long, value_name = "IP:PORT")]
    peer_listen: Option<String>,

    /// The data folder (node.data)
    #[arg(long, value_name = "DIR")]
    data: Option<String>,

    /// Listen beyond loopback although nobody is asked who they are (listen.insecure)
    #[arg(long)]
    insecure: bool,

    /// Any setting, as SECTION.KEY=VALUE; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.into(), value.into())),
        _ => Err("write it as SECTION.KEY=VALUE".into()),
    }
}

// === impl ServeArgs ===

impl ServeArgs {
    /// Runs the node.
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let mut settings = self.settings;
        if !self.join.is_empty() {
            settings.join(&self.join);
        }
        let count = self.bootstrap_expect.map(|count| count.to_string());
        for (key, value) in [("cluster.peers", self.peers), ("cluster.bootstrap_expect", count)] {
            settings.set.extend(value.map(|value| (key.to_owned(), value)));
        }
        settings.serve(global)
    }
}

// === impl Settings ===

impl Settings {
    /// Makes it a node that joins.
    pub(super) fn join(&mut self, peers: &[String]) {
        self.set.push(("cluster.peers".into(), peers.join(",")));
        self.set.push(("cluster.bootstrap_expect".into(), "0".into()));
    }

    /// Puts all layers together.
    pub(super) fn load(&self, global: &Global) -> Result<Loaded, Failure> {
        let mut flags: Vec<(&str, String)> =
            self.set.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let named = [
            ("listen.gateway", &self.listen),
            ("listen.admin", &self.admin),
            ("listen.peer", &self.peer_listen),
            ("node.data", &self.data),
        ];
        for (key, value) in named {
            flags.extend(value.clone().map(|value| (key, value)));
        }
        if self.insecure {
            flags.push(("listen.insecure", "true".into()));
        }
        let mut loaded = config::load(self.config.as_deref(), &flags)?;
        config::set_log_filter(&mut loaded, global, LOG_LEVELS);
        Ok(loaded)
    }

    /// Runs a node with them.
    pub(super) fn serve(self, global: &Global) -> Result<ExitCode, Failure> {
        let loaded = self.load(global)?;
        let talk = global.talk();
        node::run(&loaded.config, global, &[], |ready| {
            if talk.level >= 0 {
                let peers = match ready.peer_address {
                    Some(address) => format!(", node {} for others at {address}", ready.node_id),
                    None => String::new(),
                };
                output::say(&format!(
                    "callboard {} serves at {}, health and metrics at http://{}{peers}",
                    env!("CARGO_PKG_VERSION"),
                    ready.address,
                    ready.admin_address
                ));
            }
        })
    }
}
