//! The way of a command to the leader, wherever that is.

use std::time::Duration;

use callboard_types::{CallError, ClusterClock, ErrorKind, Millis, Retry, Tick};
use openraft::{
    ReadPolicy,
    async_runtime::watch::WatchReceiver,
    error::{ClientWriteError, RaftError},
    impls::ProgressResponder,
};

use crate::{
    machine::{Command, schedules::ChangeResult},
    peers::{PEER_MESSAGE_BYTES_MAX, Peers},
    raft::{
        state_machine::Replicated,
        types::{LeaderId, Proposal, Raft, Reply},
    },
    view::Publisher,
};

/// How long a command may take, elections included: the longest election twice, and room for a slow disk.
pub(crate) const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a quorum may take to confirm the leader. Longer than it takes one that still leads.
const ROUND_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause before asking again who leads.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Largest command. An entry must fit a message between nodes with its frame.
const COMMAND_BYTES_MAX: usize = PEER_MESSAGE_BYTES_MAX - 64 * 1024;

/// Proposes commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proposer {
    pub(crate) raft: Raft,
    pub(crate) replicated: Replicated,
    pub(crate) publisher: Publisher,
    pub(crate) peers: Peers,
    /// What commands give as the time.
    pub(crate) clock: ClusterClock,
}

/// Why this attempt did not do it.
enum Miss {
    /// Somebody else leads, or nobody.
    NotLeader,
    /// It never will.
    Refused(CallError),
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").field("node", self.raft.node_id()).finish_non_exhaustive()
    }
}

impl Proposer {
    /// The cluster's time.
    ///
    /// # Errors
    /// `StoreUnavailable` on a node that has just started and was not told it yet.
    pub(crate) fn now(&self) -> Result<Millis, CallError> {
        let micros = self.clock.micros_at(Tick::now());
        micros.map(|micros| Millis(micros / 1_000)).ok_or_else(|| {
            let text = "this node was not told the time yet; nothing was done. Try again, or ask another node";
            CallError::new(ErrorKind::StoreUnavailable, text)
        })
    }

    /// The latest that it can be now.
    pub(crate) fn latest(&self) -> Millis {
        self.clock.latest_at(Tick::now())
    }

    /// Who leads, as far as this node knows, and where the membership says that it is.
    pub(crate) fn leader(&self) -> Option<(u64, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.membership().get_node(&leader);
        Some((leader, node.map(|node| node.addr.clone()).unwrap_or_default()))
    }

    /// Up to which index a node acknowledged the log, if this node leads; 0 otherwise.
    pub(crate) fn acknowledged_by(&self, node: u64) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref().and_then(|all| *all.get(&node)?);
        matched.map_or(0, |log_id| log_id.index)
    }

    /// The last index of this node's log.
    pub(crate) fn last_log_index(&self) -> u64 {
        self.raft.metrics().borrow_watched().last_log_index.unwrap_or_default()
    }

    /// The term that this node is in.
    pub(crate) fn term(&self) -> u64 {
        self.raft.metrics().borrow_watched().current_term
    }

    /// Confirms that this node leads, by a quorum that answered after the call. Returns up to where everything is
    /// committed and applied here that any earlier leader could have confirmed.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        let asked = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(ROUND_TIMEOUT, asked).await {
            Ok(Ok(read)) => Some(read.log_id().index),
            Ok(Err(error)) => {
                tracing::debug!(%error, "this node does not lead, or no majority follows it");
                None
            }
            Err(_) => None,
        }
    }

    /// Has the command applied and waits until this node's view contains it. Returns the version that does.
    ///
    /// # Errors
    /// The machine's refusal, or [`ErrorKind::StoreUnavailable`] if there is no leader in time. Every command may be
    /// proposed again.
    pub(crate) async fn propose(&self, command: &Command) -> Result<u64, CallError> {
        let applied = async {
            let reply = self.until_agreed(command).await?;
            let mut view = self.publisher.subscribe();
            let reached = view.wait_for(|view| view.version >= reply.version).await;
            reached.map_err(|_| stopped())?;
            Ok(reply.version)
        };
        self.in_time(command, applied).await
    }

    /// Has changes of schedules applied and waits until this node's schedules contain them. Returns what came of each.
    ///
    /// # Errors
    /// As [`propose`](Self::propose). Batches are known by their ids and may be proposed again.
    pub(crate) async fn propose_changes(
        &self,
        command: &Command,
    ) -> Result<Vec<ChangeResult>, CallError> {
        let applied = async {
            let reply = self.until_agreed(command).await?;
            let mut version = self.publisher.schedules();
            let reached = version.wait_for(|version| *version >= reply.schedules_version).await;
            reached.map_err(|_| stopped())?;
            Ok(reply.results)
        };
        self.in_time(command, applied).await
    }

    async fn in_time<T>(
        &self,
        command: &Command,
        applied: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let attempt = tokio::time::timeout(PROPOSAL_TIMEOUT, applied);
        attempt.await.unwrap_or_else(|_| {
            let text = format!(
                "the control plane has no leader that a majority of nodes follows; {} was given up after {} s and may \
                 be tried again",
                command.name(),
                PROPOSAL_TIMEOUT.as_secs()
            );
            Err(CallError::new(ErrorKind::StoreUnavailable, text))
        })
    }

    async fn until_agreed(&self, command: &Command) -> Result<Reply, CallError> {
        let proposal = Proposal::new(command);
        if proposal.as_bytes().len() > COMMAND_BYTES_MAX {
            let text = format!(
                "this change takes {} bytes, and {COMMAND_BYTES_MAX} is the limit; register fewer types at a time",
                proposal.as_bytes().len()
            );
            return Err(CallError::new(ErrorKind::InvalidArgument, text));
        }
        let reply = loop {
            match self.attempt(command, &proposal).await {
                Ok(reply) => break reply,
                Err(Miss::Refused(error)) => return Err(error),
                // Right after an election a leader sends proposers away until a majority answered it.
                Err(Miss::NotLeader) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        };
        reply.outcome.clone()?;
        Ok(reply)
    }

    async fn attempt(&self, command: &Command, proposal: &Proposal) -> Result<Reply, Miss> {
        let Some((leader, address)) = self.leader() else {
            return Err(Miss::NotLeader);
        };
        if leader == *self.raft.node_id() {
            return self.apply_here(command, proposal.clone()).await;
        }
        match self.peers.propose(leader, &address, proposal, PROPOSAL_TIMEOUT).await {
            Ok(reply) => Ok(reply),
            Err(error) if error.retry() == Retry::Never => Err(Miss::Refused(error)),
            Err(error) => {
                tracing::debug!(%error, leader, "the leader did not take a command");
                Err(Miss::NotLeader)
            }
        }
    }

    /// Proposes in the name of one leadership of this node, and waits until it is applied here. What a leader decided by
    /// what it had heard is void once another one leads, even if this node leads again later.
    ///
    /// # Errors
    /// The machine's refusal; [`ErrorKind::NotOwner`] if that leadership has ended.
    pub(crate) async fn propose_as(
        &self,
        leadership: LeaderId,
        command: &Command,
    ) -> Result<(), CallError> {
        let ended =
            || CallError::new(ErrorKind::NotOwner, "this node no longer leads the control plane");
        let (responder, written) = ProgressResponder::complete_only();
        let write = self.raft.write(Proposal::new(command)).with_leader(leadership);
        write.responder(responder).await.map_err(|_| stopped())?;
        match written.await {
            Ok(Ok(written)) => written.data.outcome,
            Ok(Err(_)) | Err(_) => Err(ended()),
        }
    }

    /// This node's leadership, if it leads.
    pub(crate) fn leadership(&self) -> Option<LeaderId> {
        self.raft.as_leader().ok().map(|leader| leader.to_committed_leader_id())
    }

    /// What a follower sent us as the leader.
    pub(crate) async fn apply_for_peer(&self, proposal: Proposal) -> Result<Reply, CallError> {
        let command = proposal.command().map_err(|error| {
            CallError::new(ErrorKind::InvalidArgument, format!("the command: {error}"))
        })?;
        self.apply_here(&command, proposal).await.map_err(|miss| match miss {
            Miss::Refused(error) => error,
            Miss::NotLeader => {
                CallError::new(ErrorKind::NotOwner, "this node does not lead the control plane")
            }
        })
    }

    /// Refuses what not every node understands, as far as this node knows.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnavailable`]; it may be tried again.
    pub(crate) fn check_admitted(&self, command: &Command) -> Result<(), CallError> {
        let state = self.replicated.read();
        if state.machine.admits(command) {
            return Ok(());
        }
        let text = format!(
            "the cluster's nodes agree on commands of version {}, and {} needs version {}: a node of an older version of \
             callboard is a member. Nothing was done; try again when every node runs the newer version",
            state.machine.cluster_version(),
            command.name(),
            command.needs_version()
        );
        Err(CallError::new(ErrorKind::StoreUnavailable, text))
    }

    async fn apply_here(&self, command: &Command, proposal: Proposal) -> Result<Reply, Miss> {
        {
            self.check_admitted(command).map_err(Miss::Refused)?;
            let state = self.replicated.read();
            // What would change nothing is answered from here: hosts register again after every reconnect, and a host
            // that is refused comes back, and neither may make the log grow.
            // The others nearly always change something, and trying them out copies a pointer per type.
            if may_be_repeated(command) && !state.machine.cluster_id().is_empty() {
                let tried = state.try_out(command.clone());
                if !tried.changed {
                    return Ok(Reply::new(state.version, tried.outcome));
                }
            }
        }
        match self.raft.client_write(proposal).await {
            Ok(written) => Ok(written.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(Miss::NotLeader),
            // Every command may be applied twice, so that a lost answer is only another attempt.
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Err(Miss::NotLeader)
            }
            Err(RaftError::APIError(error)) => {
                Err(Miss::Refused(CallError::new(ErrorKind::Internal, error.to_string())))
            }
            Err(RaftError::Fatal(_)) => Err(Miss::Refused(stopped())),
        }
    }
}

/// True for what callers, hosts and joining nodes ask for again and again.
fn may_be_repeated(command: &Command) -> bool {
    matches!(
        command,
        Command::CreateSystem(_)
            | Command::RegisterTypes(_)
            | Command::TypesOffered(_)
            | Command::TypesOfferedWith(_)
            | Command::AllocateNode(_)
            | Command::SetNodeState(_)
            | Command::RemoveNode(_)
            | Command::NodeStarted(_)
    )
}

/// The node is about to exit.
pub(crate) fn stopped() -> CallError {
    CallError::new(
        ErrorKind::ShuttingDown,
        "the control plane of this node stopped; try again at another node, or when it is back",
    )
}
