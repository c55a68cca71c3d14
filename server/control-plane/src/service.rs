//! Starts and stops a node's control plane.

mod open;

use std::{
    collections::BTreeMap, convert::Infallible, fmt, path::PathBuf, sync::Arc, thread::JoinHandle,
    time::Duration,
};

use callboard_transport::tasks::{OnError, OnShutdown, Tasks};
use callboard_types::{ClusterClock, Lease, NodeId, Tick};
use openraft::{
    BasicNode,
    async_runtime::watch::WatchReceiver,
    error::{InitializeError, RaftError},
};
use tokio::sync::watch;

use crate::{
    Error, Fatal, Handle, Options,
    confirm::Confirmer,
    entrance::{Entrance, Member},
    first_start::Newcomer,
    grpc::{membership::Membership, peer::PeerService},
    hosted::{Hosted, Reconciler},
    identity::Identity,
    life::Birth,
    lives::Lives,
    machine::{COMMAND_VERSIONS, Command, command::BootstrapCluster},
    peers::Peers,
    propose::Proposer,
    raft::{
        self,
        cadence::Cadence,
        state_machine::{Replicated, StateMachine},
        types::Raft,
    },
    renew::Renewals,
    reports::Reports,
    schedules::{Batcher, Latecomers, Schedules},
    steward::Steward,
    view::Publisher,
};

/// The files' folder within the data folder.
const FOLDER: &str = "control";
/// How long a node that is alone may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long background work may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A control plane whose folder is open and which does not run yet. Its services may be served already: they say who the
/// node is, which is what nodes that begin a cluster together ask each other.
pub struct Opened {
    options: Options,
    folder: PathBuf,
    entrance: Entrance,
    known: Option<Identity>,
    files: open::Files,
}

/// A running control plane. [`ControlPlane::shutdown`] ends it in order; dropping it abandons its tasks.
#[derive(Debug)]
pub struct ControlPlane {
    handle: Handle,
    identity: Identity,
    entrance: Entrance,
    tasks: Tasks,
    /// Ends when openraft has dropped the log.
    log_writer: Option<JoinHandle<()>>,
}

// === impl Opened ===

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Opened {
    /// Consensus between nodes; served on the cluster's own listener.
    #[must_use]
    pub fn peer_service(&self) -> PeerService {
        PeerService::new(self.entrance.clone())
    }

    /// Who belongs to the cluster; served on the cluster's own listener.
    #[must_use]
    pub fn membership_service(&self) -> Membership {
        Membership::new(self.entrance.clone(), self.options.timings())
    }

    /// Starts the control plane on the current runtime. A node that is its cluster's only voter is ready when this
    /// returns: its view holds everything that was ever agreed, and its lease holds. Others catch up behind the view's
    /// watch. A node that has no cluster yet waits for one as long as it takes; its services must be served meanwhile.
    ///
    /// # Errors
    /// The cluster does not take the node, or the log or snapshot is damaged; see [`Error`]. Nothing is left running
    /// then.
    pub async fn start(self) -> Result<(ControlPlane, Handle), Error> {
        let Self { options, folder, entrance, known, files } = self;
        let config = raft::config(&options)?;
        let identity = match known {
            Some(identity) => identity,
            None => {
                let newcomer = Newcomer { options: &options, entrance: &entrance };
                let identity = newcomer.settle().await?;
                let (folder, name) = (folder.clone(), identity.clone());
                blocking(move || name.save(&folder)).await?;
                identity
            }
        };
        let peers = entrance.peers().clone();
        peers.settle(&identity);
        let publisher = Publisher::new(NodeId(identity.node_id));
        let replicated = Replicated::default();
        let open::Files { lives, mut log, snapshots } = files;
        let cadence = Cadence::new(options.snapshot_entries);
        let state = Arc::clone(&replicated);
        let machine = StateMachine::new(state, snapshots, publisher.clone(), cadence.clone());
        let log_writer = log.writer();
        let raft = match Raft::new(identity.node_id, config, peers.clone(), log, machine).await {
            Ok(raft) => raft,
            Err(error) => {
                join(log_writer).await;
                return Err(open::damaged(&folder, &error.to_string()));
            }
        };
        // Nobody can reach a node without an address for peers: it is alone by construction.
        let alone = options.peer_address.is_empty();
        let clock = if alone { ClusterClock::own() } else { ClusterClock::untold() };
        let proposer = Proposer { raft, replicated, publisher, peers, clock };
        // Boxed: it holds every part of the control plane, and callers keep this future on their stacks.
        let running =
            ControlPlane::run(options, identity, entrance, proposer, lives, log_writer, cadence);
        Box::pin(running).await
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Opens the data folder. Nothing is asked of others yet.
    ///
    /// # Errors
    /// The data folder or the settings cannot be used; see [`Error`].
    pub async fn open(options: Options) -> Result<Opened, Error> {
        options.check()?;
        crate::metrics::describe();
        let folder = options.data_dir.join(FOLDER);
        let peers = Peers::new(options.peer.clone());
        let (place, recovery) = (folder.clone(), options.clone());
        let (known, folder_id, files) = blocking(move || open::open(&place, &recovery)).await?;
        if let Some(identity) = &known {
            peers.settle(identity);
        }
        let entrance = Entrance::new(folder_id, peers);
        Ok(Opened { options, folder, entrance, known, files })
    }

    /// Opens the data folder and starts. For nodes whose services nobody needs before they are members: one that is
    /// alone, or joins a cluster that exists.
    ///
    /// # Errors
    /// See [`ControlPlane::open`] and [`Opened::start`].
    pub async fn start(options: Options) -> Result<(Self, Handle), Error> {
        Self::open(options).await?.start().await
    }

    async fn run(
        options: Options,
        identity: Identity,
        entrance: Entrance,
        proposer: Proposer,
        lives: Lives,
        log_writer: Option<JoinHandle<()>>,
        cadence: Cadence,
    ) -> Result<(Self, Handle), Error> {
        let tasks = Tasks::new();
        let snapshots = cadence.run(proposer.raft.clone());
        tasks.spawn("snapshots", OnError::Log, OnShutdown::Abort, snapshots);
        let (tell, fatal) = watch::channel(None);
        watch_raft(&tasks, &proposer, tell.clone());
        let (confirmer, rounds) = Confirmer::new(proposer.clone(), options.timings());
        tasks.spawn("lease rounds", OnError::Log, OnShutdown::Abort, rounds.run());
        let steward = Steward::new(options.clone(), proposer.clone(), confirmer.roll().clone());
        tasks.spawn("steward", OnError::Log, OnShutdown::Abort, steward.run());
        let member = Member { proposer: proposer.clone(), confirmer: confirmer.clone() };
        // Nobody can reach a node without an address for peers: it is alone by construction.
        let lease =
            if options.peer_address.is_empty() { Lease::unlimited() } else { Lease::lapsed() };
        let lease = lease.with_clock(proposer.clock.clone());
        let reports = Reports::default();
        let (batcher, batches) = Batcher::new(proposer.clone());
        tasks.spawn("schedules", OnError::Log, OnShutdown::Abort, batches.run());
        let schedules = Schedules::new(
            NodeId(identity.node_id),
            proposer.clone(),
            batcher,
            options.schedules_per_system,
        );
        let handle = Handle {
            node: NodeId(identity.node_id),
            proposer: proposer.clone(),
            hosted: Hosted::default(),
            reports: reports.clone(),
            confirmer: confirmer.clone(),
            lease: lease.clone(),
            timings: options.timings(),
            schedules: schedules.clone(),
            fatal,
        };
        let life = lives.own();
        let renewals =
            Renewals::new(life, lease, options.clone(), proposer.clone(), confirmer, tell.clone());
        entrance.introduce(proposer.clone(), lives.clone());
        let birth = Birth {
            lives,
            options: options.clone(),
            proposer: proposer.clone(),
            entrance: entrance.clone(),
        };
        let plane = Self { handle: handle.clone(), identity, entrance, tasks, log_writer };
        let becoming = plane.become_ready(&options, member, birth, renewals, tell);
        let ready = tokio::time::timeout(READY_TIMEOUT, becoming).await;
        if let Err(error) = ready.unwrap_or(Err(Error::NotReady(READY_TIMEOUT.as_secs()))) {
            plane.shutdown().await;
            return Err(error);
        }
        let reconciler = Reconciler {
            node: handle.node,
            grace: options.host_grace,
            hosted: handle.hosted.clone(),
            proposer: proposer.clone(),
        };
        let spawn = |name, task| plane.tasks.spawn(name, OnError::Log, OnShutdown::Abort, task);
        spawn("eligibility", futures::FutureExt::boxed(reconciler.run()));
        spawn("late occurrences", futures::FutureExt::boxed(Latecomers(schedules).run()));
        spawn("reports", futures::FutureExt::boxed(reports.run(handle.node, proposer)));
        Ok((plane, handle))
    }

    /// Consensus between nodes; served on the cluster's own listener.
    #[must_use]
    pub fn peer_service(&self) -> PeerService {
        PeerService::new(self.entrance.clone())
    }

    /// Who belongs to the cluster; served on the cluster's own listener.
    #[must_use]
    pub fn membership_service(&self) -> Membership {
        Membership::new(self.entrance.clone(), self.handle.timings)
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    /// Stops in order: no new commands, the last writes on disk, the files closed.
    pub async fn shutdown(self) {
        if !self.tasks.shutdown(SHUTDOWN_TIMEOUT).await {
            tracing::warn!("background work of the control plane did not end in time");
        }
        // It only fails if the core panicked, which the log shows already.
        let _ = self.handle.proposer.raft.shutdown().await;
        join(self.log_writer).await;
    }

    /// Takes a new cluster's first steps, as often as it takes, and begins this node's life. An only voter's life has
    /// begun when this returns; others begin theirs once somebody leads.
    async fn become_ready(
        &self,
        options: &Options,
        member: Member,
        birth: Birth,
        mut renewals: Renewals,
        tell: watch::Sender<Option<Fatal>>,
    ) -> Result<(), Error> {
        let raft = &self.handle.proposer.raft;
        let fatal = |error: &dyn std::error::Error| Error::Fatal(Fatal(error.to_string()));
        if self.identity.founder {
            let members = [(self.identity.node_id, BasicNode::new(&options.peer_address))];
            match raft.initialize(BTreeMap::from(members)).await {
                // Not allowed: an earlier start did it.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(fatal(&error)),
            }
        }
        // Asked of the core itself: what the metrics show of the membership may be a step behind.
        let voters = raft
            .with_raft_state(|state| state.membership_state.effective().voter_ids().collect())
            .await;
        let voters: Vec<u64> = voters.map_err(|error| fatal(&error))?;
        // Before it takes part again: a folder that is older than what the node promised must not.
        let round = birth.tell_around().await?;
        self.entrance.open(member);
        if voters == [self.identity.node_id] {
            raft.runtime_config().elect(true);
            raft.trigger().elect(false).await.map_err(|error| fatal(&error))?;
            raft.wait_for_recovery(Some(READY_TIMEOUT)).await.map_err(|error| fatal(&error))?;
            self.name_cluster(options, &birth).await?;
            birth.begin(round).await?;
            renewals.first().await?;
            self.tasks.spawn("lease", OnError::Log, OnShutdown::Abort, renewals.run());
            return Ok(());
        }
        self.tasks.spawn("lease", OnError::Log, OnShutdown::Abort, async move {
            match birth.begin(round).await {
                Ok(()) => renewals.run().await,
                Err(fatal) => {
                    tracing::error!(%fatal, "this node is no member of its cluster");
                    tell.send_replace(Some(fatal));
                    Ok(())
                }
            }
        });
        Ok(())
    }

    /// The first command of a cluster.
    async fn name_cluster(&self, options: &Options, birth: &Birth) -> Result<(), Error> {
        let cluster_id = self.identity.cluster_id.clone();
        let named = self.handle.proposer.replicated.read().machine.cluster_id() == cluster_id;
        if named {
            return Ok(());
        }
        let command = Command::BootstrapCluster(BootstrapCluster {
            cluster_id,
            node: self.handle.node,
            folder_id: birth.entrance.folder_id().into(),
            address: options.address.clone(),
            peer_address: options.peer_address.clone(),
            commands_min: COMMAND_VERSIONS.0,
            commands_max: COMMAND_VERSIONS.1,
        });
        let proposed = self.handle.proposer.propose(&command).await;
        proposed.map(|_| ()).map_err(|error| Error::Fatal(Fatal(error.to_string())))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Fatal(error.to_string()))?
}

/// Waits for the log's thread, so that the file is closed afterwards.
async fn join(log_writer: Option<JoinHandle<()>>) {
    let Some(writer) = log_writer else { return };
    let joined = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, joined).await.is_err() {
        tracing::warn!("the control plane's log is still being read");
    }
}

/// Publishes who leads, and tells when openraft gave up.
fn watch_raft(tasks: &Tasks, proposer: &Proposer, tell: watch::Sender<Option<Fatal>>) {
    let (mut metrics, publisher) = (proposer.raft.metrics(), proposer.publisher.clone());
    let token = tasks.token();
    tasks.spawn("leadership", OnError::Log, OnShutdown::Abort, async move {
        let mut lost_at = None;
        loop {
            {
                let metrics = metrics.borrow_watched();
                let leader = metrics.current_leader.map(NodeId);
                match (leader, lost_at) {
                    (None, None) => lost_at = Some(Tick::now()),
                    (Some(_), Some(since)) => {
                        crate::metrics::leader_found(Tick::now().micros_since(since));
                        lost_at = None;
                    }
                    _ => {}
                }
                publisher.publish_leader(leader, metrics.current_term);
                if let Err(error) = &metrics.running_state {
                    tracing::error!(%error, "consensus stopped; the node must exit");
                    tell.send_replace(Some(Fatal(format!(
                        "{error}. Restart the node; if it stops again, the log says what is damaged"
                    ))));
                }
            }
            if metrics.changed().await.is_err() {
                if !token.is_cancelled() {
                    tell.send_if_modified(|fatal| {
                        let first = fatal.is_none();
                        fatal.get_or_insert(Fatal("consensus ended. Restart the node".into()));
                        first
                    });
                }
                return Ok::<_, Infallible>(());
            }
        }
    });
}

#[cfg(test)]
mod tests;
