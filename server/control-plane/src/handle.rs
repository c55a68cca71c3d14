//! What the rest of the node sees of its control plane.

use std::{fmt, future::Future, sync::Arc};

use callboard_types::{CallError, ClusterView, ErrorKind, Lease, NodeId, TypeDefinition};
use openraft::{
    BasicNode, ChangeMembers,
    async_runtime::watch::WatchReceiver,
    error::{ClientWriteError, RaftError},
};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Fatal,
    hosted::Hosted,
    machine::{
        Command,
        command::{AssignShards, CreateSystem, DescriptorSet, RegisterTypes},
        placement::Movement,
    },
    propose::{Proposer, stopped},
};

/// Asks the control plane for things. Cheap to clone; outlives the control plane, and then answers with errors.
#[derive(Clone)]
pub struct Handle {
    pub(crate) node: NodeId,
    pub(crate) proposer: Proposer,
    pub(crate) hosted: Hosted,
    pub(crate) lease: Lease,
    pub(crate) fatal: watch::Receiver<Option<Fatal>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Handle {
    /// The node that this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The newest view, and each that follows.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.proposer.publisher.subscribe()
    }

    /// The node's right to answer for its shards.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Registers what a host that is connected to this node offers: all of it or none. `descriptor_set` is empty if
    /// the types have none.
    ///
    /// The node becomes eligible for the types in the same step. Say afterwards, and whenever it changes, with
    /// [`Handle::set_hosted`] whether a host is connected; otherwise the node stops being eligible after the grace
    /// period. What is registered already costs nothing. Returns a version of the view that contains the types; this
    /// node's view has it.
    ///
    /// # Errors
    /// The rule that a definition breaks, [`ErrorKind::IncompatibleType`], [`ErrorKind::UnknownSystem`], or
    /// [`ErrorKind::StoreUnavailable`] if nobody could agree to it in time; it may be tried again.
    pub async fn register_types(
        &self,
        system: &str,
        types: Vec<TypeDefinition>,
        descriptor_set: bytes::Bytes,
    ) -> Result<u64, CallError> {
        let descriptor_set = (!descriptor_set.is_empty()).then(|| DescriptorSet {
            hash: format!("{:032x}", xxh3_128(&descriptor_set)),
            bytes: descriptor_set.to_vec(),
        });
        let system = system.to_owned();
        let command = RegisterTypes { system, node: self.node, types, descriptor_set };
        self.propose_unless_so(Command::RegisterTypes(command)).await
    }

    /// Makes a system unless it exists. Returns a version of the view that contains it.
    ///
    /// # Errors
    /// A bad name, too many systems, or [`ErrorKind::StoreUnavailable`]; see [`Handle::register_types`].
    pub async fn create_system(&self, name: &str) -> Result<u64, CallError> {
        let command = CreateSystem { name: name.to_owned() };
        self.propose_unless_so(Command::CreateSystem(command)).await
    }

    /// Says that the types, as (system, type), have a host at this node, or have none any more.
    ///
    /// It takes effect later, together with what else changes meanwhile: a first host at once, the loss of the last one
    /// after the grace period, and only if another node has one. A type that nobody registered is remembered until
    /// somebody does.
    #[expect(clippy::unused_async, reason = "callers must not rely on it being immediate")]
    pub async fn set_hosted(&self, types: Vec<(Arc<str>, Arc<str>)>, hosted: bool) {
        self.hosted.set(types, hosted);
    }

    /// Spreads the shards of every type evenly over the nodes that have hosts of it. Moves as few as that takes.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnavailable`]; see [`Handle::register_types`].
    pub async fn balance(&self) -> Result<u64, CallError> {
        let types = {
            let state = self.proposer.replicated.read();
            state.machine.types().map(|view| view.id).collect()
        };
        let command = AssignShards { types, movement: Movement::Balance };
        self.proposer.propose(&Command::AssignShards(command)).await
    }

    /// Lets a node vote, after it caught up. The node must have been started with [`crate::FirstStart::Join`] and must
    /// be reachable at `peer_address`. Only the leader can.
    ///
    /// # Errors
    /// [`ErrorKind::NotOwner`] if this node does not lead; the metadata names the leader.
    pub async fn admit(&self, node: NodeId, peer_address: &str) -> Result<(), CallError> {
        let raft = &self.proposer.raft;
        raft.add_learner(node.0, BasicNode::new(peer_address), true).await.map_err(not_admitted)?;
        let voters = ChangeMembers::AddVoterIds([node.0].into());
        raft.change_membership(voters, true).await.map_err(not_admitted)?;
        Ok(())
    }

    /// Completes once the control plane cannot go on: the node must exit. Never completes otherwise.
    pub fn fatal(&self) -> impl Future<Output = Fatal> + Send + use<> {
        let mut fatal = self.fatal.clone();
        async move {
            let found = fatal.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
            match found {
                Some(fatal) => fatal,
                // An orderly shutdown: nothing failed.
                None => std::future::pending().await,
            }
        }
    }

    /// True if this node leads the control plane now, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        let metrics = self.proposer.raft.metrics();
        metrics.borrow_watched().current_leader == Some(self.node.0)
    }

    /// Skips what this node's own view shows to be done. A refusal is left to the leader, whose view may be newer.
    async fn propose_unless_so(&self, command: Command) -> Result<u64, CallError> {
        {
            let state = self.proposer.replicated.read();
            let tried = state.try_out(command.clone());
            if !tried.changed && tried.outcome.is_ok() {
                return Ok(state.version);
            }
        }
        self.proposer.propose(&command).await
    }
}

fn not_admitted(
    error: RaftError<
        crate::raft::types::TypeConfig,
        ClientWriteError<crate::raft::types::TypeConfig>,
    >,
) -> CallError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            let error =
                CallError::new(ErrorKind::NotOwner, "only the leader lets nodes in; ask it");
            match to.leader_id {
                Some(leader) => error.with("leader", leader),
                None => error.retry_after(100),
            }
        }
        RaftError::APIError(error) => CallError::new(
            ErrorKind::StoreUnavailable,
            format!("the membership could not be changed now: {error}"),
        ),
        RaftError::Fatal(_) => stopped(),
    }
}
