//! The connections to other nodes, and what this node asks over them.
//!
//! A peer is where the agreed membership says, unless it told us of a newer place: after a restart of a whole cluster at
//! new addresses nobody could agree on them otherwise.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use callboard_proto::peer::v1::{
    Envelope, GreetRequest, GreetResponse, HandOverRequest, HandOverResponse, JoinRequest,
    JoinResponse, ListLeasesRequest, ListLeasesResponse, ProposeRequest, RenewLeaseRequest,
    RenewLeaseResponse, membership_service_client::MembershipServiceClient,
    raft_service_client::RaftServiceClient,
};
use callboard_transport::{
    peer::{PeerChannel, PeerDialer, PeerIdentity},
    status,
};
use callboard_types::{CallError, ErrorKind, NodeId, limits::MESSAGE_BYTES_MAX};
use parking_lot::Mutex;
use tonic::{Response, Status};

use crate::{
    identity::Identity,
    machine::Member,
    raft::{
        codec::FORMAT,
        types::{Proposal, Reply},
    },
};

/// Largest message between nodes: an entry that holds one largest registration, and its frame.
pub(crate) const PEER_MESSAGE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Connections that are kept. Addresses that discovery no longer finds are forgotten with all others then.
const CHANNELS_MAX: usize = 1_024;

pub(crate) type RaftClient = RaftServiceClient<PeerChannel>;
pub(crate) type MembershipClient = MembershipServiceClient<PeerChannel>;

/// Connections to the other nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Arc<Inner>);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Use {
    Consensus,
    Membership,
}

#[derive(Debug)]
struct Inner {
    secret: PeerIdentity,
    dialer: PeerDialer,
    /// Who this node is, once it is known.
    myself: OnceLock<Identity>,
    /// Consensus has connections of its own, so that a snapshot on its way delays no renewal. Node 0 is one of which
    /// only the address is known.
    channels: Mutex<HashMap<(Use, u64, String), PeerChannel>>,
    /// Where nodes are by what is agreed.
    places: Mutex<HashMap<u64, String>>,
    /// Where nodes said that they are since.
    moved: Mutex<HashMap<u64, Claim>>,
}

/// What a process said that runs as a node, by what is agreed, or as an old copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Where it is.
    pub(crate) address: String,
    /// The lives that its folder has, its own last. Empty if it keeps no record.
    pub(crate) lives: Vec<u64>,
    /// The life of the node that was agreed on when it said so.
    pub(crate) since: u64,
}

impl Peers {
    pub(crate) fn new(secret: PeerIdentity) -> Self {
        Self(Arc::new(Inner {
            dialer: PeerDialer::new(secret.clone()),
            secret,
            myself: OnceLock::new(),
            channels: Mutex::default(),
            places: Mutex::default(),
            moved: Mutex::default(),
        }))
    }

    /// Says who this node is. Once.
    pub(crate) fn settle(&self, identity: &Identity) {
        self.0.myself.get_or_init(|| {
            self.0.secret.settle(identity.cluster_id.clone(), NodeId(identity.node_id));
            identity.clone()
        });
    }

    /// Who this node is, once that is known.
    pub(crate) fn myself(&self) -> Option<&Identity> {
        self.0.myself.get()
    }

    /// Notes where a node said that it is, if it is that node by what is agreed.
    pub(crate) fn moved(&self, node: u64, claim: Claim) {
        if !claim.is_ahead_of(claim.since) {
            return;
        }
        let address = claim.address.clone();
        let before = self.0.moved.lock().insert(node, claim);
        if before.is_none_or(|before| before.address != address) {
            let mut channels = self.0.channels.lock();
            channels.retain(|(_, of, at), _| *of != node || *at == address);
        }
    }

    /// Takes in where the nodes are by what is agreed. What a node said of itself counts no more once it is agreed on,
    /// nor once another process became the node.
    pub(crate) fn agreed<'a>(&self, nodes: impl Iterator<Item = (NodeId, &'a Member)>) {
        let (mut places, mut moved) = (self.0.places.lock(), self.0.moved.lock());
        for (node, member) in nodes.filter(|(_, member)| !member.peer_address().is_empty()) {
            let address = member.peer_address().to_string();
            let before = places.insert(node.0, address.clone());
            let is_elsewhere = before.is_some_and(|before| before != address);
            let counts = |claim: &Claim| {
                claim.is_ahead_of(member.life()) && !(is_elsewhere && claim.lives.is_empty())
            };
            if moved.get(&node.0).is_some_and(|claim| !counts(claim)) {
                moved.remove(&node.0);
            }
        }
    }

    /// Where nodes said that they are, as far as it is not agreed on yet.
    pub(crate) fn claimed(&self) -> Vec<String> {
        self.0.moved.lock().values().map(|claim| claim.address.clone()).collect()
    }

    /// Where to reach a node that the consensus group has at `grouped`, which is what follows last.
    pub(crate) fn address_of(&self, node: u64, grouped: &str) -> String {
        if node == 0 {
            return grouped.to_owned();
        }
        if let Some(claim) = self.0.moved.lock().get(&node) {
            return claim.address.clone();
        }
        self.0.places.lock().get(&node).cloned().unwrap_or_else(|| grouped.to_owned())
    }

    /// Whose a message to a node is.
    pub(crate) fn envelope(&self, target: u64) -> Envelope {
        let mut envelope =
            Envelope { to_node: target, format: FORMAT.into(), ..Envelope::default() };
        if let Some(identity) = self.myself() {
            envelope.cluster_id.clone_from(&identity.cluster_id);
            envelope.group.clone_from(&identity.group);
            envelope.from_node = identity.node_id;
        }
        envelope
    }

    /// A client for consensus.
    pub(crate) fn raft(&self, target: u64, agreed: &str) -> Result<RaftClient, CallError> {
        let channel = self.channel(Use::Consensus, target, &self.address_of(target, agreed))?;
        Ok(RaftServiceClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }

    fn membership(&self, target: u64, agreed: &str) -> Result<MembershipClient, CallError> {
        let channel = self.channel(Use::Membership, target, &self.address_of(target, agreed))?;
        Ok(MembershipServiceClient::new(channel))
    }

    fn channel(&self, for_: Use, target: u64, address: &str) -> Result<PeerChannel, CallError> {
        if address.is_empty() {
            return Err(unavailable(format!("nobody knows yet where node {target} is")));
        }
        let mut channels = self.0.channels.lock();
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let channel = channels
            .entry((for_, target, address.to_owned()))
            .or_insert_with(|| self.0.dialer.channel(NodeId(target), address));
        Ok(channel.clone())
    }

    /// Sends a command to the leader.
    pub(crate) async fn propose(
        &self,
        leader: u64,
        agreed: &str,
        proposal: &Proposal,
        patience: Duration,
    ) -> Result<Reply, CallError> {
        let mut client = self.raft(leader, agreed)?;
        let body = proposal.as_bytes().to_vec().into();
        let request = ProposeRequest { envelope: Some(self.envelope(leader)), body };
        let answer = within(patience, client.propose(request)).await?;
        Reply::decode(&answer.body)
            .map_err(|error| unavailable(format!("the leader's answer: {error}")))
    }

    /// Shows the leader that this node is alive.
    pub(crate) async fn renew(
        &self,
        leader: u64,
        agreed: &str,
        request: RenewLeaseRequest,
        patience: Duration,
    ) -> Result<RenewLeaseResponse, CallError> {
        let mut client = self.membership(leader, agreed)?;
        within(patience, client.renew_lease(request)).await
    }

    /// Asks a node that may be at the address who it is.
    pub(crate) async fn greet(
        &self,
        address: &str,
        request: GreetRequest,
        patience: Duration,
    ) -> Result<GreetResponse, CallError> {
        let mut client = self.membership(0, address)?;
        within(patience, client.greet(request)).await
    }

    /// Asks the member at the address to let this node in.
    pub(crate) async fn join(
        &self,
        address: &str,
        request: JoinRequest,
        patience: Duration,
    ) -> Result<JoinResponse, CallError> {
        let mut client = self.membership(0, address)?;
        within(patience, client.join(request)).await
    }

    /// Asks the leader for every node's lease.
    pub(crate) async fn list_leases(
        &self,
        leader: u64,
        agreed: &str,
        confirm: bool,
        patience: Duration,
    ) -> Result<ListLeasesResponse, CallError> {
        let mut client = self.membership(leader, agreed)?;
        let request = ListLeasesRequest { envelope: Some(self.envelope(leader)), confirm };
        within(patience, client.list_leases(request)).await
    }

    /// Asks the leader to let another node lead; 0 means any.
    pub(crate) async fn hand_over(
        &self,
        leader: u64,
        agreed: &str,
        to_node: u64,
        patience: Duration,
    ) -> Result<HandOverResponse, CallError> {
        let mut client = self.membership(leader, agreed)?;
        let request = HandOverRequest { envelope: Some(self.envelope(leader)), to_node };
        within(patience, client.hand_over(request)).await
    }
}

// === impl Claim ===

impl Claim {
    /// True if the process may be the next life of the node, of which `life` is agreed. Of a folder without a record
    /// nobody knows, so that its word counts until something newer is agreed.
    fn is_ahead_of(&self, life: u64) -> bool {
        match self.lives.split_last() {
            None => life == self.since,
            Some((own, earlier)) => life != *own && (life == 0 || earlier.contains(&life)),
        }
    }
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(error)) => Err(status::from_status(&error)),
        Err(_) => Err(unavailable(format!("the other node did not answer within {patience:?}"))),
    }
}

fn unavailable(text: String) -> CallError {
    CallError::new(ErrorKind::StoreUnavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{
        COMMAND_VERSIONS, Command, Machine,
        command::{BootstrapCluster, NodeStarted},
    };

    /// What is agreed of node 2.
    fn agree(peers: &Peers, address: &str, life: u64) {
        let mut machine = Machine::default();
        let folder_id = "a folder".into();
        let address = String::from(address);
        let (commands_min, commands_max) = COMMAND_VERSIONS;
        let gateway = "a:1".to_owned();
        machine.apply(Command::BootstrapCluster(BootstrapCluster {
            cluster_id: "c".into(),
            node: NodeId(2),
            folder_id,
            address: gateway.clone(),
            peer_address: address.clone(),
            commands_min,
            commands_max,
        }));
        machine.apply(Command::NodeStarted(NodeStarted {
            node: NodeId(2),
            life,
            previous_life: 0,
            address: gateway,
            peer_address: address,
            commands_min,
            commands_max,
        }));
        peers.agreed(machine.members());
    }

    fn claim(address: &str, lives: &[u64], since: u64) -> Claim {
        Claim { address: address.into(), lives: lives.into(), since }
    }

    #[test]
    fn a_node_is_reached_where_it_said_that_it_is_until_something_newer_is_agreed() {
        for lives in [vec![], vec![1, 2]] {
            let peers = Peers::new(PeerIdentity::new("a secret of the cluster"));
            assert_eq!(peers.address_of(2, "old:1"), "old:1");
            agree(&peers, "old:1", 1);
            peers.moved(2, claim("new:1", &lives, 1));
            agree(&peers, "old:1", 1);
            assert_eq!(peers.address_of(2, "old:1"), "new:1", "what is agreed still lags");
            agree(&peers, "new:1", 2);
            assert!(peers.claimed().is_empty());
            agree(&peers, "newer:1", 3);
            assert_eq!(peers.address_of(2, "old:1"), "newer:1", "the consensus group lags");
        }
    }

    #[test]
    fn a_node_that_is_ahead_is_found_while_what_is_agreed_catches_up() {
        let peers = Peers::new(PeerIdentity::new("a secret of the cluster"));
        agree(&peers, "old:1", 1);
        peers.moved(2, claim("new:1", &[1, 2, 3], 1));
        agree(&peers, "between:1", 2);
        assert_eq!(peers.address_of(2, "old:1"), "new:1");
    }

    #[test]
    fn an_old_copy_is_not_taken_for_its_node_for_longer_than_what_is_agreed_lags() {
        let peers = Peers::new(PeerIdentity::new("a secret of the cluster"));
        agree(&peers, "node:1", 1);
        peers.moved(2, claim("copy:1", &[1, 9], 1));
        assert_eq!(peers.address_of(2, "node:1"), "copy:1", "nobody here knows better");
        agree(&peers, "node:1", 2);
        assert_eq!(peers.address_of(2, "node:1"), "node:1");
        peers.moved(2, claim("copy:1", &[1, 9], 2));
        assert_eq!(peers.address_of(2, "node:1"), "node:1");
    }
}
