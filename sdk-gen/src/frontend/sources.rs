//! `.proto` files, compiled with protox, so that no protoc is needed.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver},
};

use super::embedded::{self, EmbeddedFiles};
use crate::{
    error::{Diagnostic, Error, Position},
    model::{self, Model},
};

/// Compiles `protos`, which are files below one of `includes` (paths on disk, or as imports write them) or folders whose
/// protos are all meant, and everything that they import. Without includes the current folder is the only one.
///
/// # Errors
/// [`Error::Protos`] with file and line for anything wrong in the files, [`Error::Usage`] if no file was given or one does
/// not exist, [`Error::Io`] if a folder cannot be read.
pub fn compile(protos: &[PathBuf], includes: &[PathBuf]) -> Result<Model, Error> {
    let here = [PathBuf::from(".")];
    let includes = if includes.is_empty() { &here } else { includes };
    for include in includes {
        if !include.is_dir() {
            let missing = io::Error::new(io::ErrorKind::NotFound, "no such include folder");
            return Err(Error::io(include, missing));
        }
    }
    let protos = expand(protos, includes)?;
    let editions = Rc::new(RefCell::new(Vec::new()));
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(Checked::new(include, editions.clone()));
    }
    resolver.add(EmbeddedFiles);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);

    let mut faults = Vec::new();
    for proto in &protos {
        if let Err(error) = compiler.open_file(proto) {
            let found: Vec<Diagnostic> = editions.borrow_mut().drain(..).collect();
            if found.is_empty() {
                faults.push(diagnostic(&error, proto, includes));
            } else {
                faults.extend(found);
            }
        }
    }
    Error::from_faults(faults)?;
    let targets: BTreeSet<String> = compiler
        .files()
        .filter(|file| !file.is_import())
        .map(|file| file.name().to_owned())
        .collect();
    model::build(&compiler.descriptor_pool(), &targets)
}

/// Replaces folders by the protos below them, and makes sure that everything else is there.
fn expand(protos: &[PathBuf], includes: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for proto in protos {
        if proto.is_dir() {
            let before = files.len();
            add_protos(proto, &mut files)?;
            if files.len() == before {
                let text = format!("{} contains no .proto files", proto.display());
                return Err(Error::Usage(text));
            }
        } else if proto.is_file()
            || includes.iter().any(|include| include.join(proto).is_file())
            || embedded::has(proto)
        {
            files.push(proto.clone());
        } else {
            return Err(Error::Usage(format!(
                "{} does not exist, neither here nor below {}",
                proto.display(),
                list(includes)
            )));
        }
    }
    if files.is_empty() {
        return Err(Error::Usage("no proto files were given".to_owned()));
    }
    Ok(files)
}

fn add_protos(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |error| Error::io(folder, error);
    let mut entries =
        fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(io)?;
    // Systems list folders in any order.
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(io)?.is_dir() {
            add_protos(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

fn list(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|path| path.display().to_string()).collect();
    folders.join(", ")
}

/// An include folder that notices editions before protox does, whose message would only be "unexpected token".
struct Checked {
    folder: PathBuf,
    files: IncludeFileResolver,
    editions: Rc<RefCell<Vec<Diagnostic>>>,
}

impl Checked {
    fn new(folder: &Path, editions: Rc<RefCell<Vec<Diagnostic>>>) -> Self {
        let files = IncludeFileResolver::new(folder.to_owned());
        Checked { folder: folder.to_owned(), files, editions }
    }
}

impl FileResolver for Checked {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.files.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Ok(text) = fs::read_to_string(self.folder.join(name))
            && let Some((line, column)) = edition_statement(&text)
        {
            let position = Position { file: name.to_owned(), line, column };
            let fault = super::editions_fault(position);
            self.editions.borrow_mut().push(fault.clone());
            return Err(protox::Error::new(fault.message));
        }
        self.files.open_file(name)
    }
}

/// Finds `edition = ` if it is the first statement of the file, which is the only place where it may stand.
fn edition_statement(text: &str) -> Option<(u32, u32)> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '\u{feff}');
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            break;
        }
    }
    let after = rest.strip_prefix("edition")?.trim_start();
    if !after.starts_with('=') {
        return None;
    }
    let before = &text[..text.len() - rest.len()];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Some((u32::try_from(line).unwrap_or(0), u32::try_from(column).unwrap_or(0)))
}

/// protox's debug form is `file:line:column: message`, its display form the message alone.
fn diagnostic(error: &protox::Error, proto: &Path, includes: &[PathBuf]) -> Diagnostic {
    let message = error.to_string();
    let whole = format!("{error:?}");
    let file = error.file().map_or_else(|| proto.display().to_string(), str::to_owned);
    let mut position = Position::file(file.clone());
    let numbers = whole
        .strip_prefix(&file)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|rest| rest.strip_suffix(&message));
    if let Some(numbers) = numbers {
        let mut numbers = numbers.split(':').map(|number| number.trim().parse().unwrap_or(0));
        position.line = numbers.next().unwrap_or(0);
        position.column = numbers.next().unwrap_or(0);
    }
    Diagnostic::new(position, message, help(error, proto, includes))
}

fn help(error: &protox::Error, proto: &Path, includes: &[PathBuf]) -> String {
    if error.to_string().contains("include path") {
        let folder = proto.parent().unwrap_or(Path::new("."));
        return format!(
            "name the folder that import paths start from, for example with -I {} (searched: {})",
            folder.display(),
            list(includes)
        );
    }
    if error.is_file_not_found() {
        let searched = list(includes);
        return format!("add the folder that it is in with -I (searched: {searched})");
    }
    String::new()
}
