//! What this plane needs from outside. The node's adapters implement it over the control plane.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{CallError, ClusterView, Lease, TypeDefinition};
use tokio::sync::watch;

/// What the cluster agreed on, and how to change it.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The newest view, and a way to wait for the next.
    fn view(&self) -> watch::Receiver<Arc<ClusterView>>;

    /// The node's right to answer for the shards that it owns. Looked at immediately before replies that no commit covers
    /// are sent.
    fn lease(&self) -> Lease;

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

    /// Says that this node has (or no longer has) a host for the types, given as (system, type).
    async fn set_hosted(&self, types: Vec<(String, String)>, hosted: bool);
}
