//! From the name of an actor to the worker that serves it, or into the custody of calls for other nodes.

use std::{collections::HashSet, sync::Arc};

use callboard_proto::types::v1 as pb;
use callboard_types::{
    ActorId, CallError, ClusterClock, ErrorKind, Kind, Lease, NodeId, ShardOwner, Tick,
    actor_id::check_key, shard::key_hash,
};

use crate::{
    call::Call,
    catalog::{Catalog, CatalogReader, TypeRuntime},
    forward::ForwardQueue,
    grpc::convert,
    pools::{Seat, Wish},
    worker::{Message, RoutedCall, Workers},
};

/// Routes calls. Cheap to clone; reads the catalog without locks.
#[derive(Clone, Debug)]
pub struct Router {
    node: NodeId,
    catalog: CatalogReader,
    workers: Workers,
    forwards: ForwardQueue,
    lease: Lease,
}

/// Where the calls of an actor go.
#[derive(Debug)]
pub struct Route {
    /// The worker that serves the shard, if this node owns it.
    pub worker: usize,
    /// True if this node owns the shard and keeps it. Otherwise its calls go into custody.
    pub here: bool,
    /// The actor's type.
    pub actor_type: Arc<TypeRuntime>,
    /// The actor's key.
    pub key: String,
    /// The hash of the key.
    pub key_hash: u64,
    /// The number of the shard.
    pub shard: u32,
    /// The call's place, if the actor is an instance of a pool.
    pub seat: Option<Seat>,
}

/// Who names the actor of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A caller: it may not choose among the instances of a pool.
    Caller {
        /// True if it only waits for acceptance.
        asynchronous: bool,
    },
    /// Another node, which has chosen.
    Node,
}

impl Router {
    /// A router over the workers of a node, and the custody of calls for others.
    #[must_use]
    pub fn new(
        node: NodeId,
        catalog: CatalogReader,
        workers: Workers,
        forwards: ForwardQueue,
        lease: Lease,
    ) -> Self {
        Self { node, catalog, workers, forwards, lease }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The time of the cluster.
    #[must_use]
    pub fn clock(&self) -> &ClusterClock {
        self.lease.clock()
    }

    /// The newest catalog.
    #[must_use]
    pub fn catalog(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// A reader of the catalog, to wait with.
    #[must_use]
    pub fn catalog_reader(&self) -> CatalogReader {
        self.catalog.clone()
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Waits for news about the catalog.
    pub async fn wait_for_view(&mut self, version: u64) {
        self.catalog.wait_for(version).await;
    }

    /// Finds out where the calls of an actor go. An empty system is the default one; an empty key stands for the actor
    /// of a NAMED type.
    ///
    /// # Errors
    /// The part of the name that is unknown or breaks a rule. A node without a lease may be behind what the cluster
    /// agreed on, or have just joined: it does not say that a type does not exist, because nobody asks again then.
    pub fn route(&self, catalog: &Catalog, actor: pb::ActorId) -> Result<Route, CallError> {
        self.route_for(Asks::Caller { asynchronous: false }, catalog, actor)
    }

    /// Like [`route`](Self::route), for whoever names the actor.
    ///
    /// # Errors
    /// As there.
    pub fn route_for(
        &self,
        asks: Asks,
        catalog: &Catalog,
        actor: pb::ActorId,
    ) -> Result<Route, CallError> {
        let system = convert::system_or_default(&actor.system);
        let actor_type = catalog
            .require(system, &actor.r#type)
            .map_err(|unknown| if self.lease.holds_at(Tick::now()) { unknown } else { behind() })?;
        if actor_type.definition.kind == Kind::Pooled {
            let seat = self.seat(asks, actor_type, &actor.key)?;
            return Ok(self.to(actor_type, seat.key(), Some(seat)));
        }
        let named = actor_type.definition.kind == Kind::Named;
        let key = match actor.key {
            key if !key.is_empty() => key,
            _ if named => actor_type.view.name.to_string(),
            _ => {
                return Err(CallError::new(
                    ErrorKind::InvalidActorKey,
                    format!("type {} has an actor per key; the call names none", actor.r#type),
                ));
            }
        };
        check_key(&key)?;
        if named && *key != *actor_type.view.name {
            return Err(CallError::new(
                ErrorKind::InvalidActorKey,
                format!(
                    "type {} has exactly one actor, whose key is the type's name; leave the key out",
                    actor_type.view.name
                ),
            ));
        }
        Ok(self.to(actor_type, key, None))
    }

    fn seat(&self, asks: Asks, pool: &TypeRuntime, key: &str) -> Result<Seat, CallError> {
        let none = || {
            let text = format!("the pool {} has no instance of that number", pool.view.name);
            CallError::new(ErrorKind::InvalidActorKey, text)
        };
        let asynchronous = match asks {
            Asks::Node => {
                let number = pool.view.instance_of(key).ok_or_else(none)?;
                return pool.pool().map(|seats| seats.take(number)).ok_or_else(none);
            }
            Asks::Caller { asynchronous } => asynchronous,
        };
        let wish = Wish { node: self.node, asynchronous, chain: &[] };
        pool.seat(key, wish)?.ok_or_else(none)
    }

    /// The route to an actor whose key is known to be sound.
    fn to(&self, actor_type: &Arc<TypeRuntime>, key: String, seat: Option<Seat>) -> Route {
        let hash = key_hash(&key);
        let number = seat.as_ref().map(Seat::number);
        let shard = number.unwrap_or_else(|| actor_type.view.shard_of_hash(hash));
        let owner = actor_type.view.shards[shard as usize];
        Route {
            worker: self.workers.of(actor_type.view.id, shard),
            here: owner.node == self.node && !owner.is_moving(),
            actor_type: Arc::clone(actor_type),
            key,
            key_hash: hash,
            shard,
            seat,
        }
    }

    /// Checks that there is a system. Nobody has to create the default one.
    ///
    /// # Errors
    /// `UnknownSystem`; `LeaseLost` if this node may be behind what the cluster agreed on.
    pub fn require_system(&self, catalog: &Catalog, system: &str) -> Result<(), CallError> {
        if system == convert::DEFAULT_SYSTEM || catalog.view.has_system(system) {
            return Ok(());
        }
        if !self.lease.holds_at(Tick::now()) {
            return Err(behind());
        }
        catalog.require(system, "").map(|_| ())
    }

    /// How many queues calls go to: one per worker, and one into custody.
    #[must_use]
    pub fn queues(&self) -> usize {
        self.workers.count() + 1
    }

    /// The queue that a route leads to.
    #[must_use]
    pub fn queue_of(&self, route: &Route) -> usize {
        if route.here { route.worker } else { self.workers.count() }
    }

    /// The queue for a call of this node's own.
    #[must_use]
    pub fn queue_for(&self, routed: &RoutedCall) -> usize {
        let view = &routed.actor_type.view;
        let owner = view.shards.get(routed.shard as usize);
        match owner {
            Some(owner) if owner.node == self.node && !owner.is_moving() => {
                self.workers.of(view.id, routed.shard)
            }
            _ => self.workers.count(),
        }
    }

    /// Hands calls to a queue: to a worker when it has room, or into custody.
    pub async fn send(&self, queue: usize, calls: Vec<RoutedCall>) {
        if queue < self.workers.count() {
            self.workers.send(queue, Message::Calls(calls)).await;
        } else {
            self.forwards.send(calls);
        }
    }

    /// Tells a worker and the custody that callers have gone. A worker whose inbox is full finds out when it next looks.
    pub fn callers_gone(&self, worker: usize) {
        let _ = self.workers.try_send(worker, Message::CallersGone);
        self.forwards.callers_gone(&HashSet::new());
    }

    /// Tells everybody that calls of a stream were cancelled, as (sink, stream id).
    pub async fn cancel(&self, calls: HashSet<(u64, u64)>) {
        self.forwards.callers_gone(&calls);
        self.workers.send_all(|| Message::Cancelled(calls.clone())).await;
    }
}

impl Route {
    /// Puts a call on its way.
    #[must_use]
    pub fn carry(self, call: Call) -> RoutedCall {
        RoutedCall {
            actor_type: self.actor_type,
            key: self.key,
            key_hash: self.key_hash,
            shard: self.shard,
            call: Call { seat: self.seat, ..call },
        }
    }

    /// The actor's full name.
    #[must_use]
    pub fn actor_id(&self) -> ActorId {
        self.actor_type.view.actor_id(&self.key)
    }

    /// Who owns the shard.
    #[must_use]
    pub fn owner(&self) -> ShardOwner {
        self.actor_type.view.shards[self.shard as usize]
    }
}

/// The node does not know yet what the cluster agreed on.
pub(crate) fn behind() -> CallError {
    CallError::new(
        ErrorKind::LeaseLost,
        "the node does not know yet what the cluster agreed on, and so not whether there is such a type; \
         the call was not run. Retry it with the same request id, at another node if possible",
    )
}
