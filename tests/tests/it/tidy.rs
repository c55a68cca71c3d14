//! The house style as a test: what a reviewer would otherwise have to say again and again.
//!
//! Every rule looks at the files that git tracks or would track, reports all violations at once with file and line,
//! and leaves generated files (those with an `@generated` header) to their generator.

mod crates;
mod files;
mod functions;
mod purity;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A file of the repository.
struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    /// Its text; files that are not UTF-8 are left out of the list.
    text: String,
}

// === impl Source ===

impl Source {
    /// Lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// True if a program wrote it.
    fn is_generated(&self) -> bool {
        let mut header = self.text.lines().take(5);
        header.any(|line| line.contains("@generated") && !line.contains("`@generated`"))
    }

    /// The line on which the unit tests at the file's end begin, or one past the last line.
    fn tests_begin(&self) -> usize {
        let begin = self.lines().find(|(_, line)| *line == "#[cfg(test)]");
        begin.map_or(self.text.lines().count() + 1, |(number, _)| number)
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        tests.parent().expect("the tests crate lies in the repository").to_owned()
    })
}

/// Every file that is tracked, or new and not ignored, relative to the root.
pub(crate) fn paths() -> Vec<String> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the repository's files");
    assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
    let listing = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    // A file that was deleted and not yet committed is still listed.
    let paths = paths.filter(|path| root().join(path).is_file());
    paths.map(str::to_owned).collect()
}

/// The text files among them.
fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let sources: Vec<Source> = paths()
            .into_iter()
            .filter_map(|path| {
                let text = fs::read_to_string(root().join(&path)).ok()?;
                Some(Source { path, text })
            })
            .collect();
        assert!(sources.len() > 50, "only {} files found: is this a clone?", sources.len());
        sources
    })
}

/// The Rust files that people wrote.
fn rust() -> impl Iterator<Item = &'static Source> {
    sources().iter().filter(|source| source.has_extension("rs") && !source.is_generated())
}

/// Fails with every violation, so that one run shows all there is to do.
#[track_caller]
fn report(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
