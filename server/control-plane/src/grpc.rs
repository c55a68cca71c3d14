//! The services of this plane: decode, decide on the view, encode. Nothing here holds state of its own.

pub mod actor_types;
pub mod cluster;
pub mod membership;
pub mod peer;
pub mod schedules;
pub mod systems;

use std::sync::Arc;

use callboard_types::ClusterView;
use tokio::sync::watch;

/// The view to answer from.
fn current(view: &watch::Receiver<Arc<ClusterView>>) -> Arc<ClusterView> {
    Arc::clone(&view.borrow())
}

#[cfg(test)]
mod tests;
