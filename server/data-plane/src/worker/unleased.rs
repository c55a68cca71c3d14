//! What a worker does while the node's lease has lapsed: it keeps everything, begins nothing and answers nothing that no
//! commit covers. Others may own its shards by now; if they do not, serving goes on when the lease is back.

use callboard_types::{CallError, ErrorKind};

use super::{RoutedCall, Worker, epochs::not_served, types::Times};
use crate::call::ReplyTo;

impl Worker {
    /// Looks at the lease and the time, once per round and with each new view. Answers are checked again, right before they
    /// leave.
    ///
    /// A lease that comes back after a gap counts only once the view of that time was taken up: shards that went to another
    /// node in the gap and came back are this worker's at their old epoch until then.
    pub(super) fn look_at_lease(&mut self) {
        let leased = self.lease.holds_for(self.now, self.catalog.view.version);
        if leased && !self.leased {
            self.retry_starved();
            self.local_calls.append(&mut self.unleased);
        }
        self.leased = leased;
        // After the lease: a node that holds one was told the time.
        self.wall = self.lease.clock().at_after(self.now, self.wall);
        self.latest = self.lease.clock().latest_at(self.now).max(self.wall);
    }

    /// What the clocks showed when the round began.
    pub(super) fn times(&self) -> Times {
        Times { now: self.now, wall: self.wall, latest: self.latest }
    }

    /// Takes a call that must not be run now. Callers outside may find a node that serves it; a turn on this node would
    /// keep a refusal as its own outcome, so its call waits, and so does a call that was accepted.
    pub(super) fn on_call_unleased(&mut self, routed: RoutedCall) {
        match &routed.call.reply_to {
            ReplyTo::Turn { .. } | ReplyTo::Nobody => self.unleased.push_back(routed),
            to if to.is_peer() => {
                let error = not_served(&routed.call);
                self.refuse(routed.call.reply_to, error);
            }
            _ => self.refuse(routed.call.reply_to, lease_lost()),
        }
    }

    /// Lets go of calls of turns whose deadline has passed, or whose shard is another node's by now.
    pub(super) fn review_unleased(&mut self) {
        for routed in std::mem::take(&mut self.unleased) {
            if routed.call.deadline <= self.now {
                self.refuse(routed.call.reply_to, lease_lost());
            } else {
                // Calls to shards that are still here come back to the queue.
                self.local_calls.push_back(routed);
            }
        }
    }
}

/// The node may have been replaced without knowing it.
pub(crate) fn lease_lost() -> CallError {
    CallError::new(
        ErrorKind::LeaseLost,
        "the node has lost touch with the cluster and may have been replaced; the call may have been \
         applied. Retry it with the same request id, at another node if possible",
    )
}

/// The node takes no new calls.
pub(crate) fn shutting_down() -> CallError {
    CallError::new(
        ErrorKind::ShuttingDown,
        "the node is about to stop and takes no new calls; this one was not run. Retry it, at another node if possible",
    )
}
