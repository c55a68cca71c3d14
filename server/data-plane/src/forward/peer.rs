//! The stream to one peer: calls there, their ends back.
//!
//! One task per peer. Everything that waits goes into one message, up to a size; the peer's credits bound what is in
//! flight. A call stays in the task's hands until its end has come: when the stream breaks, calls in flight are sent
//! again with their request ids, and when the view names another owner, calls that wait go back to the custody.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    time::Duration,
};

use callboard_proto::peer::v1::{ForwardRequest, ForwardResponse, ForwardedReply};
use callboard_types::{CallError, ErrorKind, NodeId, Retry, Tick, limits};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Cancelled, News, Parcel, cancelled, full, maybe_run, peers::Client, too_late, wire};
use crate::{
    answers::Answers,
    call::{self, Reply},
    catalog::{Catalog, CatalogReader},
    metrics,
};

/// Bytes of calls in one message before the next one is begun.
const MESSAGE_SOFT_BYTES: usize = 256 * 1024;
/// Messages of the custody that one round takes at most.
const ROUND_MAX: usize = 64;
/// Calls are looked through for passed deadlines at most this often, in milliseconds.
const SWEEP_GRAIN_MS: u64 = 10;
/// How long opening a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after a first stream that broke or was not opened, and the longest one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What the custody tells a peer's task. When the sender is gone, every call goes back.
#[derive(Debug)]
pub(super) enum ToPeer {
    /// Calls to send.
    Calls(Vec<Parcel>),
    /// Callers have gone.
    CallersGone(Cancelled),
    /// The view changed: some calls may belong elsewhere.
    ViewChanged,
}

/// A call that was sent, with what [`Parcel::sent`] was before; `None` if nobody waits for it any longer, but the peer's
/// answer still has to come before the peer has room for another one.
type Flight = Option<(Parcel, bool)>;

/// An open stream.
struct Link {
    calls: mpsc::Sender<ForwardRequest>,
    ends: Streaming<ForwardResponse>,
}

/// The task of one peer.
pub(super) struct Peer {
    node: NodeId,
    client: Client,
    catalog: CatalogReader,
    inbox: mpsc::Receiver<ToPeer>,
    custody: mpsc::Sender<News>,
    waiting: VecDeque<Parcel>,
    /// Calls that the peer has not answered, by their numbers. A number is used once per life of the task: a cancellation
    /// that crosses the call's own end must never reach a later call.
    flights: BTreeMap<u64, Flight>,
    next_id: u64,
    credits: usize,
    /// Calls in flight that nobody waits for any longer, for the next message.
    cancels: Vec<u64>,
    /// Calls that belong elsewhere.
    back: Vec<Parcel>,
    sweep_at: Tick,
    answers: Answers,
    now: Tick,
    failures: u32,
    retired: bool,
}

impl Peer {
    pub(super) fn new(
        node: NodeId,
        client: Client,
        catalog: CatalogReader,
        inbox: mpsc::Receiver<ToPeer>,
        custody: mpsc::Sender<News>,
    ) -> Self {
        Self {
            node,
            client,
            catalog,
            inbox,
            custody,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            next_id: 1,
            credits: 0,
            cancels: Vec::new(),
            back: Vec::new(),
            sweep_at: Tick::NEVER,
            answers: Answers::default(),
            now: Tick::now(),
            failures: 0,
            retired: false,
        }
    }

    /// Runs until the custody lets go of the peer, and gives every call back then.
    pub(super) async fn run(mut self) {
        while !self.retired {
            if let Some(link) = self.open().await {
                let why = self.serve(link).await;
                self.take_back(&why);
                self.answers.flush();
                self.hand_over().await;
                self.pause().await;
            }
        }
        self.back.extend(self.waiting.drain(..));
        self.hand_over().await;
    }

    // === without a stream ===

    /// Opens a stream once there is something to send. `None` after a failure and the pause that follows it, and at the
    /// end.
    async fn open(&mut self) -> Option<Link> {
        while self.waiting.is_empty() {
            self.wait_round(pending::<()>()).await;
            if self.retired {
                return None;
            }
        }
        let (calls, requests) = mpsc::channel(1);
        let mut client = self.client.clone();
        let opening = async move {
            let opened = client.forward(ReceiverStream::new(requests));
            let late = |_| Status::unavailable("the peer did not answer in time");
            tokio::time::timeout(OPEN_TIMEOUT, opened).await.map_err(late)?
        };
        let opened = self.wait(opening).await?;
        match opened {
            Ok(response) => Some(Link { calls, ends: response.into_inner() }),
            Err(status) => {
                if self.failures == 0 {
                    tracing::warn!(peer = %self.node, %status, "calls wait for a peer");
                }
                self.pause().await;
                None
            }
        }
    }

    /// Waits before the next attempt, longer after each.
    async fn pause(&mut self) {
        let factor = 1_u32 << self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        let pause = tokio::time::sleep(BACKOFF.0.saturating_mul(factor).min(BACKOFF.1));
        self.wait(pause).await;
    }

    /// Goes on taking news until something has happened. `None` if the custody let go meanwhile.
    async fn wait<T>(&mut self, until: impl Future<Output = T>) -> Option<T> {
        let mut until = std::pin::pin!(until);
        while !self.retired {
            if let Some(done) = self.wait_round(until.as_mut()).await {
                return Some(done);
            }
        }
        None
    }

    /// Takes news once, or sees that something has happened.
    async fn wait_round<T>(&mut self, until: impl Future<Output = T>) -> Option<T> {
        let mut round = Vec::new();
        let sweep = tokio::time::sleep(self.sweep_at.duration_after(Tick::now()));
        tokio::select! {
            taken = self.inbox.recv_many(&mut round, ROUND_MAX) => self.retired = taken == 0,
            done = until => return Some(done),
            () = sweep, if self.sweep_at != Tick::NEVER => {}
        }
        self.on_news(&mut round);
        self.answers.flush();
        self.hand_over().await;
        None
    }

    // === with a stream ===

    /// Sends and receives until the stream breaks or the custody lets go.
    async fn serve(&mut self, link: Link) -> Status {
        let Link { calls, mut ends } = link;
        let mut round = Vec::new();
        loop {
            let sendable = self.is_sendable();
            let sweep = tokio::time::sleep(self.sweep_at.duration_after(Tick::now()));
            tokio::select! {
                taken = self.inbox.recv_many(&mut round, ROUND_MAX) => self.retired = taken == 0,
                message = ends.message() => match message {
                    Ok(Some(message)) => self.on_ends(message),
                    Ok(None) => return Status::unavailable("the peer ended the stream"),
                    Err(status) => return status,
                },
                free = calls.reserve(), if sendable => if free.is_err() {
                    return Status::unavailable("the connection broke");
                },
                () = sweep, if self.sweep_at != Tick::NEVER => {}
            }
            while round.len() < ROUND_MAX
                && let Ok(more) = self.inbox.try_recv()
            {
                round.push(more);
            }
            self.on_news(&mut round);
            if self.is_sendable()
                && let Ok(permit) = calls.try_reserve()
            {
                permit.send(self.message());
            }
            self.answers.flush();
            self.hand_over().await;
            if self.retired {
                return Status::unavailable("the peer left");
            }
        }
    }

    fn is_sendable(&self) -> bool {
        let room = self.flights.len() < self.credits;
        !self.cancels.is_empty() || (room && !self.waiting.is_empty())
    }

    /// Packs what waits.
    fn message(&mut self) -> ForwardRequest {
        let version = self.catalog.load().view.version;
        let mut message =
            ForwardRequest { calls: Vec::new(), cancelled: std::mem::take(&mut self.cancels) };
        let mut bytes = 0;
        while bytes < MESSAGE_SOFT_BYTES && self.flights.len() < self.credits {
            let Some(mut parcel) = self.waiting.pop_front() else {
                break;
            };
            if parcel.routed.call.deadline <= self.now {
                parcel.refuse(&mut self.answers, too_late);
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            let call = wire::call(&parcel, id, self.now, version);
            bytes += wire::size(&call);
            message.calls.push(call);
            let before = std::mem::replace(&mut parcel.sent, true);
            self.flights.insert(id, Some((parcel, before)));
        }
        metrics::forwarded(message.calls.len());
        message
    }

    fn on_ends(&mut self, message: ForwardResponse) {
        self.now = Tick::now();
        if !message.replies.is_empty() {
            self.failures = 0;
        }
        if message.credits > 0 {
            self.credits = (message.credits as usize).min(limits::FORWARDS_IN_FLIGHT_MAX);
        }
        for end in message.replies {
            self.on_end(end);
        }
    }

    fn on_end(&mut self, end: ForwardedReply) {
        let Some(Some((mut parcel, sent_before))) = self.flights.remove(&end.forward_id) else {
            return;
        };
        let refused = match wire::outcome(end) {
            None => ErrorKind::NotOwner,
            Some(Err(error)) if comes_back(&parcel, &error) => error.kind,
            Some(Err(error)) if !sent_before && self.moves_on(&mut parcel, &error) => {
                parcel.sent = false;
                return self.back.push(parcel);
            }
            Some(Err(error)) if sent_before && error.retry() == Retry::Safe => {
                // This owner did not run it; the one before may have.
                parcel.routed.call.begun = true;
                let error = parcel.routed.call.refused_for(error);
                return self.answers.refuse(parcel.routed.call.reply_to, error);
            }
            Some(Ok(Reply { next: Some(link), .. })) if parcel.follows() => {
                return self.follow(parcel, *link);
            }
            Some(outcome) => {
                return self.answers.answer(parcel.routed.call.reply_to, outcome);
            }
        };
        // What lost its lease may have run the call before; the others did not.
        parcel.sent = sent_before || refused == ErrorKind::LeaseLost;
        if refused == ErrorKind::LeaseLost && parcel.is_unguarded() {
            return parcel.refuse(&mut self.answers, maybe_run);
        }
        parcel.come_back(self.now);
        if refused == ErrorKind::DescriptorChanged {
            // Without newer descriptors it would be refused again.
            parcel.refreshed = true;
            parcel.not_before = Tick::NEVER;
        }
        metrics::redirected();
        self.back.push(parcel);
    }

    /// True if the call goes to another instance of its pool, because the one that it was sent to has no room.
    fn moves_on(&self, parcel: &mut Parcel, error: &CallError) -> bool {
        let full = error.kind == ErrorKind::MailboxFull && error.from_actor.is_none();
        full && parcel.routed.move_seat(self.catalog.load().view.node)
    }

    /// The call was passed on: its waiter goes on to the actor that answers. The custody finds that one's owner.
    fn follow(&mut self, mut parcel: Parcel, link: call::Link) {
        let catalog = self.catalog.load_full();
        match parcel.follow(&catalog, link) {
            Ok(()) => self.back.push(parcel),
            Err(error) => self.answers.refuse(parcel.routed.call.reply_to, error),
        }
    }

    /// The stream is over: what was in flight goes first on the next one, in the order in which it was sent. The peer may
    /// have run it: stored outcomes see to it that durable actors do not run it again, of others the callers are told.
    fn take_back(&mut self, why: &Status) {
        self.credits = 0;
        self.cancels.clear();
        let flights = std::mem::take(&mut self.flights);
        let mut lost: Vec<Parcel> =
            flights.into_values().flatten().map(|(parcel, _)| parcel).collect();
        for mut parcel in lost.extract_if(.., |parcel| parcel.is_unguarded()) {
            parcel.refuse(&mut self.answers, maybe_run);
        }
        tracing::debug!(peer = %self.node, %why, calls = lost.len(), "a stream to a peer ended");
        metrics::resent(lost.len());
        // The view may name somebody else by now: the custody looks.
        self.back.extend(lost);
        self.back.extend(self.waiting.drain(..));
    }

    // === news ===

    fn on_news(&mut self, round: &mut Vec<ToPeer>) {
        self.now = Tick::now();
        for news in round.drain(..) {
            match news {
                ToPeer::Calls(parcels) => parcels.into_iter().for_each(|parcel| self.take(parcel)),
                ToPeer::CallersGone(unwanted) => self.drop_unwanted(&unwanted),
                ToPeer::ViewChanged => {
                    let catalog = self.catalog.load_full();
                    for parcel in std::mem::take(&mut self.waiting) {
                        if self.owns(&catalog, &parcel) {
                            self.waiting.push_back(parcel);
                        } else {
                            self.back.push(parcel);
                        }
                    }
                }
            }
        }
        if self.sweep_at <= self.now {
            self.sweep();
        }
    }

    fn take(&mut self, mut parcel: Parcel) {
        if self.waiting.len() + self.flights.len() >= limits::FORWARDS_PER_PEER_MAX {
            return parcel.refuse(&mut self.answers, full);
        }
        // Its pause was for the place that it came back from.
        parcel.not_before = Tick(0);
        let due = parcel.routed.call.deadline.max(self.now.plus_millis(SWEEP_GRAIN_MS));
        self.sweep_at = self.sweep_at.min(due);
        self.waiting.push_back(parcel);
    }

    fn owns(&self, catalog: &Catalog, parcel: &Parcel) -> bool {
        let view = &parcel.routed.actor_type.view;
        let shard = parcel.routed.shard as usize;
        let newest = catalog.type_of(&view.system, &view.name);
        let owner = newest.and_then(|newest| newest.view.shards.get(shard));
        owner.is_some_and(|owner| owner.node == self.node && view.shards.get(shard) == Some(owner))
    }

    /// Refuses what has waited past its deadline. The owner answers in time by itself, unless it is gone.
    fn sweep(&mut self) {
        let (now, mut next) = (self.now, Tick::NEVER);
        let mut is_late = |parcel: &Parcel, grace: u64| {
            let due = parcel.routed.call.deadline.plus_millis(grace);
            if due > now {
                next = next.min(due);
            }
            due <= now
        };
        let answers = &mut self.answers;
        self.waiting.retain_mut(|parcel| {
            let late = is_late(parcel, 0);
            if late {
                parcel.refuse(answers, too_late);
            }
            !late
        });
        for (id, flight) in &mut self.flights {
            if let Some((parcel, _)) = flight
                && is_late(parcel, SWEEP_GRAIN_MS)
            {
                parcel.refuse(answers, too_late);
                *flight = None;
                self.cancels.push(*id);
            }
        }
        let soonest = now.plus_millis(SWEEP_GRAIN_MS);
        self.sweep_at = if next == Tick::NEVER { next } else { next.max(soonest) };
    }

    fn drop_unwanted(&mut self, unwanted: &Cancelled) {
        let answers = &mut self.answers;
        let gone = |parcel: &Parcel| parcel.routed.call.reply_to.is_gone(unwanted);
        self.waiting.retain_mut(|parcel| {
            let gone = gone(parcel);
            if gone {
                parcel.refuse(answers, cancelled);
            }
            !gone
        });
        for (id, flight) in &mut self.flights {
            if let Some((parcel, _)) = flight
                && gone(parcel)
            {
                parcel.refuse(answers, cancelled);
                *flight = None;
                self.cancels.push(*id);
            }
        }
    }

    /// Gives calls back that belong elsewhere.
    async fn hand_over(&mut self) {
        if !self.back.is_empty() {
            let back = std::mem::take(&mut self.back);
            // The custody outlives its peers, and never waits for them.
            let _ = self.custody.send(News::Returned(back)).await;
        }
    }
}

/// True if a call that was refused like this should be sent again, maybe elsewhere, before its caller hears of it: the
/// peer is not the owner, is about to stop, or lost its lease; or it knows other descriptors, once.
fn comes_back(parcel: &Parcel, error: &CallError) -> bool {
    if error.from_actor.is_some() {
        return false;
    }
    match error.kind {
        ErrorKind::NotOwner | ErrorKind::ShuttingDown | ErrorKind::LeaseLost => true,
        ErrorKind::DescriptorChanged => parcel.routed.call.from_json && !parcel.refreshed,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
