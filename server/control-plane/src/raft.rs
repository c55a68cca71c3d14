//! The shell around the machine: openraft with a durable log, snapshots and a network. Nothing outside knows openraft.

pub(crate) mod cadence;
pub(crate) mod codec;
pub(crate) mod log_store;
pub(crate) mod network;
pub(crate) mod snapshot_store;
pub(crate) mod state_machine;
pub(crate) mod types;

use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use crate::{Error, Options};

/// Entries kept behind a snapshot, so that a peer that lags a little needs no snapshot.
const ENTRIES_KEPT: u64 = 200;
/// Requests and events that wait inside openraft. A command may be megabytes, so openraft's own 65,536 is no bound.
const CHANNEL_SIZE: u64 = 4_096;
/// How long a whole snapshot may take to reach a peer, in milliseconds.
const SNAPSHOT_TIMEOUT_MS: u64 = 60_000;

/// openraft's settings for ours.
pub(crate) fn config(options: &Options) -> Result<Arc<Config>, Error> {
    let millis = |duration: std::time::Duration| {
        u64::try_from(duration.as_millis()).expect("settings are far below 2^64 ms")
    };
    let config = Config {
        cluster_name: "control".into(),
        heartbeat_interval: millis(options.heartbeat),
        // A follower first waits until it may no longer count on the leader, which takes openraft's longest timeout, and
        // then for a random time between its two. Halved, both together are within ours.
        election_timeout_min: millis(options.election.0) / 2,
        election_timeout_max: millis(options.election.1) / 2,
        install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
        // See `cadence`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        // A node may be an old copy of itself: it neither leads nor stands for election before it was checked (see
        // `service`).
        enable_elect: false,
        enable_leader_restore: Some(false),
        // A node that comes back from a partition must not unseat a leader that works.
        enable_pre_vote: Some(true),
        // A follower that lost what it acknowledged is refused when it starts (see `life`). One that slips through must
        // not take the leader down with it.
        allow_log_reversion: Some(true),
        api_channel_size: Some(CHANNEL_SIZE),
        notification_channel_size: Some(CHANNEL_SIZE),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| Error::Options(error.to_string()))
}

#[cfg(test)]
mod conformance;
