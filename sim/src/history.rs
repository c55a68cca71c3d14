//! What happened in a simulation, as the invariants look at it: by true time, which nobody inside it knows.

use callboard_types::{Epoch, NodeId};

use crate::callers::VOLATILE;

/// (type id, shard)
pub(crate) type Shard = (u32, u32);
/// (type id, key)
pub(crate) type Actor = (u32, u32);

/// How an operation ended for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An add was acknowledged: it is the n-th of its actor, counted from 1.
    Added(usize),
    /// A read returned these adds, in order.
    Read(Vec<u32>),
    /// The caller was told that it did not and will not happen.
    Failed,
    /// The caller gave up and knows nothing.
    Unknown,
}

/// One operation of a caller, whatever number of attempts it took.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Whom it was for.
    pub(crate) actor: Actor,
    /// True for a read.
    pub(crate) reads: bool,
    /// True if it was made after the last fault was over.
    pub(crate) probe: bool,
    /// When it was first sent.
    pub(crate) invoked: u64,
    /// When and how it ended.
    pub(crate) ended: Option<(u64, End)>,
}

/// A commit that the store accepted.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// When it became visible.
    pub(crate) at: u64,
    /// Under which epoch.
    pub(crate) epoch: Epoch,
    /// The shard.
    pub(crate) shard: Shard,
    /// The actor.
    pub(crate) actor: Actor,
    /// The adds that the row holds from now on, in order.
    pub(crate) adds: Vec<u32>,
}

/// An answer that no commit covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncovered {
    /// When it was sent.
    pub(crate) at: u64,
    /// By whom.
    pub(crate) node: NodeId,
    /// As the owner of this shard.
    pub(crate) shard: Shard,
    /// At this epoch.
    pub(crate) epoch: Epoch,
}

/// Everything that invariants are checked on.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// By number; the numbers are what adds append to states.
    pub(crate) operations: Vec<Operation>,
    /// In the order of their becoming visible.
    pub(crate) commits: Vec<Commit>,
    /// In the order of true time.
    pub(crate) uncovered: Vec<Uncovered>,
    /// Each change of an owner or epoch, in the order of the log: (shard, owner, epoch).
    pub(crate) owners: Vec<(Shard, NodeId, Epoch)>,
    /// The redirects of each attempt that ended, if any.
    pub(crate) redirects: Vec<u32>,
    /// The first replica that was found to differ, as (log index, node).
    pub(crate) diverged: Option<(usize, usize)>,
}

impl History {
    /// The adds of an actor as they stand in the store, in order.
    #[must_use]
    pub(crate) fn stored(&self, actor: Actor) -> &[u32] {
        let last = self.commits.iter().rev().find(|commit| commit.actor == actor);
        last.map_or(&[], |commit| &commit.adds)
    }

    /// The actors that anybody spoke to and that keep their state.
    #[must_use]
    pub(crate) fn durable_actors(&self) -> std::collections::BTreeSet<Actor> {
        let actors = self.operations.iter().map(|operation| operation.actor);
        actors.filter(|(type_id, _)| *type_id != VOLATILE).collect()
    }
}
