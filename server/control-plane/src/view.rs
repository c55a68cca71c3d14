//! What was agreed, as the view that both planes look at.
//!
//! Two sources change it: the state machine, in log order, and elections, which are not in the log. Both go through one
//! [`Publisher`], which replaces the view on its watch. Types that did not change are the same objects as before.

use std::sync::Arc;

use callboard_types::{ClusterView, NodeId, NodeView};
use tokio::sync::watch;

use crate::{metrics, raft::state_machine::State};

/// Publishes views. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    node: NodeId,
    view: watch::Sender<Arc<ClusterView>>,
}

impl Publisher {
    pub(crate) fn new(node: NodeId) -> Self {
        let view = ClusterView {
            node,
            ..ClusterView::default()
        };
        Self {
            node,
            view: watch::Sender::new(Arc::new(view)),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.subscribe()
    }

    /// The newest view.
    pub(crate) fn current(&self) -> Arc<ClusterView> {
        Arc::clone(&self.view.borrow())
    }

    /// Publishes what the machine holds, unless it is what the view shows already.
    pub(crate) fn publish(&self, state: &State) {
        self.view.send_if_modified(|view| {
            if view.version == state.version && !view.cluster_id.is_empty() {
                return false;
            }
            *view = Arc::new(build(state, view));
            self.measure(view);
            true
        });
    }

    /// Publishes who leads.
    pub(crate) fn publish_leader(&self, leader: Option<NodeId>, term: u64) {
        self.view.send_if_modified(|view| {
            if view.leader == leader && view.term == term {
                return false;
            }
            let mut next = ClusterView::clone(view);
            (next.leader, next.term) = (leader, term);
            *view = Arc::new(next);
            self.measure(view);
            true
        });
    }

    fn measure(&self, view: &ClusterView) {
        metrics::view_published(view.leader == Some(self.node), view.term, view.version);
    }
}

/// The view of a state, with what only elections know taken from the view before.
fn build(state: &State, before: &ClusterView) -> ClusterView {
    let voters: Vec<u64> = state.membership.membership().voter_ids().collect();
    let nodes = state.machine.nodes().map(|(id, address)| NodeView {
        id,
        address: address.to_string(),
        voter: voters.contains(&id.0),
    });
    let mut view = ClusterView {
        version: state.version,
        cluster_id: state.machine.cluster_id().to_owned(),
        node: before.node,
        leader: before.leader,
        term: before.term,
        nodes: nodes.collect(),
        systems: state.machine.systems().cloned().collect(),
        ..ClusterView::default()
    };
    let types: Vec<_> = state.machine.types().cloned().collect();
    if same(&types, &before.types) {
        // Nothing to index anew: most versions change nodes, systems or a few types.
        view.index = before.index.clone();
        view.types = types;
    } else {
        view.set_types(types);
    }
    view
}

/// True if the lists name the same types in the same places, so that an index of one fits the other.
fn same(
    types: &[Arc<callboard_types::TypeView>],
    before: &[Arc<callboard_types::TypeView>],
) -> bool {
    let mut pairs = types.iter().zip(before);
    types.len() == before.len() && pairs.all(|(a, b)| a.id == b.id)
}
