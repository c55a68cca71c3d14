//! The view as the data plane uses it: types with what routing and conversion need at hand.
//!
//! One task rebuilds the catalog when the view changes, hands it to the workers, and only then publishes it to the
//! gateways, so that no call reaches a worker that does not know its type.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use callboard_types::{CallError, ClusterView, ErrorKind, Kind, TypeDefinition, TypeView};
use prost_reflect::DescriptorPool;
use tokio::sync::watch;

use crate::{
    pools::Pool,
    worker::{Message, Workers},
};

/// A registered type with what is derived from it once.
#[derive(Debug)]
pub struct TypeRuntime {
    /// What the cluster agreed on.
    pub view: Arc<TypeView>,
    /// The definition alone, shared with sessions that offer exactly it.
    pub definition: Arc<TypeDefinition>,
    descriptors: OnceLock<Result<DescriptorPool, String>>,
    /// Activations on this node; every version of the type shares the count.
    active: Arc<AtomicU64>,
    /// The type's instances, if it is a pool.
    seats: Option<Arc<Pool>>,
}

impl TypeRuntime {
    fn new(view: Arc<TypeView>, known: Option<&Self>) -> Arc<Self> {
        let definition = Arc::new(view.definition.clone());
        let active = known.map_or_else(Arc::default, |known| Arc::clone(&known.active));
        let seats = known.and_then(|known| known.seats.clone());
        let pooled = definition.kind == Kind::Pooled;
        let seats = seats.or_else(|| pooled.then(|| Pool::new(view.shards.len())));
        Arc::new(Self { view, definition, descriptors: OnceLock::new(), active, seats })
    }

    /// The type's instances; `None` if it is no pool.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.seats.as_ref()
    }

    /// Activations on this node.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// An actor came into memory.
    pub fn activated(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// An actor left memory.
    pub fn deactivated(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// The type's descriptors, decoded at first use.
    ///
    /// # Errors
    /// `InvalidArgument` if the registered set cannot be read.
    pub fn descriptors(&self) -> Result<&DescriptorPool, CallError> {
        let decode =
            || DescriptorPool::decode(self.view.descriptor_set.as_ref()).map_err(|e| e.to_string());
        self.descriptors.get_or_init(decode).as_ref().map_err(|error| {
            CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the descriptors that hosts registered for the type cannot be read: {error}"
                ),
            )
        })
    }
}

/// One version of the catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The view that it is made from.
    pub view: Arc<ClusterView>,
    /// The types in the view's order.
    types: Vec<Arc<TypeRuntime>>,
}

impl Catalog {
    /// Makes the next version; types that did not change are shared with `previous`.
    #[must_use]
    pub fn next(previous: &Self, view: &Arc<ClusterView>) -> Self {
        let types = view.types.iter().enumerate().map(|(at, next)| {
            // Most types stand where they stood, and there may be very many.
            if let Some(same) = previous.types.get(at).filter(|of| Arc::ptr_eq(&of.view, next)) {
                return Arc::clone(same);
            }
            let known = previous.type_of(&next.system, &next.name);
            match known {
                Some(known) if Arc::ptr_eq(&known.view, next) || known.view == *next => {
                    Arc::clone(known)
                }
                known => TypeRuntime::new(Arc::clone(next), known.map(AsRef::as_ref)),
            }
        });
        Self { types: types.collect(), view: Arc::clone(view) }
    }

    /// Finds a type.
    #[must_use]
    pub fn type_of(&self, system: &str, actor_type: &str) -> Option<&Arc<TypeRuntime>> {
        self.view.position_of(system, actor_type).map(|at| &self.types[at])
    }

    /// Finds a type, or says which part of its name is unknown.
    ///
    /// # Errors
    /// `UnknownSystem` or `UnknownType`.
    pub fn require(&self, system: &str, actor_type: &str) -> Result<&Arc<TypeRuntime>, CallError> {
        if let Some(found) = self.type_of(system, actor_type) {
            return Ok(found);
        }
        let shown =
            |name: &str| name.chars().take(64).collect::<String>().escape_debug().to_string();
        if !self.view.has_system(system) {
            return Err(CallError::new(
                ErrorKind::UnknownSystem,
                format!(
                    "there is no system \"{}\"; a host creates it when it registers types for it",
                    shown(system)
                ),
            ));
        }
        Err(CallError::new(
            ErrorKind::UnknownType,
            format!(
                "no host ever registered type \"{}\" in system \"{}\"; start a host of it, or check \
                 the name",
                shown(actor_type),
                shown(system)
            ),
        ))
    }

    /// All types.
    #[must_use]
    pub fn types(&self) -> &[Arc<TypeRuntime>] {
        &self.types
    }
}

/// Reads the newest catalog without locks, and waits for later ones.
#[derive(Clone, Debug)]
pub struct CatalogReader {
    current: Arc<ArcSwap<Catalog>>,
    versions: watch::Receiver<u64>,
}

impl CatalogReader {
    /// The newest catalog.
    #[must_use]
    pub fn load(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// The newest catalog, to be kept for longer.
    #[must_use]
    pub fn load_full(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Waits until the catalog contains a version of the view.
    pub async fn wait_for(&mut self, version: u64) {
        // The sender lives as long as the node; after that nothing is waited for.
        let _ = self.versions.wait_for(|now| *now >= version).await;
    }

    /// Waits until the catalog is another one than when this was called last. Never returns once the node stops.
    pub async fn changed(&mut self) {
        if self.versions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Follows the view until the control plane ends, and returns the reader at once together with the task to run.
pub fn follow(
    mut views: watch::Receiver<Arc<ClusterView>>,
    workers: Workers,
) -> (CatalogReader, impl Future<Output = ()> + Send) {
    let current = Arc::new(ArcSwap::from_pointee(Catalog::default()));
    let (publish, versions) = watch::channel(0);
    let reader = CatalogReader { current: Arc::clone(&current), versions };
    let task = async move {
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let version = view.version;
            let next = Arc::new(Catalog::next(&current.load(), &view));
            workers.send_all(|| Message::Catalog(Arc::clone(&next))).await;
            current.store(next);
            publish.send_replace(version);
            if views.changed().await.is_err() {
                return;
            }
        }
    };
    (reader, task)
}
