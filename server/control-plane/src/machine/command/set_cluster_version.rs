//! Allows newer commands.

use callboard_types::{CallError, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Raises the newest command version that may be proposed. It never falls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetClusterVersion {
    /// The version. Every node must know it.
    pub version: u32,
}

impl SetClusterVersion {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if self.version <= machine.cluster_version {
            return Ok(false);
        }
        let behind =
            machine.members().find(|(_, member)| !member.commands().contains(&self.version));
        if let Some((node, member)) = behind {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "node {node} knows command versions {} to {} and not {}; bring it to a newer version of callboard, \
                     or remove it",
                    member.commands().start(),
                    member.commands().end(),
                    self.version
                ),
            ));
        }
        machine.cluster_version = self.version;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{allocate, cluster, machine, start},
    };

    #[test]
    fn a_cluster_takes_up_new_commands_once_every_node_knows_them() {
        let mut machine = machine();
        let set = |version| Command::SetClusterVersion(SetClusterVersion { version });
        assert_eq!(machine.cluster_version(), 1, "the first command version named it");
        machine.apply(set(2)).outcome.expect_err("nothing is known of node 1");
        assert!(machine.admits(&start(1, 0, 5)), "nobody else has to know the command");
        assert!(machine.apply(start(1, 0, 5)).changed);
        assert!(machine.apply(set(2)).changed);
        assert!(!machine.apply(set(1)).changed, "it never falls");
        machine.apply(set(3)).outcome.expect_err("nobody knows it");
        assert_eq!(machine.cluster_version(), 2);
    }

    #[test]
    fn a_command_that_not_every_node_knows_is_not_admitted() {
        let mut machine = machine();
        machine.apply(allocate("two"));
        let command = allocate("three");
        assert_eq!(command.needs_version(), 2);
        machine.apply(Command::NodeUpsert(crate::machine::command::NodeUpsert {
            node: callboard_types::NodeId(2),
            address: "b:1".into(),
        }));
        assert!(!machine.admits(&command), "two nodes, and the cluster is at version 1");
        assert!(cluster(2).admits(&command));
    }
}
