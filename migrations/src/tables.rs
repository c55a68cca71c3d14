//! Names of tables and columns, shared by the steps and by the code that reads and writes.
//!
//! Once released, a variant keeps its name for good: steps refer to them.

use sea_orm_migration::{prelude::DeriveIden, sea_orm};

/// How many spill tables there are: `spill_000` to `spill_127`. Many, because one is emptied at a time and commits wait
/// for it.
pub const SPILL_TABLES: usize = 128;

/// The rows of actors.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum Actors {
    /// `actors`
    Table,
    /// Primary key, first part.
    System,
    /// Primary key, second part.
    Type,
    /// Primary key, third part; compared byte for byte.
    Key,
    /// The shard's number.
    Shard,
    /// How many turns were committed.
    Revision,
    /// 0 in every stored row. An upsert names here the revision that it expects, for the comparison in its conflict
    /// clause; a row that keeps another value was inserted where an update was meant.
    PrevRevision,
    /// Unix milliseconds.
    UpdatedAt,
    /// Unix milliseconds; see `ActorRecord::spilled_until`.
    SpilledUntil,
    /// Null if there is no state.
    ContentType,
    /// Full name of the state's protobuf message, or empty.
    TypeUrl,
    /// Encoded tags.
    Tags,
    /// Encoded outcomes.
    Outcomes,
    /// The encoded state; null if there is none.
    State,
    /// One more than the revision that is the actor's deletion; 0 if it was never deleted. A later turn makes it a
    /// matter of the past without writing it, also a turn of a release that does not know the column.
    Deleted,
}

/// What turns set going and what is not delivered yet.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum Outbox {
    /// `outbox`
    Table,
    /// Primary key, first part: the system of the actor that set it going.
    System,
    /// Primary key, second part: the type of that actor.
    Type,
    /// Primary key, third part: the shard of that actor.
    Shard,
    /// Primary key, fourth part.
    Sequence,
    /// When it is due, Unix milliseconds; 0 for at once.
    DueAt,
    /// The key of the actor that set it going.
    Key,
    /// What it is, encoded.
    Item,
}

/// What could not be delivered.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum DeadLetter {
    /// `dead_letter`
    Table,
    /// Primary key.
    Id,
    /// The system of the actor that set it going.
    System,
    /// The type of that actor.
    Type,
    /// The key of that actor.
    Key,
    /// When it was given up, Unix milliseconds.
    DiedAt,
    /// What it was and why it died, encoded.
    Letter,
}

/// Messages that shards deliver to their subscribers.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum Broadcast {
    /// `broadcast`
    Table,
    /// Primary key, first part: the system of the subscribers.
    System,
    /// Primary key, second part: the type of the subscribers.
    Type,
    /// Primary key, third part: the shard of the subscribers.
    Shard,
    /// Primary key, fourth part.
    Id,
    /// Its place among the shard's.
    Sequence,
    /// When it came, Unix milliseconds.
    CameAt,
    /// Subscribers up to and including this key have it.
    Cursor,
    /// The message, encoded.
    Item,
}

/// Messages that every subscriber of a shard has, so that they are not delivered again.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum BroadcastDone {
    /// `broadcast_done`
    Table,
    /// Primary key, first part.
    System,
    /// Primary key, second part.
    Type,
    /// Primary key, third part.
    Shard,
    /// Primary key, fourth part.
    Id,
    /// When the message came, Unix milliseconds.
    CameAt,
}

/// Past states of actors.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum History {
    /// `history`
    Table,
    /// Primary key, first part.
    System,
    /// Primary key, second part.
    Type,
    /// Primary key, third part.
    Key,
    /// Primary key, fourth part: the revision that had the state.
    Revision,
    /// When its turn was settled, Unix milliseconds.
    SettledAt,
    /// Null if there is no state.
    ContentType,
    /// Full name of the state's protobuf message, or empty.
    TypeUrl,
    /// Encoded tags.
    Tags,
    /// The encoded state; null if there is none.
    State,
}

/// Columns of each spill table. The table's own name comes from [`spill_table`].
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum Spill {
    /// Counts up, so that packs are appended.
    Id,
    /// Hash of the actor's key: narrows the search, decides nothing.
    KeyHash,
    /// 1 if the pack covers more time than a busy actor needs to fill one; see `ring.rs` of the SQL store.
    Wide,
    /// Latest creation time in the pack, Unix milliseconds.
    UntilMs,
    /// Earliest creation time in the pack, Unix milliseconds.
    FromMs,
    /// The actor's system.
    System,
    /// The actor's type.
    Type,
    /// The actor's key.
    Key,
    /// The encoded outcomes.
    Data,
}

/// Up to which creation time each spill table holds packs.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum SpillSlot {
    /// `spill_slot`
    Table,
    /// The number of the spill table.
    Slot,
    /// Every pack in the table ends before this time, Unix milliseconds; 0 if the table is empty.
    HoldsUntil,
}

/// Accepted calls.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum Inbox {
    /// `inbox`
    Table,
    /// Primary key, first part.
    System,
    /// Primary key, second part.
    Type,
    /// Primary key, third part.
    Shard,
    /// Primary key, fourth part.
    Sequence,
    /// The actor's key.
    Key,
    /// The encoded call.
    Call,
}

/// Who owns each shard.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum ShardFence {
    /// `shard_fence`
    Table,
    /// Primary key, first part.
    System,
    /// Primary key, second part.
    Type,
    /// Primary key, third part.
    Shard,
    /// The fencing token.
    Epoch,
    /// The owner, for people.
    Node,
    /// Outcomes of calls created before this time may be gone, Unix milliseconds.
    LowWater,
}

/// One row: the process that may write. For databases that one process opens at a time.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum WriterEpoch {
    /// `writer_epoch`
    Table,
    /// 1.
    Id,
    /// Raised at each opening.
    Epoch,
}

/// Facts about the database itself.
#[derive(Clone, Copy, Debug, DeriveIden)]
pub enum StoreMeta {
    /// `store_meta`
    Table,
    /// Primary key.
    Name,
    /// As text.
    Value,
}

/// The name of spill table number `slot`.
///
/// # Panics
/// If there is no such table.
#[must_use]
pub fn spill_table(slot: usize) -> String {
    assert!(slot < SPILL_TABLES, "there are {SPILL_TABLES} spill tables");
    format!("spill_{slot:03}")
}
