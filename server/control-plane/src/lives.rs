//! Which lives the processes of this data folder drew: what tells the node from a copy of its folder.
//!
//! A life is written down before it is proposed, so that the folder has every life that the cluster can know the node
//! by. A folder to which the cluster's life of the node is foreign was copied before another process drew that life: what
//! runs on it is not the node any more.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Fatal,
    identity::{self, FORMAT},
};

const FILE: &str = "lives.json";
/// Lives that are kept. The last one that was agreed on is always among them; the others are of processes that ended
/// before theirs was, and of nodes that lag.
const LIVES_MAX: usize = 256;

/// The lives of the node as its folder has them, and the one of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Lives(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    own: u64,
    /// The oldest first. None in a folder whose processes kept no record so far: it says nothing about them.
    recorded: Mutex<Option<Vec<u64>>>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    lives: Vec<u64>,
}

impl Lives {
    /// Draws this process's life and reads the earlier ones. A new folder has a record from the start on, an older
    /// version's folder gets one with the first life that is agreed on.
    ///
    /// # Errors
    /// The file cannot be read or made, or a newer version wrote it.
    pub(crate) fn open(folder: &Path, is_new: bool) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let recorded = match fs::read(&path) {
            Ok(bytes) => Some(read(&path, &bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let empty = is_new.then(Vec::new);
                if let Some(lives) = &empty {
                    write(folder, lives).map_err(|source| unusable(path, source))?;
                }
                empty
            }
            Err(source) => return Err(unusable(path, source)),
        };
        let (folder, recorded) = (folder.into(), Mutex::new(recorded));
        Ok(Self(Arc::new(Inner { folder, own: draw(), recorded })))
    }

    /// The life of this process.
    pub(crate) fn own(&self) -> u64 {
        self.0.own
    }

    /// True unless another folder's process must have drawn the life. 0 is no life: the node did not start yet.
    pub(crate) fn may_have(&self, life: u64) -> bool {
        let recorded = self.0.recorded.lock();
        life == 0
            || life == self.0.own
            || recorded.as_ref().is_none_or(|lives| lives.contains(&life))
    }

    /// What other nodes are told: all of them, this process's last. Empty if there is no record.
    pub(crate) fn told(&self) -> Vec<u64> {
        let recorded = self.0.recorded.lock();
        recorded.as_ref().map(|lives| followed_by(lives, &[self.0.own])).unwrap_or_default()
    }

    /// Has this process's life on disk, if there is a record. It may be proposed after `previous` then.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) async fn record(&self, previous: u64) -> Result<(), Fatal> {
        let recorded = self.0.recorded.lock().clone();
        match recorded {
            Some(lives) if !lives.contains(&self.0.own) => self.save(lives, previous).await,
            _ => Ok(()),
        }
    }

    /// This process's life was agreed on: the folder has a record from now on.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) async fn agreed(&self, previous: u64) -> Result<(), Fatal> {
        let is_there = self.0.recorded.lock().is_some();
        if is_there { Ok(()) } else { self.save(Vec::new(), previous).await }
    }

    async fn save(&self, lives: Vec<u64>, previous: u64) -> Result<(), Fatal> {
        let lives = followed_by(&lives, &[previous, self.0.own]);
        let (folder, saved) = (self.0.folder.clone(), lives.clone());
        let written = tokio::task::spawn_blocking(move || write(&folder, &saved)).await;
        written.map_err(io::Error::other).flatten().map_err(|error| {
            let path = self.0.folder.join(FILE);
            Fatal(format!(
                "{} cannot be written: {error}. Free the disk and restart",
                path.display()
            ))
        })?;
        *self.0.recorded.lock() = Some(lives);
        Ok(())
    }
}

/// The lives with others at their end, each once, as many as are kept.
fn followed_by(lives: &[u64], last: &[u64]) -> Vec<u64> {
    let mut all: Vec<u64> = lives.iter().filter(|life| !last.contains(life)).copied().collect();
    for life in last.iter().filter(|life| **life != 0) {
        all.retain(|earlier| earlier != life);
        all.push(*life);
    }
    all.drain(..all.len().saturating_sub(LIVES_MAX));
    all
}

/// Draws a number that no life ever had.
fn draw() -> u64 {
    let random = uuid::Uuid::now_v7();
    let (_, random) = random.as_u64_pair();
    random.max(1)
}

fn read(path: &Path, bytes: &[u8]) -> Result<Vec<u64>, Error> {
    let record: Record =
        serde_json::from_slice(bytes).map_err(|error| unusable(path.into(), error.into()))?;
    if record.format > FORMAT {
        let path = path.parent().unwrap_or(path).into();
        return Err(Error::NewerFormat { path, found: record.format, known: FORMAT });
    }
    Ok(record.lives)
}

fn write(folder: &Path, lives: &[u64]) -> io::Result<()> {
    let record = Record { format: FORMAT, lives: lives.to_vec() };
    let bytes = serde_json::to_vec(&record).expect("numbers always encode");
    identity::write(folder, FILE, &bytes)
}

fn unusable(path: PathBuf, source: io::Error) -> Error {
    Error::DataFolder { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, is_new: bool) -> Lives {
        Lives::open(folder, is_new).expect("readable")
    }

    #[tokio::test]
    async fn a_folder_has_the_lives_of_its_processes_and_of_no_copys() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path(), true);
        assert!(first.may_have(0) && first.may_have(first.own()) && !first.may_have(7));
        first.record(0).await.expect("written");
        // It ended before its life was agreed on.
        let second = open(folder.path(), false);
        second.record(0).await.expect("written");
        let third = open(folder.path(), false);
        assert!(third.may_have(first.own()) && third.may_have(second.own()));
        assert_eq!(third.told(), [first.own(), second.own(), third.own()]);
        assert!(!second.may_have(third.own()), "as a copy of the folder would not");
    }

    #[tokio::test]
    async fn a_folder_without_a_record_says_nothing_until_a_life_is_agreed_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path(), false);
        first.record(5).await.expect("nothing to do");
        assert!(first.may_have(7) && first.told().is_empty());
        first.agreed(5).await.expect("written");
        let second = open(folder.path(), false);
        assert!(second.may_have(5) && second.may_have(first.own()) && !second.may_have(7));
    }

    #[test]
    fn the_life_that_was_agreed_on_last_stays_however_many_processes_end_too_early() {
        let mut lives = vec![5];
        for life in 1_000..2_000 {
            lives = followed_by(&lives, &[5, life]);
        }
        assert_eq!(lives.len(), LIVES_MAX);
        assert!(lives.contains(&5) && lives.ends_with(&[1_998, 5, 1_999]));
    }

    #[test]
    fn a_damaged_or_newer_record_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for text in ["{", r#"{"format":9,"lives":[]}"#] {
            fs::write(folder.path().join(FILE), text).expect("written");
            Lives::open(folder.path(), true).expect_err(text);
        }
    }
}
