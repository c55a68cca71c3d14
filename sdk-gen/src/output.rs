//! Writes generated files to a folder, and compares a folder with what would be written.
//!
//! A manifest in the folder lists what each kind of run wrote, so that files whose proto is gone are removed. Only files
//! that are listed and carry the `@generated` mark are ever removed or overwritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{error::Error, lang::OutputFile};

/// The manifest's name in the output folder.
pub const MANIFEST: &str = "callboard-gen.json";

const MARK: &str = "@generated";
/// How far into a file the mark is looked for, in bytes.
const MARK_WITHIN: usize = 512;

/// What a run did, or would have to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were new or different.
    pub written: Vec<String>,
    /// Files that were right already.
    pub unchanged: Vec<String>,
    /// Files of an earlier run that are not generated any more.
    pub removed: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, unchanged) = (self.written.len(), self.unchanged.len());
        write!(f, "{written} written, {unchanged} unchanged, {} removed", self.removed.len())
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// Says to people what this file is.
    comment: String,
    /// Files by kind of run ("python/all"), sorted.
    files: BTreeMap<String, BTreeSet<String>>,
}

/// Brings `folder` into the state that `files` describe. `kind` names this kind of run, such as `python/all`: files that
/// an earlier run of the same kind wrote and this one does not are removed.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read or written, [`Error::Usage`] if a file is in the way that was not generated.
pub fn write(folder: &Path, kind: &str, files: &[OutputFile]) -> Result<Report, Error> {
    let plan = Plan::make(folder, kind, files)?;
    if let Some(path) = plan.foreign.first() {
        return Err(Error::Usage(format!(
            "{} exists and was not generated; move it away or choose another output folder",
            folder.join(path).display()
        )));
    }
    for file in files.iter().filter(|file| plan.report.written.contains(&file.path)) {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        fs::write(&path, &file.content).map_err(|error| Error::io(&path, error))?;
    }
    for path in &plan.report.removed {
        remove(folder, path)?;
    }
    let path = folder.join(MANIFEST);
    if read(&path)?.as_deref() != Some(plan.manifest.as_str()) {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        fs::write(&path, &plan.manifest).map_err(|error| Error::io(&path, error))?;
    }
    Ok(plan.report)
}

/// Compares `folder` with what [`write()`] would make of it, and writes nothing.
///
/// # Errors
/// [`Error::Drift`] listing every difference, [`Error::Io`] if the folder cannot be read.
pub fn check(folder: &Path, kind: &str, files: &[OutputFile]) -> Result<Report, Error> {
    let plan = Plan::make(folder, kind, files)?;
    let mut differences = Vec::new();
    for path in &plan.report.written {
        let content = files.iter().find(|file| file.path == *path).map(|file| &file.content);
        differences.push(match (read(&folder.join(path))?, content) {
            (Some(found), Some(wanted)) => {
                let line = found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
                format!("  changed  {path} (first difference in line {})", line + 1)
            }
            _ => format!("  missing  {path}"),
        });
    }
    differences.extend(plan.report.removed.iter().map(|path| format!("  stale    {path}")));
    if differences.is_empty() && read(&folder.join(MANIFEST))?.as_deref() != Some(&plan.manifest) {
        differences.push(format!("  changed  {MANIFEST}"));
    }
    if differences.is_empty() {
        return Ok(plan.report);
    }
    Err(Error::Drift(format!(
        "{} is not what the protos generate:\n{}\nrun the same command without --check",
        folder.display(),
        differences.join("\n")
    )))
}

struct Plan {
    report: Report,
    /// Files in the way that nobody generated.
    foreign: Vec<String>,
    /// The new manifest's text.
    manifest: String,
}

impl Plan {
    fn make(folder: &Path, kind: &str, files: &[OutputFile]) -> Result<Plan, Error> {
        let mut manifest = match read(&folder.join(MANIFEST))? {
            None => Manifest::default(),
            Some(text) => serde_json::from_str::<Manifest>(&text).map_err(|error| {
                let path = folder.join(MANIFEST);
                Error::Usage(format!(
                    "{} is not a manifest of this generator ({error}); remove it and run again",
                    path.display()
                ))
            })?,
        };
        manifest.comment =
            "Written by callboard gen. Lists the files that it may remove.".to_owned();
        let wanted: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let before = manifest.files.insert(kind.to_owned(), wanted).unwrap_or_default();
        let still: BTreeSet<&String> = manifest.files.values().flatten().collect();

        let mut report = Report::default();
        let mut foreign = Vec::new();
        for file in files {
            match read(&folder.join(&file.path))? {
                Some(found) if found == file.content => report.unchanged.push(file.path.clone()),
                found => {
                    if found.is_some_and(|text| !is_generated(&text)) {
                        foreign.push(file.path.clone());
                    }
                    report.written.push(file.path.clone());
                }
            }
        }
        for path in before.iter().filter(|path| !still.contains(path) && is_inside(path)) {
            if read(&folder.join(path))?.is_some_and(|text| is_generated(&text)) {
                report.removed.push(path.clone());
            }
        }
        manifest.files.retain(|_, files| !files.is_empty());
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|error| Error::io(folder.join(MANIFEST), io::Error::other(error)))?;
        Ok(Plan { report, foreign, manifest: text + "\n" })
    }
}

/// A manifest is a file like any other: it must not be able to name something outside the folder.
fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn is_generated(text: &str) -> bool {
    let end = text.char_indices().map(|(index, _)| index).take_while(|i| *i < MARK_WITHIN).last();
    text[..end.map_or(0, |end| end)].contains(MARK)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Removes a file and the folders that are empty afterwards, up to the output folder.
fn remove(folder: &Path, file: &str) -> Result<(), Error> {
    let path: PathBuf = folder.join(file);
    fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
    let mut parent = path.parent();
    while let Some(empty) = parent.filter(|parent| *parent != folder) {
        if fs::remove_dir(empty).is_err() {
            break;
        }
        parent = empty.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> OutputFile {
        OutputFile { path: path.to_owned(), content: format!("// @generated\n{content}\n") }
    }

    #[test]
    fn files_of_an_earlier_run_are_removed_with_their_empty_folders() {
        let folder = tempfile::tempdir().unwrap();
        let both = [file("a/one.ts", "1"), file("b/c/two.ts", "2")];
        assert_eq!(write(folder.path(), "ts", &both).unwrap().written.len(), 2);
        let report = write(folder.path(), "ts", &both[..1]).unwrap();
        assert_eq!(report.removed, ["b/c/two.ts"]);
        assert_eq!(report.unchanged, ["a/one.ts"]);
        assert!(!folder.path().join("b").exists());
    }

    #[test]
    fn files_that_people_wrote_are_neither_overwritten_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "ts", &[file("one.ts", "1")]).unwrap();
        fs::write(folder.path().join("one.ts"), "mine").unwrap();
        let error = write(folder.path(), "ts", &[file("one.ts", "1")]).unwrap_err();
        assert!(error.to_string().contains("was not generated"), "{error}");
        write(folder.path(), "ts", &[]).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("one.ts")).unwrap(), "mine");
    }

    #[test]
    fn check_lists_changed_missing_and_stale_files_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let old = [file("changed.ts", "1"), file("stale.ts", "2")];
        write(folder.path(), "ts", &old).unwrap();
        assert!(check(folder.path(), "ts", &old).is_ok());
        let new = [file("changed.ts", "other"), file("missing.ts", "3")];
        let error = check(folder.path(), "ts", &new).unwrap_err().to_string();
        assert!(error.contains("changed  changed.ts (first difference in line 2)"), "{error}");
        assert!(error.contains("missing  missing.ts"), "{error}");
        assert!(error.contains("stale    stale.ts"), "{error}");
        assert!(!folder.path().join("missing.ts").exists());
        assert!(check(folder.path(), "ts", &old).is_ok());
    }

    #[test]
    fn a_manifest_cannot_reach_outside_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("victim.ts"), "// @generated\n").unwrap();
        let manifest = r#"{"comment":"","files":{"ts":["../victim.ts"]}}"#;
        fs::write(inner.join(MANIFEST), manifest).unwrap();
        write(&inner, "ts", &[]).unwrap();
        assert!(folder.path().join("victim.ts").exists());
    }
}
