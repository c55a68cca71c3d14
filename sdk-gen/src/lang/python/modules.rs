//! Where generated modules are, and how one imports another.

use std::collections::BTreeSet;

use super::{escaped, is_keyword};
use crate::{
    imports::{Imported, Imports},
    model::{File, Model},
    printer::Printer,
};

/// Where the Python SDK keeps the modules of Callboard's own protos.
const SDK_ROOT: &str = "callboard.protocol";

/// The import statements that make the names of publicly imported files names of this one too.
pub(super) fn reexports(file: &File, model: &Model) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    let mut waiting: Vec<&str> = file.public_dependencies.iter().map(String::as_str).collect();
    while let Some(path) = waiting.pop() {
        let Some(imported) = model.file(path).filter(|_| seen.insert(path)) else {
            continue;
        };
        waiting.extend(imported.public_dependencies.iter().map(String::as_str));
        let module = import(file, imported, "pb2").qualified();
        let messages = imported.messages.iter().map(|message| &message.name);
        for name in messages.chain(imported.enums.iter().map(|item| &item.name)) {
            let name = escaped(name);
            lines.push(format!("from {module} import {name} as {name}"));
        }
    }
    lines.sort();
    lines
}

/// The path of a file's modules without their endings: `acme/v1/my_counter` for `acme/v1/my-counter.proto`.
pub(super) fn module_path(file: &File) -> String {
    file.stem().replace('-', "_")
}

/// True if one part of a path can be part of a module's name.
pub(super) fn is_importable(part: &str) -> bool {
    let mut characters = part.chars();
    let starts = characters.next().is_some_and(|first| first == '_' || first.is_alphabetic());
    starts && !is_keyword(part) && characters.all(|c| c == '_' || c.is_alphanumeric())
}

/// How a file's code is imported: `from {from} import {module} as {alias}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModuleImport {
    /// The package, relative where both files are generated together.
    pub(super) from: String,
    /// The module in it.
    pub(super) module: String,
    /// The name in the importing file. Its parts make it unique, the underscore keeps it apart from proto names.
    pub(super) alias: String,
}

impl ModuleImport {
    /// The import statement.
    pub(super) fn statement(&self) -> String {
        format!("from {} import {} as {}", self.from, self.module, self.alias)
    }

    /// The module as `from` of another import: `.counter_pb2` or `..v1.counter_pb2`.
    pub(super) fn qualified(&self) -> String {
        if self.from.ends_with('.') {
            format!("{}{}", self.from, self.module)
        } else {
            format!("{}.{}", self.from, self.module)
        }
    }
}

/// How `importer` imports the module of `imported` that ends with `_{ending}`.
pub(super) fn import(importer: &File, imported: &File, ending: &str) -> ModuleImport {
    let path = format!("{}_{ending}", module_path(imported));
    let (folder, module) = path.rsplit_once('/').unwrap_or(("", &path));
    let package = folder.replace('/', ".");
    let from = if imported.is_well_known() {
        package
    } else if imported.is_callboard() && !importer.is_callboard() {
        format!("{SDK_ROOT}.{package}")
    } else {
        relative(importer, folder)
    };
    ModuleImport { from, module: module.to_owned(), alias: format!("_{}", path.replace('/', "_")) }
}

/// The folder as seen from the folder of `importer`: `.` if it is the same, `..v2`, `...type.v1`.
fn relative(importer: &File, folder: &str) -> String {
    let path = module_path(importer);
    let here: Vec<&str> = path.split('/').collect();
    let here = &here[..here.len() - 1];
    let there: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let shared = here.iter().zip(&there).take_while(|(left, right)| left == right).count();
    let dots = ".".repeat(here.len() - shared + 1);
    format!("{dots}{}", there[shared..].join("."))
}

/// The import statements of a file: absolute ones, then relative ones, with only what `wanted` takes.
pub(super) fn print_imports(
    p: &mut Printer,
    imports: &Imports,
    wanted: impl Fn(&Imported<'_>) -> bool,
) {
    for relative in [false, true] {
        for (module, symbols) in imports.modules() {
            let names: Vec<String> = symbols
                .iter()
                .filter(|symbol| wanted(symbol))
                .map(|symbol| {
                    if symbol.symbol == symbol.local {
                        symbol.symbol.to_owned()
                    } else {
                        format!("{} as {}", symbol.symbol, symbol.local)
                    }
                })
                .collect();
            match names.as_slice() {
                _ if module.starts_with('.') != relative => {}
                [] => {}
                [name] => {
                    p.line(format!("from {module} import {name}"));
                }
                names => {
                    p.block(format!("from {module} import ("), ")", |p| {
                        p.lines(names.iter().map(|name| format!("{name},")));
                    });
                }
            }
        }
        p.blank();
    }
}
