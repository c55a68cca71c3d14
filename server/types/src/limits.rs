//! Every bound has a name, and the relations between them are checked when this crate is compiled.

/// Longest system or type name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest actor key, in bytes. Indexable as a primary key in every supported database.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest request id, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Longest action name, in bytes.
pub const ACTION_BYTES_MAX: usize = 128;
/// Largest argument or reply, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Largest state of one actor, in bytes.
pub const STATE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest sum of keys and values of a call's metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Most entries of a call's metadata.
pub const METADATA_ENTRIES_MAX: usize = 64;
/// Largest sum of keys and values of an actor's tags, in bytes.
pub const TAGS_BYTES_MAX: usize = 4 * 1024;
/// Largest gRPC message on any listener, in bytes: a full state, a full payload and their frame.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most actions of a type.
pub const ACTIONS_MAX: usize = 256;
/// Most types of one registration.
pub const REGISTER_TYPES_MAX: usize = 256;
/// Largest descriptor set of a type, in bytes.
pub const DESCRIPTOR_SET_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most actors of one Spawn.
pub const SPAWN_ACTORS_MAX: usize = 1_000;

/// Calls that may wait for one actor, unless its type says otherwise.
pub const MAILBOX_DEFAULT: u32 = 1_000;
/// Largest mailbox limit that a type may ask for.
pub const MAILBOX_MAX: u32 = 100_000;
/// Calls in flight from one `InvokeStream`. Further calls are refused with MAILBOX_FULL.
pub const STREAM_IN_FLIGHT_MAX: usize = 16 * 1024;
/// Calls in flight in one shard worker. Further calls are refused with MAILBOX_FULL: 262,144 calls of 200 bytes are
/// about 50 MiB.
pub const WORKER_IN_FLIGHT_MAX: usize = 262_144;
/// Calls that one node holds for other nodes, in flight and waiting. Further calls are refused with MAILBOX_FULL.
pub const FORWARDS_HELD_MAX: usize = 131_072;
/// Calls that one node holds for one other node. One that hangs cannot take the room of all.
pub const FORWARDS_PER_PEER_MAX: usize = 65_536;
/// Calls in flight from one node to another; others wait with the sender.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 16 * 1024;
/// Streams of calls that one node may have open to another. It uses one; broken ones take a while to be noticed.
pub const FORWARD_STREAMS_MAX: usize = 8;
/// Batches that wait in a worker's inbox before senders wait in turn.
pub const WORKER_INBOX_BATCHES: usize = 4_096;
/// Stream messages that wait for a slow caller before its calls are refused.
pub const STREAM_OUTBOX_BATCHES: usize = 1_024;
/// Stream messages that wait for a slow host. Bounded by credits as well.
pub const SESSION_OUTBOX_BATCHES: usize = 4_096;

/// Most turns in one run. A host that dies costs at most this many turns again.
pub const RUN_TURNS_MAX: usize = 64;
/// Turns of one actor that may wait for their commit while later ones run on top of them.
pub const SPECULATION_DEPTH_MAX: usize = 512;
/// Largest number of turns that a host may take at a time.
pub const CREDITS_MAX: u32 = 65_536;
/// Dispatches of one turn that may end with the host's death or a timeout before the turn is given up.
pub const TURN_ATTEMPTS_MAX: u32 = 3;
/// Pause before the last of them, in milliseconds. A broken network can cut off all hosts in one moment, which the first two
/// attempts would take for deaths; what is over by then costs no call.
pub const TURN_LAST_ATTEMPT_PAUSE_MS: u64 = 3_000;
/// Calls that one turn may make to other actors.
pub const TURN_CALLS_MAX: u32 = 1_024;
/// Actors in one call chain.
pub const CHAIN_MAX: usize = 16;

/// Outcomes that travel inside an actor's row.
pub const INLINE_OUTCOMES_MAX: usize = 8;
/// Their size together, in bytes.
pub const INLINE_OUTCOME_BYTES_MAX: usize = 2 * 1024;
/// Request ids that an activation remembers; older ones are looked up in the store.
pub const KNOWN_IDS_MAX: usize = 1_024;
/// How long outcomes are kept, in milliseconds, counted from the call's `created_at`.
pub const OUTCOME_WINDOW_MS: i64 = 10 * 60 * 1_000;
/// How far a call's `created_at` may lie in the future, in milliseconds.
pub const CREATED_AHEAD_MS: i64 = 60 * 1_000;

/// Deadline of a call that names none, in milliseconds.
pub const CALL_TIMEOUT_DEFAULT_MS: u64 = 30_000;
/// Longest deadline of a call, in milliseconds; longer ones are cut.
pub const CALL_TIMEOUT_MAX_MS: u64 = 24 * 3_600 * 1_000;
/// How long one turn may take, unless its type says otherwise, in milliseconds.
pub const TURN_TIMEOUT_DEFAULT_MS: u64 = 30_000;
/// How long an actor may stay without a call, unless its type says otherwise, in milliseconds.
pub const IDLE_TIMEOUT_DEFAULT_MS: u64 = 60_000;
/// How often a snapshot actor is saved, unless its type says otherwise, in milliseconds.
pub const SNAPSHOT_INTERVAL_DEFAULT_MS: u64 = 10_000;

/// Timers of a type.
pub const TIMERS_MAX: usize = 16;
/// Shortest interval of a timer, in milliseconds.
pub const TIMER_INTERVAL_MIN_MS: u64 = 10;
/// Channels that a type may listen to.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Most instances of a pool.
pub const POOL_MAX: u32 = 4_096;
/// Instances of a pool that names no bound.
pub const POOL_DEFAULT: u32 = 16;
/// Past revisions of an actor that may be kept.
pub const HISTORY_REVISIONS_MAX: u32 = 100_000;

/// Effects and broadcasts of one turn.
pub const TURN_OUTPUTS_MAX: usize = 1_024;
/// Actors that a call may come through by pipes and forwards.
pub const HOPS_MAX: usize = 32;
/// Deliveries that one worker has under way at a time; further rows wait in the store.
pub const DELIVERIES_IN_FLIGHT_MAX: usize = 4_096;
/// How long a delivery is tried before it becomes a dead letter, in milliseconds. Below [`DELIVERED_WINDOW_MS`].
pub const DELIVERY_AGE_MAX_MS: i64 = 3 * 24 * 3_600 * 1_000;
/// How long the outcome of a delivery is kept whose sender never says that its row is gone, in milliseconds.
pub const DELIVERED_WINDOW_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// Dead letters of one shard since its owner took it; with more, rows stay where they are and are tried further.
pub const DEAD_LETTERS_MAX: usize = 10_000;

/// Shards of all types that listen to one channel. A message that would go to more is refused with QUOTA_EXCEEDED.
pub const BROADCAST_SHARDS_MAX: usize = 16_384;
/// Messages of channels that one node hands out at a time, waiting ones included. Further ones are refused with
/// MAILBOX_FULL.
pub const BROADCASTS_PENDING_MAX: usize = 1_024;
/// Messages that one shard has recorded for its actors and not delivered to all of them. Further ones are refused with
/// MAILBOX_FULL: a type without hosts must not fill the store.
pub const BROADCASTS_PER_SHARD_MAX: usize = 1_000;
/// Actors of one shard to which one message is on its way at a time.
pub const BROADCAST_STOPS_MAX: usize = 256;
/// Messages of one channel that a node remembers for those who listen from outside.
pub const CHANNEL_RING_MESSAGES_MAX: usize = 4_096;
/// Their size together, in bytes.
pub const CHANNEL_RING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// For how long they are remembered, in milliseconds.
pub const CHANNEL_RING_AGE_MS: i64 = 5 * 60 * 1_000;
/// Size of the messages of all channels that a node remembers, in bytes. The oldest go first.
pub const CHANNEL_RINGS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Channels that a node remembers anything of.
pub const CHANNEL_RINGS_MAX: usize = 10_000;
/// Streams of one node that listen to channels. Further ones are refused with MAILBOX_FULL.
pub const SUBSCRIBERS_MAX: usize = 10_000;
/// Channels of one such stream.
pub const SUBSCRIBE_CHANNELS_MAX: usize = 64;

/// Shards of an UNNAMED type, unless its first registration says otherwise.
pub const SHARDS_DEFAULT: u32 = 64;
/// Most shards of a type.
pub const SHARDS_MAX: u32 = 4_096;

/// Turns, or rows, that one transaction takes at most.
pub const COMMIT_ACTORS_MAX: usize = 512;
/// Bytes of state that one transaction takes before it is closed.
pub const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commits that may wait for the writer before workers hold back further turns.
pub const COMMIT_QUEUE_MAX: usize = 8_192;
/// Actors that one load reads at most.
pub const LOAD_ACTORS_MAX: usize = 256;

const _: () = assert!(STATE_BYTES_MAX + PAYLOAD_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(RUN_TURNS_MAX < SPECULATION_DEPTH_MAX);
const _: () = assert!(INLINE_OUTCOMES_MAX < KNOWN_IDS_MAX);
const _: () = assert!(CREATED_AHEAD_MS < OUTCOME_WINDOW_MS);
const _: () = assert!(DELIVERY_AGE_MAX_MS < DELIVERED_WINDOW_MS);
const _: () = assert!(PAYLOAD_BYTES_MAX < CHANNEL_RING_BYTES_MAX);
const _: () = assert!(CHANNEL_RING_BYTES_MAX < CHANNEL_RINGS_BYTES_MAX);
const _: () = assert!(BROADCAST_STOPS_MAX < DELIVERIES_IN_FLIGHT_MAX);
const _: () = assert!(MAILBOX_DEFAULT <= MAILBOX_MAX);
const _: () = assert!(FORWARDS_IN_FLIGHT_MAX < FORWARDS_PER_PEER_MAX);
const _: () = assert!(FORWARDS_PER_PEER_MAX < FORWARDS_HELD_MAX);
