//! Goal: the log, the state machine and the snapshots keep openraft's contract. Method: openraft's own suite.

use std::sync::Arc;

use callboard_types::NodeId;
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use super::{
    cadence::Cadence, log_store::LogStore, snapshot_store::SnapshotStore,
    state_machine::StateMachine, types::TypeConfig,
};
use crate::view::Publisher;

struct InTemporaryFolders;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for InTemporaryFolders {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let log = LogStore::open(&folder.path().join("log.redb")).expect("an empty log");
        let snapshots =
            SnapshotStore::open(&folder.path().join("snapshot.redb")).expect("no snapshot");
        let (publisher, cadence) = (Publisher::new(NodeId(1)), Cadence::new(1_000));
        let machine = StateMachine::new(Arc::default(), snapshots, publisher, cadence);
        Ok((folder, log, machine))
    }
}

#[test]
fn log_and_state_machine_pass_openrafts_suite() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(Suite::test_all(InTemporaryFolders)).expect("conforming");
}
