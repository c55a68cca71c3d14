//! The clients of the peers' `ForwardService`, one per peer for everything that goes there.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use callboard_proto::peer::v1::forward_service_client::ForwardServiceClient;
use callboard_transport::peer::{PeerChannel, PeerDialer};
use callboard_types::{ClusterView, NodeId, NodeState, limits};

/// A client of one peer. Clones share one connection.
pub(crate) type Client = ForwardServiceClient<PeerChannel>;

/// The peers that were called so far. Cheap to clone; read without locks.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    /// `None` on a node that is alone.
    dialer: Option<PeerDialer>,
    known: Arc<ArcSwap<HashMap<NodeId, (String, Client)>>>,
}

impl Peers {
    pub(crate) fn new(dialer: Option<PeerDialer>) -> Self {
        Self { dialer, known: Arc::default() }
    }

    /// Where this node reaches another one that serves.
    pub(super) fn address<'a>(&self, view: &'a ClusterView, node: NodeId) -> Option<&'a str> {
        let found = view.node_of(node).filter(|node| node.state != NodeState::Down)?;
        let address = found.peer_address.as_str();
        (self.dialer.is_some() && !address.is_empty()).then_some(address)
    }

    /// The client of a node that serves, with the address at which the view says that it is. It connects at its first
    /// call.
    pub(crate) fn client(&self, view: &ClusterView, node: NodeId) -> Option<(String, Client)> {
        let dialer = self.dialer.as_ref()?;
        let address = self.address(view, node)?;
        let found = self.known.load();
        if let Some((known, client)) = found.get(&node).filter(|(known, _)| known == address) {
            return Some((known.clone(), client.clone()));
        }
        let client = Client::new(dialer.channel(node, address))
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX);
        self.known.rcu(|known| {
            let mut next = HashMap::clone(known);
            next.insert(node, (address.to_owned(), client.clone()));
            next
        });
        Some((address.to_owned(), client))
    }
}
