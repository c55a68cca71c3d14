//! Makes a group of actors.

use callboard_types::{CallError, actor_id::check_name};
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, SYSTEMS_MAX, exhausted};

/// Makes a system unless it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSystem {
    /// Its name.
    pub name: String,
}

impl CreateSystem {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        check_name("system", &self.name)?;
        if machine.systems.contains_key(self.name.as_str()) {
            return Ok(false);
        }
        if machine.systems.len() >= SYSTEMS_MAX {
            return Err(exhausted("systems", SYSTEMS_MAX));
        }
        machine.systems.entry(self.name.into()).or_default();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{Command, fixtures::machine};

    #[test]
    fn a_system_exists_once_and_a_bad_name_is_refused() {
        let mut machine = machine();
        let mut create =
            |name: &str| machine.apply(Command::CreateSystem(CreateSystem { name: name.into() }));
        assert!(create("shop").changed);
        assert!(!create("shop").changed);
        create("a/b").outcome.expect_err("a slash in a name");
        assert_eq!(machine.systems().map(|name| &**name).collect::<Vec<_>>(), ["default", "shop"]);
    }
}
