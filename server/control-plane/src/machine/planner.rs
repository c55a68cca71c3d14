//! Which shards are to leave nodes that are alive: a pure function from what was agreed to the moves that are due.
//!
//! The leader asks again and again and proposes what it is told, so a plan only has to be a step in the right direction.
//! Every move improves the first of these that it touches and worsens none before it, so plans come to an end and no
//! shard goes back and forth:
//!
//! 1. Shards leave nodes that drain, or that have no host of the type while others do.
//! 2. The shards of a type spread within one over the nodes that have a host of it.
//! 3. All shards of all types spread over the nodes, so that types with one shard do not meet on one of them.

use std::collections::{BTreeMap, BTreeSet};

use callboard_types::{NodeId, TypeView};

use super::{
    Machine, TypeRecord,
    command::Move,
    member::{is_live, takes_shards},
};

/// The next moves, so many that at most `budget` shards are on their way at a time, those that are already included.
#[must_use]
pub fn plan(machine: &Machine, budget: usize) -> Vec<Move> {
    let mut planner = Planner::new(machine, budget);
    planner.evacuate();
    planner.level_types();
    planner.level_nodes();
    planner.moves
}

struct Planner<'a> {
    machine: &'a Machine,
    /// The nodes that may get shards.
    takers: BTreeSet<NodeId>,
    /// The shards that each of them has or gets.
    totals: BTreeMap<NodeId, usize>,
    /// In the order of their ids, those without shards left out.
    types: Vec<Spread<'a>>,
    /// How many more moves may begin.
    left: usize,
    moves: Vec<Move>,
}

/// Where the shards of one type are or will be.
struct Spread<'a> {
    view: &'a TypeView,
    /// The nodes among which they belong: those that take shards and have a host.
    homes: BTreeSet<NodeId>,
    /// How many each taker has or gets.
    load: BTreeMap<NodeId, usize>,
    /// The shards that stay unless they are planned now, by owner.
    settled: BTreeMap<NodeId, BTreeSet<u32>>,
}

// === impl Planner ===

impl<'a> Planner<'a> {
    fn new(machine: &'a Machine, budget: usize) -> Self {
        let members = &machine.members;
        let takers: BTreeSet<NodeId> =
            members.keys().copied().filter(|node| takes_shards(members, *node)).collect();
        let records = machine.systems.values().flat_map(BTreeMap::values);
        let records = records.filter(|record| !record.view.shards.is_empty());
        let mut types: Vec<_> =
            records.map(|record| Spread::of(record, machine, &takers)).collect();
        types.sort_by_key(|spread| spread.view.id);
        let mut totals: BTreeMap<NodeId, usize> = takers.iter().map(|node| (*node, 0)).collect();
        let mut moving = 0;
        for spread in &types {
            moving += spread.view.shards.iter().filter(|shard| shard.is_moving()).count();
            for (node, shards) in &spread.load {
                *totals.entry(*node).or_default() += shards;
            }
        }
        let left = budget.saturating_sub(moving);
        Self { machine, takers, totals, types, left, moves: Vec::new() }
    }

    /// Plans one move.
    fn begin(&mut self, at: usize, shard: u32, to: NodeId) {
        let spread = &mut self.types[at];
        let owner = spread.view.shards[shard as usize];
        spread.settled.entry(owner.node).or_default().remove(&shard);
        for load in [&mut spread.load, &mut self.totals] {
            if let Some(shards) = load.get_mut(&owner.node) {
                *shards -= 1;
            }
            *load.entry(to).or_default() += 1;
        }
        let (type_id, epoch) = (spread.view.id, owner.epoch);
        self.moves.push(Move { type_id, shard, epoch, to });
        self.left -= 1;
    }

    /// Shards leave nodes that drain or have no host.
    fn evacuate(&mut self) {
        for at in 0..self.types.len() {
            let spread = &self.types[at];
            let leaving: Vec<u32> = spread
                .settled
                .iter()
                .filter(|(owner, _)| self.must_leave(spread, **owner))
                .flat_map(|(_, shards)| shards.iter().copied())
                .collect();
            for shard in leaving {
                if self.left == 0 {
                    return;
                }
                let spread = &self.types[at];
                let targets = if spread.homes.is_empty() { &self.takers } else { &spread.homes };
                let Some(to) = self.least(spread, targets) else {
                    break;
                };
                self.begin(at, shard, to);
            }
        }
    }

    fn must_leave(&self, spread: &Spread<'_>, owner: NodeId) -> bool {
        if spread.homes.is_empty() {
            return self.machine.member(owner).is_some_and(|member| member.is_draining());
        }
        !spread.homes.contains(&owner)
    }

    /// Evens out each type by itself.
    fn level_types(&mut self) {
        for at in 0..self.types.len() {
            while self.left > 0 {
                let spread = &self.types[at];
                let Some((from, to)) = self.extremes(spread) else {
                    break;
                };
                if spread.load[&from] <= spread.load[&to] + 1 {
                    break;
                }
                let shard = spread.first_of(from);
                self.begin(at, shard, to);
            }
        }
    }

    /// Evens out the nodes by moving who has the larger share of a type.
    fn level_nodes(&mut self) {
        loop {
            let before = self.left;
            for at in 0..self.types.len() {
                let spread = &self.types[at];
                let Some((from, to)) = self.extremes(spread) else {
                    continue;
                };
                let uneven = spread.load[&from] > spread.load[&to];
                if self.left > 0 && uneven && self.totals[&from] > self.totals[&to] + 1 {
                    let shard = spread.first_of(from);
                    self.begin(at, shard, to);
                }
            }
            if self.left == before {
                return;
            }
        }
    }

    /// The home with most and the home with fewest shards of a type; the nodes' totals decide among equals.
    fn extremes(&self, spread: &Spread<'_>) -> Option<(NodeId, NodeId)> {
        let has_settled =
            |node: &&NodeId| spread.settled.get(*node).is_some_and(|shards| !shards.is_empty());
        let homes = spread.homes.iter().filter(has_settled);
        let from = homes.max_by_key(|node| (spread.load[*node], self.totals[*node], **node))?;
        Some((*from, self.least(spread, &spread.homes)?))
    }

    fn least(&self, spread: &Spread<'_>, nodes: &BTreeSet<NodeId>) -> Option<NodeId> {
        nodes.iter().copied().min_by_key(|node| (spread.load[node], self.totals[node], *node))
    }
}

// === impl Spread ===

impl<'a> Spread<'a> {
    fn of(record: &'a TypeRecord, machine: &Machine, takers: &BTreeSet<NodeId>) -> Self {
        let mut load: BTreeMap<NodeId, usize> = takers.iter().map(|node| (*node, 0)).collect();
        let mut settled: BTreeMap<NodeId, BTreeSet<u32>> = BTreeMap::new();
        for (number, shard) in (0_u32..).zip(&*record.view.shards) {
            if let Some(shards) =
                load.get_mut(if shard.is_moving() { &shard.moving_to } else { &shard.node })
            {
                *shards += 1;
            }
            if !shard.is_moving() && is_live(&machine.members, shard.node) {
                settled.entry(shard.node).or_default().insert(number);
            }
        }
        let homes = record.eligible.intersection(takers).copied().collect();
        Self { view: &record.view, homes, load, settled }
    }

    fn first_of(&self, node: NodeId) -> u32 {
        *self.settled[&node].first().expect("only nodes with settled shards are asked")
    }
}

#[cfg(test)]
mod tests;
