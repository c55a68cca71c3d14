//! What a worker has to send, gathered over a round and sent at its end.

use std::{collections::VecDeque, sync::Arc};

use callboard_proto::host::v1::{CancelTurn, NodeFrame, node_frame::Frame};
use callboard_types::SessionId;

use crate::{
    answers::Answers,
    call::{Outcome, ReplyTo},
    session::SessionLink,
    store::{ReadJob, ReadQueue, WriteJob, WriteQueue},
};

/// Everything that leaves a worker.
#[derive(Debug)]
pub(super) struct Outbox {
    worker: usize,
    answers: Answers,
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
            answers: Answers::default(),
            writes,
            unsent_writes: VecDeque::new(),
            reads,
            unsent_reads: Vec::new(),
        }
    }

    /// Tells a waiter.
    pub(super) fn answer(&mut self, to: ReplyTo, outcome: Outcome) {
        self.answers.answer(to, outcome);
    }

    /// Queues a frame for a session.
    pub(super) fn frame(&mut self, link: &Arc<SessionLink>, frame: NodeFrame) {
        self.answers.frame(link, frame);
    }

    /// Remembers a session's link, so that frames can be addressed by its id.
    pub(super) fn know(&mut self, link: &Arc<SessionLink>) {
        self.answers.know(link);
    }

    /// A session is gone.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.answers.forget(session);
    }

    pub(super) fn cancel_turn(&mut self, session: SessionId, turn_id: u64) {
        let frame = Frame::Cancel(CancelTurn { turn_id });
        self.answers.frame_by_id(session, NodeFrame { frame: Some(frame) });
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
        self.answers.flush();
        if !self.unsent_writes.is_empty() {
            self.retry_writes();
        }
        if !self.unsent_reads.is_empty() {
            self.reads.send(self.worker, &mut self.unsent_reads);
        }
    }
}
