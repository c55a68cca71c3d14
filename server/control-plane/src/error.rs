//! Why a control plane does not start, or cannot go on.

use std::{io, path::PathBuf};

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used: {source}", path.display())]
    DataFolder {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses the data folder.
    #[error("the data folder {} is in use by another process; stop it first", path.display())]
    InUse {
        /// The file that is held.
        path: PathBuf,
    },
    /// A newer version of Callboard wrote the data folder.
    #[error(
        "the data folder {} has format {found}, and this version knows formats up to {known}: a newer callboard \
         wrote it. Start that version, or a newer one; nothing was changed",
        path.display()
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// The node's name is there, and what it agreed to is not.
    #[error(
        "{} is missing, although the node has been a member of its cluster: without it the node could break promises \
         that it made. Restore the whole data folder, or start with an empty one as a new node",
        path.display()
    )]
    LogMissing {
        /// The file.
        path: PathBuf,
    },
    /// What the node wrote down cannot be read. It was left as it is.
    #[error(
        "what this node agreed to cannot be read from {}: {what}. Nothing was changed. If a newer \
         version of callboard wrote it, start that one. If other nodes of the cluster \
         are there, remove this one (`callboard cluster remove`), empty its data folder, and let it join again: it \
         gets everything from them. Otherwise restore the folder, or use `callboard cluster recover`",
        path.display()
    )]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The cluster does not take the node.
    #[error("the cluster at {address} does not let this node in: {reason}")]
    NotAdmitted {
        /// Who said so.
        address: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A backup cannot be used.
    #[error("the backup of the control plane cannot be used: {0}")]
    Backup(String),
    /// A setting contradicts another one.
    #[error("the control plane's settings do not fit together: {0}")]
    Options(String),
    /// It ended while it started.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The node did not become ready in time.
    #[error("the control plane did not become ready within {0} s; the log says what it waits for")]
    NotReady(u64),
}

/// The control plane cannot go on, and the node must exit: what is on disk decides how it comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane stopped: {0}")]
pub struct Fatal(pub String);
