//! What is written and read. Encoded parts (outcomes, packs, inbox records, tags) belong to the data plane; a store
//! carries them without looking inside.

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
    /// The number of its shard.
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
}

impl CommitBatch {
    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len() + self.inbox.len()
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
