//! Opens the data folder's files. Runs on a thread that may block.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    Error, FirstStart, Options,
    identity::{self, Identity},
    lives::Lives,
    raft::{log_store::LogStore, snapshot_store::SnapshotStore},
    recover,
};

/// What a node writes while it runs.
pub(super) struct Files {
    pub(super) lives: Lives,
    pub(super) log: LogStore,
    pub(super) snapshots: SnapshotStore,
}

/// Opens the folder. Returns the node's name if it has one, the folder's, and the files.
///
/// The node's name comes last at the first start and first ever after: a node that has one and lost its log must not
/// vote again, because it no longer knows whom it voted for and what it acknowledged.
pub(super) fn open(
    folder: &Path,
    options: &Options,
) -> Result<(Option<Identity>, String, Files), Error> {
    let mut known = Identity::load(folder)?;
    let (log_path, snapshot_path) = (folder.join("log.redb"), folder.join("snapshot.redb"));
    if known.is_some() {
        for path in [&log_path, &snapshot_path] {
            if !path.exists() {
                return Err(Error::LogMissing { path: path.clone() });
            }
        }
    } else {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder.into(), error))?;
    }
    let is_new = known.is_none();
    let log = open_file(log_path, is_new, LogStore::open)?;
    let snapshots = open_file(snapshot_path, is_new, SnapshotStore::open)?;
    let folder_id = identity::folder_id(folder)?;
    let lives = Lives::open(folder, is_new)?;
    if is_new && let FirstStart::Recover { .. } = options.first_start {
        let identity = recover::prepare(options, &folder_id, &snapshots)?;
        identity.save(folder)?;
        known = Some(identity);
    }
    Ok((known, folder_id, Files { lives, log, snapshots }))
}

/// What a node says whose log or snapshot cannot be read.
pub(super) fn damaged(folder: &Path, what: &str) -> Error {
    Error::Damaged { path: folder.into(), what: what.into() }
}

/// Opens one file. What a first start left half made when it was cut off is made again: nothing was agreed on then.
fn open_file<T>(
    path: PathBuf,
    is_new: bool,
    open: impl Fn(&Path) -> io::Result<T>,
) -> Result<T, Error> {
    match open(&path).map_err(|error| unusable(path.clone(), error)) {
        Err(Error::DataFolder { .. } | Error::Damaged { .. }) if is_new && path.exists() => {
            std::fs::remove_file(&path).map_err(|error| unusable(path.clone(), error))?;
            open(&path).map_err(|error| unusable(path, error))
        }
        opened => opened,
    }
}

fn unusable(path: PathBuf, source: io::Error) -> Error {
    let database = source.get_ref().and_then(|inner| inner.downcast_ref::<redb::DatabaseError>());
    match database {
        Some(redb::DatabaseError::DatabaseAlreadyOpen) => Error::InUse { path },
        Some(redb::DatabaseError::Storage(redb::StorageError::Corrupted(_))) => {
            damaged(&path, &source.to_string())
        }
        Some(redb::DatabaseError::Storage(redb::StorageError::Io(error)))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            damaged(&path, &source.to_string())
        }
        _ if source.kind() == io::ErrorKind::InvalidData => damaged(&path, &source.to_string()),
        _ => Error::DataFolder { path, source },
    }
}
