//! What a turn sets going if it commits, as its host said it: checked, and with every request id drawn.
//!
//! Made once per answer by the session's reader; owned by the turn until it has settled. Ids are drawn here and never
//! computed, so that a turn that is run again sets other things going than its discarded attempt did.

use callboard_types::{ActorId, Millis};

use crate::call::{Metadata, Payload};

/// The outputs of one turn, in the order in which they take effect: effects, broadcasts, next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflow {
    /// Calls whose replies nobody waits for.
    pub effects: Vec<SideEffect>,
    /// Messages to channels.
    pub broadcasts: Vec<Said>,
    /// Who answers the caller in this actor's place.
    pub next: Option<NextCall>,
    /// True to save a snapshot actor with this turn.
    pub checkpoint: bool,
    /// True to take the actor out of memory once nothing waits for it.
    pub deactivate: bool,
}

/// A call that is made once the turn has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideEffect {
    /// Whom it is for; an empty system is the actor's own.
    pub target: ActorId,
    /// The action.
    pub action: String,
    /// Its argument.
    pub argument: Payload,
    /// How long it waits after the turn, in milliseconds.
    pub delay_ms: u64,
    /// When it is due; 0 for after the delay.
    pub due_at: Millis,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its request id.
    pub request_id: String,
}

/// A message to a channel of the actor's system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The channel.
    pub channel: String,
    /// The message.
    pub payload: Payload,
    /// Its metadata.
    pub metadata: Metadata,
    /// Names the message.
    pub id: String,
}

/// The actor that answers the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextCall {
    /// Whom it is for; an empty system is the actor's own.
    pub target: ActorId,
    /// The action.
    pub action: String,
    /// True if its argument is this turn's own; otherwise it is this turn's reply.
    pub forwards: bool,
    /// Its request id.
    pub request_id: String,
}
