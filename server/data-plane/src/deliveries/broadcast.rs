//! The way of a committed broadcast to the shards that listen.

use std::sync::Arc;

use callboard_types::{ActorId, Millis};

use crate::call::{DeliveryWaiter, Metadata, Payload, Reply};

/// A message that a committed turn said on a channel.
#[derive(Debug)]
pub struct BroadcastJob {
    /// Names the message; the same at each attempt, so that a shard records it once.
    pub id: String,
    /// The system of the channel.
    pub system: Arc<str>,
    /// The channel.
    pub channel: String,
    /// The message.
    pub payload: Payload,
    /// Its metadata.
    pub metadata: Metadata,
    /// Who said it.
    pub source: ActorId,
    /// When it was said.
    pub created_at: Millis,
    /// Told once every shard that listens has recorded the message, or why one could not. Errors are judged like those of
    /// calls: see [`verdict`](super::verdict).
    pub done: DeliveryWaiter,
}

/// Takes messages for the shards that listen. Never waits: a job that there is no room for is answered `MailboxFull`, and
/// comes again.
pub trait BroadcastQueue: std::fmt::Debug + Send + Sync {
    /// Takes a message.
    fn send(&self, job: BroadcastJob);
}

/// For planes without channels: nobody listens, so every message has reached everybody.
#[derive(Clone, Copy, Debug)]
pub struct NobodyListens;

impl BroadcastQueue for NobodyListens {
    fn send(&self, job: BroadcastJob) {
        job.done.answer(Ok(Reply::default()));
    }
}
