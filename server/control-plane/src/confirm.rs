//! The leader's answer to signs of life: it confirms them, after a quorum confirmed that it leads.
//!
//! Renewals that arrive while a round is under way wait for the next one: a round must begin after the renewal arrived,
//! and one round then serves all of them. Nothing here touches the disk. A node alone is its own quorum, so that its
//! rounds cost nothing.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use callboard_proto::peer::v1::{NodeLease, RenewLeaseRequest, RenewLeaseResponse};
use callboard_types::{ClusterClock, NodeId, NodeState, Tick};
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    lease::{
        Heard, Keeper, Timings,
        time::{Clocks, Reading},
    },
    metrics,
    propose::Proposer,
};

/// Renewals that wait for a round. Several per node of the largest cluster; more are dropped and sent again.
const QUEUE: usize = 1_024;
/// The time of a leader that does not know it yet.
const UNKNOWN: i64 = -1;

/// Takes renewals on the node that leads; elsewhere it answers that the node does not. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Confirmer {
    queue: mpsc::Sender<Renewal>,
    roll: Roll,
}

/// Who showed up, and when. Shared with the steward, which acts on it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Roll(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    keeper: Keeper,
    clocks: Clocks,
    /// For people. Unlike the keeper, it does not forget when the leader changes.
    arrivals: BTreeMap<NodeId, Arrival>,
    /// Nodes that are down, by what is agreed, and were heard of: with their lives.
    back: BTreeMap<NodeId, u64>,
}

/// The newest sign of life of a node.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Tick,
    pub(crate) view_version: u64,
    pub(crate) version: String,
}

/// One sign of life on its way through a round.
pub(crate) struct Renewal {
    node: NodeId,
    request: RenewLeaseRequest,
    arrived: Tick,
    heard: Heard,
    answer: oneshot::Sender<RenewLeaseResponse>,
}

/// Runs the rounds.
pub(crate) struct Rounds {
    pub(crate) proposer: Proposer,
    queue: mpsc::Receiver<Renewal>,
    roll: Roll,
}

// === impl Confirmer ===

impl Confirmer {
    pub(crate) fn new(proposer: Proposer, timings: Timings) -> (Self, Rounds) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let book = Book {
            keeper: Keeper::new(timings),
            clocks: Clocks::default(),
            arrivals: BTreeMap::new(),
            back: BTreeMap::new(),
        };
        let roll = Roll(Arc::new(Mutex::new(book)));
        (Self { queue: sender, roll: roll.clone() }, Rounds { proposer, queue, roll })
    }

    pub(crate) fn roll(&self) -> &Roll {
        &self.roll
    }

    /// Puts a sign of life of `node` to the quorum.
    pub(crate) async fn renew(
        &self,
        node: NodeId,
        request: RenewLeaseRequest,
    ) -> RenewLeaseResponse {
        let (answer, answered) = oneshot::channel();
        let arrived = Tick::now();
        let heard = {
            let mut book = self.roll.0.lock();
            book.clocks.heard(node, request.wall_us, request.trip_us, arrived);
            book.keeper.heard(node, request.incarnation, arrived)
        };
        let renewal = Renewal { node, request, arrived, heard, answer };
        if self.queue.try_send(renewal).is_err() {
            return RenewLeaseResponse::default();
        }
        answered.await.unwrap_or_default()
    }
}

// === impl Roll ===

impl Roll {
    /// This node leads from now on.
    pub(crate) fn elected(&self, now: Tick) {
        let mut book = self.0.lock();
        book.keeper.elected(now);
        book.clocks.clear();
    }

    /// This process stood still while it led, and may not have read what came meanwhile.
    pub(crate) fn paused(&self, now: Tick) {
        self.0.lock().keeper.paused(now);
    }

    /// This node does not lead any longer.
    pub(crate) fn deposed(&self) {
        let mut book = self.0.lock();
        book.keeper.deposed();
        book.clocks.clear();
        book.back.clear();
    }

    /// Takes in what is agreed about the nodes now: (node, life, whether it is down).
    pub(crate) fn members(&self, now: Tick, members: &[(NodeId, u64, bool)]) {
        let mut book = self.0.lock();
        let up = members.iter().filter(|(_, _, down)| !down);
        book.keeper.members(now, up.map(|(node, life, _)| (*node, *life)));
        let is_member = |node| members.iter().any(|(member, ..)| *member == node);
        book.arrivals.retain(|node, _| is_member(*node));
        book.clocks.retain(is_member);
        book.back.retain(|node, life| members.contains(&(*node, *life, true)));
    }

    /// The nodes that were silent for longer than any lease can last.
    pub(crate) fn due(&self, now: Tick) -> Vec<(NodeId, u64)> {
        self.0.lock().keeper.due(now)
    }

    /// A node that is down by what is agreed and was heard of since, with its life.
    pub(crate) fn back(&self) -> Option<(NodeId, u64)> {
        self.0.lock().back.first_key_value().map(|(node, life)| (*node, *life))
    }

    /// How long ago each node was heard of, and what it said.
    pub(crate) fn leases(&self, timings: &Timings, now: Tick) -> Vec<NodeLease> {
        let book = self.0.lock();
        let whole = u64::try_from((timings.lease + timings.margin).as_millis()).unwrap_or(u64::MAX);
        let leases = book.arrivals.iter().map(|(node, arrival)| {
            let age = now.micros_since(arrival.at) / 1_000;
            NodeLease {
                node_id: node.0,
                renewed_ago_ms: Some(age),
                remaining_ms: whole.saturating_sub(age),
                view_version: arrival.view_version,
                version: arrival.version.clone(),
            }
        });
        leases.collect()
    }

    /// What time it is by most voters; None while that is not known.
    fn time(&self, voters: &[NodeId], clock: &ClusterClock) -> Option<Reading> {
        let book = self.0.lock();
        let now = Tick::now();
        let before = clock.micros_at(now);
        let before = before.map(|time_us| Reading { time_us, error_us: clock.error_us() });
        book.clocks.time(voters.iter().copied(), now, before)
    }

    /// Notes a sign of life that a quorum's answer followed.
    fn note(&self, renewal: &Renewal, down: bool) {
        let request = &renewal.request;
        let arrival = Arrival {
            at: renewal.arrived,
            view_version: request.view_version,
            version: request.version.chars().take(64).collect(),
        };
        let mut book = self.0.lock();
        book.arrivals.insert(renewal.node, arrival);
        if down {
            book.back.insert(renewal.node, request.incarnation);
        }
    }
}

// === impl Rounds ===

impl Rounds {
    /// Runs until every [`Confirmer`] is gone.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, QUEUE).await > 0 {
            let began = Tick::now();
            let confirmed = self.proposer.read_index().await;
            if confirmed.is_some() {
                metrics::round_confirmed(Tick::now().micros_since(began), batch.len());
            }
            for renewal in batch.drain(..) {
                let answer = self.judge(&renewal, confirmed);
                // Whoever asked may have given up; it asks again.
                let _ = renewal.answer.send(answer);
            }
        }
        Ok(())
    }

    /// What the node is told, by what this node has applied since the renewal arrived.
    fn judge(&self, renewal: &Renewal, confirmed: Option<u64>) -> RenewLeaseResponse {
        let (leader_id, voters) = {
            let metrics = self.proposer.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters = metrics.membership_config.membership().voter_ids().map(NodeId);
            (metrics.current_leader.unwrap_or_default(), voters.collect::<Vec<_>>())
        };
        let mut answer = RenewLeaseResponse { leader_id, ..RenewLeaseResponse::default() };
        if confirmed.is_none() {
            return answer;
        }
        let state = self.proposer.replicated.read();
        let Some(member) = state.machine.member(renewal.node) else {
            answer.removed = true;
            return answer;
        };
        if member.life() != renewal.request.incarnation {
            // The node renews only once its own start is applied: another life that stands here began later.
            answer.superseded = true;
            return answer;
        }
        let down = member.state() == NodeState::Down;
        self.roll.note(renewal, down);
        // What an earlier leader began may have taken the node down since it was heard.
        answer.confirmed = renewal.heard == Heard::Counts && !down;
        // All of it, and not only what the round asked for: what was decided about the node since must be known to it.
        answer.applied_at_least = state.applied_index();
        let time = self.roll.time(&voters, &self.proposer.clock);
        (answer.time_us, answer.time_error_us) =
            time.map_or((UNKNOWN, 0), |time| (time.time_us, time.error_us));
        answer
    }
}
