//! What operators ask of the control plane, and what a node asks for itself before it ends.

use std::time::Duration;

use callboard_proto::peer::v1::NodeLease;
use callboard_types::{CallError, ClusterView, ErrorKind, NodeId, NodeState, Tick};
use openraft::async_runtime::watch::WatchReceiver;

use super::Handle;
use crate::{
    machine::{
        Command,
        command::{PlanMoves, RemoveNode, SetNodeState},
        planner,
    },
    propose::{PROPOSAL_TIMEOUT, stopped},
    raft::types::LogId,
    recover,
    steward::hand_over,
};

/// How long the leader may take to say what it knows of the leases. A status without it is better than none.
const LEASES_TIMEOUT: Duration = Duration::from_millis(500);
/// How long another leader may take to be seen.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a removed node may stay in the consensus group: three changes of it, each of which may meet an election.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Moves in one command.
const MOVES_MAX: usize = 4_096;
/// How long a snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

impl Handle {
    /// The newest command version that the cluster agrees on.
    #[must_use]
    pub fn cluster_version(&self) -> u32 {
        self.proposer.replicated.read().machine.cluster_version()
    }

    /// How many shards a node owns by this node's view.
    #[must_use]
    pub fn shards_of(&self, node: NodeId) -> u32 {
        owned(&self.proposer.publisher.current(), node)
    }

    /// What the leader knows of every node's lease. None if there is no leader that answers.
    pub async fn leases(&self) -> Option<Vec<NodeLease>> {
        let (leader, address) = self.proposer.leader()?;
        if leader == self.node.0 {
            self.proposer.leadership()?;
            return Some(self.confirmer.roll().leases(&self.timings, Tick::now()));
        }
        let answer = self.proposer.peers.list_leases(leader, &address, false, LEASES_TIMEOUT).await;
        answer.ok().filter(|answer| answer.leading).map(|answer| answer.leases)
    }

    /// Lets a node give its shards away, or take shards again.
    ///
    /// # Errors
    /// There is no such node, or [`ErrorKind::StoreUnavailable`]; see [`Handle::register_types`].
    pub async fn set_draining(&self, node: NodeId, draining: bool) -> Result<u64, CallError> {
        let command = SetNodeState { node, draining };
        self.proposer.propose(&Command::SetNodeState(command)).await
    }

    /// Gives away everything that this node has: its shards, and the leadership if it leads. For a node that is about to
    /// end. True if it owns nothing in the end. False if nobody else can take its shards, or that took longer than
    /// `patience`; whatever is left moves once the node's lease has ended.
    pub async fn drain_self(&self, patience: Duration) -> bool {
        if !self.has_peers() {
            return self.shards_of(self.node) == 0;
        }
        let drained = tokio::time::timeout(patience, async {
            if let Err(error) = self.set_draining(self.node, true).await {
                tracing::warn!(%error, "the cluster did not hear that this node ends");
                return false;
            }
            self.until_drained(self.node).await
        });
        let drained = drained.await.unwrap_or(false);
        if self.is_leader()
            && let Err(error) = self.transfer_leader(NodeId::ZERO).await
        {
            tracing::warn!(%error, "this node ends as the leader; the others elect another one");
        }
        drained
    }

    /// Waits until a node owns nothing, or nobody else can take what it owns. True if it owns nothing.
    async fn until_drained(&self, node: NodeId) -> bool {
        let mut view = self.view();
        let ended = view.wait_for(|view| owned(view, node) == 0 || !others_take_shards(view, node));
        ended.await.is_ok_and(|view| owned(&view, node) == 0)
    }

    /// Takes a node out for good. One that is not down is drained first, for at most `patience`.
    ///
    /// # Errors
    /// The node could not be drained in time, it is the last one, or [`ErrorKind::StoreUnavailable`]. It is still a member
    /// then, and may be draining.
    pub async fn remove_node(&self, node: NodeId, patience: Duration) -> Result<(), CallError> {
        let view = self.proposer.publisher.current();
        let is_up = view.node_of(node).is_some_and(|known| known.state != NodeState::Down);
        if is_up {
            if view.nodes.len() > 1 {
                self.set_draining(node, true).await?;
            }
            let drained = tokio::time::timeout(patience, self.until_drained(node)).await;
            if drained != Ok(true) && view.nodes.len() > 1 {
                let text = format!(
                    "node {node} still owns {} shards: nobody else can take them, or its calls do not end. It goes on \
                     draining; try again when `callboard cluster status` shows that it owns none, or stop it and try \
                     again when it is down",
                    self.shards_of(node)
                );
                return Err(CallError::new(ErrorKind::StoreUnavailable, text));
            }
        }
        self.proposer.propose(&Command::RemoveNode(RemoveNode { node })).await?;
        let out = async {
            let mut metrics = self.proposer.raft.metrics();
            loop {
                let inside = {
                    let metrics = metrics.borrow_watched();
                    metrics.membership_config.membership().get_node(&node.0).is_some()
                };
                if !inside || metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(REMOVAL_TIMEOUT, out).await.map_err(|_| {
            CallError::new(
                ErrorKind::StoreUnavailable,
                format!(
                    "node {node} is removed, and the leader has not taken it out of the consensus group yet; it goes on \
                     trying"
                ),
            )
        })
    }

    /// Spreads the shards of every type evenly over the nodes that have hosts of it, by planned moves, all at once. The
    /// leader does the same by itself, a few at a time. Returns how many shards are on their way.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnavailable`]; see [`Handle::register_types`].
    pub async fn rebalance(&self) -> Result<u32, CallError> {
        let machine = self.proposer.replicated.read().machine.clone();
        let planned = tokio::task::spawn_blocking(move || planner::plan(&machine, usize::MAX));
        let moves = planned.await.map_err(|_| stopped())?;
        for moves in moves.chunks(MOVES_MAX) {
            let command = PlanMoves { moves: moves.to_vec() };
            self.proposer.propose(&Command::PlanMoves(command)).await?;
        }
        let view = self.proposer.publisher.current();
        let shards = view.types.iter().flat_map(|view| view.shards.iter());
        Ok(u32::try_from(shards.filter(|owner| owner.is_moving()).count()).unwrap_or(u32::MAX))
    }

    /// Writes a snapshot of what was agreed on this node's disk, so that its log is cut. Returns the log index that it
    /// reaches to.
    ///
    /// # Errors
    /// [`ErrorKind::ShuttingDown`] if the control plane has stopped, [`ErrorKind::StoreUnavailable`] if the disk is slow.
    pub async fn take_snapshot(&self) -> Result<u64, CallError> {
        let raft = &self.proposer.raft;
        let applied = self.proposer.replicated.read().applied_index();
        raft.trigger().snapshot().await.map_err(|_| stopped())?;
        let written = raft.wait(Some(SNAPSHOT_TIMEOUT));
        let is_there = |log_id: LogId| log_id.index >= applied;
        let written =
            written.metrics(|metrics| metrics.snapshot.is_some_and(is_there), "a snapshot");
        let metrics = written.await.map_err(|error| {
            CallError::new(
                ErrorKind::StoreUnavailable,
                format!("the snapshot is not on disk yet: {error}; it may still be written"),
            )
        })?;
        Ok(metrics.snapshot.map_or(applied, |log_id| log_id.index))
    }

    /// Makes another voter lead: the named one, or with [`NodeId::ZERO`] any but the present one. Returns the leader and
    /// its term.
    ///
    /// # Errors
    /// The node does not vote, there is no leader, or nobody else took over in time.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(NodeId, u64), CallError> {
        let unavailable = |text: &str| CallError::new(ErrorKind::StoreUnavailable, text);
        let (leader, address) = self
            .proposer
            .leader()
            .ok_or_else(|| unavailable("nobody leads the control plane now; try again"))?;
        if to.0 == leader {
            return Ok((to, self.proposer.term()));
        }
        if leader == self.node.0 {
            hand_over(&self.proposer, to.0).await?;
        } else {
            let peers = &self.proposer.peers;
            let asked = peers.hand_over(leader, &address, to.0, TRANSFER_TIMEOUT).await?;
            if !asked.leading {
                return Err(unavailable("the leader has just changed; try again"));
            }
        }
        let mut view = self.view();
        let changed = view.wait_for(|view| {
            view.leader
                .is_some_and(|now| if to == NodeId::ZERO { now.0 != leader } else { now == to })
        });
        let changed = tokio::time::timeout(TRANSFER_TIMEOUT, changed).await;
        let late = || {
            unavailable(
                "no other node has taken over yet; `callboard cluster status` shows who leads",
            )
        };
        let view = changed.map_err(|_| late())?.map_err(|_| stopped())?;
        Ok((view.leader.unwrap_or_default(), view.term))
    }

    /// What the cluster agreed on, as one piece of bytes with a checksum, for [`crate::FirstStart::Recover`]. It contains
    /// everything that was agreed on before the call.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnavailable`] if no majority of nodes can be reached.
    pub async fn backup(&self) -> Result<Vec<u8>, CallError> {
        let unknown = || {
            let text = "nobody leads the control plane with a majority of nodes now, so that nobody knows what was \
                        agreed on last; try again";
            CallError::new(ErrorKind::StoreUnavailable, text)
        };
        let (leader, address) = self.proposer.leader().ok_or_else(unknown)?;
        let index = if leader == self.node.0 {
            self.proposer.read_index().await.ok_or_else(unknown)?
        } else {
            let peers = &self.proposer.peers;
            let answer = peers.list_leases(leader, &address, true, TRANSFER_TIMEOUT).await?;
            if !answer.leading {
                return Err(unknown());
            }
            answer.applied_at_least
        };
        let caught_up = self.proposer.raft.wait(Some(PROPOSAL_TIMEOUT));
        let caught_up = caught_up.applied_index_at_least(Some(index), "a backup").await;
        caught_up.map_err(|error| {
            CallError::new(ErrorKind::StoreUnavailable, format!("this node lags: {error}"))
        })?;
        let state = self.proposer.replicated.read().clone();
        Ok(recover::backup(&state))
    }

    /// True if there are other nodes.
    fn has_peers(&self) -> bool {
        self.proposer.publisher.current().nodes.len() > 1
    }
}

fn owned(view: &ClusterView, node: NodeId) -> u32 {
    let owners = view.types.iter().flat_map(|view| view.shards.iter());
    u32::try_from(owners.filter(|owner| owner.node == node).count()).unwrap_or(u32::MAX)
}

/// True if another node takes shards.
fn others_take_shards(view: &ClusterView, node: NodeId) -> bool {
    view.nodes.iter().any(|other| other.id != node && other.state == NodeState::Up)
}
