//! What this crate counts. Base units; labels come from closed lists.

use ::metrics::{Unit, describe_counter, describe_gauge};

/// Connections that were accepted and handed to a lane.
pub const CONNECTIONS_ACCEPTED: &str = "callboard_connections_accepted_total";
/// Connections that are open now.
pub const CONNECTIONS_OPEN: &str = "callboard_connections_open";
/// Connections that were closed before they were served; label `reason`.
pub const CONNECTIONS_REFUSED: &str = "callboard_connections_refused_total";
/// Sessions that other nodes opened with this one.
pub const PEER_SESSIONS_OPENED: &str = "callboard_peer_sessions_opened_total";
/// Requests on the listener for nodes that were refused; label `reason`.
pub const PEER_REFUSED: &str = "callboard_peer_refused_total";
/// Connections to other nodes that could not be made; label `reason`.
pub const PEER_DIALS_FAILED: &str = "callboard_peer_dials_failed_total";
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
        PEER_SESSIONS_OPENED,
        Unit::Count,
        "Sessions that other nodes opened with this one"
    );
    describe_counter!(
        PEER_REFUSED,
        Unit::Count,
        "Requests on the listener for nodes that were refused, by reason"
    );
    describe_counter!(
        PEER_DIALS_FAILED,
        Unit::Count,
        "Connections to other nodes that could not be made, by reason"
    );
    describe_counter!(
        TASKS_FAILED,
        Unit::Count,
        "Background tasks that ended with an error or a panic, by task"
    );
}
