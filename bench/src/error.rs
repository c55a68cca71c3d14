//! What can go wrong in a measurement. Every case ends the run: a figure with a failure behind it is no figure.

/// Why a subcommand gave up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, pipe, process or socket failed.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
    /// A connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// A call or a stream ended with a status.
    #[error("the call failed: {0}")]
    Status(#[from] Box<tonic::Status>),
    /// A line of another process, or a file, is not what it should be.
    #[error("cannot read JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The state store refused.
    #[error("the store failed: {0}")]
    Store(#[from] callboard_statestore::Error),
    /// Anything that needs a sentence.
    #[error("{0}")]
    Failed(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Error {
    /// An error that is a sentence.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }
}
