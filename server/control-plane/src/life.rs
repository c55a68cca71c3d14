//! The beginning of a life of this node: the cluster learns that its process started, and where it is now.
//!
//! Each process draws a number at random. The machine keeps the newest one per node and raises the epochs of what the
//! node owns when it changes, so that nothing of an earlier life can commit; whoever renews with an older one is told that
//! its life is over.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use callboard_proto::peer::v1::{GreetRequest, GreetResponse};
use callboard_types::{CallError, NodeId, Retry};
use futures::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;

use crate::{
    Fatal, Options,
    entrance::Entrance,
    lives::Lives,
    machine::{COMMAND_VERSIONS, Command, command::NodeStarted},
    peers::Claim,
    propose::Proposer,
};

/// Pause between two attempts, and between two rounds of greetings that nobody answered.
const PAUSE: Duration = Duration::from_millis(100);
/// A node that the cluster does not hear of tells the others where it is this often.
const SILENCE: Duration = Duration::from_secs(1);
/// A node that leaders did not know this often in a row was removed.
const UNKNOWN_MAX: u32 = 3;
/// How long a node may take to say who it is.
const GREET_TIMEOUT: Duration = Duration::from_secs(1);
/// How long this node's log may take to show what this node just acknowledged.
const LOG_TIMEOUT: Duration = Duration::from_millis(500);

/// What to do about a folder that was copied.
const ADVICE: &str = "the folder is an old copy of the node's. If another process runs as this node, let it run and give \
    this one a folder of its own; if this very folder ran under an older version meanwhile and no other process runs as \
    this node, delete control/lives.json and start again; otherwise remove the node, empty the folder and let it join \
    again";

/// A life that begins.
pub(crate) struct Birth {
    pub(crate) lives: Lives,
    pub(crate) options: Options,
    pub(crate) proposer: Proposer,
    pub(crate) entrance: Entrance,
}

/// What came of asking around.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    /// Another node of the cluster answered.
    heard: bool,
    /// A leader does not know this node.
    unknown: bool,
}

impl Birth {
    /// Says that this life began, until that is agreed and applied here.
    ///
    /// # Errors
    /// The cluster does not know the node any more, knows it by another process, or cannot work with this version.
    pub(crate) async fn begin(&self, first: Round) -> Result<(), Fatal> {
        let begun = tokio::select! {
            begun = self.keep_proposing() => begun,
            told = self.keep_telling(first) => told.map(|never| match never {}),
        };
        // Whose life is agreed on is the node, whether or not anybody answered it.
        self.proposer.raft.runtime_config().elect(begun.is_ok());
        begun
    }

    async fn keep_proposing(&self) -> Result<(), Fatal> {
        loop {
            let pause = tokio::time::sleep(PAUSE);
            if let Some(previous_life) = self.known_life() {
                if !self.lives.may_have(previous_life) {
                    return Err(self.is_old_copy());
                }
                // Nobody is there to agree: a life that is not proposed need not be written down.
                if self.proposer.leader().is_some() {
                    self.lives.record(previous_life).await?;
                    match self.proposer.propose(&self.command(previous_life)).await {
                        Ok(_) => return self.lives.agreed(previous_life).await,
                        Err(error) if is_final(&error) => return Err(Fatal(error.message)),
                        // Our copy of the state may be older than the leader's: it catches up.
                        Err(error) => {
                            tracing::info!(%error, "the cluster did not hear of this start yet");
                        }
                    }
                }
            }
            pause.await;
        }
    }

    /// Whom this node takes for the leader may be long gone, and whoever leads may look for it elsewhere.
    async fn keep_telling(&self, first: Round) -> Result<Infallible, Fatal> {
        let (mut heard, mut unknown) = (first.heard, 0);
        loop {
            tokio::time::sleep(if heard { SILENCE } else { PAUSE }).await;
            let round = self.tell_around().await?;
            heard |= round.heard;
            // A leader may lag for a moment after its election, and no longer.
            unknown = if round.unknown { unknown + 1 } else { 0 };
            if unknown >= UNKNOWN_MAX {
                return Err(self.removed());
            }
        }
    }

    fn node(&self) -> NodeId {
        NodeId(*self.proposer.raft.node_id())
    }

    /// The life before this one, once this node has itself in its copy of the state.
    fn known_life(&self) -> Option<u64> {
        self.life_of(self.node())
    }

    fn life_of(&self, node: NodeId) -> Option<u64> {
        let state = self.proposer.replicated.read();
        state.machine.member(node).map(|member| member.life())
    }

    fn command(&self, previous_life: u64) -> Command {
        Command::NodeStarted(NodeStarted {
            node: self.node(),
            life: self.lives.own(),
            previous_life,
            address: self.options.address.clone(),
            peer_address: self.options.peer_address.clone(),
            commands_min: COMMAND_VERSIONS.0,
            commands_max: COMMAND_VERSIONS.1,
        })
    }

    /// Tells everybody where this node is now, and learns where they are: after a restart at new addresses nobody finds
    /// the others by what was agreed. Once anybody answered and knows nothing against it, the node may stand for election.
    ///
    /// # Errors
    /// The node is no member any more, or its folder is an old copy.
    pub(crate) async fn tell_around(&self) -> Result<Round, Fatal> {
        let (addresses, own_version) = self.addresses();
        let request = self.greeting();
        let peers = self.entrance.peers();
        let asking = addresses.iter().map(|address| {
            let request = request.clone();
            async move { (address, peers.greet(address, request, GREET_TIMEOUT).await) }
        });
        let mut round = Round::default();
        for (address, answer) in join_all(asking).await {
            let Ok(answer) = answer.inspect_err(|error| tracing::debug!(%error, address, "silent"))
            else {
                continue;
            };
            if answer.cluster_id != request.cluster_id || answer.group != request.group {
                tracing::warn!(address, "the node at this address belongs to another cluster");
                continue;
            }
            self.check(&answer, &request, own_version).await?;
            if answer.node_id != request.node_id {
                round.heard = true;
                let since = self.life_of(NodeId(answer.node_id)).unwrap_or_default();
                let claim = Claim { address: address.clone(), lives: answer.lives, since };
                peers.moved(answer.node_id, claim);
            }
            round.unknown |= answer.leading && !answer.sender_known;
        }
        if round.heard {
            self.proposer.raft.runtime_config().elect(true);
        }
        Ok(round)
    }

    fn greeting(&self) -> GreetRequest {
        let mut request = GreetRequest {
            folder_id: self.entrance.folder_id().into(),
            peer_address: self.options.peer_address.clone(),
            last_log_index: self.proposer.last_log_index(),
            lives: self.lives.told(),
            ..GreetRequest::default()
        };
        if let Some(identity) = self.entrance.peers().myself() {
            request.cluster_id.clone_from(&identity.cluster_id);
            request.group.clone_from(&identity.group);
            request.node_id = identity.node_id;
        }
        request
    }

    /// What another node's answer says about this one.
    async fn check(
        &self,
        answer: &GreetResponse,
        request: &GreetRequest,
        own_version: Option<u64>,
    ) -> Result<(), Fatal> {
        // By a view that is newer than the one in which this node found itself.
        let is_newer = answer.view_version > own_version.unwrap_or_default();
        if is_newer && !self.lives.may_have(answer.sender_life) {
            return Err(self.is_old_copy());
        }
        if is_newer && own_version.is_some() && !answer.sender_known {
            return Err(self.removed());
        }
        if answer.acknowledged > request.last_log_index && !self.reaches(answer.acknowledged).await
        {
            return Err(Fatal(format!(
                "this data folder ends at log index {}, and node {} has acknowledged {} by now: {}",
                request.last_log_index,
                self.node(),
                answer.acknowledged,
                ADVICE
            )));
        }
        Ok(())
    }

    /// True if this node's log has the index: it may have got there, and acknowledged it, after it had asked.
    async fn reaches(&self, index: u64) -> bool {
        let log = self.proposer.raft.wait(Some(LOG_TIMEOUT));
        log.log_index_at_least(Some(index), "what was acknowledged").await.is_ok()
    }

    fn is_old_copy(&self) -> Fatal {
        Fatal(format!(
            "another process was started as node {} since this data folder was in use last: {ADVICE}",
            self.node()
        ))
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
        addresses.extend(self.entrance.peers().claimed());
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
