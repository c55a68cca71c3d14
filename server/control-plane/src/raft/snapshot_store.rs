//! The durable snapshot: the newest one only, in redb, in chunks.
//!
//! Together with the log it is all that a node needs to come back: the state machine lives in memory and is rebuilt
//! from the snapshot and the entries after it. The log is purged only up to a snapshot that is on disk.

use std::{io, path::Path, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    codec,
    types::{Snapshot, SnapshotMeta},
};

const CHUNKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("chunks");
const META: TableDefinition<'_, (), &[u8]> = TableDefinition::new("meta");

/// Bytes of a row, and of a piece on the wire.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;
/// Largest snapshot that a node takes from a peer.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 3 * 1024 * 1024 * 1024;
const _: () = assert!(
    4 * crate::machine::REGISTERED_BYTES_MAX + 2 * crate::machine::schedules::SCHEDULES_BYTES_MAX
        <= SNAPSHOT_BYTES_MAX
);
/// A snapshot is read once, at start: there is nothing to cache.
const CACHE_BYTES: usize = 1024 * 1024;

/// A sealed state.
pub(crate) type SnapshotBytes = Arc<[u8]>;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore(Arc<Database>);

impl SnapshotStore {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(io::Error::other)?;
        let transaction = database.begin_write().map_err(io::Error::other)?;
        transaction.open_table(CHUNKS).map_err(io::Error::other)?;
        transaction.open_table(META).map_err(io::Error::other)?;
        transaction.commit().map_err(io::Error::other)?;
        Ok(Self(Arc::new(database)))
    }

    /// Puts a snapshot in the place of the one before. On disk when this returns.
    pub(crate) fn save(&self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        self.put(meta, bytes).map_err(io::Error::other)
    }

    fn put(&self, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut chunks = transaction.open_table(CHUNKS)?;
            chunks.retain(|_, _| false)?;
            for (number, chunk) in (0_u32..).zip(bytes.chunks(CHUNK_BYTES)) {
                chunks.insert(number, chunk)?;
            }
            transaction.open_table(META)?.insert((), codec::seal(meta).as_slice())?;
        }
        Ok(transaction.commit()?)
    }

    /// The snapshot on disk, if there is one. A damaged one is an error.
    pub(crate) fn load(&self) -> io::Result<Option<Snapshot>> {
        let transaction = self.0.begin_read().map_err(io::Error::other)?;
        let meta = transaction.open_table(META).map_err(io::Error::other)?;
        let Some(meta) = meta.get(()).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let meta: SnapshotMeta = codec::unseal(meta.value())?;
        let chunks = transaction.open_table(CHUNKS).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        for row in chunks.iter().map_err(io::Error::other)? {
            bytes.extend_from_slice(row.map_err(io::Error::other)?.1.value());
        }
        Ok(Some(Snapshot { meta, snapshot: bytes.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_replaces_the_one_before_whatever_their_sizes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot.redb");
        let store = SnapshotStore::open(&path).expect("open");
        assert!(store.load().expect("readable").is_none());
        let meta = SnapshotMeta { last_log_id: None, last_membership: Default::default() };
        for length in [3 * CHUNK_BYTES + 1, 10] {
            store.save(&meta, &vec![length as u8; length]).expect("saved");
        }
        drop(store);
        let store = SnapshotStore::open(&path).expect("open again");
        let snapshot = store.load().expect("readable").expect("there");
        assert_eq!((snapshot.meta, snapshot.snapshot.len()), (meta, 10));
    }
}
