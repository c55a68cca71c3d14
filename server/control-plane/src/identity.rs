//! Who this node is, written in its data folder at the first start and never changed.
//!
//! Two names: the folder's, drawn when the folder is made, so that a join that is repeated gets the same number; and the
//! node's, which the cluster gave it. A node that has one is a member for good.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The format of the folder's files. Raised when an older version must not touch them.
pub(crate) const FORMAT: u32 = 1;
const FILE: &str = "identity.json";
const FOLDER_FILE: &str = "folder-id";

/// The node's name for life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) node_id: u64,
    pub(crate) cluster_id: String,
    /// True on the node that began the cluster: until it has done so, it takes the first steps again.
    pub(crate) founder: bool,
    /// The consensus group. A recovered control plane has another one than the one that was lost, so that nodes of
    /// both can never be taken for each other.
    #[serde(default = "first_group")]
    pub(crate) group: String,
}

/// Only the field that every format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Identity {
    /// The first node of a cluster that begins now.
    pub(crate) fn founder() -> Self {
        let cluster_id = uuid::Uuid::now_v7().to_string();
        Self { format: FORMAT, node_id: 1, cluster_id, founder: true, group: first_group() }
    }

    /// A node that a cluster let in.
    pub(crate) fn member(cluster_id: String, group: String, node_id: u64) -> Self {
        Self { format: FORMAT, node_id, cluster_id, founder: false, group }
    }

    /// The first node of a control plane that takes the place of one that was lost.
    pub(crate) fn recovered(cluster_id: String, node_id: u64, founder: bool) -> Self {
        let group = format!("{}-{}", first_group(), uuid::Uuid::now_v7());
        Self { format: FORMAT, node_id, cluster_id, founder, group }
    }

    /// Reads the identity. None before the first start was completed.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::read(&path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(unusable(path, source)),
        }
    }

    /// Writes the identity down. Everything else in the folder is there for good once it is.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).expect("numbers and strings always encode");
        write(folder, FILE, &bytes).map_err(|source| unusable(folder.join(FILE), source))
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
}

fn first_group() -> String {
    "control".into()
}

/// The folder's name. Drawn and on disk when this returns, if it had none.
pub(crate) fn folder_id(folder: &Path) -> Result<String, Error> {
    let path = folder.join(FOLDER_FILE);
    let failed = |source| unusable(path.clone(), source);
    match fs::read_to_string(&path) {
        Ok(text) => uuid::Uuid::parse_str(text.trim())
            .map(|id| id.to_string())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = uuid::Uuid::now_v7().to_string();
            write(folder, FOLDER_FILE, id.as_bytes()).map_err(failed)?;
            Ok(id)
        }
        Err(source) => Err(failed(source)),
    }
}

/// On disk, whole, when this returns, and so are the names of the folder and its other files.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if let Some(parent) = folder.parent() {
        File::open(parent)?.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn unusable(path: PathBuf, source: io::Error) -> Error {
    Error::DataFolder { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_folder_keep_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let load = || Identity::load(folder.path()).expect("readable");
        assert_eq!(load(), None, "nothing yet");
        let first = Identity::founder();
        first.save(folder.path()).expect("written");
        assert_eq!(load().as_ref(), Some(&first));
        assert_eq!(uuid::Uuid::parse_str(&first.cluster_id).expect("a UUID").get_version_num(), 7);
        let name = folder_id(folder.path()).expect("drawn");
        assert_eq!(folder_id(folder.path()).expect("read"), name);
        fs::write(folder.path().join(FOLDER_FILE), "half a").expect("written");
        let error = folder_id(folder.path()).expect_err("damaged");
        assert!(matches!(error, Error::DataFolder { .. }), "{error}");
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        fs::write(&path, r#"{"format": 9, "nodes": []}"#).expect("written");
        let error = Identity::load(folder.path()).expect_err("a newer format");
        assert!(matches!(error, Error::NewerFormat { found: 9, known: FORMAT, .. }), "{error}");
        assert!(error.to_string().contains("newer callboard"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("there"), r#"{"format": 9, "nodes": []}"#);
    }

    #[test]
    fn a_damaged_name_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{").expect("written");
        let error = Identity::load(folder.path()).expect_err("damaged");
        assert!(matches!(error, Error::DataFolder { .. }), "{error}");
    }
}
