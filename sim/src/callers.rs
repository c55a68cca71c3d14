//! Those who call actors from outside, and keep at it until they know how a call ended.

use std::rc::Rc;

use callboard_types::Retry;

use crate::{
    history::{Actor, End, History, Operation},
    message::{Ended, Request},
    rng::Rng,
    state,
};

/// After which time a caller tries another gateway, in microseconds.
pub(crate) const TRY_TIMEOUT: u64 = 1_200_000;
/// How long a caller keeps at it, in microseconds.
const PATIENCE: u64 = 9_000_000;

/// An operation under way.
#[derive(Debug)]
pub(crate) struct UnderWay {
    /// What is sent.
    pub(crate) request: Rc<Request>,
    /// The caller that makes it.
    pub(crate) caller: usize,
    /// When the next attempt is due.
    pub(crate) due: u64,
}

/// All callers.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    /// By operation.
    pub(crate) under_way: std::collections::BTreeMap<u32, UnderWay>,
}

/// The actors: (type id, shards of the type, key).
pub(crate) const ACTORS: [(u32, u32, u32); 7] =
    [(0, 3, 0), (0, 3, 1), (0, 3, 2), (0, 3, 3), (1, 1, 10), (2, 1, 20), (VOLATILE, 2, 30)];

/// Shards of each type, by type id.
pub(crate) const SHARDS: [u32; 4] = [3, 1, 1, 2];

/// The type whose actors keep nothing: no commit covers any answer of theirs.
pub(crate) const VOLATILE: u32 = 3;

impl Callers {
    /// Makes an operation. Returns its number.
    pub(crate) fn begin(
        &mut self,
        (now, wall): (u64, i64),
        caller: usize,
        (actor, reads): ((u32, u32, u32), bool),
        probe: bool,
        history: &mut History,
    ) -> u32 {
        let operation = u32::try_from(history.operations.len()).expect("few");
        let (type_id, shards, key) = actor;
        let name: Actor = (type_id, key);
        history.operations.push(Operation { actor: name, reads, probe, invoked: now, ended: None });
        let request = Rc::new(Request {
            operation,
            id: format!("request {operation}"),
            shard: (type_id, key % shards),
            key,
            reads,
            created_at: wall,
            deadline: now + PATIENCE,
        });
        self.under_way.insert(operation, UnderWay { request, caller, due: now });
        operation
    }

    /// A gateway told how an operation ended. True if the caller is free now, with its number.
    pub(crate) fn told(
        &mut self,
        now: u64,
        operation: u32,
        end: Ended,
        rng: &mut Rng,
        history: &mut History,
    ) -> Option<usize> {
        let under_way = self.under_way.get_mut(&operation)?;
        let end = match end {
            Ended::Replied(data) if under_way.request.reads => End::Read(state::decode(&data)),
            Ended::Replied(data) => End::Added(state::decode(&data)[0] as usize),
            Ended::Failed(kind) if kind.retry() == Retry::Never => End::Failed,
            Ended::Failed(_) | Ended::Redirected { .. } => {
                under_way.due = under_way.due.min(now + rng.between(50_000, 200_000));
                return None;
            }
        };
        let caller = under_way.caller;
        self.under_way.remove(&operation);
        history.operations[operation as usize].ended = Some((now, end));
        Some(caller)
    }

    /// The operations whose next attempt is due. Those whose time is over end unknown; their callers are returned as
    /// well.
    pub(crate) fn due(
        &mut self,
        now: u64,
        history: &mut History,
    ) -> (Vec<Rc<Request>>, Vec<usize>) {
        let (mut again, mut free) = (Vec::new(), Vec::new());
        self.under_way.retain(|operation, under_way| {
            if now >= under_way.request.deadline {
                history.operations[*operation as usize].ended = Some((now, End::Unknown));
                free.push(under_way.caller);
                return false;
            }
            if now >= under_way.due {
                under_way.due = now + TRY_TIMEOUT;
                again.push(Rc::clone(&under_way.request));
            }
            true
        });
        (again, free)
    }
}
