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
/// Renewals of this node's lease; label `confirmed`.
pub const RENEWALS: &str = "callboard_control_lease_renewals_total";
/// From sending a renewal to its confirmation.
pub const RENEWAL_SECONDS: &str = "callboard_control_lease_renewal_seconds";
/// Time of one round in which a quorum confirmed that this node leads.
pub const ROUND_SECONDS: &str = "callboard_control_lease_round_seconds";
/// Renewals that one such round confirmed.
pub const ROUND_RENEWALS: &str = "callboard_control_lease_round_renewals";
/// By how much this node's wall clock is ahead of the cluster's time; negative if it is behind.
pub const CLOCK_AHEAD: &str = "callboard_control_clock_ahead_seconds";
/// By how much the cluster's time may be later than this node was told. Delays are late by as much.
pub const CLOCK_ERROR: &str = "callboard_control_clock_error_seconds";
/// How long this node knew of no leader, whenever it found one again.
pub const LEADERLESS_SECONDS: &str = "callboard_control_leaderless_seconds";
/// Nodes that this node, as the leader, declared down.
pub const NODES_DOWN: &str = "callboard_control_nodes_down_total";
/// Planned moves of shards that this node, as the leader, began.
pub const MOVES_PLANNED: &str = "callboard_control_moves_planned_total";
/// Shards that changed their owner, as this node saw it; label `why`: `moved` or `taken_over`.
pub const SHARDS_MOVED: &str = "callboard_control_shards_moved_total";
/// Schedules that the cluster has.
pub const SCHEDULES: &str = "callboard_control_schedules";
/// Changes of schedules that this node proposed at a time.
pub const SCHEDULE_BATCH_CHANGES: &str = "callboard_control_schedule_batch_changes";
/// From proposing changes of schedules to their being applied here.
pub const SCHEDULE_BATCH_SECONDS: &str = "callboard_control_schedule_batch_seconds";
/// Occurrences that this node found too late to be fired.
pub const SCHEDULE_LATE: &str = "callboard_control_schedule_late_total";

/// Registers names, units and help texts with the installed recorder. Called whenever a control plane is opened.
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
    describe_gauge!(
        CLOCK_AHEAD,
        Unit::Seconds,
        "By how much the node's wall clock is ahead of the cluster's time"
    );
    describe_gauge!(
        CLOCK_ERROR,
        Unit::Seconds,
        "By how much the cluster's time may be later than the node was told"
    );
    describe_counter!(RENEWALS, Unit::Count, "Renewals of this node's lease, by whether confirmed");
    describe_histogram!(
        RENEWAL_SECONDS,
        Unit::Seconds,
        "From sending a renewal of this node's lease to its confirmation"
    );
    describe_histogram!(
        ROUND_SECONDS,
        Unit::Seconds,
        "Time of one round in which a quorum confirmed that this node leads"
    );
    describe_histogram!(ROUND_RENEWALS, Unit::Count, "Renewals that one such round confirmed");
    describe_histogram!(
        LEADERLESS_SECONDS,
        Unit::Seconds,
        "How long this node knew of no leader of the control plane"
    );
    describe_counter!(
        NODES_DOWN,
        Unit::Count,
        "Nodes that this node, as the leader, declared down"
    );
    describe_counter!(MOVES_PLANNED, Unit::Count, "Planned moves of shards that this node began");
    describe_gauge!(SCHEDULES, Unit::Count, "Schedules that the cluster has");
    describe_histogram!(
        SCHEDULE_BATCH_CHANGES,
        Unit::Count,
        "Changes of schedules that this node proposed at a time"
    );
    describe_histogram!(
        SCHEDULE_BATCH_SECONDS,
        Unit::Seconds,
        "From proposing changes of schedules to their being applied on this node"
    );
    describe_counter!(
        SCHEDULE_LATE,
        Unit::Count,
        "Occurrences of schedules that this node found too late to be fired"
    );
    describe_counter!(SHARDS_MOVED, Unit::Count, "Shards that changed their owner, by why");
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

#[expect(clippy::cast_precision_loss, reason = "microseconds of one round are far below 2^53")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

pub(crate) fn renewal(confirmed: bool, micros: u64) {
    let label = if confirmed { "yes" } else { "no" };
    counter!(RENEWALS, "confirmed" => label).increment(1);
    if confirmed {
        histogram!(RENEWAL_SECONDS).record(seconds(micros));
    }
}

#[expect(clippy::cast_precision_loss, reason = "no clock is wrong by 2^53 milliseconds")]
pub(crate) fn clock(ahead_ms: i64, error_us: i64) {
    gauge!(CLOCK_AHEAD).set(ahead_ms as f64 / 1e3);
    gauge!(CLOCK_ERROR).set(error_us as f64 / 1e6);
}

pub(crate) fn round_confirmed(micros: u64, renewals: usize) {
    histogram!(ROUND_SECONDS).record(seconds(micros));
    histogram!(ROUND_RENEWALS).record(f64::from(u32::try_from(renewals).unwrap_or(u32::MAX)));
}

pub(crate) fn leader_found(micros: u64) {
    histogram!(LEADERLESS_SECONDS).record(seconds(micros));
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 schedules")]
pub(crate) fn schedules_pending(count: usize) {
    gauge!(SCHEDULES).set(count as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^53")]
pub(crate) fn schedules_proposed(changes: usize, micros: u64) {
    histogram!(SCHEDULE_BATCH_CHANGES).record(changes as f64);
    histogram!(SCHEDULE_BATCH_SECONDS).record(seconds(micros));
}

pub(crate) fn schedules_late(count: u64) {
    counter!(SCHEDULE_LATE).increment(count);
}

pub(crate) fn nodes_down(count: usize) {
    counter!(NODES_DOWN).increment(count as u64);
}

pub(crate) fn moves_planned(count: usize) {
    counter!(MOVES_PLANNED).increment(count as u64);
}

pub(crate) fn shards_moved(planned: bool, count: u64) {
    counter!(SHARDS_MOVED, "why" => if planned { "moved" } else { "taken_over" }).increment(count);
}
