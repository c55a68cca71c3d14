//! What the leader does without being asked: it keeps the consensus group, the cluster's version, and the places of
//! shards as they should be.
//!
//! The loop runs on every node and does nothing where the node does not lead. It only looks and decides; what takes time
//! runs beside it, one piece of work per lane, so that a membership change that waits for a slow node delays no takeover.
//! Work is dropped when the leadership ends: whoever leads next decides anew from what is agreed.

mod voters;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_types::{CallError, ClusterView, ErrorKind, NodeId, NodeState, Tick};
use futures::{FutureExt, future::BoxFuture};
use openraft::{BasicNode, ChangeMembers, async_runtime::watch::WatchReceiver};
use tokio::time::MissedTickBehavior;

use crate::{
    Options,
    confirm::Roll,
    machine::{
        Command,
        command::{NodeUp, NodesDown, PlanMoves, RemoveNode, SetClusterVersion},
        planner,
    },
    metrics,
    propose::Proposer,
    raft::types::LeaderId,
};
use voters::{Change, Group, Wanted};

/// How often the leader looks, changes of the view aside.
const INTERVAL: Duration = Duration::from_millis(50);
/// A pause between two looks after which the leader trusts nothing that it did not hear since.
const STALL_MICROS: u64 = 1_000_000;
/// Shards that may be on their way at a time. Each costs its calls a redirect and its actors a reload.
const MOVES_AT_A_TIME: usize = 64;
/// Pause between two plans, in milliseconds.
const PLAN_PAUSE_MILLIS: u64 = 20;
/// Entries that a learner may lack and still be asked to vote.
const CAUGHT_UP: u64 = 100;
/// Pause of a lane after work that failed.
const FAILURE_PAUSE_MILLIS: u64 = 500;

/// Leads, while its node does.
pub(crate) struct Steward {
    options: Options,
    proposer: Proposer,
    roll: Roll,
    /// Since when each node that is down has been so, as far as this node saw.
    down_since: BTreeMap<NodeId, Tick>,
    /// The view that was taken in last.
    seen: Arc<ClusterView>,
    membership: Lane,
    agreement: Lane,
    placement: Lane,
    /// The version of the state for which there was nothing to move.
    settled: Arc<AtomicU64>,
}

/// Work that runs beside the loop, one piece at a time.
#[derive(Default)]
struct Lane {
    work: Option<BoxFuture<'static, Result<(), CallError>>>,
    /// Nothing begins before.
    not_before: Tick,
}

// === impl Lane ===

impl Lane {
    fn is_free(&self, now: Tick) -> bool {
        self.work.is_none() && now >= self.not_before
    }

    fn begin(
        &mut self,
        what: &'static str,
        work: impl Future<Output = Result<(), CallError>> + Send + 'static,
    ) {
        let logged = work.inspect(move |done| match done {
            Ok(()) => tracing::debug!(what, "done"),
            Err(error) => tracing::warn!(%error, what, "not done; trying again"),
        });
        self.work = Some(logged.boxed());
    }

    /// Waits for the work. Never completes without any.
    async fn done(&mut self) {
        let Some(work) = &mut self.work else {
            return std::future::pending().await;
        };
        let done = work.await;
        self.work = None;
        if done.is_err() {
            self.not_before = Tick::now().plus_millis(FAILURE_PAUSE_MILLIS);
        }
    }
}

// === impl Steward ===

impl Steward {
    pub(crate) fn new(options: Options, proposer: Proposer, roll: Roll) -> Self {
        Self {
            options,
            proposer,
            roll,
            down_since: BTreeMap::new(),
            seen: Arc::default(),
            membership: Lane::default(),
            agreement: Lane::default(),
            placement: Lane::default(),
            settled: Arc::default(),
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut view = self.proposer.publisher.subscribe();
        let (mut leadership, mut looked) = (None, Tick::now());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Fails only if the publisher is gone, and it lives in `self`.
                _ = view.changed() => {}
                () = self.membership.done() => {}
                () = self.agreement.done() => {}
                () = self.placement.done() => {}
            }
            let now = Tick::now();
            let stalled = now.micros_since(looked) > STALL_MICROS;
            looked = now;
            self.watch_down(now);
            let leads = self.proposer.leadership();
            if leads != leadership {
                (self.membership, self.agreement, self.placement) = Default::default();
                self.settled.store(0, Ordering::Release);
                match leads {
                    Some(_) => self.roll.elected(now),
                    None => self.roll.deposed(),
                }
                leadership = leads;
            } else if stalled && leads.is_some() {
                // This process was stopped: the silence may have been its own.
                self.roll.paused(now);
            }
            if let Some(leadership) = leadership {
                self.look(leadership, now);
            }
        }
    }

    /// Takes in where nodes are, and since when they have been down. On every node, so that a new leader need not begin
    /// anew.
    fn watch_down(&mut self, now: Tick) {
        let view = self.proposer.publisher.current();
        if !Arc::ptr_eq(&view, &self.seen) {
            self.proposer.peers.agreed(self.proposer.replicated.read().machine.members());
            self.seen = Arc::clone(&view);
        }
        let down: BTreeSet<NodeId> = view
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Down)
            .map(|node| node.id)
            .collect();
        self.down_since.retain(|node, _| down.contains(node));
        for node in down {
            self.down_since.entry(node).or_insert(now);
        }
    }

    fn look(&mut self, leadership: LeaderId, now: Tick) {
        let members: Vec<(NodeId, u64, bool)> = {
            let state = self.proposer.replicated.read();
            let members = state.machine.members();
            members.map(|(id, it)| (id, it.life(), it.state() == NodeState::Down)).collect()
        };
        self.roll.members(now, &members);
        if self.membership.is_free(now)
            && let Some(change) = self.next_change()
        {
            tracing::info!(?change, "changing who takes part in consensus");
            let work = carry_out(self.proposer.clone(), change);
            self.membership.begin("membership", work);
        }
        if self.agreement.is_free(now)
            && let Some(command) = self.next_command(now)
        {
            let proposer = self.proposer.clone();
            let name = command.name();
            let work = async move { proposer.propose_as(leadership, &command).await };
            self.agreement.begin(name, work);
        }
        if self.placement.is_free(now) {
            self.place(leadership, now);
        }
    }

    /// Plans moves, if anything changed since there was nothing to plan. The plan looks at every shard, so it is made
    /// apart, of a copy.
    fn place(&mut self, leadership: LeaderId, now: Tick) {
        let state = {
            let state = self.proposer.replicated.read();
            if state.version == self.settled.load(Ordering::Acquire) {
                return;
            }
            state.clone()
        };
        self.placement.not_before = now.plus_millis(PLAN_PAUSE_MILLIS);
        let (proposer, settled) = (self.proposer.clone(), Arc::clone(&self.settled));
        let work = async move {
            let version = state.version;
            let planned =
                tokio::task::spawn_blocking(move || planner::plan(&state.machine, MOVES_AT_A_TIME));
            let moves = planned.await.unwrap_or_default();
            if moves.is_empty() {
                settled.store(version, Ordering::Release);
                return Ok(());
            }
            metrics::moves_planned(moves.len());
            tracing::info!(moves = moves.len(), "shards are asked to move");
            let command = Command::PlanMoves(PlanMoves { moves });
            proposer.propose_as(leadership, &command).await
        };
        self.placement.begin("placement", work);
    }

    /// The next command that nobody asks for, the most urgent first: nodes that are gone, nodes that are back, a newer
    /// cluster version, nodes that were gone for too long.
    fn next_command(&self, now: Tick) -> Option<Command> {
        let nodes = self.roll.due(now);
        if !nodes.is_empty() {
            metrics::nodes_down(nodes.len());
            tracing::warn!(?nodes, "nodes missed their leases; their shards go to others");
            return Some(Command::NodesDown(NodesDown { nodes }));
        }
        if let Some((node, life)) = self.roll.back() {
            tracing::info!(%node, "a node that was down is heard of again");
            return Some(Command::NodeUp(NodeUp { node, life }));
        }
        let state = self.proposer.replicated.read();
        let machine = &state.machine;
        if machine.cluster_id().is_empty() {
            return None;
        }
        let known = machine.members().map(|(_, member)| *member.commands().end()).min()?;
        if known > machine.cluster_version() {
            return Some(Command::SetClusterVersion(SetClusterVersion { version: known }));
        }
        let patience = self.options.remove_down_after?;
        let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let mut down = self.down_since.iter();
        let (node, _) = down.find(|(_, since)| now.micros_since(**since) >= patience)?;
        tracing::warn!(%node, "removed from the cluster: it was down for longer than the policy allows");
        Some(Command::RemoveNode(RemoveNode { node: *node }))
    }

    /// The next change of the consensus group.
    fn next_change(&self) -> Option<Change> {
        let (group, matched, last) = {
            let metrics = self.proposer.raft.metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            let nodes = membership.nodes().map(|(node, at)| (*node, at.addr.clone()));
            let group =
                Group { addresses: nodes.collect(), voters: membership.voter_ids().collect() };
            // A change that is under way ends by itself.
            if membership.get_joint_config().len() > 1 {
                return None;
            }
            let matched: BTreeMap<u64, u64> = metrics
                .replication
                .iter()
                .flatten()
                .map(|(node, matched)| (*node, matched.map_or(0, |log_id| log_id.index)))
                .collect();
            (group, matched, metrics.last_log_index.unwrap_or_default())
        };
        let state = self.proposer.replicated.read();
        if state.machine.cluster_id().is_empty() {
            return None;
        }
        let wanted: BTreeMap<u64, Wanted> = state
            .machine
            .members()
            .map(|(node, member)| {
                let address = member.peer_address().to_string();
                let caught_up = matched.get(&node.0).is_some_and(|at| at + CAUGHT_UP >= last);
                let ready = member.state() == NodeState::Up && caught_up;
                (node.0, Wanted { address, ready })
            })
            .collect();
        voters::next(&group, &wanted, self.options.voters_max)
    }
}

/// Changes the consensus group. Returns when the change is agreed, or cannot be.
async fn carry_out(proposer: Proposer, change: Change) -> Result<(), CallError> {
    let raft = &proposer.raft;
    let own = *raft.node_id();
    let at = |node: u64, address: &str| BTreeMap::from([(node, BasicNode::new(address))]);
    let members = match change {
        Change::Demote(gone) if gone.contains(&own) => {
            return hand_over(&proposer, 0).await.map(|_| ());
        }
        Change::Demote(gone) => ChangeMembers::RemoveVoters(gone),
        Change::Remove(gone) => ChangeMembers::RemoveNodes(gone),
        Change::Move(node, address) => ChangeMembers::SetNodes(at(node, &address)),
        Change::Learn(node, address) => ChangeMembers::AddNodes(at(node, &address)),
        Change::Promote(nodes) => ChangeMembers::AddVoterIds(nodes),
    };
    let changed = raft.change_membership(members, true).await;
    changed.map(|_| ()).map_err(|error| {
        CallError::new(
            ErrorKind::StoreUnavailable,
            format!("the consensus group could not be changed now: {error}"),
        )
    })
}

/// Lets another voter lead: the named one, or with 0 the one that has most of the log. Returns who was asked.
///
/// # Errors
/// There is nobody, or this node does not lead.
pub(crate) async fn hand_over(proposer: &Proposer, to: u64) -> Result<u64, CallError> {
    let own = *proposer.raft.node_id();
    let to = {
        let metrics = proposer.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.current_leader != Some(own) {
            let text = "this node does not lead the control plane";
            return Err(CallError::new(ErrorKind::NotOwner, text));
        }
        let view = proposer.publisher.current();
        let is_up = |node: u64| {
            view.node_of(NodeId(node)).is_some_and(|node| node.state != NodeState::Down)
        };
        let matched = metrics.replication.iter().flatten();
        let mut others: Vec<(Option<u64>, u64)> =
            matched.map(|(node, at)| (at.map(|log_id| log_id.index), *node)).collect();
        let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
        others.retain(|(_, node)| {
            *node != own && voters.contains(node) && (to == *node || to == 0 && is_up(*node))
        });
        others.into_iter().max().map(|(_, node)| node)
    };
    let Some(to) = to else {
        let text = "there is no other voter that could lead; `callboard cluster status` shows who votes and is up";
        return Err(CallError::new(ErrorKind::InvalidArgument, text));
    };
    let asked = proposer.raft.trigger().transfer_leader(to).await;
    asked.map_err(|_| crate::propose::stopped())?;
    Ok(to)
}
