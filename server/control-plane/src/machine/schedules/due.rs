//! What is due, in the words of the plane that fires it.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{ActorId, DueCursor, Occurrence};

use super::{Overlap, Schedule, record::Due};

/// One occurrence that may fire, with its schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueOccurrence {
    /// Its schedule.
    pub schedule: Arc<Schedule>,
    /// Which of the schedule's occurrences.
    pub due: Due,
}

impl DueOccurrence {
    /// The occurrence of a schedule that is due at the cursor.
    #[must_use]
    pub fn at(cursor: DueCursor, schedule: &Arc<Schedule>) -> Option<Self> {
        let due = schedule.pending().find(|one| one.due == cursor.due)?;
        Some(Self { schedule: Arc::clone(schedule), due })
    }

    /// Spelled out for whoever fires it.
    #[must_use]
    pub fn spell(&self) -> Occurrence {
        let (schedule, due) = (&self.schedule, self.due);
        let spec = schedule.spec();
        let system: Arc<str> =
            if spec.system.is_empty() { Arc::clone(&schedule.system) } else { spec.system.into() };
        let argument = spec.argument;
        Occurrence {
            at: DueCursor { due: due.due, schedule: schedule.number },
            generation: due.generation,
            number: due.number,
            name: Arc::clone(&schedule.name),
            target: ActorId { system, actor_type: spec.actor_type.into(), key: spec.key.into() },
            action: spec.action.into(),
            argument: (argument.content_type, argument.type_url, Bytes::from(argument.data)),
            metadata: spec.metadata,
            accept_only: spec.overlap == Overlap::Allow,
        }
    }
}
