//! Changes schedules, many at a time.

use callboard_types::{CallError, ErrorKind, Millis};
use serde::{Deserialize, Serialize};

use crate::machine::{
    Applied, Machine,
    schedules::{Change, ChangeResult},
};

/// Changes of schedules, each with a result of its own. What is refused leaves the others as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSchedules {
    /// Drawn by the proposer. A batch that is proposed again under the same id is not applied again.
    pub id: u128,
    /// The proposer's wall clock.
    pub now: Millis,
    /// The changes.
    pub changes: Vec<Change>,
}

impl ChangeSchedules {
    /// The highest that a change needs.
    pub(super) fn needs_version(&self) -> u32 {
        self.changes.iter().map(Change::needs_version).fold(3, u32::max)
    }

    /// Applies it. Told apart from other commands by its results.
    pub(in crate::machine) fn run(self, machine: &mut Machine) -> Applied {
        let systems = &machine.systems;
        let has_system = |name: &str| systems.contains_key(name);
        let (changed, results) =
            machine.schedules.apply(self.id, self.now, self.changes, has_system);
        Applied { changed, outcome: Ok(()), results }
    }
}

/// The schedule's system is not there.
pub(in crate::machine) fn no_system(name: &str) -> ChangeResult {
    let text = format!("there is no system \"{}\"; create it first", name.escape_debug());
    Err(CallError::new(ErrorKind::UnknownSystem, text))
}
