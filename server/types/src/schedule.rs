//! What passes between the plane that keeps schedules and the plane that fires them.

use std::sync::Arc;

use bytes::Bytes;

use crate::{actor_id::ActorId, clock::Millis, error::CallError};

/// Where a walk over due occurrences stands: the due time and the schedule's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueCursor {
    /// When it is due.
    pub due: Millis,
    /// The schedule's number, never used for another one in the life of the cluster.
    pub schedule: u64,
}

/// One firing of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Where it stands among all.
    pub at: DueCursor,
    /// Raised with each update of the schedule.
    pub generation: u64,
    /// Counts the occurrences of a schedule from 1. Triggers count among them.
    pub number: u64,
    /// The schedule's name, for the metadata entry `callboard-schedule`.
    pub name: Arc<str>,
    /// Whom it calls.
    pub target: ActorId,
    /// With which action.
    pub action: Arc<str>,
    /// The argument's media type, its message's full name, and its bytes.
    pub argument: (String, String, Bytes),
    /// Further metadata.
    pub metadata: Vec<(String, String)>,
    /// True if the firing ends when its call is durably accepted, not when it was answered.
    pub accept_only: bool,
}

impl Occurrence {
    /// The request id of its call: the same at each attempt, on whichever node.
    #[must_use]
    pub fn request_id(&self) -> String {
        format!("schedule-{}-{}-{}", self.at.schedule, self.generation, self.number)
    }
}

/// How a firing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrenceEnd {
    /// The schedule's number.
    pub schedule: u64,
    /// The generation that fired.
    pub generation: u64,
    /// The occurrence.
    pub number: u64,
    /// When it was handed to its actor.
    pub fired_at: Millis,
    /// Why its call failed, if it did.
    pub error: Option<CallError>,
}
