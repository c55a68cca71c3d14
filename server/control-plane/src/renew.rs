//! This node's signs of life, and the lease that it gets for them.
//!
//! A renewal goes out every quarter of a second, whether or not the one before was answered, to whoever leads; on the
//! leader itself it takes the same way without the network. The lease reaches from when a confirmed renewal was *sent*,
//! and only once everything that the confirmation names is applied here and stands in the view: a node that missed that
//! its shards went to others must not answer for them.

use std::{convert::Infallible, future::Future};

use callboard_proto::peer::v1::{RenewLeaseRequest, RenewLeaseResponse};
use callboard_types::{Lease, Millis, NodeId, NodeState, Tick, clock::wall_micros};
use futures::{StreamExt, stream::FuturesUnordered};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::{
    Fatal, Options,
    confirm::Confirmer,
    lease::{
        Grant, Holder, Standing,
        time::{Follower, Reading, Trips},
    },
    metrics,
    propose::Proposer,
};

/// Renewals under way at a time. At four a second, more than a lease's worth of them.
const IN_FLIGHT_MAX: usize = 16;
/// Difference of this machine's clock from the cluster's time that the log speaks of, in milliseconds.
const CLOCK_WRONG_MS: i64 = 1_000;
/// Pause between attempts of a node that is its own quorum and just started.
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Renews the lease of one life of this node.
pub(crate) struct Renewals {
    node: NodeId,
    life: u64,
    lease: Lease,
    options: Options,
    proposer: Proposer,
    confirmer: Confirmer,
    fatal: watch::Sender<Option<Fatal>>,
    holder: Holder,
    follower: Follower,
    trips: Trips,
    clock_is_wrong: bool,
}

/// What came of one renewal.
struct Answered {
    number: u64,
    sent_at: Tick,
    answer: Option<RenewLeaseResponse>,
}

impl Renewals {
    pub(crate) fn new(
        life: u64,
        lease: Lease,
        options: Options,
        proposer: Proposer,
        confirmer: Confirmer,
        fatal: watch::Sender<Option<Fatal>>,
    ) -> Self {
        let node = NodeId(*proposer.raft.node_id());
        let holder = Holder::new(options.timings());
        let (follower, trips) = (Follower::default(), Trips::default());
        Self {
            node,
            life,
            lease,
            options,
            proposer,
            confirmer,
            fatal,
            holder,
            follower,
            trips,
            clock_is_wrong: false,
        }
    }

    /// Renews until the lease holds. For a node that is its own quorum: it is ready then.
    pub(crate) async fn first(&mut self) -> Result<(), Fatal> {
        loop {
            let answered = self.send().await;
            self.take(&answered)?;
            if self.lease.holds_at(Tick::now()) {
                return Ok(());
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    }

    /// Runs until the life ends.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(self.options.renewal);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_flight = FuturesUnordered::new();
        let mut metrics = self.proposer.raft.metrics();
        let mut leader = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if in_flight.len() >= IN_FLIGHT_MAX {
                        // They wait for a leader that is gone.
                        in_flight.clear();
                        self.trips.failed();
                    }
                    in_flight.push(self.send());
                }
                Some(answered) = in_flight.next(), if !in_flight.is_empty() => {
                    match self.take(&answered) {
                        // Tell the leader at once what it could not know of the one before.
                        Ok(true) => ticks.reset_immediately(),
                        Ok(false) => {}
                        Err(fatal) => {
                            self.end(fatal);
                            return Ok(());
                        }
                    }
                }
                changed = metrics.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.applied();
                    let now = metrics.borrow_watched().current_leader;
                    // A new leader waits for everybody: show up at once.
                    if now != std::mem::replace(&mut leader, now) && now.is_some() {
                        ticks.reset_immediately();
                    }
                }
            }
        }
    }

    /// The node must not go on.
    fn end(&self, fatal: Fatal) {
        self.lease.revoke();
        tracing::error!(%fatal, "this life of the node is over");
        self.fatal.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(fatal);
            first
        });
    }

    /// Sends one renewal to whoever leads.
    fn send(&mut self) -> impl Future<Output = Answered> + Send + use<> {
        let sent_at = Tick::now();
        let number = self.holder.sent(sent_at);
        let (node, patience) = (self.node, self.options.lease);
        let (proposer, confirmer) = (self.proposer.clone(), self.confirmer.clone());
        let request = RenewLeaseRequest {
            envelope: None,
            incarnation: self.life,
            view_version: proposer.publisher.current().version,
            version: self.options.version.clone(),
            wall_us: wall_micros(),
            trip_us: self.trips.fastest(),
        };
        async move {
            let answer = match proposer.leader() {
                None => None,
                Some((leader, _)) if leader == node.0 => Some(confirmer.renew(node, request).await),
                Some((leader, address)) => {
                    let envelope = Some(proposer.peers.envelope(leader));
                    let request = RenewLeaseRequest { envelope, ..request };
                    let asked = proposer.peers.renew(leader, &address, request, patience).await;
                    let asked =
                        asked.inspect_err(|error| tracing::debug!(%error, leader, "no answer"));
                    asked.ok()
                }
            };
            Answered { number, sent_at, answer }
        }
    }

    /// Takes an answer into account. True if it is the first that says how far the leader is.
    fn take(&mut self, answered: &Answered) -> Result<bool, Fatal> {
        let answer = answered.answer.unwrap_or_default();
        if answer.removed {
            return Err(Fatal(format!(
                "node {} was removed from the cluster; its number is never used again. To come back as a new node, empty \
                 its data folder and join again",
                self.node
            )));
        }
        if answer.superseded {
            return Err(Fatal(format!(
                "another process was started as node {}, so that this one must not go on: its data folder was copied, or \
                 two processes were given the same one. Give each node a folder of its own",
                self.node
            )));
        }
        let now = Tick::now();
        let took = now.micros_since(answered.sent_at);
        metrics::renewal(answer.confirmed, took);
        let mut is_first = false;
        if answer.confirmed {
            is_first = self.trips.answered(answer.leader_id, took);
            self.set_clock(&answer, answered.sent_at, now);
        } else {
            self.trips.failed();
        }
        // The node's own clock may be wrong: it waits to be told the time before it serves.
        if answer.confirmed && self.lease.clock().is_set() {
            let grant = self.holder.confirmed(answered.number, answer.applied_at_least);
            self.grant(grant);
            self.applied();
        } else {
            self.holder.refused(answered.number);
        }
        Ok(is_first)
    }

    fn set_clock(&mut self, answer: &RenewLeaseResponse, sent: Tick, arrived: Tick) {
        let clock = self.lease.clock();
        let time = Reading { time_us: answer.time_us, error_us: answer.time_error_us.max(0) };
        let told = self.follower.told(time, sent, arrived);
        // Leaders of older versions do not say it: until one does, the node goes by its own clock, as they do.
        let own =
            || Reading { time_us: wall_micros().saturating_sub(arrived.micros()), error_us: 0 };
        if let Some(ahead) = told.or_else(|| (answer.time_us == 0).then(own)) {
            clock.set(ahead.time_us, ahead.error_us);
        }
        if !clock.is_set() {
            return;
        }
        let ahead = Millis::now().0 - clock.now().0;
        metrics::clock(ahead, clock.error_us());
        let wrong = ahead.abs() > CLOCK_WRONG_MS;
        if wrong != std::mem::replace(&mut self.clock_is_wrong, wrong) {
            if wrong {
                tracing::warn!(
                    ahead_ms = ahead,
                    "this machine's clock is not what most nodes' clocks show; Callboard goes by those"
                );
            } else {
                tracing::info!("this machine's clock is right again");
            }
        }
    }

    /// Tells the holder how far this node's state is, and what it says of the node.
    fn applied(&mut self) {
        // The index of the metrics and not of the state: it moves once the view was published.
        let index = {
            let metrics = self.proposer.raft.metrics();
            let applied = metrics.borrow_watched().last_applied;
            applied.map_or(0, |log_id| log_id.index)
        };
        let standing = {
            let state = self.proposer.replicated.read();
            let member = state.machine.member(self.node);
            let serves = |member: &crate::machine::Member| {
                member.life() == self.life && member.state() != NodeState::Down
            };
            if member.is_some_and(serves) { Standing::Member } else { Standing::Out }
        };
        let grant = self.holder.applied(index, standing);
        self.grant(grant);
    }

    fn grant(&self, grant: Grant) {
        match grant {
            Grant::Unchanged => {}
            // The view is as new as what the grant asks for: it is published before the index moves.
            Grant::Extend(end) => {
                let version = self.proposer.publisher.current().version;
                self.lease.grant(end, Tick::now(), version);
            }
            Grant::Revoke => {
                tracing::warn!(
                    "the cluster took this node to be gone; its shards are elsewhere now"
                );
                self.lease.revoke();
            }
        }
    }
}
