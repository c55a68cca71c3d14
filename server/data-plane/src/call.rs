//! A call inside a node: what is asked, and where the answer goes.
//!
//! Made by a gateway, an in-turn call or the inbox; owned by the activation it waits for until it is answered, once.

mod delivery;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use callboard_types::{ActorId, CallError, ErrorKind, Millis, Revision, Tick, limits};
use tokio::sync::{mpsc, oneshot};

pub use delivery::{DeliveryEnd, DeliveryWaiter};

use crate::{
    catalog::TypeRuntime, channels::machine_walk::Stop, pools::Seat, session::SessionLink,
};

/// Draws a request id that holds the time at which it was drawn, by the cluster's clock: a UUID of version 7.
#[must_use]
pub fn draw_id(now: Millis) -> String {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    let time = uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos);
    uuid::Uuid::new_v7(time).to_string()
}

/// When a request id was drawn, if it says so, as UUIDs of version 7 do; 0 otherwise.
#[must_use]
pub fn drawn_at(request_id: &str) -> Millis {
    let held = uuid::Uuid::try_parse(request_id).ok().and_then(|id| id.get_timestamp());
    let millis = held.map(|time| {
        let (seconds, nanos) = time.to_unix();
        seconds.saturating_mul(1_000).saturating_add(u64::from(nanos / 1_000_000))
    });
    Millis(millis.and_then(|millis| i64::try_from(millis).ok()).unwrap_or(0))
}

/// Bytes together with what is needed to read them. No content type means "no value".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The media type of `data`; empty for no value.
    pub content_type: String,
    /// Full name of the protobuf message in `data`; empty for others.
    pub type_url: String,
    /// The encoded value.
    pub data: Bytes,
}

/// What the caller attached: trace context and its own entries.
pub type Metadata = HashMap<String, String>;

/// Where a call comes from, if not from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The calling actor.
    pub caller: Option<ActorId>,
    /// Every actor whose turn waits for this call, outermost first.
    pub chain: Vec<ActorId>,
}

/// A station of a chain of pipes and forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The actor that passed the call on.
    pub actor: ActorId,
    /// The action that it ran.
    pub action: String,
}

/// One request to run an action.
#[derive(Debug)]
pub struct Call {
    /// The action's name.
    pub action: String,
    /// Its argument.
    pub argument: Payload,
    /// Names the logical call within its actor.
    pub request_id: String,
    /// When the logical call was first made, by its caller's clock; 0 if the caller did not say.
    pub created_at: Millis,
    /// When nobody waits any longer; [`Tick::NEVER`] for accepted calls.
    pub deadline: Tick,
    /// The caller's metadata.
    pub metadata: Metadata,
    /// Where it comes from; `None` for outside.
    pub lineage: Option<Box<Lineage>>,
    /// True if the caller waits for acceptance only.
    pub asynchronous: bool,
    /// True if the call only brings its actor into memory; it has no action then.
    pub activates_only: bool,
    /// True if the gateway converted the argument from JSON by the descriptors of the call's type. An owner with other
    /// descriptors refuses the call then.
    pub from_json: bool,
    /// True if a host, here or at another node, may have begun it before; then only its request id keeps it from being
    /// applied twice, and nobody may say that it was not run.
    pub begun: bool,
    /// True if a row of the sender stands for the call (an effect, a firing, a broadcast): it has no deadline, it is not
    /// refused for the age of the row, and its outcome is kept until the sender says that the row is gone.
    pub delivery: bool,
    /// Where it came through by pipe or forward, oldest first; `None` for most.
    pub hops: Option<Box<Vec<Hop>>>,
    /// Its place at an instance of a pool; `None` for calls to other actors.
    pub seat: Option<Seat>,
    /// Who is told.
    pub reply_to: ReplyTo,
}

impl Call {
    /// A call that only brings its actor into memory.
    #[must_use]
    pub fn activation(reply_to: ReplyTo, now: Tick) -> Self {
        Self {
            action: String::new(),
            argument: Payload::default(),
            request_id: String::new(),
            created_at: Millis::default(),
            deadline: now.plus_millis(limits::CALL_TIMEOUT_DEFAULT_MS),
            metadata: Metadata::new(),
            lineage: None,
            asynchronous: false,
            activates_only: true,
            from_json: false,
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to,
        }
    }

    /// What the caller hears if the call cannot be taken up for this reason: that it was not run, if that is true.
    #[must_use]
    pub fn refused_for(&self, error: CallError) -> CallError {
        if !self.begun {
            return error;
        }
        let text = format!(
            "the call was begun before and had to be given up, and cannot be taken up again now ({}). It may have been \
             applied. Retry it with the same request id",
            error.reason()
        );
        CallError::new(ErrorKind::OutcomeUnknown, text).retry_after(error.retry_after_ms)
    }
}

/// What an action answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The reply; no content type for "no value".
    pub payload: Payload,
    /// The revision that the reply was computed on or produced.
    pub revision: Revision,
    /// True if the effect, or the acceptance, is committed.
    pub durable: bool,
    /// Set if another actor gives the reply, because the turn has passed the call on. Nobody but custody and the worker sees
    /// such a reply: whoever answers callers follows the link.
    pub next: Option<Box<Link>>,
}

/// Where the reply to a call is to be had that was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The next actor.
    pub actor: ActorId,
    /// The request id of the call to it.
    pub request_id: String,
}

/// The end of a call.
pub type Outcome = Result<Reply, CallError>;

/// Who waits for the outcome of a call.
#[derive(Debug)]
pub enum ReplyTo {
    /// A call of an `InvokeStream`.
    Stream {
        /// The stream.
        sink: Arc<StreamSink>,
        /// The caller's number for the call.
        stream_id: u64,
        /// What the reply needs beside the outcome; most need nothing.
        extras: Option<Box<StreamExtras>>,
    },
    /// A unary call.
    Unary(oneshot::Sender<Outcome>),
    /// A turn of another actor, through its host's session.
    Turn {
        /// The session that runs the calling turn.
        session: Arc<SessionLink>,
        /// The calling turn.
        turn_id: u64,
        /// The call's number within the turn.
        call_index: u32,
    },
    /// The sender of a delivery, for the row that stands for the call.
    Delivery(DeliveryWaiter),
    /// The walk of a message over its subscribers, at the worker that runs the call; `None` if it was said to active actors
    /// and its end is of no interest.
    Walk(Option<Box<WalkTicket>>),
    /// Nobody: an accepted call that is replayed, or an initialisation.
    Nobody,
}

/// Names the delivery of a message of a channel to one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkTicket {
    /// The walker of its shard, by the worker's number for it.
    pub walker: u64,
    /// The walker's own name for it.
    pub stop: Stop,
}

impl ReplyTo {
    /// True if another node waits, with the call in its custody. A worker that cannot serve such a call answers
    /// `NotOwner`, or `LeaseLost` if the call may have been applied here, and the other node finds the owner; calls of this
    /// node's own callers go to the
    /// [`ForwardQueue`](crate::forward::ForwardQueue) instead. So no call travels in circles.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        matches!(self, Self::Stream { sink, .. } if sink.peer)
    }

    /// True if it is a call of a stream that is named among these, as (sink, stream id).
    #[must_use]
    pub fn is_named_in(&self, calls: &HashSet<(u64, u64)>) -> bool {
        matches!(self, Self::Stream { sink, stream_id, .. } if calls.contains(&(sink.id, *stream_id)))
    }

    /// True if nobody waits any longer. `cancelled` names calls of streams as (sink, stream id).
    #[must_use]
    pub fn is_gone(&self, cancelled: &HashSet<(u64, u64)>) -> bool {
        match self {
            Self::Stream { sink, .. } => sink.batches.is_closed() || self.is_named_in(cancelled),
            Self::Unary(waiter) => waiter.is_closed(),
            Self::Turn { session, .. } => session.is_closed(),
            Self::Delivery(_) | Self::Walk(_) | Self::Nobody => false,
        }
    }
}

/// Where the replies of one `InvokeStream`, or of one peer's stream, go. Shared by the stream's task and the workers.
#[derive(Debug)]
pub struct StreamSink {
    /// Unique in the process.
    pub id: u64,
    /// True if the stream is another node's.
    pub peer: bool,
    /// Takes batches of answers. Its capacity is the stream's in-flight limit and every batch ends
    /// at least one call in flight, so there is always room.
    pub batches: mpsc::Sender<Vec<StreamAnswer>>,
}

/// The end of a call of an `InvokeStream`.
#[derive(Debug)]
pub struct StreamAnswer {
    /// The caller's number for the call.
    pub stream_id: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// What the reply needs beside the outcome.
    pub extras: Option<Box<StreamExtras>>,
}

/// What a reply on a stream needs beside the outcome.
#[derive(Debug, Default)]
pub struct StreamExtras {
    /// Set if the reply is to be JSON.
    pub json_for: Option<Arc<TypeRuntime>>,
    /// The request id, if the gateway made it up.
    pub made_id: String,
    /// The schedule that makes the call later; empty if it was made now.
    pub schedule: String,
    /// Of another node's call: its type and shard, for the answer that the shard is not here.
    pub forwarded: Option<(Arc<TypeRuntime>, u32)>,
}
