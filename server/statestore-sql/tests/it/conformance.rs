//! Both databases keep every rule of the contract.

use std::sync::Arc;

use async_trait::async_trait;
use callboard_statestore::{
    StateStore,
    conformance::{Fixture, SharedFixture},
};
use callboard_statestore_sql::{PostgresOptions, SqlStore, SqliteOptions};
use tempfile::TempDir;

use super::postgres::Postgres;

/// Where the data is.
enum Place {
    Folder(TempDir),
    Database(String),
}

struct Kept {
    place: Place,
    open: Option<Arc<SqlStore>>,
}

impl Kept {
    async fn opened(&self) -> Arc<SqlStore> {
        let opened = match &self.place {
            Place::Folder(folder) => SqlStore::open_sqlite(SqliteOptions::new(folder.path())).await,
            Place::Database(url) => SqlStore::open_postgres(PostgresOptions::new(url)).await,
        };
        Arc::new(opened.expect("open"))
    }
}

#[async_trait]
impl Fixture for Kept {
    async fn store(&mut self) -> Arc<dyn StateStore> {
        let store = match self.open.take() {
            Some(open) => open,
            None => self.opened().await,
        };
        self.open = Some(Arc::clone(&store));
        store
    }

    async fn reopened(&mut self) -> Arc<dyn StateStore> {
        if let Some(store) = self.open.take() {
            store.close().await;
        }
        self.store().await
    }
}

#[async_trait]
impl SharedFixture for Kept {
    async fn node(&mut self) -> Arc<dyn StateStore> {
        self.opened().await
    }
}

async fn folder() -> Kept {
    Kept { place: Place::Folder(TempDir::new().expect("a folder")), open: None }
}

async fn database() -> Kept {
    Kept { place: Place::Database(Postgres::shared().database()), open: None }
}

mod sqlite {
    callboard_statestore::state_store_conformance!(super::folder);
}

mod postgres {
    callboard_statestore::state_store_conformance!(super::database);
}

mod shared {
    callboard_statestore::shared_store_conformance!(super::database);
}
