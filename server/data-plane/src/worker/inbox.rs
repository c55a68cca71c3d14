//! What reaches a shard worker, and how.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use callboard_statestore::{ActorRecord, BroadcastRow, Claimed, InboxRow, StateBlob, Verdict};
use callboard_types::{
    ActorId, CallError, Epoch, ErrorKind, Kind, NodeId, Revision, SessionId, TypeDefinition,
    shard::key_hash,
};
use tokio::sync::{mpsc, oneshot};

use super::table::Slot;
use crate::{
    activation::{machine::TurnEnd, outcome::StoredOutcome},
    call::{Call, Payload},
    catalog::{Catalog, TypeRuntime},
    channels::SaidHere,
    deliveries::machine::Page,
    pools::{Seat, Wish},
    session::SessionLink,
};

/// A call with what the router found out about it.
#[derive(Debug)]
pub struct RoutedCall {
    /// The actor's type.
    pub actor_type: Arc<TypeRuntime>,
    /// The actor's key.
    pub key: String,
    /// [`callboard_types::shard::key_hash`] of the key.
    pub key_hash: u64,
    /// The number of its shard.
    pub shard: u32,
    /// The call.
    pub call: Call,
}

impl RoutedCall {
    /// Puts a call that this node makes on its way: to the actor with this key, or to an instance of a pool.
    ///
    /// # Errors
    /// Gives the call back, with the reason: `InvalidActorKey` if a NAMED type has no such actor, and see
    /// [`TypeRuntime::seat`].
    pub fn aim(
        node: NodeId,
        actor_type: Arc<TypeRuntime>,
        key: &str,
        mut call: Call,
    ) -> Result<Self, Box<(Call, CallError)>> {
        if actor_type.definition.kind == Kind::Named && *key != *actor_type.view.name {
            let text = format!(
                "type {} has exactly one actor, whose key is the type's name; the call was not run",
                actor_type.view.name
            );
            let error = CallError::new(ErrorKind::InvalidActorKey, text);
            return Err(Box::new((call, error)));
        }
        match actor_type.seat(key, Wish::of(node, &call)) {
            Ok(Some(seat)) => call.seat = Some(seat),
            Ok(None) => {}
            Err(error) => return Err(Box::new((call, error))),
        }
        let key = call.seat.as_ref().map_or_else(|| key.to_owned(), Seat::key);
        let (key_hash, shard) = (key_hash(&key), actor_type.view.shard_of(&key));
        Ok(Self { actor_type, key, key_hash, shard, call })
    }

    /// Sends the call to another instance of its pool, because its own one has no room. False if there is none, or if it
    /// was moved before.
    pub(crate) fn move_seat(&mut self, node: NodeId) -> bool {
        let seat = self.call.seat.as_ref();
        let Some(other) = seat.and_then(|seat| self.actor_type.other_seat(node, seat)) else {
            return false;
        };
        self.key = other.key();
        self.key_hash = key_hash(&self.key);
        self.shard = other.number();
        self.call.seat = Some(other);
        true
    }
}

/// A call made inside a turn, as it came from the session.
#[derive(Debug)]
pub struct SessionCall {
    /// The calling turn.
    pub turn_id: u64,
    /// The call's number within the turn.
    pub call_index: u32,
    /// Whom it is for. Without a system: an actor of the calling actor's system.
    pub target: ActorId,
    /// The action.
    pub action: String,
    /// Its argument.
    pub argument: Payload,
    /// How long the action waits, in milliseconds; 0 for as long as the turn may take.
    pub timeout_ms: u32,
    /// The call's metadata.
    pub metadata: crate::call::Metadata,
    /// The id that the turn gave the call; empty for one that follows from the turn's own.
    pub request_id: String,
}

/// The claim of one shard and what was found there.
#[derive(Debug)]
pub struct ClaimedShard {
    /// The shard's number.
    pub shard: u32,
    /// The epoch that was claimed.
    pub epoch: Epoch,
    /// What the fence row says.
    pub claimed: Claimed,
    /// Accepted calls that were never answered, in sequence.
    pub inbox: Vec<InboxRow>,
    /// The highest place among the rows of its outbox; 0 if it has none.
    pub last_row: u64,
}

/// What was read for the walk of a message over the actors of a shard.
#[derive(Debug)]
pub struct WalkNews {
    /// Which walker asked; see [`WalkTicket`](crate::call::WalkTicket).
    pub walker: u64,
    /// What it asked for.
    pub found: WalkFound,
}

/// What a walk reads.
#[derive(Debug)]
pub enum WalkFound {
    /// Messages that the shard has recorded and not delivered.
    Rows(Vec<BroadcastRow>),
    /// The next keys, for the walk of this number.
    Keys(u64, Vec<String>),
}

/// What became of something that was handed to the commit writer.
#[derive(Debug)]
pub struct WriteVerdict {
    /// The activation that it belongs to.
    pub slot: Slot,
    /// What was written.
    pub what: Written,
    /// What became of it; `None` if nobody knows.
    pub verdict: Option<Verdict>,
}

/// What a commit job contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Turns up to this number.
    Turns(u64),
    /// The inbox row of an accepted call.
    Accepted(u64),
    /// The state of a snapshot type.
    Snapshot,
    /// The end of an outbox row, under the number of its delivery.
    Delivered(u64),
    /// A step of a message to a shard's subscribers, under the number that its sender gave it.
    Broadcast(u64),
}

/// What a worker answers about one actor.
#[derive(Clone, Debug, Default)]
pub struct ActorStats {
    /// True if it is in memory.
    pub active: bool,
    /// Calls that wait or run.
    pub depth: usize,
    /// The newest revision, committed or not.
    pub revision: Revision,
    /// The newest state, committed or not.
    pub state: Option<StateBlob>,
    /// The newest tags, encoded.
    pub tags: Bytes,
}

/// One piece of news for a worker.
#[derive(Debug)]
pub enum Message {
    /// Calls from a gateway.
    Calls(Vec<RoutedCall>),
    /// Calls of a stream that were cancelled, as (sink, stream id).
    Cancelled(HashSet<(u64, u64)>),
    /// Some callers have gone; the worker finds out whose calls nobody waits for.
    CallersGone,
    /// A session's answers, in order.
    Results {
        /// The session.
        session: Arc<SessionLink>,
        /// (turn, how it ended).
        results: Vec<(u64, TurnEnd)>,
    },
    /// Calls that a session's turns make.
    SessionCalls {
        /// The session.
        session: Arc<SessionLink>,
        /// The calls.
        calls: Vec<SessionCall>,
    },
    /// A session offers types, each with the definition that its host has.
    Offered {
        /// The session.
        session: Arc<SessionLink>,
        /// (type id, definition).
        types: Vec<(u32, Arc<TypeDefinition>)>,
    },
    /// A session takes more turns than before.
    CreditsChanged,
    /// A session is gone.
    SessionClosed(SessionId),
    /// The cluster agreed on something new.
    Catalog(Arc<Catalog>),
    /// Rows that were asked for.
    Loaded(Vec<(Slot, Option<ActorRecord>)>),
    /// Outcomes that were asked for.
    LookedUp(Vec<(Slot, String, Result<Option<StoredOutcome>, String>)>),
    /// Shards of a type that were claimed.
    Claimed {
        /// The type.
        type_id: u32,
        /// The number of the claim.
        number: u64,
        /// Its shards.
        shards: Vec<ClaimedShard>,
    },
    /// Rows of a shard's outbox that were asked for.
    OutboxRead {
        /// The shard, as (type id, number).
        place: (u32, u32),
        /// The rows.
        page: Page,
    },
    /// A message of a channel, for shards of this worker.
    Said(SaidHere),
    /// Recorded messages, or keys of subscribers, that were asked for.
    Walk(WalkNews),
    /// The commit writer's verdicts.
    Written(Vec<WriteVerdict>),
    /// The commit writer has room again.
    WriterReady,
    /// Say when everything that was sent before has been dealt with.
    Passed(oneshot::Sender<()>),
    /// How is this actor? Without a lease nobody is told.
    Inspect {
        /// Its type.
        type_id: u32,
        /// Its key.
        key: String,
        /// Who asks.
        to: oneshot::Sender<ActorStats>,
    },
    /// Take no new calls, finish what is there, save what must be saved, then say so.
    Drain(oneshot::Sender<()>),
}

/// The senders of all workers' inboxes.
#[derive(Clone, Debug)]
pub struct Workers(Arc<[mpsc::Sender<Message>]>);

impl Workers {
    /// Puts the inboxes in worker order.
    #[must_use]
    pub fn new(inboxes: Vec<mpsc::Sender<Message>>) -> Self {
        Self(inboxes.into())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The worker that owns a shard of a type.
    #[must_use]
    pub fn of(&self, type_id: u32, shard: u32) -> usize {
        (type_id as usize + shard as usize) % self.0.len()
    }

    /// The worker that sent a turn: its number stands in the id's lowest byte.
    #[must_use]
    pub fn of_turn(&self, turn_id: u64) -> usize {
        (turn_id & 0xff) as usize % self.0.len()
    }

    /// Sends to one worker, waiting for room. False if the worker has ended.
    pub async fn send(&self, worker: usize, message: Message) -> bool {
        self.0[worker].send(message).await.is_ok()
    }

    /// Sends to one worker if it has room.
    ///
    /// # Errors
    /// Gives the message back.
    pub fn try_send(&self, worker: usize, message: Message) -> Result<(), Message> {
        self.0[worker].try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message)
            | mpsc::error::TrySendError::Closed(message) => message,
        })
    }

    /// Sends to each worker in turn, waiting for room.
    pub async fn send_all(&self, mut message: impl FnMut() -> Message) {
        for worker in 0..self.count() {
            self.send(worker, message()).await;
        }
    }
}
