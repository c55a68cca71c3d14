//! What is written and read. Encoded parts (outcomes, packs, inbox records, tags) belong to the data plane; a store
//! carries them without looking inside.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId};

/// An actor's state as its host encoded it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateBlob {
    /// The media type of `data`.
    pub content_type: String,
    /// Full name of the protobuf message in `data`; empty for others.
    pub type_url: String,
    /// The encoded state.
    pub data: Bytes,
}

/// The row of an actor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActorRecord {
    /// How many turns the actor has had.
    pub revision: Revision,
    /// Its state; `None` if no turn ever set one.
    pub state: Option<StateBlob>,
    /// Its tags, encoded; empty if there are none.
    pub tags: Bytes,
    /// Its newest outcomes, encoded.
    pub outcomes: Bytes,
    /// The latest creation time among outcomes that were spilled; 0 if none was.
    pub spilled_until: Millis,
    /// When the row was last written.
    pub updated_at: Millis,
    /// True for a deleted actor: the row keeps its revision and outcomes, and is not listed.
    pub deleted: bool,
}

/// Several outcomes of one actor that no longer travel in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillPack {
    /// The earliest creation time in the pack.
    pub from: Millis,
    /// The latest creation time in the pack.
    pub until: Millis,
    /// The outcomes, encoded.
    pub data: Bytes,
}

/// The turns of one actor that are committed together: the row after the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorCommit {
    /// Whose row.
    pub id: ActorId,
    /// The number of its shard: the same for as long as the actor has a row.
    pub shard: u32,
    /// The epoch under which the turns ran.
    pub epoch: Epoch,
    /// The revision that the stored row must have; zero if there must be no row.
    pub previous: Revision,
    /// The row.
    pub record: ActorRecord,
    /// Outcomes that leave the row with this commit.
    pub spill: Vec<SpillPack>,
    /// Accepted calls of the shard (by sequence) that these turns answered.
    pub inbox_done: Vec<u64>,
    /// What these turns set going, in order.
    pub outbox: Vec<OutboxInsert>,
    /// Accepted calls that these turns gave up, kept for operators.
    pub letters: Vec<DeadLetterRow>,
    /// Past states to keep, oldest first; empty unless the type keeps history.
    pub history: Vec<HistoryInsert>,
    /// Past states to forget. A deletion forgets all.
    pub forget: Option<Forget>,
}

impl ActorCommit {
    /// The past states that are to be stored: none of a deleted actor, and none that the commit itself forgets.
    pub fn kept_history(&self) -> impl Iterator<Item = &HistoryInsert> {
        let forgotten = |past: &&HistoryInsert| {
            self.record.deleted || self.forget.is_some_and(|forget| forget.covers(past))
        };
        self.history.iter().filter(move |past| !forgotten(past))
    }
}

/// Something that a committed turn set going: an effect, a broadcast, the next call of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxInsert {
    /// Its place among the shard's. A shard never uses a sequence twice while the first row is there.
    pub sequence: u64,
    /// When it is due; 0 for at once.
    pub due_at: Millis,
    /// What it is, encoded.
    pub item: Bytes,
}

/// Something that is still to be delivered, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The key of the actor that set it going.
    pub key: String,
    /// Its place among the shard's.
    pub sequence: u64,
    /// When it is due; 0 for at once.
    pub due_at: Millis,
    /// What it is, encoded.
    pub item: Bytes,
}

/// The end of an outbox row: it was delivered, or it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxDone {
    /// The shard of the actor that set it going.
    pub shard: ShardId,
    /// The epoch under which the shard is owned.
    pub epoch: Epoch,
    /// Its place.
    pub sequence: u64,
    /// Kept for operators if it was given up, whether or not the row was still there. A letter that is there already
    /// stays as it is.
    pub dead: Option<DeadLetterRow>,
}

/// A row of an outbox that could not be delivered, or an accepted call that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Names it: unique, and in the order in which letters died.
    pub id: String,
    /// The actor that set it going; of a call from outside, the actor that was called.
    pub source: ActorId,
    /// What it was and why it died, encoded.
    pub letter: Bytes,
    /// When it was given up.
    pub died_at: Millis,
}

/// A past state to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryInsert {
    /// The revision that had it.
    pub revision: Revision,
    /// When its turn was settled.
    pub at: Millis,
    /// The state; `None` if there was none.
    pub state: Option<StateBlob>,
    /// The tags, encoded.
    pub tags: Bytes,
}

/// Which past states of an actor are forgotten with a commit: those that one of the two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    /// Those below this revision.
    pub below: Revision,
    /// Those of before this time.
    pub before: Millis,
}

impl Forget {
    /// True if it names this past state.
    #[must_use]
    pub fn covers(&self, past: &HistoryInsert) -> bool {
        past.revision < self.below || past.at < self.before
    }
}

/// A past state as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The revision that had it.
    pub revision: Revision,
    /// When its turn was settled.
    pub at: Millis,
    /// Size of the state in bytes.
    pub state_bytes: u64,
    /// The state; `None` if there was none, or if only the list was asked for.
    pub state: Option<StateBlob>,
    /// The tags, encoded; empty if only the list was asked for.
    pub tags: Bytes,
}

/// Which past states are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryAt {
    /// The list below this revision, the newest first, without states.
    Below(Revision),
    /// The one of this revision.
    Revision(Revision),
    /// The newest one at or before this time; of several at that time, the one with the highest revision.
    Time(Millis),
}

/// A change of what a shard knows of a message that it delivers to its subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastChange {
    /// The shard.
    pub shard: ShardId,
    /// The epoch under which it is owned.
    pub epoch: Epoch,
    /// Names the message within the shard.
    pub id: String,
    /// What happens.
    pub step: BroadcastStep,
}

/// A step in the delivery of a message to the subscribers of a shard. The last two are without effect on a message that
/// is done or never came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BroadcastStep {
    /// The message came, with its place among the shard's. Without effect if the id is known already, done or not.
    Record {
        /// Messages are delivered in this order.
        sequence: u64,
        /// When it came.
        at: Millis,
        /// The message, encoded.
        item: Bytes,
    },
    /// Subscribers up to and including this key have it.
    Advance {
        /// The key.
        cursor: String,
    },
    /// Every subscriber has it. The id is remembered until [`expire`](crate::StateStore::expire) drops it, when every
    /// low-water time has passed the moment at which it came by
    /// [`DELIVERED_WINDOW_MS`](callboard_types::limits::DELIVERED_WINDOW_MS).
    Done,
}

/// A message that a shard still delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastRow {
    /// Names the message within the shard.
    pub id: String,
    /// Its place among the shard's.
    pub sequence: u64,
    /// Subscribers up to and including this key have it; empty at the beginning.
    pub cursor: String,
    /// The message, encoded.
    pub item: Bytes,
}

/// An accepted asynchronous call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxInsert {
    /// Whom it is for.
    pub id: ActorId,
    /// The number of its shard.
    pub shard: u32,
    /// The epoch under which it was accepted.
    pub epoch: Epoch,
    /// Its place among the accepted calls of the shard.
    pub sequence: u64,
    /// The call, encoded.
    pub call: Bytes,
}

/// An accepted call as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Whom it is for.
    pub id: ActorId,
    /// Its place among the accepted calls of the shard.
    pub sequence: u64,
    /// The call, encoded.
    pub call: Bytes,
}

/// What one transaction takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitBatch {
    /// Actors, each at most once.
    pub actors: Vec<ActorCommit>,
    /// Newly accepted calls.
    pub inbox: Vec<InboxInsert>,
    /// Ends of outbox rows.
    pub outbox_done: Vec<OutboxDone>,
    /// Messages of channels.
    pub broadcasts: Vec<BroadcastChange>,
}

impl CommitBatch {
    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len() + self.inbox.len() + self.outbox_done.len() + self.broadcasts.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fence that each item needs, in the order of the verdicts.
    pub fn fences(&self) -> impl Iterator<Item = (ShardId, Epoch)> {
        let of = |id: &ActorId, number| ShardId {
            system: Arc::clone(&id.system),
            actor_type: Arc::clone(&id.actor_type),
            number,
        };
        let actors = self.actors.iter().map(move |item| (of(&item.id, item.shard), item.epoch));
        let inbox = self.inbox.iter().map(move |item| (of(&item.id, item.shard), item.epoch));
        let done = self.outbox_done.iter().map(|item| (item.shard.clone(), item.epoch));
        let broadcasts = self.broadcasts.iter().map(|item| (item.shard.clone(), item.epoch));
        actors.chain(inbox).chain(done).chain(broadcasts)
    }
}

/// What became of an item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Committed,
    /// The shard's fence row holds another epoch: this node no longer owns the shard. Nothing of the item was written.
    FenceLost {
        /// The epoch in the row; zero if there is none.
        stored: Epoch,
    },
    /// The stored row has another revision than expected. Nothing of the item was written.
    RevisionMismatch {
        /// The revision in the row; zero if there is none.
        stored: Revision,
    },
}

/// A shard and the epoch in which this node owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardClaim {
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// The owner, for people who read the table.
    pub node: NodeId,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorSummary {
    /// Its name.
    pub id: ActorId,
    /// How many turns it has had.
    pub revision: Revision,
    /// Size of its state in bytes.
    pub state_bytes: u64,
    /// When it was last written.
    pub updated_at: Millis,
}
