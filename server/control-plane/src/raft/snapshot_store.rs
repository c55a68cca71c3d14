//! The durable snapshot: the newest one only, in redb, in chunks.
//!
//! Together with the log it is all that a node needs to come back: the state machine lives in memory and is rebuilt
//! from the snapshot and the entries after it. The log is purged only up to a snapshot that is on disk.

use std::{io, path::Path, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    codec,
    types::{Snapshot, SnapshotMeta},
};

const CHUNKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("chunks");
const META: TableDefinition<'_, (), &[u8]> = TableDefinition::new("meta");

/// Bytes of a row, and of a piece on the wire.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;
/// Largest snapshot that a node takes from a peer.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// A snapshot is read once, at start: there is nothing to cache.
const CACHE_BYTES: usize = 1024 * 1024;
const CHECKSUM_BYTES: usize = 16;

/// An encoded state with its checksum at the end.
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
            transaction
                .open_table(META)?
                .insert((), codec::encode(meta).as_slice())?;
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
        let meta: SnapshotMeta = codec::decode(meta.value())?;
        let chunks = transaction.open_table(CHUNKS).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        for row in chunks.iter().map_err(io::Error::other)? {
            bytes.extend_from_slice(row.map_err(io::Error::other)?.1.value());
        }
        Ok(Some(Snapshot {
            meta,
            snapshot: bytes.into(),
        }))
    }
}

/// Encodes a value with a checksum.
pub(crate) fn seal<T: Serialize>(value: &T) -> SnapshotBytes {
    let mut bytes = codec::encode(value);
    let checksum = xxh3_128(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    bytes.into()
}

/// Checks and decodes what [`seal`] made.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let damaged = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the control plane's snapshot is damaged; restore the data folder, or remove the node and let it join \
             again with an empty one",
        )
    };
    let split = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .ok_or_else(damaged)?;
    let (body, checksum) = bytes.split_at(split);
    if xxh3_128(body).to_le_bytes() != checksum {
        return Err(damaged());
    }
    Ok(codec::decode(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_found() {
        let sealed = seal(&vec![7_u8; 100]);
        assert_eq!(unseal::<Vec<u8>>(&sealed).expect("whole"), vec![7_u8; 100]);
        for at in 0..sealed.len() {
            let mut flipped = sealed.to_vec();
            flipped[at] ^= 1;
            unseal::<Vec<u8>>(&flipped).expect_err("a flipped bit");
            unseal::<Vec<u8>>(&sealed[..at]).expect_err("a missing end");
        }
    }

    #[test]
    fn the_newest_snapshot_replaces_the_one_before_whatever_their_sizes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot.redb");
        let store = SnapshotStore::open(&path).expect("open");
        assert!(store.load().expect("readable").is_none());
        let meta = SnapshotMeta {
            last_log_id: None,
            last_membership: Default::default(),
        };
        for length in [3 * CHUNK_BYTES + 1, 10] {
            store
                .save(&meta, &vec![length as u8; length])
                .expect("saved");
        }
        drop(store);
        let store = SnapshotStore::open(&path).expect("open again");
        let snapshot = store.load().expect("readable").expect("there");
        assert_eq!((snapshot.meta, snapshot.snapshot.len()), (meta, 10));
    }
}
