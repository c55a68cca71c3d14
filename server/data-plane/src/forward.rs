//! Calls whose actors live on other nodes, and calls that no node serves at the moment.
//!
//! A call stays in the custody of the node that took it until it is answered. [`ForwardQueue`] takes it over from a
//! gateway, or from a worker that turns out not to own the actor's shard; [`Custody`] finds the owner by the newest view,
//! keeps the call while there is none, and refuses it when its deadline passes. A call of another node never comes here:
//! it is answered `NotOwner`, and the node that has it in custody looks again. So no call travels in circles.

mod custody;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_types::{CallError, ErrorKind, NodeId, Tick, limits};
use tokio::sync::mpsc;

pub use custody::Custody;

use crate::{
    answers::Answers,
    catalog::CatalogReader,
    worker::{RoutedCall, Workers},
};

/// Calls of callers that have gone, as (sink, stream id).
pub(crate) type Cancelled = Arc<HashSet<(u64, u64)>>;

/// Takes calls into custody. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct ForwardQueue {
    inbox: mpsc::Sender<News>,
    /// Calls in custody.
    held: Arc<AtomicUsize>,
}

/// What reaches the custody.
#[derive(Debug)]
pub(crate) enum News {
    /// Calls to look after.
    Calls(Vec<Parcel>),
    /// Callers have gone: of these calls, and of others whose sinks are closed.
    CallersGone(Cancelled),
}

/// A call in custody.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The call; its type names whom the call went to last, if it went anywhere.
    pub(crate) routed: RoutedCall,
    /// How often it came back.
    pub(crate) returns: u32,
    /// If it came back: not to the same owner before this tick.
    pub(crate) not_before: Tick,
    /// True if another node may have run it.
    pub(crate) sent: bool,
    _ticket: Ticket,
}

/// The place of a call in custody; free again when it is dropped.
#[derive(Debug)]
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ForwardQueue {
    /// A queue and what looks after its calls. Somebody has to run the latter.
    #[must_use]
    pub fn new(node: NodeId, catalog: CatalogReader, workers: Workers) -> (Self, Custody) {
        let (inbox, news) = mpsc::channel(limits::WORKER_INBOX_BATCHES);
        let custody = Custody::new(node, news, catalog, workers);
        (Self { inbox, held: Arc::default() }, custody)
    }

    /// Takes calls whose shard is not here, or about to leave. Each is answered in time: by its owner, or with a
    /// refusal. Refused at once are calls of other nodes, and all when too many are in custody already.
    pub fn send(&self, calls: Vec<RoutedCall>) {
        let mut answers = Answers::default();
        let mut parcels = Vec::with_capacity(calls.len());
        for routed in calls {
            if routed.call.reply_to.is_peer() {
                answers.refuse(routed.call.reply_to, not_owner());
                continue;
            }
            if self.held.fetch_add(1, Ordering::AcqRel) >= limits::FORWARDS_HELD_MAX {
                self.held.fetch_sub(1, Ordering::AcqRel);
                answers.refuse(routed.call.reply_to, full());
                continue;
            }
            let ticket = Ticket(Arc::clone(&self.held));
            let parcel =
                Parcel { routed, returns: 0, not_before: Tick(0), sent: false, _ticket: ticket };
            parcels.push(parcel);
        }
        if !parcels.is_empty()
            && let Err(unsent) = self.inbox.try_send(News::Calls(parcels))
            && let News::Calls(parcels) = unsent.into_inner()
        {
            for parcel in parcels {
                answers.refuse(parcel.routed.call.reply_to, full());
            }
        }
        answers.flush();
    }

    /// Callers have gone: of the calls that are named, and of those whose sinks are closed.
    pub fn callers_gone(&self, cancelled: &HashSet<(u64, u64)>) {
        if self.held.load(Ordering::Acquire) > 0 {
            // A full inbox means that calls wait; they are looked at again before they are sent.
            let _ = self.inbox.try_send(News::CallersGone(Arc::new(cancelled.clone())));
        }
    }
}

fn not_owner() -> CallError {
    CallError::new(
        ErrorKind::NotOwner,
        "this node does not own the actor's shard; the call was not run. Retry it",
    )
}

fn cancelled() -> CallError {
    CallError::new(
        ErrorKind::Cancelled,
        "the caller gave up; if the call was running already it may still be applied",
    )
}

fn full() -> CallError {
    CallError::new(
        ErrorKind::MailboxFull,
        "as many calls wait for other nodes as one node may hold; this one was not run. Retry it later",
    )
    .with("limit", limits::FORWARDS_HELD_MAX)
    .retry_after(100)
}
