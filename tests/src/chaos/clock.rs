//! Wall clocks that jump: a small library that is preloaded into a node and shifts what the node takes for the time.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;

const SOURCE: &str = include_str!("clock.c");

/// Compiles the library with the C compiler that Rust links with.
///
/// # Errors
/// If there is no `cc`, or it fails.
pub fn build(folder: &Path) -> Result<PathBuf, Error> {
    let source = folder.join("clock.c");
    let library = folder.join("clock.so");
    fs::write(&source, SOURCE).map_err(Error::io("writing clock.c"))?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()
        .map_err(Error::io("running cc"))?;
    if output.status.success() {
        return Ok(library);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(format!("cc cannot build the clock: {}", words.trim())))
}

/// The clock of one node.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// A clock that is right, kept in a file.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(library: &Path, path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::io("making a clock"))?;
        let clock = Self { library: library.into(), path: path.into(), file };
        clock.set(0)?;
        Ok(clock)
    }

    /// Makes the clock wrong by so many seconds, at once.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&self, seconds: i64) -> Result<(), Error> {
        let nanos = seconds * 1_000_000_000;
        self.file.write_all_at(&nanos.to_ne_bytes(), 0).map_err(Error::io("setting a clock"))
    }

    /// Lets a process go by this clock.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CALLBOARD_CHAOS_CLOCK", &self.path);
    }
}
