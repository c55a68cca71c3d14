//! What this plane needs from outside. The node's adapters implement it over the control plane.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{CallError, ClusterView, Epoch, Lease, ShardId, TypeDefinition};
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
