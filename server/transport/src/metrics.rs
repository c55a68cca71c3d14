//! What this crate counts. Base units; labels come from closed lists.

use ::metrics::{Unit, describe_counter, describe_gauge};

/// Connections that were accepted and handed to a lane.
pub const CONNECTIONS_ACCEPTED: &str = "callboard_connections_accepted_total";
/// Connections that are open now.
pub const CONNECTIONS_OPEN: &str = "callboard_connections_open";
/// Connections that were closed before they were served; label `reason`.
pub const CONNECTIONS_REFUSED: &str = "callboard_connections_refused_total";
/// Background tasks that ended with an error or a panic; label `task`.
pub const TASKS_FAILED: &str = "callboard_tasks_failed_total";

/// Registers names, units and help texts with the installed recorder. Called once by the node.
pub fn describe() {
    describe_counter!(
        CONNECTIONS_ACCEPTED,
        Unit::Count,
        "Connections accepted and handed to a worker"
    );
    describe_gauge!(CONNECTIONS_OPEN, Unit::Count, "Connections open now");
    describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections closed before they were served, by reason"
    );
    describe_counter!(
        TASKS_FAILED,
        Unit::Count,
        "Background tasks that ended with an error or a panic, by task"
    );
}
