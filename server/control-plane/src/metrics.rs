//! What this crate measures. Base units; labels come from closed lists.

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Commands applied to the replicated state; label `command`.
pub const COMMANDS_APPLIED: &str = "callboard_control_commands_applied_total";
/// Time of one durable write to the log.
pub const LOG_COMMIT_SECONDS: &str = "callboard_control_log_commit_seconds";
/// Size of the newest snapshot.
pub const SNAPSHOT_BYTES: &str = "callboard_control_snapshot_bytes";
/// 1 while this node leads the control plane.
pub const IS_LEADER: &str = "callboard_control_is_leader";
/// The control plane's term.
pub const TERM: &str = "callboard_control_term";
/// The version of the newest view.
pub const VIEW_VERSION: &str = "callboard_control_view_version";

/// Registers names, units and help texts with the installed recorder. Called once by the node.
pub fn describe() {
    describe_counter!(
        COMMANDS_APPLIED,
        Unit::Count,
        "Commands applied to the replicated state, by command"
    );
    describe_histogram!(
        LOG_COMMIT_SECONDS,
        Unit::Seconds,
        "Time of one durable write to the control plane's log"
    );
    describe_gauge!(SNAPSHOT_BYTES, Unit::Bytes, "Size of the control plane's newest snapshot");
    describe_gauge!(IS_LEADER, Unit::Count, "1 while this node leads the control plane");
    describe_gauge!(TERM, Unit::Count, "Term of the control plane");
    describe_gauge!(VIEW_VERSION, Unit::Count, "Version of the newest cluster view");
}

pub(crate) fn command_applied(command: &'static str) {
    counter!(COMMANDS_APPLIED, "command" => command).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one write are far below 2^53")]
pub(crate) fn log_committed(micros: u64) {
    histogram!(LOG_COMMIT_SECONDS).record(micros as f64 / 1e6);
}

#[expect(clippy::cast_precision_loss, reason = "snapshots are far smaller than 2^53 bytes")]
pub(crate) fn snapshot_built(bytes: usize) {
    gauge!(SNAPSHOT_BYTES).set(bytes as f64);
}

#[expect(clippy::cast_precision_loss, reason = "terms and versions are far below 2^53")]
pub(crate) fn view_published(is_leader: bool, term: u64, version: u64) {
    gauge!(IS_LEADER).set(f64::from(u8::from(is_leader)));
    gauge!(TERM).set(term as f64);
    gauge!(VIEW_VERSION).set(version as f64);
}
