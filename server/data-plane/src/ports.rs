//! What this plane needs from outside. The node's adapters implement it over the control plane.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{
    CallError, ClusterView, DueCursor, Epoch, Lease, Millis, Occurrence, OccurrenceEnd, ShardId,
    TypeDefinition,
};
use tokio::sync::watch;

/// What the cluster agreed on, and how to change it.
#[async_trait]
pub trait Directory: std::fmt::Debug + Send + Sync + 'static {
    /// The newest view, and a way to wait for the next.
    fn view(&self) -> watch::Receiver<Arc<ClusterView>>;

    /// The node's right to answer for the shards that it owns. Looked at immediately before replies that no commit covers
    /// are sent.
    fn lease(&self) -> Lease;

    /// This node has let go of shards that were to move: nothing of these epochs runs here, and nothing of them will ever
    /// be committed. Never waits; what a leader did not hear is said again.
    fn released(&self, shards: Vec<(ShardId, Epoch)>);

    /// The store holds these epochs, higher than the ones in which this node was given the shards. The cluster raises
    /// above them. Never waits.
    fn epoch_too_low(&self, stored: Vec<(ShardId, Epoch)>);

    /// Registers types for a system, all or none, and returns the version of a view that contains them.
    ///
    /// # Errors
    /// `IncompatibleType` if a definition contradicts what is registered; `InvalidArgument` if one is malformed; a
    /// retryable error if the control plane has no leader.
    async fn register_types(
        &self,
        system: &str,
        types: Vec<TypeDefinition>,
        descriptor_set: Bytes,
    ) -> Result<u64, CallError>;

    /// Says what hosts this node has for the types, given as (system, type).
    async fn set_hosted(&self, types: Vec<(String, String)>, hosting: Hosting);

    /// The schedules that the cluster agreed on.
    fn schedules(&self) -> Arc<dyn Schedules> {
        Arc::new(NoSchedules)
    }
}

/// The schedules that the cluster agreed on, as this node's copy of it has them.
#[async_trait]
pub trait Schedules: std::fmt::Debug + Send + Sync + 'static {
    /// Changes whenever anything about a schedule did.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Occurrences that are due at `until` or before, in order of [`Occurrence::at`], from above `after`, at most `limit`:
    /// of all schedules, whoever owns their targets. An occurrence stays due until its end is agreed.
    fn due(&self, after: DueCursor, until: Millis, limit: usize) -> Vec<Occurrence>;

    /// When the first occurrence is due that is due later than `after`.
    fn next_due(&self, after: Millis) -> Option<Millis>;

    /// Says how firings ended, and returns once that is agreed. An end that is known already, or of another generation,
    /// changes nothing and is no error.
    ///
    /// # Errors
    /// A retryable one while the control plane has no leader.
    async fn ended(&self, ends: Vec<OccurrenceEnd>) -> Result<(), CallError>;

    /// Makes a call later, once: a one-shot schedule whose name is made from the call's request id, so that a repetition
    /// makes no second one. Returns the name. It is forgotten when it has fired.
    ///
    /// # Errors
    /// `QuotaExceeded`; `ScheduleConflict` if the request id stands for another call; a retryable one while the control
    /// plane has no leader.
    async fn once(&self, request_id: String, call: Occurrence) -> Result<String, CallError>;
}

/// What a plane without a clock of its own has: no schedules, and no way to make one.
#[derive(Clone, Copy, Debug)]
pub struct NoSchedules;

#[async_trait]
impl Schedules for NoSchedules {
    fn changed(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn due(&self, _: DueCursor, _: Millis, _: usize) -> Vec<Occurrence> {
        Vec::new()
    }

    fn next_due(&self, _: Millis) -> Option<Millis> {
        None
    }

    async fn ended(&self, _: Vec<OccurrenceEnd>) -> Result<(), CallError> {
        Ok(())
    }

    async fn once(&self, _: String, _: Occurrence) -> Result<String, CallError> {
        let text = "this node keeps no schedules; the call was not accepted";
        Err(CallError::new(callboard_types::ErrorKind::QuotaExceeded, text))
    }
}

/// What hosts a node has for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// At least one.
    Some,
    /// None any more. Hosts restart, so the node stays eligible for a while.
    None,
    /// None any more, and the last one said that no successor is to be expected: others may take the shards at once.
    NoneForGood,
}
