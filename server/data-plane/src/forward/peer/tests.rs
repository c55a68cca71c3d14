//! What a stream to a peer makes of calls and their ends. The test is the peer.

use std::{collections::HashSet, sync::Arc};

use callboard_proto::peer::v1::{ForwardedCall, Redirect, forwarded_reply::Outcome as Ended};
use callboard_transport::peer::{PeerDialer, PeerIdentity};
use callboard_types::{
    Action, ClusterView, Durability, Epoch, ShardOwner, TypeDefinition, TypeView, shard::key_hash,
};
use tokio::sync::{oneshot, watch};

use super::*;
use crate::{
    call::{Call, Outcome, ReplyTo},
    catalog,
    forward::{Held, Ticket},
    grpc::convert,
    worker::{RoutedCall, Workers},
};

const PEER: NodeId = NodeId(2);

/// A peer's task that the test turns by hand.
struct Stream {
    peer: Peer,
    held: Arc<Held>,
}

impl Stream {
    /// An open stream to the owner of the only shard of a type.
    async fn open(durability: Durability) -> Self {
        let mut definition = TypeDefinition::new("Counter");
        definition.durability = durability;
        definition.actions.insert("add".into(), Action::default());
        let read = Action { read_only: true, ..Action::default() };
        definition.actions.insert("read".into(), read);
        let mut view = ClusterView { version: 1, node: NodeId(1), ..ClusterView::default() };
        view.systems = vec!["default".into()];
        view.set_types(vec![Arc::new(TypeView {
            id: 0,
            system: "default".into(),
            name: "Counter".into(),
            definition,
            descriptor_hash: "".into(),
            descriptor_set: [].into(),
            shards: [ShardOwner::new(PEER, Epoch(1))].into(),
        })]);
        let (_, views) = watch::channel(Arc::new(view));
        let (catalog, follow) = catalog::follow(views, Workers::new(vec![]));
        follow.await;
        let identity = PeerIdentity::new("a secret of many letters");
        let channel = PeerDialer::new(identity).channel(PEER, "127.0.0.1:1");
        let (_, inbox) = mpsc::channel(1);
        let (custody, _) = mpsc::channel(1);
        let mut peer = Peer::new(PEER, Client::new(channel), catalog, inbox, custody);
        peer.credits = limits::FORWARDS_IN_FLIGHT_MAX;
        Self { peer, held: Arc::default() }
    }

    /// A call arrives from the custody.
    fn call(
        &mut self,
        action: &str,
        change: impl FnOnce(&mut Parcel),
    ) -> oneshot::Receiver<Outcome> {
        let (to, outcome) = oneshot::channel();
        let activation = Call::activation(ReplyTo::Unary(to), Tick::now());
        let call = Call { action: action.to_owned(), activates_only: false, ..activation };
        let catalog = self.peer.catalog.load();
        let actor_type = Arc::clone(catalog.type_of("default", "Counter").expect("registered"));
        let (key, key_hash) = ("a".to_owned(), key_hash("a"));
        let routed = RoutedCall { actor_type, key, key_hash, shard: 0, call };
        drop(catalog);
        let ticket = Ticket::draw(&self.held);
        let not_before = Tick(0);
        let mut parcel = Parcel {
            routed,
            returns: 0,
            not_before,
            sent: false,
            refreshed: false,
            patience: Tick::NEVER,
            ticket,
        };
        change(&mut parcel);
        self.peer.take(parcel);
        outcome
    }

    fn sent(&mut self) -> Vec<ForwardedCall> {
        self.peer.message().calls
    }

    /// The peer ends a call.
    fn end(&mut self, forward_id: u64, outcome: Ended) {
        let outcome = Some(outcome);
        let end = ForwardedReply { forward_id, outcome, ..ForwardedReply::default() };
        self.peer.on_end(end);
        self.peer.answers.flush();
    }

    fn refuse(&mut self, forward_id: u64, kind: ErrorKind) {
        let error = convert::error_to_proto(&CallError::new(kind, "said the peer"));
        self.end(forward_id, Ended::Error(error));
    }

    fn breaks(&mut self) {
        self.peer.take_back(&Status::unavailable("the connection broke"));
        self.peer.answers.flush();
    }
}

fn kind(mut outcome: oneshot::Receiver<Outcome>) -> ErrorKind {
    outcome.try_recv().expect("answered").expect_err("an error").kind
}

#[tokio::test]
async fn the_number_of_a_call_that_ended_is_never_given_to_another_one() {
    let mut stream = Stream::open(Durability::Durable).await;
    let waits = stream.call("add", |_| ());
    let first = stream.sent()[0].forward_id;
    drop(waits);
    // The caller goes away, and the call's own end crosses the cancellation.
    stream.peer.drop_unwanted(&Arc::new(HashSet::new()));
    stream.end(first, Ended::Redirect(Redirect::default()));
    let _second = stream.call("add", |_| ());
    let message = stream.peer.message();
    assert_eq!(message.cancelled, [first]);
    assert_ne!(message.calls[0].forward_id, first, "the cancellation is for the first one only");
}

#[tokio::test]
async fn what_the_peer_did_not_run_is_called_unrun_and_what_it_may_have_run_is_not() {
    let mut stream = Stream::open(Durability::Durable).await;
    let _waits = (stream.call("add", |_| ()), stream.call("add", |_| ()));
    let ids: Vec<u64> = stream.sent().iter().map(|call| call.forward_id).collect();
    stream.end(ids[0], Ended::Redirect(Redirect::default()));
    stream.refuse(ids[1], ErrorKind::LeaseLost);
    let sent: Vec<bool> = stream.peer.back.iter().map(|parcel| parcel.sent).collect();
    assert_eq!(sent, [false, true]);
}

#[tokio::test]
async fn an_owner_that_refuses_a_call_does_not_speak_for_the_one_that_had_it_before() {
    let mut stream = Stream::open(Durability::Durable).await;
    let fresh = stream.call("add", |_| ());
    let again = stream.call("add", |parcel| parcel.sent = true);
    for call in stream.sent() {
        stream.refuse(call.forward_id, ErrorKind::MailboxFull);
    }
    assert_eq!(kind(fresh), ErrorKind::MailboxFull);
    assert_eq!(kind(again), ErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn after_a_broken_stream_everything_is_sent_again_in_order_that_cannot_be_applied_twice() {
    let mut durable = Stream::open(Durability::Durable).await;
    let _waits = (durable.call("add", |_| ()), durable.call("read", |_| ()));
    durable.sent();
    let _unsent = durable.call("add", |_| ());
    durable.breaks();
    let actions = |stream: &Stream| -> Vec<String> {
        stream.peer.back.iter().map(|parcel| parcel.routed.call.action.clone()).collect()
    };
    assert_eq!(actions(&durable), ["add", "read", "add"]);
    for durability in [Durability::Volatile, Durability::Snapshot] {
        let mut stream = Stream::open(durability).await;
        let (maybe_run, _read) = (stream.call("add", |_| ()), stream.call("read", |_| ()));
        stream.sent();
        let mut unsent = stream.call("add", |_| ());
        stream.breaks();
        assert_eq!(kind(maybe_run), ErrorKind::OutcomeUnknown);
        assert_eq!(actions(&stream), ["read", "add"]);
        assert!(unsent.try_recv().is_err(), "it was never sent");
    }
}

#[tokio::test]
async fn an_answer_that_the_peer_withholds_is_not_computed_twice_if_no_outcome_is_kept() {
    let mut stream = Stream::open(Durability::Volatile).await;
    let (change, _read) = (stream.call("add", |_| ()), stream.call("read", |_| ()));
    for call in stream.sent() {
        stream.refuse(call.forward_id, ErrorKind::LeaseLost);
    }
    assert_eq!(kind(change), ErrorKind::OutcomeUnknown);
    assert_eq!(stream.peer.back.len(), 1, "reading twice does no harm");
}

#[tokio::test]
async fn a_call_that_waited_for_newer_descriptors_does_not_wait_for_them_again_after_a_broken_stream()
 {
    let mut stream = Stream::open(Durability::Durable).await;
    let _waits = stream.call("add", |parcel| parcel.not_before = Tick::NEVER);
    stream.sent();
    stream.breaks();
    assert_eq!(stream.peer.back[0].not_before, Tick(0));
}
