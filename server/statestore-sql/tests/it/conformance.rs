//! SQLite keeps every rule of the contract.

use std::sync::Arc;

use async_trait::async_trait;
use callboard_statestore::{StateStore, conformance::Fixture, state_store_conformance};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    open: Option<Arc<SqlStore>>,
}

#[async_trait]
impl Fixture for Sqlite {
    async fn store(&mut self) -> Arc<dyn StateStore> {
        if self.open.is_none() {
            let options = SqliteOptions::new(self.folder.path());
            let store = SqlStore::open_sqlite(options).await.expect("open");
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

async fn sqlite() -> Sqlite {
    Sqlite { folder: TempDir::new().expect("a folder"), open: None }
}

state_store_conformance!(sqlite);
