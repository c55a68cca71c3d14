//! The data folder and the lock that keeps other processes out of it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use callboard_statestore::Error;

/// A data folder that this process holds until the value is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if needed and takes its lock.
    pub(crate) fn hold(path: &Path) -> Result<Self, Error> {
        let failed = |what: &str, error: io::Error| {
            Error::Refused(format!("{what} {} failed: {error}", path.display()))
        };
        create(path).map_err(|error| failed("creating the data folder", error))?;
        let path =
            fs::canonicalize(path).map_err(|error| failed("looking up the data folder", error))?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("LOCK"))
            .map_err(|error| failed("opening the lock of the data folder", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&path)),
            Err(TryLockError::Error(error)) => {
                return Err(failed("locking the data folder", error));
            }
        }
        // For people only: the lock is what counts.
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|error| failed("writing to the data folder", error))?;
        Ok(Self { path, _lock: lock })
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("store.db")
    }

    /// The database's write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("store.db-wal")
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn taken(path: &Path) -> Error {
    let holder = fs::read_to_string(path.join("LOCK")).unwrap_or_default();
    let holder = match holder.trim() {
        "" => String::new(),
        process => format!(" (process {process})"),
    };
    Error::Refused(format!(
        "the data folder {} is in use by another Callboard node{holder}. Stop that node, or give this one another \
         folder",
        path.display()
    ))
}

/// Creates the folder for this user only, and makes its name durable: a folder that vanishes with the power takes
/// every commit with it.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create(parent)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    File::open(parent)?.sync_all()?;
    Ok(())
}
