//! Calls whose actors live on other nodes, and calls that no node serves at the moment.
//!
//! A call stays in the custody of the node that took it until it is answered. [`ForwardQueue`] takes it over from a
//! gateway, or from a worker that turns out not to own the actor's shard; [`Custody`] finds the owner by the newest view,
//! keeps the call while there is none, and refuses it when its deadline passes. A call of another node never comes here:
//! it is answered `NotOwner`, and the node that has it in custody looks again. So no call travels in circles.

mod custody;
mod look;
mod peer;
mod peers;
pub(crate) mod wire;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_types::{CallError, Durability, ErrorKind, NodeId, Tick, limits, shard::key_hash};
use tokio::sync::{Notify, mpsc};

pub use custody::Custody;
pub use look::Looker;
pub(crate) use peers::Peers;

use crate::{
    answers::Answers,
    call::{Link, ReplyTo},
    catalog::{Catalog, CatalogReader},
    deliveries::outcome_call,
    worker::{RoutedCall, Workers},
};

/// How long a call that came back waits before it goes to the same owner again, in milliseconds: first, second, later.
/// A change of the view ends the wait.
const PAUSE_MS: [u64; 3] = [50, 250, 1_000];

/// How long a delivery waits in custody for an owner of its shard, in milliseconds. Room here is for callers first.
const DELIVERY_PATIENCE_MS: u64 = 5_000;

/// Calls of callers that have gone, as (sink, stream id).
pub(crate) type Cancelled = Arc<HashSet<(u64, u64)>>;

/// Takes calls into custody. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct ForwardQueue {
    inbox: mpsc::Sender<News>,
    /// Calls in custody.
    held: Arc<Held>,
}

/// Counts the calls in custody.
#[derive(Debug, Default)]
struct Held {
    count: AtomicUsize,
    /// Told when the last one has left.
    idle: Notify,
}

/// What reaches the custody.
#[derive(Debug)]
pub(crate) enum News {
    /// Calls to look after.
    Calls(Vec<Parcel>),
    /// Callers have gone: of these calls, and of others whose sinks are closed.
    CallersGone(Cancelled),
    /// Calls that a peer's task has no use for.
    Returned(Vec<Parcel>),
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
    /// True if an owner refused it for its descriptors once.
    pub(crate) refreshed: bool,
    /// Deliveries, which have no deadline: until when it waits for an owner. Its sender makes it again.
    pub(crate) patience: Tick,
    /// Its place; `None` if there was none left.
    ticket: Option<Ticket>,
}

impl Parcel {
    /// True if its owner would run it once more if it got it twice: the call changes an actor whose outcomes are not stored.
    pub(crate) fn is_unguarded(&self) -> bool {
        let (definition, call) = (&self.routed.actor_type.definition, &self.routed.call);
        let action = definition.actions.get(&call.action).filter(|_| !call.activates_only);
        definition.durability != Durability::Durable && action.is_some_and(|found| !found.read_only)
    }

    /// True if its waiter wants the end of a chain, not only its first link.
    pub(crate) fn follows(&self) -> bool {
        !matches!(self.routed.call.reply_to, ReplyTo::Delivery(_) | ReplyTo::Nobody)
    }

    /// The call was passed on: from now on the parcel asks the actor of the link for the outcome, for the same waiter and
    /// until the same deadline.
    ///
    /// # Errors
    /// The actor's type is not known here, or not yet. A retry finds the link again.
    pub(crate) fn follow(&mut self, catalog: &Catalog, link: Link) -> Result<(), CallError> {
        let Link { actor, request_id } = link;
        let found = catalog.require(&actor.system, &actor.actor_type);
        let actor_type = Arc::clone(found.map_err(|unknown| {
            let text = format!(
                "the call was applied and passed on to {actor}, which this node does not know ({}). Retry it with the same \
                 request id",
                unknown.reason()
            );
            CallError::new(ErrorKind::OutcomeUnknown, text).retry_after(100)
        })?);
        let to = std::mem::replace(&mut self.routed.call.reply_to, ReplyTo::Nobody);
        let call = outcome_call(to, self.routed.call.deadline, request_id);
        let (key_hash, shard) = (key_hash(&actor.key), actor_type.view.shard_of(&actor.key));
        let key = actor.key.to_string();
        self.routed = RoutedCall { actor_type, key, key_hash, shard, call };
        (self.returns, self.not_before) = (0, Tick(0));
        (self.sent, self.refreshed) = (true, false);
        Ok(())
    }

    /// The call was refused by whom it went to. It goes nowhere else, or there again after a pause.
    pub(crate) fn come_back(&mut self, now: Tick) {
        let pause = PAUSE_MS[(self.returns as usize).min(PAUSE_MS.len() - 1)];
        self.returns += 1;
        self.not_before = now.plus_millis(pause);
    }

    /// Tells the caller that the call is over. Whoever holds the call drops it then.
    pub(crate) fn refuse(&mut self, answers: &mut Answers, why: fn(&Self) -> CallError) {
        let error = why(self);
        let to = std::mem::replace(&mut self.routed.call.reply_to, ReplyTo::Nobody);
        answers.refuse(to, error);
    }
}

/// The place of a call in custody; free again when it is dropped.
#[derive(Debug)]
struct Ticket(Arc<Held>);

impl Ticket {
    fn draw(held: &Arc<Held>) -> Option<Self> {
        let ticket = Self(Arc::clone(held));
        (held.count.fetch_add(1, Ordering::AcqRel) < limits::FORWARDS_HELD_MAX).then_some(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl ForwardQueue {
    /// A queue and what looks after its calls. Somebody has to run the latter.
    #[must_use]
    pub(crate) fn new(
        node: NodeId,
        catalog: CatalogReader,
        workers: Workers,
        peers: Peers,
    ) -> (Self, Custody) {
        let (inbox, news) = mpsc::channel(limits::WORKER_INBOX_BATCHES);
        let custody = Custody::new(node, (inbox.clone(), news), catalog, workers, peers);
        (Self { inbox, held: Arc::default() }, custody)
    }

    /// Waits until no call is in custody.
    pub async fn idle(&self) {
        loop {
            let idle = self.held.idle.notified();
            if self.held.count.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// A queue whose calls a test looks at.
    #[cfg(test)]
    pub(crate) fn observed() -> (Self, mpsc::Receiver<News>) {
        let (inbox, news) = mpsc::channel(limits::WORKER_INBOX_BATCHES);
        (Self { inbox, held: Arc::default() }, news)
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
            let ticket = Ticket::draw(&self.held);
            let sent = routed.call.begun;
            let patience = match routed.call.delivery {
                true => Tick::now().plus_millis(DELIVERY_PATIENCE_MS),
                false => Tick::NEVER,
            };
            let (returns, not_before, refreshed) = (0, Tick(0), false);
            let mut parcel =
                Parcel { routed, returns, not_before, sent, refreshed, patience, ticket };
            if parcel.ticket.is_none() {
                parcel.refuse(&mut answers, full);
            } else {
                parcels.push(parcel);
            }
        }
        if !parcels.is_empty()
            && let Err(unsent) = self.inbox.try_send(News::Calls(parcels))
            && let News::Calls(parcels) = unsent.into_inner()
        {
            for mut parcel in parcels {
                parcel.refuse(&mut answers, full);
            }
        }
        answers.flush();
    }

    /// Callers have gone: of the calls that are named, and of those whose sinks are closed.
    pub fn callers_gone(&self, cancelled: &HashSet<(u64, u64)>) {
        if self.held.count.load(Ordering::Acquire) > 0 {
            // A full inbox means that calls wait; they are looked at again before they are sent.
            let _ = self.inbox.try_send(News::CallersGone(Arc::new(cancelled.clone())));
        }
    }
}

/// The deadline of a call in custody has passed.
fn too_late(parcel: &Parcel) -> CallError {
    if parcel.sent {
        return CallError::new(
            ErrorKind::DeadlineExceeded,
            "the deadline passed before the actor's node answered; the turn may still commit. Retry it \
             with the same request id",
        );
    }
    CallError::new(
        ErrorKind::NotOwner,
        "no node served the actor's shard before the deadline; the call was not run. Retry it",
    )
}

fn not_owner() -> CallError {
    CallError::new(
        ErrorKind::NotOwner,
        "this node does not own the actor's shard; the call was not run. Retry it",
    )
}

/// The owner may have run a call of which it keeps no outcome: sent again, it might be run twice.
fn maybe_run(_: &Parcel) -> CallError {
    CallError::new(
        ErrorKind::OutcomeUnknown,
        "the actor's node may have run the call before its answer was lost, and keeps no outcomes for actors of this \
         type; so the call was not sent again. A retry is applied once more if it was: retry it with the same request id \
         if that does no harm, or read the actor's state first",
    )
}

fn cancelled(_: &Parcel) -> CallError {
    CallError::new(
        ErrorKind::Cancelled,
        "the caller gave up; if the call was running already it may still be applied",
    )
}

fn full(parcel: &Parcel) -> CallError {
    let (kind, text) = if parcel.sent {
        let text = "as many calls wait for other nodes as one node may hold, and this one may have been applied before \
                    it had to wait. Retry it later with the same request id";
        (ErrorKind::OutcomeUnknown, text)
    } else {
        let text = "as many calls wait for other nodes as one node may hold; this one was not run. Retry it later";
        (ErrorKind::MailboxFull, text)
    };
    CallError::new(kind, text).with("limit", limits::FORWARDS_HELD_MAX).retry_after(100)
}

#[cfg(test)]
mod tests;
