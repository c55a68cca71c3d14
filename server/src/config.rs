//! A node's settings, in layers: flags over environment over file over defaults. Checked before anything is bound.
//!
//! Environment names are `CALLBOARD__SECTION__KEY`, for example `CALLBOARD__LISTEN__GATEWAY`. An unknown key is an error
//! in every layer, so that a misspelt setting never silently means its default.

mod cluster;
mod layers;

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize, Serializer};

pub(crate) use cluster::is_host_and_port;
pub use cluster::{ClusterConfig, Secret};
pub use layers::{ENV_PREFIX, Error, Loaded, Origin, load};

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Config {
    /// The node itself.
    pub node: NodeConfig,
    /// Where it listens.
    pub listen: ListenConfig,
    /// The cluster that it is part of, if any.
    pub cluster: ClusterConfig,
    /// Where actors are kept.
    pub store: StoreConfig,
    /// How much its systems may have.
    pub limits: LimitsConfig,
    /// What it writes to the log.
    pub log: LogConfig,
}

/// The node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The data folder; created if it is missing. One node at a time holds it.
    pub data: PathBuf,
    /// Shard workers, 1 to 256; 0 means one per core but one, at least one.
    pub workers: usize,
    /// How often a host is asked for a sign of life, in milliseconds; it is cut off after two that stay unanswered.
    pub host_ping_ms: u64,
    /// How long the node may take to end its calls after SIGTERM, in milliseconds.
    pub drain_ms: u64,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Callers and hosts. Port 0 means any free one.
    pub gateway: SocketAddr,
    /// Health and metrics over HTTP. Port 0 means any free one.
    pub admin: SocketAddr,
    /// The other nodes of a cluster. Not bound by a node that is alone. Port 0 means any free one.
    pub peer: SocketAddr,
    /// host:port under which others reach the gateway; empty for the address that it listens on.
    pub advertise: String,
    /// host:port under which the other nodes reach this one; empty for the address that it listens on.
    pub advertise_peer: String,
    /// True to listen beyond loopback although nobody is asked who they are.
    pub insecure: bool,
    /// Connections open at a time.
    pub connections_max: usize,
    /// Connections open at a time from one IP address.
    pub connections_per_ip_max: usize,
}

/// Where actors are kept.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`, which nodes can share; `sqlite:FOLDER?setting=value`; empty for
    /// SQLite in the data folder. Printed without the password.
    #[serde(serialize_with = "without_password")]
    pub url: String,
}

/// How much systems may have. A node refuses what it is asked for beyond; give every node of a cluster the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Schedules of one system, delayed calls included.
    pub schedules_per_system: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { schedules_per_system: 1_000_000 }
    }
}

/// What a node logs unless somebody says otherwise. openraft tells of every vote and every unreachable peer; what its
/// callers make of it is logged here. PostgreSQL tells that a connection needed no clearing when it came back.
const LOG_FILTER: &str = "info,openraft=error,sqlx::postgres::notice=error";

/// What a node writes to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Levels per module, for example `info,callboard_data_plane=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("callboard-data"),
            workers: 0,
            host_ping_ms: 10_000,
            drain_ms: 20_000,
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            gateway: SocketAddr::from(([127, 0, 0, 1], 7070)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7071)),
            peer: SocketAddr::from(([127, 0, 0, 1], 7072)),
            advertise: String::new(),
            advertise_peer: String::new(),
            insecure: false,
            connections_max: 16_384,
            connections_per_ip_max: 4_096,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: LOG_FILTER.to_owned(), format: LogFormat::Text }
    }
}

impl Config {
    /// The settings of `callboard dev`: loopback, a data folder.
    #[must_use]
    pub fn dev(data: impl Into<PathBuf>, gateway_port: u16, admin_port: u16) -> Self {
        let mut config = Self::default();
        config.node.data = data.into();
        config.listen.gateway.set_port(gateway_port);
        config.listen.admin.set_port(admin_port);
        config
    }

    /// Checks what the types of the settings cannot say.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the rule.
    pub fn check(&self) -> Result<(), Error> {
        let listen = &self.listen;
        for address in [listen.gateway, listen.admin] {
            if !address.ip().is_loopback() && !listen.insecure {
                return Err(Error::Invalid(format!(
                    "{address} can be reached from other machines, and this node asks nobody who they \
                     are. Listen on loopback, or say --insecure if the network is closed"
                )));
            }
        }
        for (key, given) in [
            ("listen.advertise", &listen.advertise),
            ("listen.advertise_peer", &listen.advertise_peer),
        ] {
            if !given.is_empty() && !is_host_and_port(given) {
                return Err(Error::Invalid(format!("{key} must be host:port, not \"{given}\"")));
            }
        }
        self.cluster.check(self)?;
        if self.node.workers > 256 {
            return Err(Error::Invalid("node.workers must be 0 to 256".to_owned()));
        }
        if self.node.host_ping_ms == 0 {
            return Err(Error::Invalid("node.host_ping_ms must be at least 1".to_owned()));
        }
        Ok(())
    }

    /// How many shard workers there are.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match self.node.workers {
            0 => (cores - 1).clamp(1, 256),
            given => given,
        }
    }

    /// True if the node is, or is to be, part of a cluster: it listens for other nodes then.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.cluster.bootstrap_expect > 0 || !self.cluster.peers.is_empty()
    }
}

// === impl StoreConfig ===

impl StoreConfig {
    /// True if several nodes can share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The URL as people may see it.
    #[must_use]
    pub fn url_for_people(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        // Parameters can carry a password as well.
        let (rest, hint) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?..."));
        match rest.rsplit_once('@') {
            Some((user, place)) => {
                let user = user
                    .split_once(':')
                    .map_or(user.to_owned(), |(name, _)| format!("{name}:redacted"));
                format!("{scheme}://{user}@{place}{hint}")
            }
            None => format!("{scheme}://{rest}{hint}"),
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("url", &self.url_for_people()).finish()
    }
}

fn without_password<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&StoreConfig { url: url.to_owned() }.url_for_people())
}

#[cfg(test)]
mod tests;
