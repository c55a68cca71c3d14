//! A node that was down shows itself.

use callboard_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// A node that missed its lease without ending is heard of again. Its shards have gone to others, and it was told to
/// forget which hosts it has: it says so anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUp {
    /// The node.
    pub node: NodeId,
    /// Its life. If another one began, or the node is up, this changes nothing.
    pub life: u64,
}

impl NodeUp {
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let Some(member) = machine.members.get_mut(&self.node) else {
            return false;
        };
        if member.up || member.life != self.life || self.life == 0 {
            return false;
        }
        member.up = true;
        machine.settle_all();
        true
    }
}
