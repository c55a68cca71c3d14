//! Pools: which instance runs a call that names none.
//!
//! Each instance is a hidden volatile actor with a shard of its own and its number as key, so a pool runs as many turns at
//! a time in the whole cluster as it has instances. The node that takes a call chooses: an idle instance of its own before
//! an idle one elsewhere, the lowest first, so that those above the pool's minimum fall asleep when they are not needed.
//! What a node counts is what it sent and what others sent to its own instances; nobody asks anybody on the way.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use callboard_types::{ActorId, CallError, ErrorKind, Kind, NodeId, ShardOwner};

use crate::{call::Call, catalog::TypeRuntime};

/// The instances of one pool, as this node counts them. Shared by every version of the type.
#[derive(Debug)]
pub struct Pool {
    /// Calls per instance.
    calls: Box<[AtomicU32]>,
    /// Where calls that only want to be accepted go on: their seat may be free again before they have run.
    turn: AtomicU32,
}

/// A call's place at an instance; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    pool: Arc<Pool>,
    number: u32,
    /// True if another instance refused the call before.
    moved: bool,
}

/// How an instance is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The node that chooses.
    pub node: NodeId,
    /// True if the call only wants to be accepted.
    pub asynchronous: bool,
    /// Actors that wait for the call: none of them can run it.
    pub chain: &'a [ActorId],
}

impl<'a> Wish<'a> {
    /// What a call needs.
    #[must_use]
    pub fn of(node: NodeId, call: &'a Call) -> Self {
        let chain = call.lineage.as_ref().map_or(&[][..], |lineage| &lineage.chain);
        Self { node, asynchronous: call.asynchronous, chain }
    }
}

impl Pool {
    pub(crate) fn new(instances: usize) -> Arc<Self> {
        let calls = (0..instances).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { calls, turn: AtomicU32::new(0) })
    }

    /// Takes a seat at an instance.
    pub(crate) fn take(self: &Arc<Self>, number: u32) -> Seat {
        if let Some(calls) = self.calls.get(number as usize) {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        Seat { pool: Arc::clone(self), number, moved: false }
    }

    /// The best instance among the first of `owners`: served before unserved, few calls before many, here before elsewhere,
    /// low before high.
    fn choose(
        &self,
        owners: &[ShardOwner],
        wish: Wish<'_>,
        barred: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let count = u32::try_from(owners.len().min(self.calls.len())).ok()?;
        let start = match wish.asynchronous {
            true => self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1),
            false => 0,
        };
        let mut best = None;
        for number in (start..count).chain(0..start) {
            if barred(number) {
                continue;
            }
            let owner = owners[number as usize];
            let unserved = owner.node == NodeId::ZERO || owner.is_moving();
            let calls = self.calls[number as usize].load(Ordering::Relaxed);
            // A call that is only accepted goes round: what it leaves behind is not counted everywhere.
            let far = !wish.asynchronous && owner.node != wish.node;
            let rank = (unserved, calls, far);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, number));
                if rank == (false, 0, false) {
                    break;
                }
            }
        }
        best.map(|(_, number)| number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(calls) = self.pool.calls.get(self.number as usize) {
            calls.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl TypeRuntime {
    /// Chooses the instance of a pool for a call and takes a seat there. `key` is what the call names: nothing, or the
    /// type, as for a NAMED actor. `None` if the type is no pool.
    ///
    /// # Errors
    /// `InvalidActorKey` if the call names an instance: those are Callboard's; `CallCycle` if every instance waits for it.
    pub fn seat(&self, key: &str, wish: Wish<'_>) -> Result<Option<Seat>, CallError> {
        let Some(pool) = self.pool() else { return Ok(None) };
        if !key.is_empty() && *key != *self.view.name {
            let text = format!(
                "type {} is a pool, whose instances Callboard chooses; leave the key out. The call was not run",
                self.view.name
            );
            return Err(CallError::new(ErrorKind::InvalidActorKey, text));
        }
        let waits = |number: u32| {
            let number = number.to_string();
            let is = |actor: &&ActorId| {
                *actor.key == *number
                    && actor.actor_type == self.view.name
                    && actor.system == self.view.system
            };
            wish.chain.iter().any(|actor| is(&actor))
        };
        let barred = |number| !wish.chain.is_empty() && waits(number);
        match pool.choose(self.instances(), wish, barred) {
            Some(number) => Ok(Some(pool.take(number))),
            None => Err(CallError::new(
                ErrorKind::CallCycle,
                format!(
                    "every instance of the pool {} waits for this call, so it would never end; it was not made",
                    self.view.name
                ),
            )),
        }
    }

    /// The owners of the instances that the pool may use now: it may have shrunk since it was first registered.
    fn instances(&self) -> &[ShardOwner] {
        let most = self.definition.settings.pool.map_or(usize::MAX, |pool| pool.max as usize);
        &self.view.shards[..most.min(self.view.shards.len())]
    }

    /// How many instances are kept in memory.
    #[must_use]
    pub fn instances_kept(&self) -> u32 {
        match self.definition.settings.pool {
            Some(pool) if self.definition.kind == Kind::Pooled => pool.min,
            _ => 0,
        }
    }

    /// Another instance for a call that its own one has no room for; `None` if it was moved before or there is no other.
    pub(crate) fn other_seat(&self, node: NodeId, seat: &Seat) -> Option<Seat> {
        let pool = self.pool().filter(|_| !seat.moved)?;
        let wish = Wish { node, asynchronous: false, chain: &[] };
        let number = pool.choose(self.instances(), wish, |number| number == seat.number)?;
        let mut other = pool.take(number);
        other.moved = true;
        Some(other)
    }
}

impl Seat {
    /// The instance's number, which is its shard.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The instance's key.
    #[must_use]
    pub fn key(&self) -> String {
        self.number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use callboard_types::Epoch;

    use super::*;

    const HERE: NodeId = NodeId(1);

    fn owners(nodes: &[u64]) -> Vec<ShardOwner> {
        nodes.iter().map(|node| ShardOwner::new(NodeId(*node), Epoch(1))).collect()
    }

    fn wish(asynchronous: bool) -> Wish<'static> {
        Wish { node: HERE, asynchronous, chain: &[] }
    }

    /// Takes seats one after the other and keeps them.
    fn fill(pool: &Arc<Pool>, owners: &[ShardOwner], count: usize) -> (Vec<u32>, Vec<Seat>) {
        let mut seats = Vec::new();
        for _ in 0..count {
            let number = pool.choose(owners, wish(false), |_| false).expect("there is one");
            seats.push(pool.take(number));
        }
        (seats.iter().map(Seat::number).collect(), seats)
    }

    #[test]
    fn idle_instances_come_first_those_of_this_node_before_others_and_low_before_high() {
        let owners = owners(&[2, 1, 2, 1]);
        let pool = Pool::new(4);
        let (numbers, mut seats) = fill(&pool, &owners, 5);
        assert_eq!(numbers, [1, 3, 0, 2, 1]);
        seats.remove(2);
        assert_eq!(fill(&pool, &owners, 1).0, [0], "a seat is free again when its call has ended");
    }

    #[test]
    fn an_instance_that_nobody_serves_is_chosen_only_if_there_is_no_other() {
        let mut owners = owners(&[0, 1, 1]);
        owners[1].moving_to = NodeId(2);
        let pool = Pool::new(3);
        assert_eq!(fill(&pool, &owners, 3).0, [2, 2, 2]);
        assert_eq!(fill(&pool, &owners[..2], 2).0, [1, 0]);
    }

    #[test]
    fn calls_that_only_want_to_be_accepted_go_round() {
        let owners = owners(&[1, 2, 2]);
        let pool = Pool::new(3);
        let next = || pool.choose(&owners, wish(true), |_| false);
        assert_eq!([next(), next(), next(), next()], [Some(0), Some(1), Some(2), Some(0)]);
        let _busy = pool.take(1);
        assert_eq!(pool.choose(&owners, wish(true), |_| false), Some(2));
    }
}
