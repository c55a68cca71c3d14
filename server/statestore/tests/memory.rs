//! The memory store keeps every rule.

use std::sync::Arc;

use async_trait::async_trait;
use callboard_statestore::{
    StateStore,
    conformance::{Fixture, SharedFixture},
    memory::MemoryStore,
    state_store_conformance,
};

struct Memory(MemoryStore);

#[async_trait]
impl Fixture for Memory {
    async fn store(&mut self) -> Arc<dyn StateStore> {
        Arc::new(self.0.clone())
    }

    async fn reopened(&mut self) -> Arc<dyn StateStore> {
        Arc::new(self.0.clone())
    }
}

#[async_trait]
impl SharedFixture for Memory {
    async fn node(&mut self) -> Arc<dyn StateStore> {
        Arc::new(self.0.clone())
    }
}

async fn memory() -> Memory {
    Memory(MemoryStore::new())
}

state_store_conformance!(memory);

mod shared {
    use super::memory;

    callboard_statestore::shared_store_conformance!(memory);
}
