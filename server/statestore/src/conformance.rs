//! What every [`StateStore`] must do, as tests that any implementation can run.
//!
//! An implementation writes a [`Fixture`] and calls [`state_store_conformance!`](crate::state_store_conformance), which
//! turns each rule below into a test of its own. A rule only uses the trait, so it cannot ask more of SQL than of
//! memory or the other way round.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId};

use crate::{
    ActorCommit, ActorRecord, Claimed, CommitBatch, InboxInsert, ShardClaim, SpillPack, StateBlob,
    StateStore, Verdict,
};

mod broadcasts;
mod fences;
mod history;
mod listing;
mod outbox;
mod rows;
mod shared;
mod spill;

pub use broadcasts::*;
pub use fences::*;
pub use history::*;
pub use listing::*;
pub use outbox::*;
pub use rows::*;
pub use shared::*;
pub use spill::*;

/// Opens the implementation under test.
#[async_trait]
pub trait Fixture: Send {
    /// The store, empty at first; the same one on each call.
    async fn store(&mut self) -> Arc<dyn StateStore>;
    /// The same data through another handle. Implementations that persist close the first handle and open anew.
    async fn reopened(&mut self) -> Arc<dyn StateStore>;
}

/// Opens an implementation that several nodes use at the same time.
#[async_trait]
pub trait SharedFixture: Send {
    /// A handle of a node of its own on the same data. Earlier handles stay open.
    async fn node(&mut self) -> Arc<dyn StateStore>;
}

/// Runs the rules about nodes that share a store: `shared_store_conformance!(make)`, where `make` is an async function
/// that returns a [`SharedFixture`] over an empty store.
#[macro_export]
macro_rules! shared_store_conformance {
    ($make:path) => {
        $crate::shared_store_conformance!(@rules $make:
            what_one_node_commits_the_next_owner_loads
            a_higher_epoch_is_reported_with_its_value
            an_epoch_belongs_to_one_node
            nothing_of_an_old_epoch_is_committed_once_a_new_one_is_claimed
            of_nodes_that_claim_at_once_the_highest_epoch_stays
            nodes_commit_side_by_side
            outcomes_that_one_node_spilled_another_finds_and_expires
        );
    };
    (@rules $make:path: $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let mut fixture = $make().await;
                $crate::conformance::$rule(&mut fixture).await;
            }
        )*
    };
}

/// Runs every rule against a fixture: `state_store_conformance!(make)`, where `make` is an async function that returns
/// a [`Fixture`] over an empty store.
#[macro_export]
macro_rules! state_store_conformance {
    ($make:path) => {
        $crate::state_store_conformance!(@rules $make:
            a_claim_raises_the_epoch_and_never_lowers_it
            a_commit_without_a_claim_is_refused
            a_lost_fence_excludes_only_its_items
            the_low_water_time_only_rises
            only_the_owner_raises_the_low_water_time
            a_revision_mismatch_excludes_only_that_actor
            an_excluded_actor_leaves_no_trace
            a_missing_row_is_a_mismatch_for_a_later_revision
            many_mismatches_in_a_large_batch_are_all_found
            look_alike_keys_never_share_a_row
            empty_values_are_not_missing_values
            big_states_come_back_whole
            several_hundred_loads_answer_in_order
            a_load_may_repeat_an_actor
            a_commit_is_seen_through_another_handle
            large_batches_commit_whole
            commits_at_the_same_time_all_take_effect
            accepted_calls_come_back_in_sequence
            an_answered_call_leaves_the_inbox_with_its_outcome
            a_sequence_used_twice_loses_no_call
            spilled_outcomes_are_found_by_creation_time
            spilled_outcomes_survive_long_after_the_ring_wrapped
            one_low_shard_keeps_every_outcome
            expiry_drops_only_what_lies_below_the_low_water_time
            a_listing_is_in_byte_order_and_pages
            a_prefix_is_taken_literally
            a_listing_stays_within_its_type
            outbox_rows_are_written_if_and_only_if_the_state_is
            outbox_rows_come_in_the_order_in_which_they_are_due
            the_ends_of_an_outbox_are_known
            an_ended_delivery_goes_under_its_fence
            a_batch_mixes_turns_and_ended_deliveries
            an_outbox_sequence_used_twice_loses_no_row
            dead_letters_stay_until_they_are_dropped
            broadcasts_are_walked_in_sequence_and_go_when_done
            a_broadcast_is_recorded_once
            broadcast_steps_need_the_fence
            ids_of_done_broadcasts_are_dropped_when_nobody_repeats_them
            keys_are_those_of_the_living_actors_of_a_shard
            a_deleted_actor_keeps_its_revision_and_is_not_listed
            past_states_are_found_by_revision_and_time
            past_states_are_forgotten_with_a_commit
            an_excluded_actor_keeps_its_past
        );
    };
    (@rules $make:path: $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let mut fixture = $make().await;
                $crate::conformance::$rule(&mut fixture).await;
            }
        )*
    };
}

/// An id in the default system and the type `Counter`.
fn id(key: &str) -> ActorId {
    ActorId::parse("default", "Counter", key).expect("a valid key")
}

fn shard(number: u32) -> ShardId {
    ShardId { system: "default".into(), actor_type: "Counter".into(), number }
}

fn claim(number: u32, epoch: u64) -> ShardClaim {
    ShardClaim { shard: shard(number), epoch: Epoch(epoch), node: NodeId(1) }
}

/// The opened store with shard 0 claimed at epoch 1.
async fn claimed(fixture: &mut impl Fixture) -> Arc<dyn StateStore> {
    let store = fixture.store().await;
    let answer = store.claim(&[claim(0, 1)]).await.expect("claim");
    assert_eq!(answer, [Claimed::Held { low_water: Millis(0) }]);
    store
}

fn record(revision: u64, data: &[u8]) -> ActorRecord {
    ActorRecord {
        revision: Revision(revision),
        state: Some(StateBlob {
            content_type: "application/json".into(),
            type_url: String::new(),
            data: Bytes::copy_from_slice(data),
        }),
        tags: Bytes::from_static(b"tags"),
        outcomes: Bytes::from(format!("outcomes {revision}")),
        spilled_until: Millis(0),
        updated_at: Millis(1_700_000_000_000),
        deleted: false,
    }
}

/// A turn of an actor on shard 0 at epoch 1 that takes it from `previous` to the next revision.
fn turn(key: &str, previous: u64, data: &[u8]) -> ActorCommit {
    ActorCommit {
        id: id(key),
        shard: 0,
        epoch: Epoch(1),
        previous: Revision(previous),
        record: record(previous + 1, data),
        spill: vec![],
        inbox_done: vec![],
        outbox: Vec::new(),
        letters: Vec::new(),
        history: Vec::new(),
        forget: None,
    }
}

fn accepted(key: &str, sequence: u64) -> InboxInsert {
    InboxInsert {
        id: id(key),
        shard: 0,
        epoch: Epoch(1),
        sequence,
        call: Bytes::from(format!("call {sequence}")),
    }
}

fn pack(from: i64, until: i64, data: &str) -> SpillPack {
    SpillPack {
        from: Millis(from),
        until: Millis(until),
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

/// Commits turns that must all succeed.
async fn commit(store: &Arc<dyn StateStore>, actors: Vec<ActorCommit>) {
    let count = actors.len();
    let batch = CommitBatch { actors, inbox: vec![], ..CommitBatch::default() };
    let verdicts = store.commit(batch).await.expect("commit");
    assert_eq!(verdicts, vec![Verdict::Committed; count]);
}

/// Loads one actor.
async fn load(store: &Arc<dyn StateStore>, key: &str) -> Option<ActorRecord> {
    let mut rows = store.load(&[id(key)]).await.expect("load");
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}
