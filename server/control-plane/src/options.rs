//! What a control plane is told at its start.

use std::{path::PathBuf, time::Duration};

/// Settings of one node's control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's data folder. The control plane keeps its files in `control/` inside it.
    pub data_dir: PathBuf,
    /// What the node becomes if the folder is empty. Ignored afterwards: the folder knows who it is.
    pub first_start: FirstStart,
    /// host:port at which callers and hosts reach the node's gateway.
    pub address: String,
    /// host:port at which other nodes reach it. Empty on a node that is alone.
    pub peer_address: String,
    /// How often a leader shows that it is there.
    pub heartbeat: Duration,
    /// Silence of the leader after which a node may stand for election: a random time between the two.
    pub election: (Duration, Duration),
    /// How long a node without a host of a type stays eligible for it: hosts restart.
    pub host_grace: Duration,
    /// Log entries between two snapshots. A restart applies at most this many again.
    pub snapshot_entries: u64,
}

/// Who a node with an empty data folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// The first node of a new cluster.
    Bootstrap,
    /// A further node of a cluster that exists; [`crate::Handle::admit`] lets it in.
    Join {
        /// The cluster.
        cluster_id: String,
        /// A number that no node of the cluster ever had.
        node_id: u64,
    },
}

impl Options {
    /// The defaults for a node with this data folder and gateway address.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, address: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            first_start: FirstStart::Bootstrap,
            address: address.into(),
            peer_address: String::new(),
            heartbeat: Duration::from_millis(100),
            election: (Duration::from_millis(300), Duration::from_millis(600)),
            host_grace: Duration::from_secs(15),
            snapshot_entries: 1_000,
        }
    }
}
