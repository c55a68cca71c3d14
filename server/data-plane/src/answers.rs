//! Answers on their way out: gathered while their owner works through what has come, sent together at the end.
//!
//! Owned by whoever answers calls: a shard worker, the custody of forwarded calls, the stream to a peer.

use std::sync::Arc;

use callboard_proto::host::v1::{NodeFrame, TurnCallResult, node_frame::Frame, turn_call_result};
use callboard_types::{CallError, ErrorKind, SessionId};
use hashbrown::HashMap;
use tokio::sync::oneshot;

use crate::{
    call::{DeliveryWaiter, Outcome, ReplyTo, StreamAnswer, StreamSink},
    grpc::convert,
    session::SessionLink,
};

/// Answers and frames that were not sent yet. Nothing leaves before [`flush`](Self::flush).
#[derive(Debug, Default)]
pub struct Answers {
    streams: HashMap<u64, (Arc<StreamSink>, Vec<StreamAnswer>)>,
    unary: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    turns: Vec<TurnAnswer>,
    deliveries: Vec<(DeliveryWaiter, Outcome)>,
    sessions: HashMap<SessionId, (Arc<SessionLink>, Vec<NodeFrame>)>,
}

/// The end of a call that a turn made.
#[derive(Debug)]
struct TurnAnswer {
    session: Arc<SessionLink>,
    turn_id: u64,
    call_index: u32,
    outcome: Outcome,
}

impl Answers {
    /// Tells a waiter.
    pub fn answer(&mut self, to: ReplyTo, outcome: Outcome) {
        match to {
            ReplyTo::Stream { sink, stream_id, extras } => {
                let (_, batch) = self.streams.entry(sink.id).or_insert_with(|| (sink, Vec::new()));
                batch.push(StreamAnswer { stream_id, outcome, extras });
            }
            ReplyTo::Unary(waiter) => self.unary.push((waiter, outcome)),
            ReplyTo::Turn { session, turn_id, call_index } => {
                self.turns.push(TurnAnswer { session, turn_id, call_index, outcome });
            }
            ReplyTo::Delivery(waiter) => self.deliveries.push((waiter, outcome)),
            // A walk hears of its deliveries from its worker, and asks again otherwise.
            ReplyTo::Walk(_) | ReplyTo::Nobody => {}
        }
    }

    /// Tells a waiter that its call failed.
    pub fn refuse(&mut self, to: ReplyTo, error: CallError) {
        self.answer(to, Err(error));
    }

    /// Queues a frame for a session.
    pub fn frame(&mut self, link: &Arc<SessionLink>, frame: NodeFrame) {
        if !link.is_closed() {
            self.know(link).push(frame);
        }
    }

    /// Queues a frame for a session that is known. Without effect for others.
    pub fn frame_by_id(&mut self, session: SessionId, frame: NodeFrame) {
        if let Some((_, frames)) = self.sessions.get_mut(&session) {
            frames.push(frame);
        }
    }

    /// Remembers a session's link until the session is over, so that frames can be addressed by its id. Returns the
    /// frames that wait for it.
    pub fn know(&mut self, link: &Arc<SessionLink>) -> &mut Vec<NodeFrame> {
        let entry = self.sessions.entry(link.id);
        &mut entry.or_insert_with(|| (Arc::clone(link), Vec::new())).1
    }

    /// A session is over.
    pub fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// True if anybody is about to be told how a call ended.
    #[must_use]
    pub fn has_outcomes(&self) -> bool {
        let waited_for = !self.streams.is_empty() || !self.unary.is_empty();
        waited_for || !self.turns.is_empty() || !self.deliveries.is_empty()
    }

    /// Replaces every outcome that no commit covers and that says anything of an actor. Returns how many there were. A
    /// reply that says `durable` is true for good, whoever owns the shard by now; so is that this node does not serve it.
    pub fn withhold(&mut self, by: &CallError) -> usize {
        let mut count = 0;
        let mut replace = |outcome: &mut Outcome| {
            let stands = match outcome {
                Ok(reply) => reply.durable,
                Err(error) => {
                    let kind = error.from_actor.is_none().then_some(error.kind);
                    matches!(kind, Some(ErrorKind::NotOwner | ErrorKind::LeaseLost))
                }
            };
            if !stands {
                *outcome = Err(by.clone());
                count += 1;
            }
        };
        for (_, batch) in self.streams.values_mut() {
            batch.iter_mut().for_each(|answer| replace(&mut answer.outcome));
        }
        self.unary.iter_mut().for_each(|(_, outcome)| replace(outcome));
        self.turns.iter_mut().for_each(|turn| replace(&mut turn.outcome));
        self.deliveries.iter_mut().for_each(|(_, outcome)| replace(outcome));
        count
    }

    /// Sends everything.
    pub fn flush(&mut self) {
        for (waiter, outcome) in self.unary.drain(..) {
            // A caller that has gone has dropped its end.
            drop(waiter.send(outcome));
        }
        for (waiter, outcome) in self.deliveries.drain(..) {
            waiter.answer(outcome);
        }
        let mut turns = std::mem::take(&mut self.turns);
        for turn in turns.drain(..) {
            let session = Arc::clone(&turn.session);
            self.frame(&session, turn.into_frame());
        }
        // Keeps its capacity for the next time.
        self.turns = turns;
        self.sessions.retain(|_, (link, frames)| {
            if !frames.is_empty() {
                link.send(std::mem::take(frames));
            }
            !link.is_closed()
        });
        for (_, (sink, batch)) in self.streams.drain() {
            // There is room for every call in flight; an error means that the caller has gone.
            let _ = sink.batches.try_send(batch);
        }
    }
}

impl TurnAnswer {
    fn into_frame(self) -> NodeFrame {
        let outcome = match self.outcome {
            Ok(reply) => turn_call_result::Outcome::Reply(
                convert::payload_to_proto(reply.payload).unwrap_or_default(),
            ),
            Err(error) => turn_call_result::Outcome::Error(convert::error_to_proto(&error)),
        };
        let (turn_id, call_index) = (self.turn_id, self.call_index);
        let result = TurnCallResult { turn_id, call_index, outcome: Some(outcome) };
        NodeFrame { frame: Some(Frame::CallResult(result)) }
    }
}
