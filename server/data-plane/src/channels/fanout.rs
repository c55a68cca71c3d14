//! Hands messages to every shard that listens, wherever it is, and to every node for those who listen from outside there.
//!
//! One task beside the first worker. A message is done once each shard whose actors all get it has recorded it; what a node
//! did not take is handed over again by the newest view. In the first round every node is tried before the message counts as
//! said, so that messages of one source keep their order while nothing fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_proto::peer::v1::{BroadcastRequest, BroadcastShards};
use callboard_types::{CallError, ErrorKind, NodeId, Tick, limits};
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use super::{
    local::{Local, Shards, Taken},
    machine_plan::{Parcel, Plan, audience, is_too_wide},
    message::Said,
};
use crate::{
    call::{DeliveryWaiter, Reply},
    catalog::{Catalog, CatalogReader},
    deliveries::{BroadcastJob, BroadcastQueue},
    forward::Peers,
};

/// Messages that are handed over side by side.
const SIDE_BY_SIDE_MAX: usize = 256;
/// How long one attempt with a node may take that has shards which listen.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an attempt may take with a node at which others may listen, and no shards.
const EAR_TIMEOUT: Duration = Duration::from_millis(500);
/// How long one attempt at the message of a row takes at most, in milliseconds; then its owner looks whether it still owns
/// the row.
const ROW_ATTEMPT_MS: u64 = 30_000;
/// How long nodes without shards that listen are tried beside what comes next, in milliseconds.
const EARS_MS: u64 = 5_000;
/// First and longest pause before the next round.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// A message to be handed over.
#[derive(Debug)]
pub struct Job {
    /// The message.
    pub said: Arc<Said>,
    /// When nobody waits any longer.
    pub until: Tick,
    /// Who is told.
    pub done: Done,
}

/// Who waits until a message was said.
#[derive(Debug)]
pub enum Done {
    /// Its publisher: told how many types listen, or why the message was not said to all of them. If it is dropped, the
    /// message is given up.
    Publisher(oneshot::Sender<Result<u32, CallError>>),
    /// The row that stands for it.
    Row(DeliveryWaiter),
}

/// Takes messages for the fan-out. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct FanOutQueue {
    jobs: mpsc::Sender<Job>,
    catalog: CatalogReader,
}

/// The task.
pub struct FanOut {
    node: NodeId,
    jobs: mpsc::Receiver<Job>,
    catalog: CatalogReader,
    peers: Peers,
    local: Local,
    under_way: AtomicUsize,
}

// === impl Done ===

impl Done {
    fn tell(self, end: Result<u32, CallError>) {
        match self {
            // Whoever does not wait any longer has let go of its end.
            Self::Publisher(publisher) => drop(publisher.send(end)),
            Self::Row(row) => row.answer(end.map(|_| Reply { durable: true, ..Reply::default() })),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Publisher(publisher) => publisher.is_closed(),
            // A row that nobody owns any longer is handed over by its next owner; this attempt ends in time.
            Self::Row(_) => false,
        }
    }
}

// === impl FanOutQueue ===

impl BroadcastQueue for FanOutQueue {
    fn send(&self, job: BroadcastJob) {
        let said = Said {
            id: job.id,
            system: job.system,
            channel: job.channel.into(),
            payload: job.payload,
            metadata: job.metadata,
            source: Some(job.source),
            published_at: job.created_at,
        };
        let until = Tick::now().plus_millis(ROW_ATTEMPT_MS);
        let job = Job { said: Arc::new(said), until, done: Done::Row(job.done) };
        if let Err((job, error)) = self.hand(job) {
            job.done.tell(Err(error));
        }
    }
}

impl FanOutQueue {
    /// Takes a message.
    ///
    /// # Errors
    /// With the job: `MailboxFull` if too many wait, `QuotaExceeded` if too many shards listen.
    pub fn hand(&self, job: Job) -> Result<(), (Job, CallError)> {
        let said = &job.said;
        let (_, shards) = audience(&self.catalog.load().view, &said.system, &said.channel);
        if is_too_wide(shards) {
            let text = "more shards listen to the channel than one message may go to; it was not said. Let fewer \
                        types listen, or give them fewer shards";
            let error = CallError::new(ErrorKind::QuotaExceeded, text);
            return Err((job, error.with("limit", limits::BROADCAST_SHARDS_MAX)));
        }
        self.jobs.try_send(job).map_err(|refused| {
            let text = "the node hands out as many messages of channels as it may; this one was not said. Retry \
                        it later with the same request id";
            let error = CallError::new(ErrorKind::MailboxFull, text).retry_after(100);
            (refused.into_inner(), error.with("limit", limits::BROADCASTS_PENDING_MAX))
        })
    }
}

// === impl FanOut ===

impl FanOut {
    /// The task and the queue that leads to it.
    pub(crate) fn new(
        node: NodeId,
        catalog: CatalogReader,
        peers: Peers,
        local: Local,
    ) -> (Self, FanOutQueue) {
        let waiting = limits::BROADCASTS_PENDING_MAX - SIDE_BY_SIDE_MAX;
        let (sender, jobs) = mpsc::channel(waiting);
        let queue = FanOutQueue { jobs: sender, catalog: catalog.clone() };
        (Self { node, jobs, catalog, peers, local, under_way: AtomicUsize::new(0) }, queue)
    }

    /// Runs until every queue is gone.
    pub async fn run(mut self) {
        let (_, none) = mpsc::channel(1);
        let mut jobs = std::mem::replace(&mut self.jobs, none);
        let this = &self;
        let mut under_way = FuturesUnordered::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                job = jobs.recv(), if open && under_way.len() < SIDE_BY_SIDE_MAX => match job {
                    Some(job) => under_way.push(this.hand_out(job)),
                    None => open = false,
                },
            }
            this.under_way.store(under_way.len(), Ordering::Relaxed);
        }
    }

    async fn hand_out(&self, job: Job) {
        let Job { said, until, done } = job;
        let (mut plan, mut catalog) = (Plan::default(), self.catalog.clone());
        let mut done = Some(done);
        let ears_end = Tick::now().plus_millis(EARS_MS);
        let mut pause = PAUSE.0;
        loop {
            let full = self.round(&said, &mut plan, &catalog.load_full()).await;
            let now = Tick::now();
            let end = if plan.missing() == 0 {
                Some(Ok(plan.types()))
            } else if full {
                Some(Err(too_many_waiting()))
            } else if until <= now {
                Some(Err(too_late(plan.missing())))
            } else {
                None
            };
            let over = end.as_ref().is_some_and(Result::is_err);
            if let Some(end) = end
                && let Some(done) = done.take()
            {
                done.tell(end);
            }
            let tail = done.is_none();
            let crowded = self.under_way.load(Ordering::Relaxed) > SIDE_BY_SIDE_MAX / 2;
            let tail_ends = plan.deaf() == 0 || crowded || ears_end <= now;
            if over || (tail && tail_ends) || done.as_ref().is_some_and(Done::is_closed) {
                return;
            }
            let wait = pause.min(until.duration_after(now).max(Duration::from_millis(1)));
            tokio::select! {
                () = catalog.changed() => {}
                () = tokio::time::sleep(wait) => pause = (pause * 2).min(PAUSE.1),
            }
        }
    }

    /// Hands the message to everybody who is still to get it. True if a shard has no room for it.
    async fn round(&self, said: &Arc<Said>, plan: &mut Plan, catalog: &Catalog) -> bool {
        let parcels = plan.round(&catalog.view, &said.system, &said.channel);
        let nodes = parcels.into_iter().map(|(node, parcel)| async move {
            let patience = if parcel.shards.is_empty() { EAR_TIMEOUT } else { ATTEMPT_TIMEOUT };
            let handed = self.hand_over(said, node, parcel, catalog);
            (node, tokio::time::timeout(patience, handed).await.ok().flatten())
        });
        let mut full = false;
        for (node, taken) in join_all(nodes).await {
            let Some(taken) = taken else { continue };
            full |= !taken.full.is_empty();
            let recorded = taken.recorded.into_iter();
            plan.took(
                node,
                recorded.flat_map(|(name, numbers)| {
                    numbers.into_iter().map(move |number| (Arc::clone(&name), number))
                }),
            );
        }
        full
    }

    /// Hands the message to one node. `None` if the node cannot be reached now.
    async fn hand_over(
        &self,
        said: &Arc<Said>,
        node: NodeId,
        parcel: Parcel,
        catalog: &Catalog,
    ) -> Option<Taken> {
        if node == self.node {
            return Some(self.local.take(said, &parcel.shards).await);
        }
        let (_, mut client) = self.peers.client(&catalog.view, node)?;
        let request = BroadcastRequest {
            shards: to_proto(parcel.shards),
            view_version: catalog.view.version,
            ..said.to_request()
        };
        match client.broadcast(request).await {
            Ok(response) => {
                let response = response.into_inner();
                let (recorded, full) = (from_proto(response.recorded), from_proto(response.full));
                Some(Taken { recorded, full })
            }
            Err(status) => {
                tracing::debug!(%node, %status, "a message of a channel was not taken");
                None
            }
        }
    }
}

/// Shards for the wire.
pub(crate) fn to_proto(shards: Shards) -> Vec<BroadcastShards> {
    let shards = shards.into_iter();
    shards.map(|(name, shards)| BroadcastShards { r#type: name.to_string(), shards }).collect()
}

/// Shards from the wire.
pub(crate) fn from_proto(shards: Vec<BroadcastShards>) -> Shards {
    shards.into_iter().map(|of| (of.r#type.into(), of.shards)).collect()
}

fn too_many_waiting() -> CallError {
    let text = "shards that listen have as many messages to deliver as they may: are hosts of their types connected? \
                Some of their actors may get the message. Retry it later with the same request id";
    let error = CallError::new(ErrorKind::MailboxFull, text).retry_after(1_000);
    error.with("limit", limits::BROADCASTS_PER_SHARD_MAX)
}

fn too_late(missing: usize) -> CallError {
    let text = "the deadline passed before every shard that listens had recorded the message; some of their actors may \
                get it. Retry it with the same request id";
    CallError::new(ErrorKind::DeadlineExceeded, text).with("missing_shards", missing)
}
