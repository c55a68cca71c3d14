//! From the name of an actor to the worker that serves it.

use std::sync::Arc;

use callboard_types::{ActorId, CallError, actor_id::check_key, shard::key_hash};

use crate::{
    call::Call,
    catalog::{Catalog, CatalogReader, TypeRuntime},
    worker::{RoutedCall, Workers},
};

/// Routes calls. Cheap to clone; reads the catalog without locks.
#[derive(Clone, Debug)]
pub struct Router {
    catalog: CatalogReader,
    workers: Workers,
}

/// Where a call goes.
#[derive(Debug)]
pub struct Route {
    /// The worker that serves the shard.
    pub worker: usize,
    /// The actor's type.
    pub actor_type: Arc<TypeRuntime>,
    /// The hash of the key.
    pub key_hash: u64,
    /// The number of the shard.
    pub shard: u32,
}

impl Router {
    /// A router over the workers.
    #[must_use]
    pub fn new(catalog: CatalogReader, workers: Workers) -> Self {
        Self { catalog, workers }
    }

    /// The newest catalog.
    #[must_use]
    pub fn catalog(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.catalog.load()
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

    /// Finds out where the calls of an actor go.
    ///
    /// # Errors
    /// The part of the name that is unknown or breaks a rule.
    pub fn route(
        &self,
        catalog: &Catalog,
        system: &str,
        actor_type: &str,
        key: &str,
    ) -> Result<Route, CallError> {
        let actor_type = catalog.require(system, actor_type)?;
        check_key(key)?;
        let named = actor_type.definition.kind == callboard_types::Kind::Named;
        if named && *key != *actor_type.view.name {
            return Err(CallError::new(
                callboard_types::ErrorKind::InvalidActorKey,
                format!(
                    "type {} has exactly one actor, whose key is the type's name; leave the key out",
                    actor_type.view.name
                ),
            ));
        }
        let shard = actor_type.view.shard_of(key);
        Ok(Route {
            worker: self.workers.of(actor_type.view.id, shard),
            key_hash: key_hash(key),
            shard,
            actor_type: Arc::clone(actor_type),
        })
    }
}

impl Route {
    /// Puts a call on its way.
    #[must_use]
    pub fn carry(self, key: String, call: Call) -> RoutedCall {
        RoutedCall {
            actor_type: self.actor_type,
            key,
            key_hash: self.key_hash,
            shard: self.shard,
            call,
        }
    }

    /// The actor's full name.
    #[must_use]
    pub fn actor_id(&self, key: &str) -> ActorId {
        self.actor_type.view.actor_id(key)
    }
}
