//! Finds the owner of each call in custody, and keeps the call while there is none.

use std::sync::Arc;

use callboard_types::{CallError, ErrorKind, NodeId, Tick};
use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::{Cancelled, News, Parcel, cancelled};
use crate::{
    answers::Answers,
    catalog::{Catalog, CatalogReader, TypeRuntime},
    transcode,
    worker::{Message, RoutedCall, Workers},
};

/// News that one round of the loop takes at most.
const ROUND_NEWS_MAX: usize = 256;
/// Kept calls are looked through at most this often, in milliseconds, whatever their deadlines.
const REVIEW_GRAIN_MS: u64 = 5;
/// How long a call that came back waits before it goes to the same owner again, in milliseconds: first, later.
const PAUSE_MS: [u64; 2] = [100, 1_000];

/// Where a call goes now.
enum Place {
    /// To this worker of this node.
    Here(usize),
    /// Nowhere yet.
    Nowhere,
}

/// Looks after the calls of a [`ForwardQueue`](super::ForwardQueue). Owned by the task that runs it.
#[derive(Debug)]
pub struct Custody {
    node: NodeId,
    inbox: mpsc::Receiver<News>,
    catalog: CatalogReader,
    workers: Workers,
    /// Calls that nobody serves now, by type and shard.
    kept: HashMap<(u32, u32), Vec<Parcel>>,
    /// When kept calls must be looked at again.
    review_at: Tick,
    to_workers: Vec<Vec<RoutedCall>>,
    answers: Answers,
    now: Tick,
}

impl Custody {
    pub(super) fn new(
        node: NodeId,
        inbox: mpsc::Receiver<News>,
        catalog: CatalogReader,
        workers: Workers,
    ) -> Self {
        let mut to_workers = Vec::new();
        to_workers.resize_with(workers.count(), Vec::new);
        Self {
            node,
            inbox,
            catalog,
            workers,
            kept: HashMap::new(),
            review_at: Tick::NEVER,
            to_workers,
            answers: Answers::default(),
            now: Tick::now(),
        }
    }

    /// Runs until every [`ForwardQueue`](super::ForwardQueue) is gone.
    pub async fn run(mut self) {
        let mut round = Vec::with_capacity(ROUND_NEWS_MAX);
        loop {
            let review = tokio::time::sleep(self.review_at.duration_after(Tick::now()));
            let mut changed = false;
            tokio::select! {
                biased;
                taken = self.inbox.recv_many(&mut round, ROUND_NEWS_MAX) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = self.catalog.changed() => changed = true,
                () = review, if self.review_at != Tick::NEVER => {}
            }
            self.now = Tick::now();
            let catalog = Arc::clone(&self.catalog.load());
            if changed || self.review_at <= self.now {
                self.review(&catalog);
            }
            for news in round.drain(..) {
                match news {
                    News::Calls(parcels) => {
                        for parcel in parcels {
                            self.take(&catalog, parcel);
                        }
                    }
                    News::CallersGone(cancelled) => self.drop_unwanted(&cancelled),
                }
            }
            for (worker, calls) in self.to_workers.iter_mut().enumerate() {
                if !calls.is_empty() {
                    let calls = std::mem::take(calls);
                    self.workers.send(worker, Message::Calls(calls)).await;
                }
            }
            self.answers.flush();
        }
    }

    /// A call from a gateway or a worker.
    fn take(&mut self, catalog: &Catalog, mut parcel: Parcel) {
        let routed = &parcel.routed;
        let owner = routed.actor_type.view.shards.get(routed.shard as usize);
        if owner.is_some_and(|owner| owner.node == self.node && !owner.is_moving()) {
            // Only a worker sends such a call: it cannot serve the shard although the call's view says that it should.
            self.came_back(&mut parcel);
        }
        self.pass(catalog, parcel);
    }

    fn came_back(&self, parcel: &mut Parcel) {
        let pause = PAUSE_MS[(parcel.returns as usize).min(PAUSE_MS.len() - 1)];
        parcel.returns += 1;
        parcel.not_before = self.now.plus_millis(pause);
    }

    /// Sends a call where it belongs now, or keeps it.
    fn pass(&mut self, catalog: &Catalog, mut parcel: Parcel) {
        let call = &parcel.routed.call;
        if call.deadline <= self.now {
            let error = too_late(&parcel);
            return self.answers.refuse(parcel.routed.call.reply_to, error);
        }
        let known = &parcel.routed.actor_type.view;
        let Some(newest) = catalog.type_of(&known.system, &known.name) else {
            return self.keep(parcel);
        };
        match self.place(newest, &parcel) {
            Place::Nowhere => self.keep(parcel),
            Place::Here(worker) => match update(&mut parcel.routed, newest) {
                Ok(()) => self.to_workers[worker].push(parcel.routed),
                Err(error) => self.answers.refuse(parcel.routed.call.reply_to, error),
            },
        }
    }

    fn place(&self, newest: &TypeRuntime, parcel: &Parcel) -> Place {
        let shard = parcel.routed.shard;
        let Some(owner) = newest.view.shards.get(shard as usize) else {
            return Place::Nowhere;
        };
        if owner.node == NodeId::ZERO || owner.is_moving() {
            return Place::Nowhere;
        }
        let known = &parcel.routed.actor_type.view;
        let same = known.shards.get(shard as usize) == Some(owner)
            && known.descriptor_hash == newest.view.descriptor_hash;
        if same && self.now < parcel.not_before {
            return Place::Nowhere;
        }
        if owner.node == self.node {
            return Place::Here(self.workers.of(newest.view.id, shard));
        }
        Place::Nowhere
    }

    fn keep(&mut self, parcel: Parcel) {
        let routed = &parcel.routed;
        let due = if parcel.not_before > self.now {
            routed.call.deadline.min(parcel.not_before)
        } else {
            routed.call.deadline
        };
        let due = due.max(self.now.plus_millis(REVIEW_GRAIN_MS));
        self.review_at = self.review_at.min(due);
        let place = (routed.actor_type.view.id, routed.shard);
        self.kept.entry(place).or_default().push(parcel);
    }

    /// Looks at every kept call again: the view changed, or a time has come.
    fn review(&mut self, catalog: &Catalog) {
        self.review_at = Tick::NEVER;
        for (_, parcels) in std::mem::take(&mut self.kept) {
            for parcel in parcels {
                self.pass(catalog, parcel);
            }
        }
    }

    fn drop_unwanted(&mut self, unwanted: &Cancelled) {
        let answers = &mut self.answers;
        self.kept.retain(|_, parcels| {
            let gone = |parcel: &mut Parcel| parcel.routed.call.reply_to.is_gone(unwanted);
            for parcel in parcels.extract_if(.., gone) {
                answers.refuse(parcel.routed.call.reply_to, cancelled());
            }
            !parcels.is_empty()
        });
    }
}

/// Brings a call up to the newest version of its type. An argument that was converted from JSON by other descriptors is
/// converted again.
fn update(routed: &mut RoutedCall, newest: &Arc<TypeRuntime>) -> Result<(), CallError> {
    let known = &routed.actor_type;
    if routed.call.from_json
        && known.view.descriptor_hash != newest.view.descriptor_hash
        && let Some(json) = transcode::value(known, &routed.call.argument)?
    {
        routed.call.argument = transcode::argument(newest, &routed.call.action, json)?;
    }
    routed.actor_type = Arc::clone(newest);
    Ok(())
}

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
