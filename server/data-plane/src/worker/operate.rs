//! Actors that leave memory at an operator's word, or at their own.

use super::{RoutedCall, Slot, Worker};
use crate::{activation::operate::Tool, call::Reply};

impl Worker {
    /// Drops an activation that nothing waits for. An actor that is kept in memory comes back at the end of the round.
    pub(super) fn leave(&mut self, slot: Slot) {
        let Some(entry) = self.table.get(slot) else { return };
        let type_id = entry.type_id;
        self.evict(slot);
        if !self.to_keep.contains(&type_id) {
            self.to_keep.push(type_id);
        }
    }

    /// Brings back actors of types that are kept in memory.
    pub(super) fn bring_back(&mut self) {
        for type_id in std::mem::take(&mut self.to_keep) {
            self.activate_kept(type_id);
        }
    }

    /// Answers a call that takes an actor out of memory, if it is not there. Gives others back.
    pub(super) fn leave_unless_there(&mut self, routed: RoutedCall) -> Option<RoutedCall> {
        let type_id = routed.actor_type.view.id;
        let leaves = Tool::named(&routed.call.action) == Some(Tool::Deactivate);
        if !leaves || self.table.find(type_id, &routed.key, routed.key_hash).is_some() {
            return Some(routed);
        }
        self.outbox.answer(routed.call.reply_to, Ok(Reply::default()));
        None
    }
}
