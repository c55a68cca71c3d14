//! What the rest of the node sees of its control plane.

mod operate;

use std::{fmt, future::Future, sync::Arc};

use callboard_types::{CallError, ClusterView, Epoch, Lease, NodeId, ShardId, TypeDefinition};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Fatal, Schedules,
    confirm::Confirmer,
    hosted::Hosted,
    lease::Timings,
    machine::{
        Command,
        command::{CreateSystem, DescriptorSet, RegisterTypes, TypesOffered, TypesOfferedWith},
    },
    propose::Proposer,
    reports::Reports,
};

/// Asks the control plane for things. Cheap to clone; outlives the control plane, and then answers with errors.
#[derive(Clone)]
pub struct Handle {
    pub(crate) node: NodeId,
    pub(crate) proposer: Proposer,
    pub(crate) hosted: Hosted,
    pub(crate) reports: Reports,
    pub(crate) confirmer: Confirmer,
    pub(crate) lease: Lease,
    pub(crate) timings: Timings,
    pub(crate) schedules: Schedules,
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

    /// The schedules of the cluster.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
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
    /// The rule that a definition breaks, `IncompatibleType`, `UnknownSystem`, or
    /// `StoreUnavailable` if nobody could agree to it in time, or if a type has settings and a member of the cluster
    /// runs a version that knows none; it may be tried again.
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
        let command = if TypesOfferedWith::is_needed(&command.types) {
            Command::TypesOfferedWith(TypesOfferedWith::new(command))
        } else {
            Command::TypesOffered(TypesOffered(command))
        };
        self.propose_unless_so(command).await
    }

    /// Makes a system unless it exists. Returns a version of the view that contains it.
    ///
    /// # Errors
    /// A bad name, too many systems, or `StoreUnavailable`; see [`Handle::register_types`].
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

    /// Says that the last hosts of the types, as (system, type), left this node for good: it stops being eligible at
    /// once, without the grace period, if another node has one.
    pub fn hosts_left(&self, types: Vec<(Arc<str>, Arc<str>)>) {
        self.hosted.leave(types);
    }

    /// This node has let go of shards that were to move: nothing of these epochs runs here, and nothing of them will ever
    /// be committed. Never waits; it is said to the leader until the view shows that it was heard.
    pub fn released(&self, shards: Vec<(ShardId, Epoch)>) {
        self.reports.released(shards);
    }

    /// The store holds these epochs, higher than the ones in which this node was given the shards. The cluster raises
    /// above them. Never waits.
    pub fn epoch_too_low(&self, stored: Vec<(ShardId, Epoch)>) {
        self.reports.too_low(stored);
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
        self.proposer.check_admitted(&command)?;
        self.proposer.propose(&command).await
    }
}
