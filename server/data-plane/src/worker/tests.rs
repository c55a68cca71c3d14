//! A worker that a test turns by hand, over a real store with its writer and readers, a scripted catalog and a host whose
//! frames the test reads.

mod deliveries;
mod epochs;
mod lease;
mod moves;
mod timers;
mod tools;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_proto::host::v1::{NodeFrame, Turn, TurnCallResult, node_frame::Frame};
use callboard_statestore::{
    ActorRecord, Claimed, CommitBatch, Error, ShardClaim, StateBlob, StateStore, Verdict,
    memory::MemoryStore,
};
use callboard_types::{
    Action, ActorId, ClusterView, Durability, Epoch, Kind, SessionId, ShardId, ShardOwner,
    TypeDefinition, TypeView, shard::key_hash,
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::{
    activation::machine::TurnEnd,
    call::{Metadata, Outcome, Payload, StreamAnswer, StreamSink},
    deliveries::broadcast::NobodyListens,
    forward::News,
    ports::{Directory, Hosting},
    session::{HostInfo, SessionLink},
    store::{Reader, Writer},
};

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
/// No answer of a store in memory takes that long.
const PATIENCE: Duration = Duration::from_secs(5);

// === the store, with a door ===

/// A memory store whose claims and commits can be held up.
struct Doors {
    store: MemoryStore,
    claims: Semaphore,
    commits: Semaphore,
    /// One for each commit that came to the door.
    came: Semaphore,
    /// Set to let the next commit happen and lose its answer.
    lose_answer: Mutex<bool>,
}

const WIDE_OPEN: usize = 1_000_000;

impl Doors {
    async fn pass(door: &Semaphore) {
        door.acquire().await.expect("never closed").forget();
    }

    /// From now on nobody passes until [`open`](Self::open).
    fn shut(door: &Semaphore) {
        door.forget_permits(WIDE_OPEN);
    }

    fn open(door: &Semaphore) {
        door.add_permits(WIDE_OPEN);
    }
}

callboard_statestore::state_store_front!(Doors, store, {
    async fn claim(&self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        Self::pass(&self.claims).await;
        self.store.claim(claims).await
    }

    async fn commit(&self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        self.came.add_permits(1);
        Self::pass(&self.commits).await;
        let done = self.store.commit(batch).await;
        if std::mem::take(&mut *self.lose_answer.lock()) {
            return Err(Error::OutcomeUnknown("the answer was lost".into()));
        }
        done
    }
});

// === the control plane ===

/// Remembers what it was told.
#[derive(Debug)]
struct Script {
    views: watch::Sender<Arc<ClusterView>>,
    released: Mutex<Vec<(u32, Epoch)>>,
    too_low: Mutex<Vec<(u32, Epoch)>>,
}

#[async_trait]
impl Directory for Script {
    fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.views.subscribe()
    }

    fn lease(&self) -> Lease {
        Lease::unlimited()
    }

    fn released(&self, shards: Vec<(ShardId, Epoch)>) {
        self.released.lock().extend(shards.into_iter().map(|(shard, epoch)| (shard.number, epoch)));
    }

    fn epoch_too_low(&self, stored: Vec<(ShardId, Epoch)>) {
        self.too_low.lock().extend(stored.into_iter().map(|(shard, epoch)| (shard.number, epoch)));
    }

    async fn register_types(
        &self,
        _system: &str,
        _types: Vec<TypeDefinition>,
        _descriptor_set: Bytes,
    ) -> Result<u64, CallError> {
        Ok(0)
    }

    async fn set_hosted(&self, _types: Vec<(String, String)>, _hosting: Hosting) {
        // The script decides who owns what.
    }
}

// === the stage ===

struct Stage {
    worker: Worker,
    doors: Arc<Doors>,
    script: Arc<Script>,
    lease: Lease,
    forwards: mpsc::Receiver<News>,
    session: Arc<SessionLink>,
    frames: mpsc::Receiver<Vec<NodeFrame>>,
    seen: VecDeque<Frame>,
    peer: (Arc<StreamSink>, mpsc::Receiver<Vec<StreamAnswer>>),
    definition: TypeDefinition,
    catalog: Arc<Catalog>,
    now: Tick,
    /// Ends the store's tasks with the stage.
    _tasks: Vec<tokio_util::task::AbortOnDropHandle<()>>,
}

fn counter(durability: Durability) -> TypeDefinition {
    let mut definition = TypeDefinition::new("Counter");
    definition.durability = durability;
    definition.shards = 1;
    definition.actions.insert("add".into(), Action::default());
    definition.actions.insert("read".into(), Action { read_only: true, ..Action::default() });
    definition
}

impl Stage {
    fn new(definition: TypeDefinition) -> Self {
        let doors = Arc::new(Doors {
            store: MemoryStore::new(),
            claims: Semaphore::new(WIDE_OPEN),
            commits: Semaphore::new(WIDE_OPEN),
            came: Semaphore::new(0),
            lose_answer: Mutex::new(false),
        });
        let (fatal, _) = watch::channel(None);
        let store: Arc<dyn StateStore> = Arc::clone(&doors) as _;
        let (sender, inbox) = mpsc::channel(64);
        let workers = Workers::new(vec![sender]);
        let (writer, writes) = Writer::new(Arc::clone(&store), ME, 64, fatal.clone());
        let (reads, read_jobs) = mpsc::channel(64);
        let (chores, chore_jobs) = mpsc::channel(64);
        let reader = |jobs| Reader::new(Arc::clone(&store), workers.clone(), jobs, fatal.clone());
        let spawn = |task: futures::future::BoxFuture<'static, ()>| {
            tokio_util::task::AbortOnDropHandle::new(tokio::spawn(task))
        };
        let tasks = vec![
            spawn(Box::pin(writer(workers.clone()).run())),
            spawn(Box::pin(reader(read_jobs).run())),
            spawn(Box::pin(reader(chore_jobs).run())),
        ];
        let script = Arc::new(Script {
            views: watch::channel(Arc::default()).0,
            released: Mutex::default(),
            too_low: Mutex::default(),
        });
        let lease = Lease::unlimited();
        let (forwards, given_away) = ForwardQueue::observed();
        let worker = Worker::new(WorkerParts {
            number: 0,
            node: ME,
            inbox,
            workers,
            writes,
            reads: ReadQueue::new(reads, chores),
            forwards,
            lease: lease.clone(),
            directory: Arc::clone(&script) as _,
            broadcasts: Arc::new(NobodyListens),
        });
        let (to_host, frames) = mpsc::channel(64);
        let (to_peer, answers) = mpsc::channel(64);
        let sink = Arc::new(StreamSink { id: 77, peer: true, batches: to_peer });
        Self {
            worker,
            doors,
            script,
            lease,
            forwards: given_away,
            session: SessionLink::new(SessionId(5), HostInfo::default(), 16, to_host),
            frames,
            seen: VecDeque::new(),
            peer: (sink, answers),
            definition,
            catalog: Arc::default(),
            now: Tick::now(),
            _tasks: tasks,
        }
    }

    /// A stage whose shard is this node's at epoch 1, with a host.
    fn serving(definition: TypeDefinition) -> Self {
        let mut stage = Self::new(definition);
        stage.agree(ShardOwner::new(ME, Epoch(1)));
        stage.offer();
        stage
    }

    fn offer(&mut self) {
        let types = vec![(0, Arc::new(self.definition.clone()))];
        self.round(vec![Message::Offered { session: Arc::clone(&self.session), types }]);
    }

    /// The cluster agrees on who owns the shard.
    fn agree(&mut self, owner: ShardOwner) {
        let news = self.agreed(owner);
        self.round(vec![news]);
    }

    /// The same, for a round of the test's own.
    fn agreed(&mut self, owner: ShardOwner) -> Message {
        let version = self.catalog.view.version + 1;
        let mut view = ClusterView { version, node: ME, ..ClusterView::default() };
        view.systems = vec!["default".into()];
        view.set_types(vec![Arc::new(TypeView {
            id: 0,
            system: "default".into(),
            name: self.definition.name.as_str().into(),
            definition: self.definition.clone(),
            descriptor_hash: "".into(),
            descriptor_set: Arc::new([]),
            shards: Arc::new([owner]),
        })]);
        self.catalog = Arc::new(Catalog::next(&self.catalog, &Arc::new(view)));
        Message::Catalog(Arc::clone(&self.catalog))
    }

    fn agree_on_move(&mut self, epoch: u64) {
        let owner = ShardOwner::new(ME, Epoch(epoch));
        self.agree(ShardOwner { moving_to: OTHER, ..owner });
    }

    fn round(&mut self, messages: Vec<Message>) {
        self.worker.now = self.now;
        self.worker.look_at_lease();
        for message in messages {
            self.worker.on_message(message);
        }
        self.worker.run_timers();
        self.worker.end_round();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        self.round(vec![]);
    }

    /// Lets the store's answers in, one a round, until there is what the test looks for.
    async fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let message = tokio::time::timeout(PATIENCE, self.worker.inbox.recv()).await;
            let message = message.unwrap_or_else(|_| panic!("{what} never came"));
            self.round(vec![message.expect("the stage holds a sender")]);
        }
    }

    // === callers ===

    fn call(&mut self, id: &str, action: &str) -> oneshot::Receiver<Outcome> {
        self.call_with(id, action, |_| ())
    }

    fn call_with(
        &mut self,
        id: &str,
        action: &str,
        change: impl FnOnce(&mut Call),
    ) -> oneshot::Receiver<Outcome> {
        let (to, waiter) = oneshot::channel();
        let routed = self.routed(id, action, ReplyTo::Unary(to), change);
        self.round(vec![Message::Calls(vec![routed])]);
        waiter
    }

    /// A call for a round of the test's own.
    fn routed(
        &self,
        id: &str,
        action: &str,
        reply_to: ReplyTo,
        change: impl FnOnce(&mut Call),
    ) -> RoutedCall {
        let mut call = Call {
            action: action.to_owned(),
            argument: Payload::default(),
            request_id: id.to_owned(),
            created_at: Millis::now(),
            deadline: self.now.plus_millis(30_000),
            metadata: Metadata::new(),
            lineage: None,
            asynchronous: false,
            activates_only: false,
            from_json: false,
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to,
        };
        change(&mut call);
        let actor_type = Arc::clone(&self.catalog.types()[0]);
        let key = "a".to_owned();
        RoutedCall { actor_type, key_hash: key_hash(&key), key, shard: 0, call }
    }

    /// A call whose caller is at another node.
    fn call_of_peer(&mut self, id: &str, action: &str, stream_id: u64) {
        let routed = self.routed_of_peer(id, action, stream_id);
        self.round(vec![Message::Calls(vec![routed])]);
    }

    fn routed_of_peer(&self, id: &str, action: &str, stream_id: u64) -> RoutedCall {
        let to = ReplyTo::Stream { sink: Arc::clone(&self.peer.0), stream_id, extras: None };
        self.routed(id, action, to, |_| ())
    }

    /// What the peer was told in one round, by the numbers of its calls.
    fn peer_answers(&mut self) -> Vec<(u64, Outcome)> {
        let mut batch = self.peer.1.try_recv().unwrap_or_default();
        batch.sort_by_key(|answer| answer.stream_id);
        batch.into_iter().map(|answer| (answer.stream_id, answer.outcome)).collect()
    }

    fn peer_answer(&mut self) -> Option<(u64, Outcome)> {
        let mut batch = self.peer_answers();
        assert!(batch.len() <= 1);
        batch.pop()
    }

    /// The request ids of calls that went into custody since this was asked last, in order.
    fn given_away(&mut self) -> Vec<String> {
        self.calls_given_away().into_iter().map(|routed| routed.call.request_id).collect()
    }

    fn calls_given_away(&mut self) -> Vec<RoutedCall> {
        let mut calls = Vec::new();
        while let Ok(news) = self.forwards.try_recv() {
            let News::Calls(parcels) = news else { continue };
            calls.extend(parcels.into_iter().map(|parcel| parcel.routed));
        }
        calls
    }

    // === the host ===

    fn frame(&mut self) -> Option<Frame> {
        while let Ok(frames) = self.frames.try_recv() {
            self.seen.extend(frames.into_iter().filter_map(|frame| frame.frame));
        }
        self.seen.pop_front()
    }

    /// The next run that the host gets.
    async fn run(&mut self) -> Vec<Turn> {
        let frame = self.until("a run", Self::frame).await;
        match frame {
            Frame::Run(run) => run.turns,
            other => panic!("not a run: {other:?}"),
        }
    }

    /// The host answers a turn and leaves a state.
    fn answer(&mut self, turn: &Turn, state: &str) {
        let answered = self.answered(turn, state);
        self.round(vec![answered]);
    }

    /// The same, for a round of the test's own.
    fn answered(&mut self, turn: &Turn, state: &str) -> Message {
        let reply = Payload { content_type: "text".into(), ..Payload::default() };
        let state = StateBlob {
            content_type: "text".into(),
            type_url: String::new(),
            data: state.to_owned().into(),
        };
        let end =
            TurnEnd { outcome: Some(Ok(reply)), state: Some(state), tags: None, workflow: None };
        let session = Arc::clone(&self.session);
        self.session.release(1);
        Message::Results { session, results: vec![(turn.turn_id, end)] }
    }

    // === what came of it ===

    async fn outcome(&mut self, waiter: &mut oneshot::Receiver<Outcome>) -> Outcome {
        self.until("an answer", |_| waiter.try_recv().ok()).await
    }

    fn released(&self) -> Vec<(u32, Epoch)> {
        std::mem::take(&mut *self.script.released.lock())
    }

    async fn row(&self) -> ActorRecord {
        let id = ActorId::parse("default", &self.definition.name, "a").expect("a valid name");
        let rows = self.doors.store.load(&[id]).await.expect("the store is there");
        rows.into_iter().next().flatten().unwrap_or_default()
    }
}

fn kind(outcome: Outcome) -> ErrorKind {
    outcome.expect_err("an error").kind
}
