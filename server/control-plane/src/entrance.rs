//! What other nodes meet at this node's peer listener: before it belongs to a cluster, and after.
//!
//! The listener opens before the node is a member, because nodes that begin a cluster together ask each other first. So
//! the services share an [`Entrance`], which the start fills in once consensus runs.

use std::sync::{Arc, OnceLock};

use callboard_proto::peer::v1::{GreetRequest, GreetResponse};
use callboard_types::{CallError, ErrorKind, NodeId, Tick};
use parking_lot::Mutex;

use crate::{
    confirm::Confirmer,
    lives::Lives,
    peers::{Claim, Peers},
    propose::Proposer,
};

/// How long a promise to a founder holds.
pub(crate) const PROMISE_MILLIS: u64 = 10_000;
/// How long the founder may take from its first question to its name on disk. Well below the promise.
pub(crate) const FOUNDING_MILLIS: u64 = 3_000;
const _: () = assert!(FOUNDING_MILLIS * 2 < PROMISE_MILLIS);

/// Shared by the peer services of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Entrance(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder_id: String,
    peers: Peers,
    promise: Mutex<Option<Promise>>,
    /// Set when this node knows what was agreed, and before it takes part.
    known: OnceLock<(Proposer, Lives)>,
    member: OnceLock<Member>,
}

/// This node begins no cluster and follows no other founder meanwhile.
#[derive(Debug)]
struct Promise {
    founder: String,
    until: Tick,
}

/// What answers once the node is a member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) proposer: Proposer,
    pub(crate) confirmer: Confirmer,
}

impl Entrance {
    pub(crate) fn new(folder_id: String, peers: Peers) -> Self {
        let (promise, known, member) = (Mutex::default(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { folder_id, peers, promise, known, member }))
    }

    pub(crate) fn folder_id(&self) -> &str {
        &self.0.folder_id
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// What was agreed so far is known from now on, so that others may be told and judged by it.
    pub(crate) fn introduce(&self, proposer: Proposer, lives: Lives) {
        self.0.known.get_or_init(|| (proposer, lives));
    }

    /// Consensus runs from now on.
    pub(crate) fn open(&self, member: Member) {
        self.0.member.get_or_init(|| member);
    }

    /// What answers for the cluster.
    ///
    /// # Errors
    /// The node is not a member yet.
    pub(crate) fn member(&self) -> Result<&Member, CallError> {
        self.0.member.get().ok_or_else(|| {
            CallError::new(
                ErrorKind::ShuttingDown,
                "this node is not a member of a cluster yet; try again when it is, or ask another node",
            )
            .retry_after(500)
        })
    }

    /// Promises a founder to begin no other cluster. False while another one has the promise.
    pub(crate) fn promise(&self, founder: &str, now: Tick) -> bool {
        let mut promise = self.0.promise.lock();
        let taken = promise.as_ref().is_some_and(|p| p.founder != founder && now < p.until);
        if !taken {
            let until = now.plus_millis(PROMISE_MILLIS);
            *promise = Some(Promise { founder: founder.to_owned(), until });
        }
        !taken
    }

    /// Answers a node that asks who is here.
    pub(crate) fn greet(&self, request: &GreetRequest, now: Tick) -> GreetResponse {
        let mut answer =
            GreetResponse { folder_id: self.0.folder_id.clone(), ..GreetResponse::default() };
        let Some(identity) = self.0.peers.myself() else {
            answer.promised = request.founding && self.promise(&request.folder_id, now);
            return answer;
        };
        answer.cluster_id.clone_from(&identity.cluster_id);
        answer.group.clone_from(&identity.group);
        answer.node_id = identity.node_id;
        let is_of_us = request.cluster_id == identity.cluster_id && request.group == identity.group;
        let Some((proposer, lives)) = self.0.known.get().filter(|_| is_of_us) else {
            return answer;
        };
        answer.leading = proposer.leadership().is_some();
        answer.acknowledged = proposer.acknowledged_by(request.node_id);
        answer.lives = lives.told();
        let state = proposer.replicated.read();
        let sender = state.machine.member(NodeId(request.node_id));
        answer.view_version = state.version;
        answer.sender_known = sender.is_some();
        answer.sender_life = sender.map_or(0, |member| member.life());
        let is_whole = request.last_log_index >= answer.acknowledged;
        if is_whole && request.node_id != identity.node_id {
            // While the state is held: what is agreed next finds the claim and judges it again.
            let (address, since) = (request.peer_address.clone(), answer.sender_life);
            let claim = Claim { address, lives: request.lives.clone(), since };
            self.0.peers.moved(request.node_id, claim);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use callboard_transport::peer::PeerIdentity;

    use super::*;
    use crate::identity::Identity;

    fn ask(entrance: &Entrance, folder_id: &str, founding: bool, now: Tick) -> GreetResponse {
        let folder_id = folder_id.into();
        entrance.greet(&GreetRequest { folder_id, founding, ..Default::default() }, now)
    }

    #[test]
    fn a_node_follows_one_founder_at_a_time_and_none_once_it_has_a_cluster() {
        let secret = PeerIdentity::new("a secret of the cluster");
        let entrance = Entrance::new("me".into(), Peers::new(secret));
        assert!(!ask(&entrance, "a", false, Tick(0)).promised, "nobody asked for it");
        assert!(ask(&entrance, "a", true, Tick(0)).promised);
        assert!(!ask(&entrance, "b", true, Tick(0).plus_millis(PROMISE_MILLIS - 1)).promised);
        let later = Tick(0).plus_millis(PROMISE_MILLIS);
        assert!(ask(&entrance, "b", true, later).promised, "a did not come to anything");
        assert!(ask(&entrance, "b", true, later).promised, "a promise may be asked for again");
        assert!(!entrance.promise("me", later), "nor does it begin one itself");

        let identity = Identity::member("c".into(), "control".into(), 3);
        entrance.peers().settle(&identity);
        let answer = ask(&entrance, "b", true, later.plus_millis(PROMISE_MILLIS));
        assert!(!answer.promised);
        assert_eq!((answer.cluster_id.as_str(), answer.node_id), ("c", 3));
    }
}
