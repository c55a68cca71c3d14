//! Schedules as they stand in snapshots of format 3. Format 4 has the requests beside them.

use std::sync::Arc;

use callboard_types::Millis;
use serde::{Deserialize, Serialize};

use super::{Memory, Schedule, Schedules};

/// Everything that the indices can be made of again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchedules {
    last_number: u64,
    /// Shared with the machine, so that a snapshot copies none of them.
    schedules: Vec<Arc<Schedule>>,
    memory: Memory,
}

impl StoredSchedules {
    /// True if a machine that never had a schedule is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Schedules {
    /// The requests that were done, for [`with_requests`](Self::with_requests).
    pub(in crate::machine) fn requests(&self) -> Vec<(Millis, u128)> {
        self.requests.iter().collect()
    }

    pub(in crate::machine) fn with_requests(mut self, requests: Vec<(Millis, u128)>) -> Self {
        self.requests = requests.into_iter().collect();
        self
    }
}

impl From<&Schedules> for StoredSchedules {
    fn from(all: &Schedules) -> Self {
        let batches = all.batches.iter().cloned().collect();
        let gone = all.gone.iter().collect();
        Self {
            last_number: all.last_number,
            schedules: all.by_number.values().cloned().collect(),
            memory: Memory { batches, gone },
        }
    }
}

impl From<StoredSchedules> for Schedules {
    fn from(stored: StoredSchedules) -> Self {
        let Memory { batches, gone } = stored.memory;
        let mut all = Self {
            last_number: stored.last_number,
            refusals: batches.iter().map(|(_, refusals)| refusals.len()).sum(),
            batches: batches.into_iter().collect(),
            gone: gone.into_iter().collect(),
            ..Self::default()
        };
        let mut system: Arc<str> = "".into();
        for schedule in stored.schedules {
            let mut schedule = Arc::unwrap_or_clone(schedule);
            // One copy per system, as it was before.
            if schedule.system != system {
                let known = all.names.get_key_value(&schedule.system);
                system = known
                    .map_or_else(|| Arc::clone(&schedule.system), |(name, _)| Arc::clone(name));
            }
            schedule.system = Arc::clone(&system);
            all.put(None, schedule);
        }
        all
    }
}
