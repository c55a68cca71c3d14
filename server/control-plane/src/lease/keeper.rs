//! The leader's side of leases.

use std::collections::BTreeMap;

use callboard_types::{
    NodeId, Tick,
    planted::{self, Bug},
};

use super::Timings;

/// What a renewal is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// It may be confirmed, once a majority confirmed after this moment that the receiver leads. The confirmation names
    /// an index that is not below what was agreed on by then.
    Counts,
    /// The node is about to be down: a confirmation could come too late to be revoked. It is heard again once that was
    /// agreed on.
    TooLate,
    /// The node is down, in another life, or unknown; or the receiver does not lead. The state machine knows which.
    Unwatched,
}

/// Counts the silence of nodes. It exists on every node and is in use while that node leads.
#[derive(Clone, Debug)]
pub struct Keeper {
    timings: Timings,
    elected: Option<Tick>,
    watched: BTreeMap<NodeId, Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    life: u64,
    heard: Tick,
    /// It was silent for too long, and stays so until the state machine says that it is down.
    declared: bool,
}

impl Keeper {
    /// A keeper of a node that does not lead.
    #[must_use]
    pub fn new(timings: Timings) -> Self {
        Self { timings, elected: None, watched: BTreeMap::new() }
    }

    /// The node became the leader, in a new term. What was heard before counts for nothing: everybody has one whole
    /// lease from now on. `now` is read after the election was won.
    pub fn elected(&mut self, now: Tick) {
        self.elected = Some(now);
        self.watched.clear();
    }

    /// The node does not lead any longer.
    pub fn deposed(&mut self) {
        self.elected = None;
        self.watched.clear();
    }

    /// The leader's process stood still, and leads on: renewals may have come that it did not read. Everybody has one
    /// whole lease from now on, except those that were declared: that they are down may be agreed on at any moment.
    pub fn paused(&mut self, now: Tick) {
        for watched in self.watched.values_mut().filter(|watched| !watched.declared) {
            watched.heard = watched.heard.max(now);
        }
    }

    /// Which nodes are up or draining, and in which life, as the state machine says now. Called after each change of
    /// it. Nodes that are new have one whole lease from now on.
    pub fn members(&mut self, now: Tick, up: impl IntoIterator<Item = (NodeId, u64)>) {
        if self.elected.is_none() {
            return;
        }
        let mut before = std::mem::take(&mut self.watched);
        for (node, life) in up {
            let known = before.remove(&node).filter(|watched| watched.life == life);
            let watched = known.unwrap_or(Watched { life, heard: now, declared: false });
            self.watched.insert(node, watched);
        }
    }

    /// A renewal was received.
    pub fn heard(&mut self, node: NodeId, life: u64, now: Tick) -> Heard {
        match self.watched.get_mut(&node).filter(|watched| watched.life == life) {
            None => Heard::Unwatched,
            Some(Watched { declared: true, .. }) => Heard::TooLate,
            Some(watched) => {
                watched.heard = watched.heard.max(now);
                Heard::Counts
            }
        }
    }

    /// The nodes whose leases have ended for certain, to be declared down. They are named again by each call until the
    /// state machine says that they are down, because the proposal may have been lost.
    pub fn due(&mut self, now: Tick) -> Vec<(NodeId, u64)> {
        let awaited = match planted::is(Bug::NoTakeoverWait) {
            true => self.timings.awaited() / 4,
            false => self.timings.awaited(),
        };
        for watched in self.watched.values_mut() {
            watched.declared |= now.micros_since(watched.heard) >= awaited;
        }
        let due = self.watched.iter().filter(|(_, watched)| watched.declared);
        due.map(|(node, watched)| (*node, watched.life)).collect()
    }

    /// When to look at [`Keeper::due`] again if nothing is heard until then; [`Tick::NEVER`] if there is nobody to wait
    /// for.
    #[must_use]
    pub fn wake_at(&self) -> Tick {
        let waiting = self.watched.values().filter(|watched| !watched.declared);
        let ends = waiting.map(|it| Tick(it.heard.0.saturating_add(self.timings.awaited())));
        ends.min().unwrap_or(Tick::NEVER)
    }
}
