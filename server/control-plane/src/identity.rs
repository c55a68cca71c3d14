//! Who this node is, written in its data folder at the first start and never changed.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Error, FirstStart};

/// The format of the folder's files. Raised when an older version must not touch them.
pub(crate) const FORMAT: u32 = 1;
const FILE: &str = "identity.json";

/// The node's name for life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) node_id: u64,
    pub(crate) cluster_id: String,
    /// True on the node that began the cluster: until it has done so, it takes the first steps again.
    pub(crate) founder: bool,
}

/// Only the field that every format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Identity {
    /// Reads the identity. None before the first start was completed.
    pub(crate) fn load(folder: &Path, first_start: &FirstStart) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::read(&path, &bytes)?.check(folder, first_start).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(unusable(path, source)),
        }
    }

    /// Draws an identity and writes it down. Everything else in the folder is there for good once it is.
    pub(crate) fn create(folder: &Path, first_start: &FirstStart) -> Result<Self, Error> {
        let (identity, path) = (Self::new(first_start), folder.join(FILE));
        identity.write(folder, &path).map_err(|source| unusable(path, source))?;
        Ok(identity)
    }

    fn new(first_start: &FirstStart) -> Self {
        match first_start {
            FirstStart::Bootstrap => Self {
                format: FORMAT,
                node_id: 1,
                cluster_id: uuid::Uuid::now_v7().to_string(),
                founder: true,
            },
            FirstStart::Join { cluster_id, node_id } => Self {
                format: FORMAT,
                node_id: *node_id,
                cluster_id: cluster_id.clone(),
                founder: false,
            },
        }
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |error: serde_json::Error| unusable(path.into(), error.into());
        let AnyFormat { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format > FORMAT {
            let path = path.parent().unwrap_or(path).into();
            return Err(Error::NewerFormat { path, found: format, known: FORMAT });
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// A folder that was copied from another node would vote in that node's name.
    fn check(self, folder: &Path, first_start: &FirstStart) -> Result<Self, Error> {
        match first_start {
            FirstStart::Join { cluster_id, node_id }
                if *cluster_id != self.cluster_id || *node_id != self.node_id =>
            {
                Err(Error::OtherNode {
                    path: folder.into(),
                    node_id: self.node_id,
                    cluster_id: self.cluster_id,
                })
            }
            FirstStart::Join { .. } | FirstStart::Bootstrap => Ok(self),
        }
    }

    /// On disk, whole, when this returns, and so are the names of the folder and its other files.
    fn write(&self, folder: &Path, path: &Path) -> io::Result<()> {
        let temporary = folder.join("identity.json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        File::open(folder)?.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    }
}

fn unusable(path: PathBuf, source: io::Error) -> Error {
    Error::DataFolder { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let load = || Identity::load(folder.path(), &FirstStart::Bootstrap).expect("readable");
        assert_eq!(load(), None, "nothing yet");
        let first = Identity::create(folder.path(), &FirstStart::Bootstrap).expect("new");
        assert_eq!(load().as_ref(), Some(&first));
        assert_eq!(uuid::Uuid::parse_str(&first.cluster_id).expect("a UUID").get_version_num(), 7);
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        fs::write(&path, r#"{"format": 9, "nodes": []}"#).expect("written");
        let error =
            Identity::load(folder.path(), &FirstStart::Bootstrap).expect_err("a newer format");
        assert!(matches!(error, Error::NewerFormat { found: 9, known: FORMAT, .. }), "{error}");
        assert!(error.to_string().contains("newer callboard"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("there"), r#"{"format": 9, "nodes": []}"#);
    }

    #[test]
    fn a_folder_of_another_node_or_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let join = |node_id| FirstStart::Join { cluster_id: "c".into(), node_id };
        Identity::create(folder.path(), &join(2)).expect("new");
        let error = Identity::load(folder.path(), &join(3)).expect_err("node 2's folder");
        assert!(matches!(error, Error::OtherNode { node_id: 2, .. }), "{error}");
        fs::write(folder.path().join(FILE), "{").expect("written");
        let error = Identity::load(folder.path(), &join(2)).expect_err("damaged");
        assert!(matches!(error, Error::DataFolder { .. }), "{error}");
    }
}
