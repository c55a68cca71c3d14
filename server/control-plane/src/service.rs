//! Starts and stops a node's control plane.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use callboard_transport::tasks::{OnError, OnShutdown, Tasks};
use callboard_types::{Lease, NodeId};
use openraft::{
    BasicNode,
    async_runtime::watch::WatchReceiver,
    error::{InitializeError, RaftError},
};
use tokio::sync::watch;

use crate::{
    Error, Fatal, FirstStart, Handle, Options,
    grpc::peer::PeerService,
    hosted::{Hosted, Reconciler},
    identity::Identity,
    machine::{Command, command::Bootstrap},
    propose::Proposer,
    raft::{
        self,
        log_store::LogStore,
        network::Peers,
        snapshot_store::SnapshotStore,
        state_machine::{Replicated, StateMachine},
        types::Raft,
    },
    view::Publisher,
};

/// The files' folder within the data folder.
const FOLDER: &str = "control";
/// How long a node that is alone may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long background work may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running control plane. [`ControlPlane::shutdown`] ends it in order; dropping it abandons its tasks.
#[derive(Debug)]
pub struct ControlPlane {
    handle: Handle,
    identity: Identity,
    tasks: Tasks,
    /// Ends when openraft has dropped the log.
    log_writer: Option<JoinHandle<()>>,
}

impl ControlPlane {
    /// Starts the control plane on the current runtime. A node that is its cluster's only voter is ready when this
    /// returns: its view holds everything that was ever agreed. Others catch up behind the view's watch.
    ///
    /// # Errors
    /// The data folder or the settings cannot be used; see [`Error`]. Nothing is left running then.
    pub async fn start(options: Options) -> Result<(Self, Handle), Error> {
        let config = raft::config(&options)?;
        let folder = options.data_dir.join(FOLDER);
        let first_start = options.first_start.clone();
        let (identity, mut log, snapshots) =
            tokio::task::spawn_blocking(move || open(&folder, &first_start))
                .await
                .map_err(|error| Fatal(error.to_string()))??;
        let node = NodeId(identity.node_id);
        let publisher = Publisher::new(node);
        let replicated = Replicated::default();
        let machine = StateMachine::new(Arc::clone(&replicated), snapshots, publisher.clone());
        let peers = Peers::new(&identity.cluster_id, identity.node_id);
        let log_writer = log.writer();
        let raft = match Raft::new(identity.node_id, config, peers.clone(), log, machine).await {
            Ok(raft) => raft,
            Err(error) => {
                join(log_writer).await;
                return Err(Fatal(error.to_string()).into());
            }
        };
        let proposer = Proposer { raft, replicated, publisher, peers };
        let tasks = Tasks::new();
        let fatal = watch_raft(&tasks, &proposer);
        // A node alone is replaced by nobody.
        let lease = Lease::unlimited();
        let handle = Handle { node, proposer, hosted: Hosted::default(), lease, fatal };
        let reconciler = Reconciler {
            node,
            address: options.address,
            grace: options.host_grace,
            hosted: handle.hosted.clone(),
            proposer: handle.proposer.clone(),
        };
        let plane = Self { handle: handle.clone(), identity, tasks, log_writer };
        let becoming_ready = plane.become_ready(&reconciler.address, &options.peer_address);
        let ready = tokio::time::timeout(READY_TIMEOUT, becoming_ready).await;
        if let Err(error) = ready.unwrap_or(Err(Error::NotReady(READY_TIMEOUT.as_secs()))) {
            plane.shutdown().await;
            return Err(error);
        }
        plane.tasks.spawn("eligibility", OnError::Log, OnShutdown::Abort, reconciler.run());
        Ok((plane, handle))
    }

    /// What other nodes call; served on the cluster's own listener.
    #[must_use]
    pub fn peer_service(&self) -> PeerService {
        PeerService::new(&self.identity, self.handle.proposer.clone())
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

    /// Takes a new cluster's first steps, as often as it takes; waits for an only voter's past.
    async fn become_ready(&self, address: &str, peer_address: &str) -> Result<(), Error> {
        let raft = &self.handle.proposer.raft;
        let fatal = |error: &dyn std::error::Error| Error::Fatal(Fatal(error.to_string()));
        if self.identity.founder {
            let members = [(self.identity.node_id, BasicNode::new(peer_address))];
            match raft.initialize(std::collections::BTreeMap::from(members)).await {
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
        if voters != [self.identity.node_id] {
            return Ok(());
        }
        raft.wait_for_recovery(Some(READY_TIMEOUT)).await.map_err(|error| fatal(&error))?;
        let cluster_id = self.identity.cluster_id.clone();
        let named = self.handle.proposer.replicated.read().machine.cluster_id() == cluster_id;
        if !named {
            let command = Command::Bootstrap(Bootstrap {
                cluster_id,
                node: self.handle.node,
                address: address.to_owned(),
            });
            let proposed = self.handle.proposer.propose(&command).await;
            proposed.map_err(|error| fatal(&error))?;
        }
        Ok(())
    }
}

/// Waits for the log's thread, so that the file is closed afterwards.
async fn join(log_writer: Option<JoinHandle<()>>) {
    let Some(writer) = log_writer else { return };
    let joined = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, joined).await.is_err() {
        tracing::warn!("the control plane's log is still being read");
    }
}

/// Opens the folder's files. Runs on a thread that may block.
///
/// The name comes last at the first start and first ever after: a node that has one and lost its log must not vote
/// again, because it no longer knows whom it voted for and what it acknowledged.
fn open(
    folder: &Path,
    first_start: &FirstStart,
) -> Result<(Identity, LogStore, SnapshotStore), Error> {
    let known = Identity::load(folder, first_start)?;
    let (log_path, snapshot_path) = (folder.join("log.redb"), folder.join("snapshot.redb"));
    if known.is_some() {
        for path in [&log_path, &snapshot_path] {
            if !path.exists() {
                return Err(Error::LogMissing { path: path.clone() });
            }
        }
    } else {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder.into(), error))?;
    }
    let is_new = known.is_none();
    let log = open_file(log_path, is_new, LogStore::open)?;
    let snapshots = open_file(snapshot_path, is_new, SnapshotStore::open)?;
    let identity = match known {
        Some(identity) => identity,
        None => Identity::create(folder, first_start)?,
    };
    Ok((identity, log, snapshots))
}

/// Opens one file. What a first start left half made when it was cut off is made again: nothing was agreed on then.
fn open_file<T>(
    path: PathBuf,
    is_new: bool,
    open: impl Fn(&Path) -> io::Result<T>,
) -> Result<T, Error> {
    match open(&path).map_err(|error| unusable(path.clone(), error)) {
        Err(Error::DataFolder { .. }) if is_new && path.exists() => {
            std::fs::remove_file(&path).map_err(|error| unusable(path.clone(), error))?;
            open(&path).map_err(|error| unusable(path, error))
        }
        opened => opened,
    }
}

fn unusable(path: PathBuf, source: io::Error) -> Error {
    let held = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<redb::DatabaseError>())
        .is_some_and(|error| matches!(error, redb::DatabaseError::DatabaseAlreadyOpen));
    if held { Error::InUse { path } } else { Error::DataFolder { path, source } }
}

/// Publishes who leads, and tells when openraft gave up.
fn watch_raft(tasks: &Tasks, proposer: &Proposer) -> watch::Receiver<Option<Fatal>> {
    let (tell, fatal) = watch::channel(None);
    let (mut metrics, publisher) = (proposer.raft.metrics(), proposer.publisher.clone());
    let token = tasks.token();
    tasks.spawn("leadership", OnError::Log, OnShutdown::Abort, async move {
        loop {
            {
                let metrics = metrics.borrow_watched();
                publisher.publish_leader(metrics.current_leader.map(NodeId), metrics.current_term);
                if let Err(error) = &metrics.running_state {
                    tracing::error!(%error, "consensus stopped; the node must exit");
                    tell.send_replace(Some(Fatal(error.to_string())));
                }
            }
            if metrics.changed().await.is_err() {
                if !token.is_cancelled() {
                    tell.send_if_modified(|fatal| {
                        let first = fatal.is_none();
                        fatal.get_or_insert(Fatal("consensus ended".into()));
                        first
                    });
                }
                return Ok::<_, Infallible>(());
            }
        }
    });
    fatal
}

#[cfg(test)]
mod tests;
