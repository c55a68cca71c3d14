//! What a worker has to send, gathered over a round and sent at its end.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use callboard_proto::host::v1::{CancelTurn, NodeFrame, node_frame::Frame};
use callboard_types::{Lease, SessionId, Tick};

use crate::{
    answers::Answers,
    call::{Outcome, ReplyTo},
    forward::ForwardQueue,
    metrics,
    session::SessionLink,
    store::{ReadJob, ReadQueue, WriteJob, WriteQueue},
};

use super::{RoutedCall, unleased::lease_lost};

/// Everything that leaves a worker.
#[derive(Debug)]
pub(super) struct Outbox {
    worker: usize,
    answers: Answers,
    forwards: ForwardQueue,
    unsent_forwards: Vec<RoutedCall>,
    /// Calls that were cancelled, for the custody; `None` if no caller has gone.
    callers_gone: Option<HashSet<(u64, u64)>>,
    writes: WriteQueue,
    /// Jobs that the writer has no room for; bounded because no turns are handed out meanwhile.
    unsent_writes: VecDeque<WriteJob>,
    reads: ReadQueue,
    unsent_reads: Vec<ReadJob>,
}

impl Outbox {
    pub(super) fn new(
        worker: usize,
        writes: WriteQueue,
        reads: ReadQueue,
        forwards: ForwardQueue,
    ) -> Self {
        Self {
            worker,
            answers: Answers::default(),
            forwards,
            unsent_forwards: Vec::new(),
            callers_gone: None,
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

    /// Gives a call of this node's own callers into custody, because another node has to serve it.
    pub(super) fn forward(&mut self, routed: RoutedCall) {
        self.unsent_forwards.push(routed);
    }

    /// Callers have gone: of these calls, as (sink, stream id), and others. The custody hears it after it got the calls that
    /// are on their way there.
    pub(super) fn callers_gone(&mut self, cancelled: HashSet<(u64, u64)>) {
        self.callers_gone.get_or_insert_default().extend(cancelled);
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

    /// Without a lease, answers that no commit covers are withheld: the shard may be another node's by now, with newer
    /// state. A pause after this look at the clock is harmless: what is sent was true when it was taken.
    ///
    /// `version` is that of the view by which the answers were computed. They are looked at once more before a newer one is
    /// taken up, or they would profit from a lease that was granted for that.
    pub(super) fn withhold_unleased(&mut self, lease: &Lease, version: u64) {
        if self.answers.has_outcomes() && !lease.holds_for(Tick::now(), version) {
            let withheld = self.answers.withhold(&lease_lost());
            metrics::answers_withheld(withheld);
        }
    }

    /// Sends everything that the lease allows.
    pub(super) fn flush(&mut self, lease: &Lease, version: u64) {
        self.withhold_unleased(lease, version);
        self.answers.flush();
        if !self.unsent_forwards.is_empty() {
            self.forwards.send(std::mem::take(&mut self.unsent_forwards));
        }
        if let Some(cancelled) = self.callers_gone.take() {
            self.forwards.callers_gone(&cancelled);
        }
        if !self.unsent_writes.is_empty() {
            self.retry_writes();
        }
        if !self.unsent_reads.is_empty() {
            self.reads.send(self.worker, &mut self.unsent_reads);
        }
    }
}
