//! The beginning of a life of this node: the cluster learns that its process started, and where it is now.
//!
//! Each process draws a number at random. The machine keeps the newest one per node and raises the epochs of what the
//! node owns when it changes, so that nothing of an earlier life can commit; whoever renews with an older one is told that
//! its life is over.

use std::{collections::BTreeSet, time::Duration};

use callboard_proto::peer::v1::GreetRequest;
use callboard_types::{CallError, NodeId, Retry, Tick};
use futures::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;

use crate::{
    Fatal, Options,
    entrance::Entrance,
    machine::{COMMAND_VERSIONS, Command, command::NodeStarted},
    propose::Proposer,
};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// A node that the cluster does not hear of tells the others where it is this often, in milliseconds.
const SILENCE_MILLIS: u64 = 1_000;
/// A node that leaders did not know this often in a row was removed.
const UNKNOWN_MAX: u32 = 3;
/// How long a node may take to say who it is.
const GREET_TIMEOUT: Duration = Duration::from_secs(1);

/// A life that begins.
pub(crate) struct Birth {
    pub(crate) life: u64,
    pub(crate) options: Options,
    pub(crate) proposer: Proposer,
    pub(crate) entrance: Entrance,
}

/// Draws a number that no life ever had.
pub(crate) fn draw() -> u64 {
    let random = uuid::Uuid::now_v7();
    let (_, random) = random.as_u64_pair();
    random.max(1)
}

impl Birth {
    /// Says that this life began, until that is agreed and applied here.
    ///
    /// # Errors
    /// The cluster does not know the node any more, or cannot work with this version.
    pub(crate) async fn begin(&self) -> Result<(), Fatal> {
        let (mut told_at, mut unknown) = (Tick::now(), 0);
        loop {
            let pause = tokio::time::sleep(PAUSE);
            if let Some(previous_life) = self.known_life() {
                match self.proposer.propose(&self.command(previous_life)).await {
                    Ok(_) => return Ok(()),
                    Err(error) if is_final(&error) => return Err(Fatal(error.message)),
                    // Our copy of the state may be older than the leader's: it catches up.
                    Err(error) => {
                        tracing::info!(%error, "the cluster did not hear of this start yet");
                    }
                }
            }
            // Whom this node takes for the leader may be long gone, and whoever leads may look for it elsewhere.
            if Tick::now() >= told_at.plus_millis(SILENCE_MILLIS) {
                // A leader may lag for a moment after its election, and no longer.
                unknown = if self.tell_around().await? { unknown + 1 } else { 0 };
                if unknown >= UNKNOWN_MAX {
                    return Err(self.removed());
                }
                told_at = Tick::now();
            }
            pause.await;
        }
    }

    fn node(&self) -> NodeId {
        NodeId(*self.proposer.raft.node_id())
    }

    /// The life before this one, once this node has itself in its copy of the state.
    fn known_life(&self) -> Option<u64> {
        let state = self.proposer.replicated.read();
        state.machine.member(self.node()).map(|member| member.life())
    }

    fn command(&self, previous_life: u64) -> Command {
        Command::NodeStarted(NodeStarted {
            node: self.node(),
            life: self.life,
            previous_life,
            address: self.options.address.clone(),
            peer_address: self.options.peer_address.clone(),
            commands_min: COMMAND_VERSIONS.0,
            commands_max: COMMAND_VERSIONS.1,
        })
    }

    /// Tells everybody where this node is now, and learns where they are: after a restart at new addresses nobody finds
    /// the others by what was agreed. True if a leader does not know this node.
    ///
    /// # Errors
    /// The node is no member any more, or its folder is older than what it promised.
    pub(crate) async fn tell_around(&self) -> Result<bool, Fatal> {
        let (addresses, own_version) = self.addresses();
        let mut request = GreetRequest {
            folder_id: self.entrance.folder_id().into(),
            peer_address: self.options.peer_address.clone(),
            last_log_index: self.proposer.last_log_index(),
            ..GreetRequest::default()
        };
        let peers = self.entrance.peers();
        if let Some(identity) = peers.myself() {
            request.cluster_id.clone_from(&identity.cluster_id);
            request.group.clone_from(&identity.group);
            request.node_id = identity.node_id;
        }
        let asking = addresses.iter().map(|address| {
            let request = request.clone();
            async move { (address, peers.greet(address, request, GREET_TIMEOUT).await) }
        });
        let mut unknown = false;
        for (address, answer) in join_all(asking).await {
            let Ok(answer) = answer.inspect_err(|error| tracing::debug!(%error, address, "silent"))
            else {
                continue;
            };
            if answer.cluster_id != request.cluster_id || answer.group != request.group {
                tracing::warn!(address, "the node at this address belongs to another cluster");
                continue;
            }
            if answer.acknowledged > request.last_log_index {
                return Err(Fatal(format!(
                    "this data folder ends at log index {}, and node {} has acknowledged {} by now: the folder is an old \
                     copy of the node's. If another process runs as this node, let it run and give this one a folder of \
                     its own; otherwise remove the node, empty the folder and let it join again",
                    request.last_log_index,
                    self.node(),
                    answer.acknowledged
                )));
            }
            if answer.node_id != request.node_id {
                peers.moved(answer.node_id, address);
            }
            // By a view that is newer than the one in which this node found itself.
            let is_newer = own_version.is_some_and(|version| answer.view_version > version);
            if is_newer && !answer.sender_known {
                return Err(self.removed());
            }
            unknown |= answer.leading && !answer.sender_known;
        }
        Ok(unknown)
    }

    fn removed(&self) -> Fatal {
        Fatal(format!(
            "node {} was removed from the cluster while it was away; its number is never used again. To come back as a \
             new node, empty its data folder and join again",
            self.node()
        ))
    }

    /// Where other nodes may be; and this node's view version, if it has itself in its view.
    fn addresses(&self) -> (BTreeSet<String>, Option<u64>) {
        let mut addresses: BTreeSet<String> =
            self.options.seeds().map(|seeds| seeds.current()).into_iter().flatten().collect();
        let state = self.proposer.replicated.read();
        let members = state.machine.members();
        addresses.extend(members.map(|(_, member)| member.peer_address().to_string()));
        let metrics = self.proposer.raft.metrics();
        let group = metrics.borrow_watched().membership_config.clone();
        addresses.extend(group.membership().nodes().map(|(_, node)| node.addr.clone()));
        addresses.remove("");
        addresses.remove(&self.options.peer_address);
        (addresses, state.machine.member(self.node()).map(|_| state.version))
    }
}

/// True if no later attempt can end otherwise: the node is not of this cluster any more, or of another version.
fn is_final(error: &CallError) -> bool {
    error.retry() == Retry::Never
        && (error.metadata.contains_key("cluster_version") || error.metadata.contains_key("node"))
}
