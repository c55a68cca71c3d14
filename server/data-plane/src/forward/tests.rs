//! Goal: custody holds what it may and no more, and never plays ping-pong with a worker of its own node.
//! Method: a queue and its custody without peers; the test is the worker, and says what the cluster agreed on.

use std::{sync::Arc, time::Duration};

use callboard_types::{
    ClusterView, Epoch, ErrorKind, NodeId, Revision, ShardOwner, Tick, TypeDefinition, TypeView,
    shard::key_hash,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::{
    call::{Call, Outcome, Reply, StreamSink},
    catalog,
    worker::Message,
};

const NODE: NodeId = NodeId(1);

/// A custody on node 1 for a type with one shard.
pub(super) struct Node {
    pub(super) queue: ForwardQueue,
    pub(super) custody: Option<Custody>,
    pub(super) catalog: CatalogReader,
    views: watch::Sender<Arc<ClusterView>>,
    worker: mpsc::Receiver<Message>,
}

fn view(version: u64, owner: ShardOwner) -> Arc<ClusterView> {
    let mut view = ClusterView { version, node: NODE, ..ClusterView::default() };
    view.systems = vec!["default".into()];
    view.set_types(vec![Arc::new(TypeView {
        id: 0,
        system: "default".into(),
        name: "Counter".into(),
        definition: TypeDefinition::new("Counter"),
        descriptor_hash: "".into(),
        descriptor_set: [].into(),
        shards: [owner].into(),
    })]);
    Arc::new(view)
}

impl Node {
    /// A node that knows who owns the shard.
    pub(super) async fn start(owner: ShardOwner) -> Self {
        let (inbox, worker) = mpsc::channel(16);
        let workers = Workers::new(vec![inbox]);
        let (views, seen) = watch::channel(view(1, owner));
        let (mut catalog, follow) = catalog::follow(seen, workers.clone());
        tokio::spawn(follow);
        catalog.wait_for(1).await;
        let (queue, custody) = ForwardQueue::new(NODE, catalog.clone(), workers, Peers::new(None));
        Self { queue, custody: Some(custody), catalog, views, worker }
    }

    fn run(&mut self) {
        tokio::spawn(self.custody.take().expect("run once").run());
    }

    /// A call as a gateway or a worker hands it over now.
    fn call(&self, deadline_ms: u64, reply_to: ReplyTo) -> RoutedCall {
        let call = Call {
            deadline: Tick::now().plus_millis(deadline_ms),
            ..Call::activation(reply_to, Tick::now())
        };
        let catalog = self.catalog.load();
        let actor_type = Arc::clone(catalog.type_of("default", "Counter").expect("registered"));
        RoutedCall { actor_type, key: "a".into(), key_hash: key_hash("a"), shard: 0, call }
    }

    pub(super) fn unary(&self, deadline_ms: u64) -> (RoutedCall, oneshot::Receiver<Outcome>) {
        let (to, outcome) = oneshot::channel();
        (self.call(deadline_ms, ReplyTo::Unary(to)), outcome)
    }

    /// The next calls that reach the worker.
    async fn arrived(&mut self) -> Vec<RoutedCall> {
        loop {
            if let Message::Calls(calls) = self.worker.recv().await.expect("the node runs") {
                return calls;
            }
        }
    }
}

#[tokio::test]
async fn more_calls_than_a_node_may_hold_are_refused_at_once_and_places_come_free_again() {
    let node = Node::start(ShardOwner::default()).await;
    let many = (0..limits::FORWARDS_HELD_MAX).map(|_| node.call(60_000, ReplyTo::Nobody));
    node.queue.send(many.collect());
    let (one_more, outcome) = node.unary(60_000);
    node.queue.send(vec![one_more]);
    let error = outcome.await.expect("answered").expect_err("refused");
    assert_eq!(error.kind, ErrorKind::MailboxFull);
    assert!(error.retry_after_ms > 0 && error.metadata.contains_key("limit"));
    let (mut begun, outcome) = node.unary(60_000);
    begun.call.begun = true;
    node.queue.send(vec![begun]);
    let error = outcome.await.expect("answered").expect_err("refused");
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "it may have been applied before");
    drop(node.custody);
    node.queue.idle().await;
}

#[tokio::test]
async fn a_call_of_another_node_is_never_taken_into_custody() {
    let mut node = Node::start(ShardOwner::new(NodeId(2), Epoch(1))).await;
    node.run();
    let (batches, mut answers) = mpsc::channel(1);
    let sink = Arc::new(StreamSink { id: 1, peer: true, batches });
    let call = node.call(60_000, ReplyTo::Stream { sink, stream_id: 5, extras: None });
    node.queue.send(vec![call]);
    let [answer] = &answers.recv().await.expect("answered")[..] else { panic!("one answer") };
    let error = answer.outcome.as_ref().expect_err("refused");
    assert_eq!((answer.stream_id, error.kind), (5, ErrorKind::NotOwner));
}

#[tokio::test]
async fn a_call_that_its_worker_cannot_serve_waits_for_news_instead_of_coming_back_at_once() {
    let mut node = Node::start(ShardOwner::new(NODE, Epoch(1))).await;
    node.run();
    let (call, _waits) = node.unary(60_000);
    let since = Tick::now();
    node.queue.send(vec![call]);
    let early = tokio::time::timeout(Duration::from_millis(20), node.arrived()).await;
    assert!(early.is_err(), "the view names the epoch that the worker has just given up");
    node.views.send_replace(view(2, ShardOwner::new(NODE, Epoch(2))));
    let calls = node.arrived().await;
    // On a machine that stands still meanwhile, the pause may be over before the news comes.
    let paused = since.plus_millis(PAUSE_MS[0]) <= Tick::now();
    assert!(calls[0].actor_type.view.shards[0].epoch == Epoch(2) || paused);
}

#[tokio::test]
async fn a_worker_gets_a_call_again_after_a_pause_even_if_nothing_was_agreed_on() {
    let mut node = Node::start(ShardOwner::new(NODE, Epoch(1))).await;
    node.run();
    let (call, outcome) = node.unary(60_000);
    node.queue.send(vec![call]);
    for call in node.arrived().await {
        let ReplyTo::Unary(to) = call.call.reply_to else { panic!("the caller waits") };
        to.send(Ok(Reply { revision: Revision(7), ..Reply::default() })).expect("it waits");
    }
    assert_eq!(outcome.await.expect("answered").expect("served").revision, Revision(7));
}

#[tokio::test]
async fn what_may_have_been_run_is_not_called_unrun_when_its_deadline_passes() {
    let mut node = Node::start(ShardOwner::default()).await;
    node.run();
    let (fresh, unrun) = node.unary(30);
    node.queue.send(vec![fresh]);
    let error = unrun.await.expect("answered").expect_err("nobody served it");
    assert_eq!(error.kind, ErrorKind::NotOwner);
    let (mut left, maybe_run) = node.unary(30);
    left.call.begun = true;
    node.queue.send(vec![left]);
    let error = maybe_run.await.expect("answered").expect_err("nobody served it");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn a_worker_learns_that_another_node_may_have_run_a_call() {
    let mut node = Node::start(ShardOwner::new(NODE, Epoch(1))).await;
    node.run();
    let (routed, _waits) = node.unary(60_000);
    let ticket = Ticket::draw(&node.queue.held);
    let not_before = Tick(0);
    let parcel = Parcel {
        routed,
        returns: 1,
        not_before,
        sent: true,
        refreshed: false,
        patience: Tick::NEVER,
        ticket,
    };
    node.queue.inbox.send(News::Returned(vec![parcel])).await.expect("custody runs");
    assert!(node.arrived().await[0].call.begun);
}

#[tokio::test]
async fn calls_of_callers_that_have_gone_leave_custody() {
    let mut node = Node::start(ShardOwner::default()).await;
    node.run();
    let (call, outcome) = node.unary(60_000);
    node.queue.send(vec![call]);
    drop(outcome);
    node.queue.callers_gone(&HashSet::new());
    node.queue.idle().await;
}
