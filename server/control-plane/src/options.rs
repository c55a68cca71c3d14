//! What a control plane is told at its start.

use std::{path::PathBuf, sync::Arc, time::Duration};

use callboard_transport::peer::PeerIdentity;
use callboard_types::{Epoch, ShardId};
use tokio::sync::watch;

use crate::{Error, lease::Timings};

/// Settings of one node's control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's data folder. The control plane keeps its files in `control/` inside it.
    pub data_dir: PathBuf,
    /// What the node becomes if the folder is empty. Afterwards only its seeds count: the folder knows who it is.
    pub first_start: FirstStart,
    /// host:port at which callers and hosts reach the node's gateway.
    pub address: String,
    /// host:port at which other nodes reach it. Empty on a node that is alone: nobody can join it then.
    pub peer_address: String,
    /// The secret that nodes of the cluster share; the control plane settles who the node is. [`Options::new`] draws one
    /// that nobody knows.
    pub peer: PeerIdentity,
    /// The version of Callboard, for people.
    pub version: String,
    /// How often a leader shows that it is there.
    pub heartbeat: Duration,
    /// Silence of the leader after which a node may stand for election: a random time between the two.
    pub election: (Duration, Duration),
    /// How long a node may serve its shards after it last showed that it is alive, [`Options::lease_margin`] less.
    pub lease: Duration,
    /// What clocks may go wrong within one lease. The owner stops this much earlier, the leader waits this much longer.
    pub lease_margin: Duration,
    /// How often a node shows the leader that it is alive.
    pub renewal: Duration,
    /// How long a node without a host of a type stays eligible for it: hosts restart.
    pub host_grace: Duration,
    /// Log entries between two snapshots, at least. There are more while they take less room than a snapshot does, up to a
    /// hundred times as many; a restart applies them again.
    pub snapshot_entries: u64,
    /// How long a node may be down before it is removed for good. None keeps it until somebody removes it.
    pub remove_down_after: Option<Duration>,
    /// How many nodes vote at most. The others learn what was agreed.
    pub voters_max: usize,
    /// How many schedules one system may have.
    pub schedules_per_system: u64,
}

/// Who a node with an empty data folder is.
#[derive(Clone, Debug)]
pub enum FirstStart {
    /// The first node of a new cluster.
    Bootstrap,
    /// A further node of a cluster that exists. It asks the seeds until one of them lets it in.
    Join {
        /// Where other nodes are.
        seeds: Seeds,
    },
    /// One of several nodes that begin a cluster together. If one of the seeds belongs to a cluster already, the node
    /// joins that one.
    Expect {
        /// How many nodes without a cluster must see each other before one of them begins it. More than half of all
        /// nodes that ever take part, or two halves could begin two clusters.
        count: usize,
        /// Where other nodes are. The node itself may be among them.
        seeds: Seeds,
    },
    /// The first node of a cluster whose control plane was lost.
    Recover {
        /// The cluster's name, as the state store has it. Empty means that of the backup.
        cluster_id: String,
        /// What [`crate::Handle::backup`] returned, if there is such a thing.
        backup: Option<Arc<[u8]>>,
        /// The highest epoch that the state store has of each shard. Every epoch that is granted from now on is higher.
        epochs: Vec<(ShardId, Epoch)>,
    },
}

/// Where other nodes may be found, as host:port of their peer listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seeds(watch::Receiver<Vec<String>>);

// === impl Options ===

impl Options {
    /// The defaults for a node with this data folder and gateway address.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, address: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            first_start: FirstStart::Bootstrap,
            address: address.into(),
            peer_address: String::new(),
            peer: PeerIdentity::new(
                [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()].map(|id| id.to_string()).concat(),
            ),
            version: env!("CARGO_PKG_VERSION").into(),
            heartbeat: Duration::from_millis(100),
            election: (Duration::from_millis(300), Duration::from_millis(600)),
            lease: Duration::from_secs(2),
            lease_margin: Duration::from_millis(200),
            renewal: Duration::from_millis(250),
            host_grace: Duration::from_secs(15),
            snapshot_entries: 1_000,
            remove_down_after: Some(Duration::from_secs(24 * 3_600)),
            voters_max: 5,
            schedules_per_system: 1_000_000,
        }
    }

    /// The relations between settings without which the cluster would not keep its promises.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.timings().check().map_err(|error| Error::Options(error.to_string()))?;
        if self.voters_max == 0 {
            return Err(Error::Options("somebody must vote: set at least 1 voter".into()));
        }
        if let FirstStart::Join { .. } | FirstStart::Expect { .. } = self.first_start
            && self.peer_address.is_empty()
        {
            return Err(Error::Options(
                "a node of a cluster needs an address at which other nodes reach it".into(),
            ));
        }
        if let FirstStart::Expect { count: 0, .. } = self.first_start {
            return Err(Error::Options("expect at least 1 node".into()));
        }
        Ok(())
    }

    /// The times that leases are made of.
    pub(crate) fn timings(&self) -> Timings {
        Timings {
            renewal: self.renewal,
            lease: self.lease,
            margin: self.lease_margin,
            election_max: self.election.1,
        }
    }

    /// The seeds, if the node was given any.
    pub(crate) fn seeds(&self) -> Option<&Seeds> {
        match &self.first_start {
            FirstStart::Join { seeds } | FirstStart::Expect { seeds, .. } => Some(seeds),
            FirstStart::Bootstrap | FirstStart::Recover { .. } => None,
        }
    }
}

// === impl Seeds ===

impl Seeds {
    /// Addresses that never change.
    #[must_use]
    pub fn fixed(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let (_, seen) = watch::channel(addresses.into_iter().map(Into::into).collect());
        Self(seen)
    }

    /// Addresses that discovery finds.
    #[must_use]
    pub fn watched(addresses: watch::Receiver<Vec<String>>) -> Self {
        Self(addresses)
    }

    /// The newest ones.
    #[must_use]
    pub fn current(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_could_end_during_an_election_is_refused() {
        let options = Options::new("/nowhere", "a:1");
        options.check().expect("the defaults fit together");
        let short = Options { lease: Duration::from_millis(1_600), ..options };
        let error = short.check().expect_err("two elections may take longer");
        assert!(error.to_string().contains("Lengthen the lease"), "{error}");
    }
}
