//! What can go wrong while generating, told to the person who wrote the proto file: where, what, and what to do.

use std::{fmt, io, path::PathBuf};

/// A place in a proto file, as editors count: the first line and column are 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file's path as imports write it, or as the user gave it if it cannot be imported.
    pub file: String,
    /// Line from 1; 0 if the descriptors came without source information.
    pub line: u32,
    /// Column from 1; 0 if unknown.
    pub column: u32,
}

impl Position {
    /// A whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Position { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One fault in the user's proto files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where it is.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it. May be empty where the message says it all.
    pub help: String,
}

impl Diagnostic {
    /// A fault at a place, with advice.
    pub fn new(
        position: impl Into<Position>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Diagnostic { position: position.into(), message: message.into(), help: help.into() }
    }
}

impl From<&Position> for Position {
    fn from(position: &Position) -> Self {
        position.clone()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

/// Why nothing was generated. No variant leaves half-written output behind, except [`Error::Io`] while writing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's protos have faults. At least one; sorted by position.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Protos(Vec<Diagnostic>),
    /// The request itself is wrong: an unknown language, parameter, layer or flag combination.
    #[error("{0}")]
    Usage(String),
    /// Descriptors that no compiler would produce: cut short, or missing their imports.
    #[error("the descriptors cannot be read: {0}")]
    Descriptors(String),
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `--check` found that the output folder is not what would be generated.
    #[error("{0}")]
    Drift(String),
}

impl Error {
    /// Wraps a system error with the path that it is about.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    /// `Ok` if there are no faults, else all of them in the order of their positions.
    ///
    /// # Errors
    /// [`Error::Protos`] if `faults` is not empty.
    pub fn from_faults(mut faults: Vec<Diagnostic>) -> Result<(), Error> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort();
        faults.dedup();
        Err(Error::Protos(faults))
    }
}
