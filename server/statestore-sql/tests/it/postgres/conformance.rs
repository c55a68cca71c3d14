//! PostgreSQL keeps every rule of the contract.

use std::sync::Arc;

use async_trait::async_trait;
use callboard_statestore::{
    StateStore,
    conformance::{Fixture, SharedFixture},
    state_store_conformance,
};
use callboard_statestore_sql::{PostgresOptions, SqlStore};

use super::Postgres;

struct Database {
    url: String,
    open: Option<Arc<SqlStore>>,
}

#[async_trait]
impl Fixture for Database {
    async fn store(&mut self) -> Arc<dyn StateStore> {
        if self.open.is_none() {
            let options = PostgresOptions::new(self.url.clone());
            let store = SqlStore::open_postgres(options).await.expect("open");
            self.open = Some(Arc::new(store));
        }
        let open = self.open.as_ref().expect("just opened");
        Arc::clone(open) as Arc<dyn StateStore>
    }

    async fn reopened(&mut self) -> Arc<dyn StateStore> {
        if let Some(store) = self.open.take() {
            store.close().await;
        }
        self.store().await
    }
}

#[async_trait]
impl SharedFixture for Database {
    async fn node(&mut self) -> Arc<dyn StateStore> {
        let options = PostgresOptions::new(self.url.clone());
        Arc::new(SqlStore::open_postgres(options).await.expect("open"))
    }
}

async fn database() -> Database {
    Database { url: Postgres::shared().database(), open: None }
}

state_store_conformance!(database);

mod shared {
    use super::database;

    callboard_statestore::shared_store_conformance!(database);
}
