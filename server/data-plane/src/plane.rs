//! Puts the data plane of one node together.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use callboard_proto::peer::v1::forward_service_server::ForwardServiceServer;
use callboard_statestore::StateStore;
use callboard_transport::peer::PeerDialer;
use callboard_types::{ClusterView, NodeId, limits};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    catalog,
    channels::{FanOut, Listeners, Local},
    forward::{ForwardQueue, Looker, Peers},
    grpc::{
        channels::Channels,
        control::Actors,
        dead_letters::DeadLetters,
        forward::Forwarding,
        gateway::Gateway,
        host::{Hosts, Sessions},
    },
    ports::Directory,
    router::Router,
    scheduler::Scheduler,
    store::{ReadQueue, Reader, WriteQueue, Writer},
    worker::{Message, Worker, WorkerParts, Workers},
};

/// Settings of the data plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shard workers, 1 to 256. Each has a thread of its own that also serves connections.
    pub workers: usize,
    /// How often a host is asked for a sign of life; it is cut off after two that stay unanswered.
    pub host_ping: Duration,
    /// What the node calls itself to hosts.
    pub version: &'static str,
    /// Connects to other nodes; `None` on a node that is alone.
    pub peers: Option<PeerDialer>,
}

/// The parts of a data plane that somebody has to run.
pub struct DataPlane {
    /// Run each on a thread of its own, together with the connections of that thread.
    pub workers: Vec<Worker>,
    /// Commit writer, readers, the custody of forwarded calls with its streams to peers, and the firing of schedules. They
    /// only group and hand over; beside the first worker they save a thread switch on the way to the store, or to a peer,
    /// and back.
    pub store_tasks: Vec<futures::future::BoxFuture<'static, ()>>,
    /// Follows the view, and tells hosts of nodes that come and go. Run it on any runtime.
    pub catalog: futures::future::BoxFuture<'static, ()>,
    /// The services and the way to stop.
    pub handle: Handle,
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// The services of a running data plane. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// `callboard.gateway.v1`.
    pub gateway: Gateway,
    /// `callboard.host.v1`.
    pub hosts: Hosts,
    /// `ActorsService` and `HostsService` of `callboard.control.v1`.
    pub actors: Actors,
    /// `DeadLettersService` of `callboard.control.v1`.
    pub dead_letters: DeadLetters,
    forwarding: Forwarding,
    channels: Channels,
    forwards: ForwardQueue,
    sessions: Sessions,
    router: Router,
    writes: WriteQueue,
    fatal: watch::Receiver<Option<String>>,
}

impl DataPlane {
    /// Builds the plane over a store and what the cluster agreed on.
    #[must_use]
    pub fn new(
        options: &Options,
        node: NodeId,
        store: Arc<dyn StateStore>,
        directory: Arc<dyn Directory>,
    ) -> Self {
        let count = options.workers.clamp(1, 256);
        let (fatal, fatal_seen) = watch::channel(None);
        let (writer, writes) =
            Writer::new(Arc::clone(&store), node, limits::COMMIT_QUEUE_MAX, fatal.clone());
        let (reads, read_jobs) = mpsc::channel(limits::WORKER_INBOX_BATCHES);
        let (chores, chore_jobs) = mpsc::channel(limits::WORKER_INBOX_BATCHES);
        let reads = ReadQueue::new(reads, chores);
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(limits::WORKER_INBOX_BATCHES)).unzip();
        let workers = Workers::new(senders);
        let views: watch::Receiver<Arc<ClusterView>> = directory.view();
        let (catalog, follow) = catalog::follow(views, workers.clone());
        let peers = Peers::new(options.peers.clone());
        let (forwards, custody) =
            ForwardQueue::new(node, catalog.clone(), workers.clone(), peers.clone());
        let lease = directory.lease();
        let listeners = Listeners::new(lease.clock().clone());
        let local = Local::new(listeners, catalog.clone(), workers.clone());
        let (fan_out, said) = FanOut::new(node, catalog.clone(), peers.clone(), local.clone());
        let parts = inboxes.into_iter().enumerate().map(|(number, inbox)| WorkerParts {
            number,
            node,
            inbox,
            workers: workers.clone(),
            writes: writes.clone(),
            reads: reads.clone(),
            forwards: forwards.clone(),
            lease: lease.clone(),
            directory: Arc::clone(&directory),
            broadcasts: Arc::new(said.clone()),
        });
        let built = parts.map(Worker::new).collect();
        let router = Router::new(node, catalog, workers.clone(), forwards.clone(), lease.clone());
        let channels = Channels::new(router.clone(), said.clone(), local);
        let schedules = directory.schedules();
        let looker = Looker::new(router.clone(), Arc::clone(&store), peers);
        let sinks = Arc::new(AtomicU64::new(1));
        let sessions = Sessions::default();
        let announce = sessions.clone().announce_nodes(router.catalog_reader());
        let reader = |jobs| Reader::new(Arc::clone(&store), workers.clone(), jobs, fatal.clone());
        let scheduler = Scheduler::new(router.clone(), lease, Arc::clone(&schedules));
        let hosts = Hosts::new(
            router.clone(),
            directory,
            sessions.clone(),
            options.host_ping,
            options.version,
        );
        Self {
            workers: built,
            store_tasks: vec![
                Box::pin(writer(workers.clone()).run()),
                Box::pin(reader(read_jobs).run()),
                Box::pin(reader(chore_jobs).run()),
                Box::pin(custody.run()),
                Box::pin(fan_out.run()),
                Box::pin(scheduler.run()),
            ],
            catalog: Box::pin(async {
                tokio::join!(follow, announce);
            }),
            handle: Handle {
                gateway: Gateway::new(
                    router.clone(),
                    Arc::clone(&store),
                    looker.clone(),
                    Arc::clone(&schedules),
                    channels.clone(),
                    Arc::clone(&sinks),
                ),
                hosts,
                dead_letters: DeadLetters::new(router.clone(), Arc::clone(&store), said),
                actors: Actors::new(router.clone(), store, looker.clone(), sessions.clone()),
                forwarding: Forwarding::new(router.clone(), looker, channels.clone(), sinks),
                channels,
                forwards,
                sessions,
                router,
                writes,
                fatal: fatal_seen,
            },
        }
    }
}

impl Handle {
    /// Takes the calls of other nodes. For the listener for nodes, behind
    /// [`PeerGuard`](callboard_transport::peer::PeerGuard); serve it on the workers' threads, so that a forwarded call
    /// crosses no more threads than a local one.
    #[must_use]
    pub fn forward_service(&self) -> ForwardServiceServer<Forwarding> {
        ForwardServiceServer::new(self.forwarding.clone())
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
    }

    /// Waits until the state store has failed for good, and says why.
    pub async fn fatal(&mut self) -> String {
        match self.fatal.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The writer has ended: the node is stopping.
            Err(_) => futures::future::pending().await,
        }
    }

    /// From now on the node is about to stop; see [`drain`](Self::drain).
    pub fn start_draining(&self) {
        self.channels.end();
    }

    /// True if commits work at the moment.
    #[must_use]
    pub fn store_is_up(&self) -> bool {
        !self.writes.is_down()
    }

    /// How many sessions offer a type on this node.
    #[must_use]
    pub fn hosts_of(&self, system: &str, actor_type: &str) -> u32 {
        self.sessions.hosts_of(system, actor_type)
    }

    /// Activations of a type on this node.
    #[must_use]
    pub fn active_of(&self, system: &str, actor_type: &str) -> u64 {
        self.router.catalog().type_of(system, actor_type).map_or(0, |found| found.active())
    }

    /// Takes no new calls, tells hosts, and waits until what is there has ended and is saved, or `patience` is over;
    /// then ends the host sessions. True if it all ended in time.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.gateway.close();
        self.sessions.announce_draining(patience);
        let workers = self.router.workers();
        let mut done = Vec::new();
        for worker in 0..workers.count() {
            let (to, drained) = oneshot::channel();
            workers.send(worker, Message::Drain(to)).await;
            done.push(drained);
        }
        let all = async {
            for drained in done {
                let _ = drained.await;
            }
            // Calls of this node's callers that other nodes run.
            self.forwards.idle().await;
        };
        let in_time = tokio::time::timeout(patience, all).await.is_ok();
        self.sessions.close_all();
        in_time
    }
}
