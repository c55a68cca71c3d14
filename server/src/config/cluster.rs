//! The settings of a cluster: who the others are, the secret that all share, and the times that all keep.

use std::{
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use callboard_transport::peer::SECRET_BYTES_MIN;
use serde::{Deserialize, Serialize, Serializer};

use super::{Config, Error};
use crate::discovery::Place;

/// The cluster that a node is part of. Every node of a cluster has the same secret and the same times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Where other nodes are: `host:port`, `dns:name:port` (every address of the name), or `srv:_peer._tcp.name`. The
    /// node itself may be among them. With `bootstrap_expect` 0, the node joins the cluster that it finds there.
    pub peers: Vec<String>,
    /// How many nodes without a cluster must see each other before one of them begins it; 1 begins it at once, 0 never.
    /// Ignored once the node is a member.
    pub bootstrap_expect: usize,
    /// What nodes prove to each other that they know. At least 16 bytes. Printed as "redacted".
    pub secret: Secret,
    /// A file with the secret instead; white space around it does not count. Refused if everybody may read it.
    pub secret_file: PathBuf,
    /// How often the leader shows that it is there, in milliseconds.
    pub heartbeat_ms: u64,
    /// Silence of the leader after which a node may stand for election, in milliseconds: at least.
    pub election_min_ms: u64,
    /// The same: at most. Each election draws a time between the two.
    pub election_max_ms: u64,
    /// How long a node may serve its shards after it last showed that it is alive, in milliseconds, less the margin.
    pub lease_ms: u64,
    /// What clocks may go wrong within one lease, in milliseconds.
    pub lease_margin_ms: u64,
    /// How often a node shows that it is alive, in milliseconds.
    pub renewal_ms: u64,
    /// How long a node without a host of a type stays eligible for it, in milliseconds.
    pub host_grace_ms: u64,
    /// How long a node may be down before it is removed for good, in seconds; 0 keeps it until somebody removes it.
    pub remove_down_after_s: u64,
    /// How many nodes vote at most; the others learn what was agreed.
    pub voters_max: usize,
}

/// A secret that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.for_people())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.for_people())
    }
}

impl Secret {
    fn for_people(&self) -> &'static str {
        if self.0.is_empty() { "" } else { "redacted" }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            bootstrap_expect: 0,
            secret: Secret::default(),
            secret_file: PathBuf::new(),
            heartbeat_ms: 100,
            election_min_ms: 300,
            election_max_ms: 600,
            lease_ms: 2_000,
            lease_margin_ms: 200,
            renewal_ms: 250,
            host_grace_ms: 15_000,
            remove_down_after_s: 24 * 3_600,
            voters_max: 5,
        }
    }
}

// === impl ClusterConfig ===

impl ClusterConfig {
    /// The secret, wherever it is.
    ///
    /// # Errors
    /// There is none, or it is too short; the file cannot be read, or everybody can.
    pub fn read_secret(&self) -> Result<String, Error> {
        let (text, origin) = match (self.secret.0.as_str(), self.secret_file.as_path()) {
            ("", path) if path.as_os_str().is_empty() => {
                return invalid(format!(
                    "a node of a cluster needs the cluster's secret: set cluster.secret or \
                     cluster.secret_file to the same {SECRET_BYTES_MIN} bytes or more on every node, \
                     for example from `openssl rand -hex 32`"
                ));
            }
            ("", path) => {
                check_private(path, "cluster.secret_file")?;
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::Invalid(format!(
                        "cluster.secret_file {} cannot be read: {error}",
                        path.display()
                    ))
                })?;
                (text.trim().to_owned(), "cluster.secret_file")
            }
            (text, path) if path.as_os_str().is_empty() => (text.to_owned(), "cluster.secret"),
            _ => {
                return invalid(
                    "cluster.secret and cluster.secret_file are both set; one of them must go",
                );
            }
        };
        if text.len() < SECRET_BYTES_MIN {
            return invalid(format!(
                "{origin} has {} bytes, and fewer than {SECRET_BYTES_MIN} could be guessed; use \
                 `openssl rand -hex 32`",
                text.len()
            ));
        }
        Ok(text)
    }

    pub(super) fn check(&self, config: &Config) -> Result<(), Error> {
        for peer in &self.peers {
            peer.parse::<Place>().map_err(Error::Invalid)?;
        }
        let usable = self.lease_ms.saturating_sub(self.lease_margin_ms + self.renewal_ms);
        if usable <= 2 * self.election_max_ms {
            return invalid(format!(
                "cluster.lease_ms ({}) less lease_margin_ms ({}) and renewal_ms ({}) must be more \
                 than twice election_max_ms ({}), or an election would end every lease: make the \
                 lease longer, or elections shorter",
                self.lease_ms, self.lease_margin_ms, self.renewal_ms, self.election_max_ms
            ));
        }
        if self.heartbeat_ms == 0 || self.renewal_ms == 0 {
            return invalid("cluster.heartbeat_ms and renewal_ms must be at least 1");
        }
        if self.election_min_ms < 2 * self.heartbeat_ms {
            return invalid(
                "cluster.election_min_ms must be at least twice heartbeat_ms, or one late heartbeat \
                 would begin an election",
            );
        }
        if self.election_max_ms <= self.election_min_ms {
            return invalid("cluster.election_max_ms must be more than election_min_ms");
        }
        // The owner gives up `margin` early and the leader waits `margin` longer: clocks that differ by a tenth.
        if self.lease_margin_ms * 20 < self.lease_ms {
            return invalid("cluster.lease_margin_ms must be at least a twentieth of lease_ms");
        }
        if !(1..=9).contains(&self.voters_max) {
            return invalid("cluster.voters_max must be 1 to 9");
        }
        if self.bootstrap_expect > 1 && self.peers.is_empty() {
            return invalid(format!(
                "cluster.bootstrap_expect is {}, and cluster.peers names nobody: say where the \
                 other nodes are",
                self.bootstrap_expect
            ));
        }
        if !config.is_clustered() {
            return Ok(());
        }
        if (self.bootstrap_expect != 1 || !self.peers.is_empty()) && !config.store.is_shared() {
            return invalid(
                "nodes of a cluster share one state store, and SQLite is one node's: set store.url \
                 to a postgres:// address that all nodes have, or leave cluster.peers and \
                 cluster.bootstrap_expect out for a node that is alone",
            );
        }
        self.read_secret().map(drop)
    }
}

/// Refuses a file that everybody may read.
pub(super) fn check_private(path: &Path, what: &str) -> Result<(), Error> {
    let mode = std::fs::metadata(path).map_or(0, |data| data.permissions().mode());
    if mode & 0o007 == 0 {
        return Ok(());
    }
    let path = path.display();
    invalid(format!("{what} may be read by everybody: chmod o-rwx {path}"))
}

/// True for host:port, where the host may be an IPv6 address in brackets.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_named = !host.is_empty() && !host.contains([':', '/', ' ', '@']);
        let is_host = bare.map_or(is_named, |host| host.parse::<std::net::Ipv6Addr>().is_ok());
        is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn invalid<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(text.into()))
}
