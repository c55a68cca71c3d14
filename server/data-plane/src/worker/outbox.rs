//! What a worker has to send, gathered over a round and sent at its end.

use std::{collections::VecDeque, sync::Arc};

use callboard_proto::host::v1::{
    CancelTurn, NodeFrame, TurnCallResult, node_frame::Frame, turn_call_result,
};
use callboard_types::SessionId;
use hashbrown::HashMap;

use crate::{
    call::{Outcome, ReplyTo, StreamAnswer, StreamSink},
    grpc::convert,
    session::SessionLink,
    store::{ReadJob, ReadQueue, WriteJob, WriteQueue},
};

type StreamBatch = (Arc<StreamSink>, Vec<StreamAnswer>);

/// Everything that leaves a worker.
#[derive(Debug)]
pub(super) struct Outbox {
    worker: usize,
    streams: HashMap<u64, StreamBatch>,
    sessions: HashMap<SessionId, (Arc<SessionLink>, Vec<NodeFrame>)>,
    writes: WriteQueue,
    /// Jobs that the writer has no room for; bounded because no turns are handed out meanwhile.
    unsent_writes: VecDeque<WriteJob>,
    reads: ReadQueue,
    unsent_reads: Vec<ReadJob>,
}

impl Outbox {
    pub(super) fn new(worker: usize, writes: WriteQueue, reads: ReadQueue) -> Self {
        Self {
            worker,
            streams: HashMap::new(),
            sessions: HashMap::new(),
            writes,
            unsent_writes: VecDeque::new(),
            reads,
            unsent_reads: Vec::new(),
        }
    }

    /// Tells a waiter.
    pub(super) fn answer(&mut self, to: ReplyTo, outcome: Outcome) {
        match to {
            ReplyTo::Stream { sink, stream_id, extras } => {
                let (_, batch) = self.streams.entry(sink.id).or_insert_with(|| (sink, Vec::new()));
                batch.push(StreamAnswer { stream_id, outcome, extras });
            }
            // A caller that has gone has dropped its end.
            ReplyTo::Unary(waiter) => drop(waiter.send(outcome)),
            ReplyTo::Turn { session, turn_id, call_index } => {
                let outcome = match outcome {
                    Ok(reply) => turn_call_result::Outcome::Reply(
                        convert::payload_to_proto(reply.payload).unwrap_or_default(),
                    ),
                    Err(error) => turn_call_result::Outcome::Error(convert::error_to_proto(&error)),
                };
                let result = TurnCallResult { turn_id, call_index, outcome: Some(outcome) };
                self.frame(&session, NodeFrame { frame: Some(Frame::CallResult(result)) });
            }
            ReplyTo::Nobody => {}
        }
    }

    /// Queues a frame for a session.
    pub(super) fn frame(&mut self, link: &Arc<SessionLink>, frame: NodeFrame) {
        if link.is_closed() {
            return;
        }
        self.know(link);
        if let Some((_, frames)) = self.sessions.get_mut(&link.id) {
            frames.push(frame);
        }
    }

    /// Remembers a session's link, so that frames can be addressed by its id.
    pub(super) fn know(&mut self, link: &Arc<SessionLink>) {
        if !self.sessions.contains_key(&link.id) {
            self.sessions.insert(link.id, (Arc::clone(link), Vec::new()));
        }
    }

    /// A session is gone.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    pub(super) fn cancel_turn(&mut self, session: SessionId, turn_id: u64) {
        if let Some((_, frames)) = self.sessions.get_mut(&session) {
            frames.push(NodeFrame { frame: Some(Frame::Cancel(CancelTurn { turn_id })) });
        }
    }

    pub(super) fn write(&mut self, job: WriteJob) {
        self.unsent_writes.push_back(job);
    }

    pub(super) fn read(&mut self, job: ReadJob) {
        self.unsent_reads.push(job);
    }

    /// True if the writer is so far behind that no more turns should be handed out.
    pub(super) fn writer_is_full(&self) -> bool {
        self.writes.is_full(self.unsent_writes.len())
    }

    /// True if commits fail at the moment.
    pub(super) fn store_is_down(&self) -> bool {
        self.writes.is_down()
    }

    /// True if everything was handed over.
    pub(super) fn is_idle(&self) -> bool {
        self.unsent_writes.is_empty() && self.unsent_reads.is_empty()
    }

    pub(super) fn retry_writes(&mut self) {
        self.writes.send(self.worker, &mut self.unsent_writes);
    }

    /// Sends everything.
    pub(super) fn flush(&mut self) {
        for (_, (link, frames)) in &mut self.sessions {
            if !frames.is_empty() {
                link.send(std::mem::take(frames));
            }
        }
        for (_, (sink, batch)) in self.streams.drain() {
            // There is room for every call in flight; an error means that the caller has gone.
            let _ = sink.batches.try_send(batch);
        }
        if !self.unsent_writes.is_empty() {
            self.retry_writes();
        }
        if !self.unsent_reads.is_empty() {
            self.reads.send(self.worker, &mut self.unsent_reads);
        }
    }
}
