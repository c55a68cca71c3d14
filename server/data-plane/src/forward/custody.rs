//! Finds the owner of each call in custody, and keeps the call while there is none.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use callboard_types::{CallError, NodeId, Tick};
use hashbrown::HashMap;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Cancelled, News, Parcel, Peers, cancelled, full,
    peer::{Peer, ToPeer},
    too_late,
};
use crate::{
    answers::Answers,
    catalog::{Catalog, CatalogReader, TypeRuntime},
    transcode,
    worker::{Message, RoutedCall, Workers},
};

/// News that one round of the loop takes at most.
const ROUND_NEWS_MAX: usize = 256;
/// A kept call is looked at again after this many milliseconds at the earliest, whatever its deadline.
const REVIEW_GRAIN_MS: u64 = 5;
/// Times of calls that are gone that may be remembered beyond the number of kept calls.
const DUE_SLACK: usize = 1_024;
/// Batches that wait for a peer's task.
const PEER_INBOX_BATCHES: usize = 1_024;

/// Where a call goes now.
enum Place {
    /// To this worker of this node.
    Here(usize),
    /// To this other node.
    Peer(NodeId),
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
    /// Calls that nobody serves now, in the order in which they came.
    kept: BTreeMap<u64, Parcel>,
    /// Numbers kept calls.
    kept_count: u64,
    /// When which kept call must be looked at again, though nothing was agreed on. Also names some that are gone.
    due: BinaryHeap<Reverse<(Tick, u64)>>,
    /// The version of the view by which calls were placed last.
    version: u64,
    to_workers: Vec<Vec<RoutedCall>>,
    peers: Peers,
    /// The peers that calls go to, with the addresses at which they were called.
    links: HashMap<NodeId, PeerLink>,
    tasks: JoinSet<()>,
    /// For calls that peers' tasks give back.
    returns: mpsc::Sender<News>,
    answers: Answers,
    now: Tick,
}

/// The way to a peer's task.
#[derive(Debug)]
struct PeerLink {
    address: String,
    inbox: mpsc::Sender<ToPeer>,
    calls: Vec<Parcel>,
}

impl Custody {
    pub(super) fn new(
        node: NodeId,
        (returns, inbox): (mpsc::Sender<News>, mpsc::Receiver<News>),
        catalog: CatalogReader,
        workers: Workers,
        peers: Peers,
    ) -> Self {
        let mut to_workers = Vec::new();
        to_workers.resize_with(workers.count(), Vec::new);
        Self {
            node,
            inbox,
            catalog,
            workers,
            kept: BTreeMap::new(),
            kept_count: 0,
            due: BinaryHeap::new(),
            version: 0,
            to_workers,
            peers,
            links: HashMap::new(),
            tasks: JoinSet::new(),
            returns,
            answers: Answers::default(),
            now: Tick::now(),
        }
    }

    /// Runs until it is dropped. The tasks of its peers run on the same runtime, and end with it.
    pub async fn run(mut self) {
        let mut round = Vec::with_capacity(ROUND_NEWS_MAX);
        loop {
            let review_at = self.due.peek().map_or(Tick::NEVER, |Reverse((at, _))| *at);
            let review = tokio::time::sleep(review_at.duration_after(Tick::now()));
            tokio::select! {
                biased;
                _ = self.inbox.recv_many(&mut round, ROUND_NEWS_MAX) => {}
                () = self.catalog.changed() => {}
                () = review, if review_at != Tick::NEVER => {}
            }
            self.now = Tick::now();
            let catalog = self.catalog.load_full();
            // Not left to the select: under load there is always more in the inbox.
            let version = catalog.view.version;
            let changed = std::mem::replace(&mut self.version, version) != version;
            if changed {
                self.look_at_peers(&catalog);
                self.review(&catalog);
            }
            self.review_due(&catalog);
            for news in round.drain(..) {
                match news {
                    News::Calls(parcels) => {
                        for parcel in parcels {
                            self.take(&catalog, parcel);
                        }
                    }
                    News::Returned(parcels) => {
                        for parcel in parcels {
                            self.pass(&catalog, parcel);
                        }
                    }
                    News::CallersGone(cancelled) => self.drop_unwanted(&cancelled),
                }
            }
            self.send_to_peers();
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
            parcel.come_back(self.now);
        }
        self.pass(catalog, parcel);
    }

    /// Sends a call where it belongs now, or keeps it.
    fn pass(&mut self, catalog: &Catalog, mut parcel: Parcel) {
        let call = &parcel.routed.call;
        if call.deadline <= self.now {
            return parcel.refuse(&mut self.answers, too_late);
        }
        let known = &parcel.routed.actor_type.view;
        let Some(newest) = catalog.type_of(&known.system, &known.name) else {
            return self.keep(parcel);
        };
        let place = self.place(catalog, newest, &parcel);
        if matches!(place, Place::Nowhere) {
            return self.keep(parcel);
        }
        if let Err(error) = update(&mut parcel.routed, newest) {
            return self.answers.refuse(parcel.routed.call.reply_to, error);
        }
        match place {
            Place::Here(worker) => {
                parcel.routed.call.begun |= parcel.sent;
                self.to_workers[worker].push(parcel.routed);
            }
            Place::Peer(node) => self.pass_to_peer(catalog, node, parcel),
            Place::Nowhere => self.keep(parcel),
        }
    }

    fn place(&self, catalog: &Catalog, newest: &TypeRuntime, parcel: &Parcel) -> Place {
        let shard = parcel.routed.shard;
        let Some(owner) = newest.view.shards.get(shard as usize) else {
            return Place::Nowhere;
        };
        if owner.node == NodeId::ZERO || owner.is_moving() {
            return Place::Nowhere;
        }
        if self.now < parcel.not_before {
            let known = &parcel.routed.actor_type.view;
            let same_owner = known.shards.get(shard as usize) == Some(owner);
            if same_owner && known.descriptor_hash == newest.view.descriptor_hash {
                return Place::Nowhere;
            }
        }
        if owner.node == self.node {
            return Place::Here(self.workers.of(newest.view.id, shard));
        }
        match self.peers.address(&catalog.view, owner.node) {
            Some(_) => Place::Peer(owner.node),
            None => Place::Nowhere,
        }
    }

    // === peers ===

    fn pass_to_peer(&mut self, catalog: &Catalog, node: NodeId, parcel: Parcel) {
        if self.links.get(&node).is_none_or(|link| link.inbox.is_closed())
            && let Some((address, client)) = self.peers.client(&catalog.view, node)
        {
            let (inbox, news) = mpsc::channel(PEER_INBOX_BATCHES);
            let peer = Peer::new(node, client, self.catalog.clone(), news, self.returns.clone());
            while self.tasks.try_join_next().is_some() {}
            self.tasks.spawn(peer.run());
            self.links.insert(node, PeerLink { address, inbox, calls: Vec::new() });
        }
        match self.links.get_mut(&node) {
            Some(link) => link.calls.push(parcel),
            None => self.keep(parcel),
        }
    }

    fn send_to_peers(&mut self) {
        for link in self.links.values_mut().filter(|link| !link.calls.is_empty()) {
            let calls = ToPeer::Calls(std::mem::take(&mut link.calls));
            if let Err(unsent) = link.inbox.try_send(calls)
                && let ToPeer::Calls(parcels) = unsent.into_inner()
            {
                for mut parcel in parcels {
                    parcel.refuse(&mut self.answers, full);
                }
            }
        }
    }

    /// The view changed: peers that are down, gone or elsewhere give their calls back; the others look for calls that
    /// are no longer theirs.
    fn look_at_peers(&mut self, catalog: &Catalog) {
        let peers = &self.peers;
        self.links.retain(|node, link| {
            let there = peers.address(&catalog.view, *node) == Some(link.address.as_str());
            if there {
                // A full inbox means that calls wait there; their owner redirects them if they are no longer its own.
                let _ = link.inbox.try_send(ToPeer::ViewChanged);
            }
            there
        });
    }

    // === calls that nobody serves now ===

    fn keep(&mut self, mut parcel: Parcel) {
        if parcel.patience <= self.now {
            return parcel.refuse(&mut self.answers, too_late);
        }
        let routed = &parcel.routed;
        let limit = routed.call.deadline.min(parcel.patience);
        let due = if parcel.not_before > self.now { limit.min(parcel.not_before) } else { limit };
        let due = due.max(self.now.plus_millis(REVIEW_GRAIN_MS));
        self.kept_count += 1;
        self.due.push(Reverse((due, self.kept_count)));
        self.kept.insert(self.kept_count, parcel);
    }

    /// Looks at every kept call again: the view changed.
    fn review(&mut self, catalog: &Catalog) {
        self.due.clear();
        for (_, parcel) in std::mem::take(&mut self.kept) {
            self.pass(catalog, parcel);
        }
    }

    /// Looks again at the kept calls whose time has come: a pause is over, or a deadline has passed.
    fn review_due(&mut self, catalog: &Catalog) {
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            // What is kept again is due later than now.
            if let Some(parcel) = self.kept.remove(&number) {
                self.pass(catalog, parcel);
            }
        }
    }

    fn drop_unwanted(&mut self, unwanted: &Cancelled) {
        for link in self.links.values() {
            // As above; nothing is lost but work.
            let _ = link.inbox.try_send(ToPeer::CallersGone(Arc::clone(unwanted)));
        }
        let answers = &mut self.answers;
        self.kept.retain(|_, parcel| {
            let gone = parcel.routed.call.reply_to.is_gone(unwanted);
            if gone {
                parcel.refuse(answers, cancelled);
            }
            !gone
        });
        if self.due.len() > 2 * self.kept.len() + DUE_SLACK {
            self.due.retain(|Reverse((_, number))| self.kept.contains_key(number));
        }
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

#[cfg(test)]
mod tests;
