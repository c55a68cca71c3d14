//! What this plane counts. Names have base units; labels are few and never hold an actor's key.

use callboard_types::ErrorKind;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::call::Outcome;

/// Calls that were answered, by outcome: `ok`, `actor_error`, or the reason of a refusal.
pub const CALLS_TOTAL: &str = "callboard_calls_total";
/// Turns that were handed to hosts.
pub const TURNS_TOTAL: &str = "callboard_turns_total";
/// How long a call waited in its mailbox before a host got it.
pub const MAILBOX_WAIT_SECONDS: &str = "callboard_mailbox_wait_seconds";
/// How long a host took for a turn, the way there and back included.
pub const HOST_SECONDS: &str = "callboard_host_seconds";
/// How long one commit transaction took.
pub const COMMIT_SECONDS: &str = "callboard_commit_seconds";
/// How many actors one commit transaction wrote.
pub const COMMIT_ACTORS: &str = "callboard_commit_actors";
/// Commit transactions that failed and were repeated.
pub const COMMIT_FAILURES_TOTAL: &str = "callboard_commit_failures_total";
/// Actors in memory.
pub const ACTORS_ACTIVE: &str = "callboard_actors_active";
/// Calls that wait, run or wait for their commit.
pub const CALLS_HELD: &str = "callboard_calls_held";
/// Answers of hosts that were dropped because the turn was no longer theirs.
pub const STALE_RESULTS_TOTAL: &str = "callboard_stale_results_total";
/// Calls that activations gave back unanswered, because their shard moved or its epoch was over.
pub const CALLS_HANDED_BACK_TOTAL: &str = "callboard_calls_handed_back_total";
/// Shards that this node let go for another one.
pub const SHARDS_RELEASED_TOTAL: &str = "callboard_shards_released_total";
/// Answers that were withheld because the node's lease had lapsed.
pub const ANSWERS_WITHHELD_TOTAL: &str = "callboard_answers_withheld_total";
/// Calls that were sent to the nodes that own their actors.
pub const FORWARDED_TOTAL: &str = "callboard_forwarded_calls_total";
/// Calls that came back because their actors were elsewhere by then.
pub const REDIRECTED_TOTAL: &str = "callboard_redirected_calls_total";
/// Calls that were sent again because their connection broke.
pub const RESENT_TOTAL: &str = "callboard_resent_calls_total";
/// How long after its due time an occurrence of a schedule was handed to its actor, at each attempt.
pub const SCHEDULE_LATENESS_SECONDS: &str = "callboard_schedule_lateness_seconds";
/// Attempts at occurrences of schedules, by outcome: `ok`, `error`, or `again` if it is tried again.
pub const SCHEDULE_ATTEMPTS_TOTAL: &str = "callboard_schedule_attempts_total";
/// How long the oldest occurrence that this node has taken has been due and has not ended.
pub const SCHEDULE_OLDEST_SECONDS: &str = "callboard_schedule_oldest_seconds";
/// Outbox rows and outputs in memory that have ended, by end: `delivered` or `dead`.
pub const DELIVERIES_TOTAL: &str = "callboard_deliveries_total";
/// Accepted calls that were given up and became dead letters.
pub const CALLS_GIVEN_UP_TOTAL: &str = "callboard_calls_given_up_total";
/// Deliveries of messages of channels to actors, by how they ended: `done`, or `again` for those that are made again.
pub const WALKED_TOTAL: &str = "callboard_channel_deliveries_total";
/// Host sessions.
pub const HOST_SESSIONS: &str = "callboard_host_sessions";

/// Counters that a worker adds up by itself and passes on once per tick.
#[derive(Debug)]
pub struct WorkerMetrics {
    ok: u64,
    actor_errors: u64,
    turns: u64,
    active: i64,
    calls_ok: Counter,
    calls_actor_error: Counter,
    turns_total: Counter,
    actors_active: Gauge,
    calls_held: Gauge,
    mailbox_wait: Histogram,
    host_time: Histogram,
    delivered: u64,
    deliveries_done: Counter,
}

impl WorkerMetrics {
    /// The metrics of a worker.
    #[must_use]
    pub fn new(worker: usize) -> Self {
        let worker = worker.to_string();
        Self {
            ok: 0,
            actor_errors: 0,
            turns: 0,
            active: 0,
            calls_ok: counter!(CALLS_TOTAL, "outcome" => "ok"),
            calls_actor_error: counter!(CALLS_TOTAL, "outcome" => "actor_error"),
            turns_total: counter!(TURNS_TOTAL),
            actors_active: gauge!(ACTORS_ACTIVE, "worker" => worker.clone()),
            calls_held: gauge!(CALLS_HELD, "worker" => worker),
            mailbox_wait: histogram!(MAILBOX_WAIT_SECONDS),
            host_time: histogram!(HOST_SECONDS),
            delivered: 0,
            deliveries_done: counter!(DELIVERIES_TOTAL, "end" => "delivered"),
        }
    }

    /// A call was answered.
    pub fn answered(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(_) => self.ok += 1,
            Err(error) if error.from_actor.is_some() => self.actor_errors += 1,
            Err(error) => self.refused(error.kind),
        }
    }

    /// A call was refused.
    pub fn refused(&self, kind: ErrorKind) {
        counter!(CALLS_TOTAL, "outcome" => kind.reason()).increment(1);
    }

    /// A run was handed to a host.
    pub fn dispatched(&mut self, turns: usize, waited_micros: u64) {
        self.turns += turns as u64;
        self.mailbox_wait.record(waited_micros as f64 / 1e6);
    }

    /// A host answered a turn.
    pub fn host_answered(&self, micros: u64) {
        self.host_time.record(micros as f64 / 1e6);
    }

    /// An answer came too late.
    pub fn stale_result(&self) {
        counter!(STALE_RESULTS_TOTAL).increment(1);
    }

    /// An activation gave a call back.
    pub fn handed_back(&self) {
        counter!(CALLS_HANDED_BACK_TOTAL).increment(1);
    }

    /// A delivery has ended.
    pub fn delivery_ended(&mut self, dead: bool) {
        if dead {
            counter!(DELIVERIES_TOTAL, "end" => "dead").increment(1);
        } else {
            self.delivered += 1;
        }
    }

    /// An accepted call was given up.
    pub fn call_given_up(&self) {
        counter!(CALLS_GIVEN_UP_TOTAL).increment(1);
    }

    /// A shard was let go.
    pub fn released(&self) {
        counter!(SHARDS_RELEASED_TOTAL).increment(1);
    }

    /// An actor came into memory.
    pub fn activated(&mut self) {
        self.active += 1;
    }

    /// An actor left memory.
    pub fn deactivated(&mut self) {
        self.active -= 1;
    }

    /// Passes everything on.
    pub fn flush(&mut self, held: usize) {
        self.calls_ok.increment(std::mem::take(&mut self.ok));
        self.calls_actor_error.increment(std::mem::take(&mut self.actor_errors));
        self.turns_total.increment(std::mem::take(&mut self.turns));
        self.deliveries_done.increment(std::mem::take(&mut self.delivered));
        self.actors_active.set(self.active as f64);
        self.calls_held.set(held as f64);
    }
}

/// A commit transaction ended well.
pub fn commit(micros: u64, actors: usize) {
    histogram!(COMMIT_SECONDS).record(micros as f64 / 1e6);
    histogram!(COMMIT_ACTORS).record(actors as f64);
}

/// A commit transaction failed and is repeated.
pub fn commit_failed() {
    counter!(COMMIT_FAILURES_TOTAL).increment(1);
}

/// The lease had lapsed when answers were about to leave.
pub fn answers_withheld(count: usize) {
    counter!(ANSWERS_WITHHELD_TOTAL).increment(count as u64);
}

/// A host session began or ended.
pub fn host_sessions(change: f64) {
    gauge!(HOST_SESSIONS).increment(change);
}

/// Calls went to another node.
pub fn forwarded(calls: usize) {
    if calls > 0 {
        counter!(FORWARDED_TOTAL).increment(calls as u64);
    }
}

/// A call came back.
pub fn redirected() {
    counter!(REDIRECTED_TOTAL).increment(1);
}

/// Calls were lost with their connection and are sent again.
pub fn resent(calls: usize) {
    if calls > 0 {
        counter!(RESENT_TOTAL).increment(calls as u64);
    }
}

/// An occurrence was handed to its actor so many milliseconds after it was due.
pub fn schedule_fired(late_ms: i64) {
    histogram!(SCHEDULE_LATENESS_SECONDS).record(late_ms as f64 / 1e3);
}

/// An attempt at an occurrence ended.
pub fn schedule_answered(outcome: &'static str) {
    counter!(SCHEDULE_ATTEMPTS_TOTAL, "outcome" => outcome).increment(1);
}

/// The age of the oldest occurrence without an end.
pub fn schedule_oldest(millis: i64) {
    gauge!(SCHEDULE_OLDEST_SECONDS).set(millis as f64 / 1e3);
}
