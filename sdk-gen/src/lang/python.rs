//! Python: descriptor modules with stubs, clients, actor classes and definitions.
//!
//! `acme/v1/counter.proto` becomes
//! - `acme/v1/counter_pb2.py` and `.pyi`: messages and enums. Not protoc's form, which refuses to run on an older protobuf
//!   than it was made for, but the serialized descriptor and public API only, so it runs on protobuf 4 to 7;
//! - `acme/v1/counter_actor.py`: references, clients, base classes and definitions of actor services;
//! - `acme/v1/counter_rpc.py`: the methods of plain services.
//!
//! Imports between generated files are relative, so the output works below any package. No `__init__.py` is written:
//! the folders are namespace packages, and a file shared by several runs of a plugin would be written twice.

mod actors;
mod messages;
mod modules;
mod rpc;
mod stubs;

use super::{Language, Layer, Options, OutputFile, header};
use crate::{
    error::{Diagnostic, Error, Position},
    model::{File, Model},
    names,
    printer::{CommentStyle, Printer},
};

/// The Python back end.
#[derive(Debug, Clone, Copy)]
pub struct Python;

/// What cannot be a name in Python.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

fn is_keyword(name: &str) -> bool {
    KEYWORDS.contains(&name)
}

/// The name itself, or with an underscore behind it if Python does not take it.
fn escaped(name: &str) -> String {
    if is_keyword(name) { format!("{name}_") } else { name.to_owned() }
}

impl Language for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn action_name(&self, rpc: &str) -> String {
        escaped(&names::snake(rpc))
    }

    fn taken_actions(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("initial", "the method that makes an actor's first state"),
            ("definition", "the definition of the actor type"),
            ("reference", "the class of the actor type's references"),
            ("actor_id", "the name of a referenced actor"),
        ]
    }

    fn field_name(&self, field: &str) -> String {
        field.to_owned()
    }

    fn type_name(&self, outer: &[String], name: &str) -> String {
        outer.iter().map(String::as_str).chain([name]).map(escaped).collect::<Vec<_>>().join(".")
    }

    fn service_names(&self, service: &str) -> Vec<String> {
        ["Client", "Ref", "Send", "Actor", "Def", "Ctx", "ReadCtx"]
            .map(|suffix| format!("{service}{suffix}"))
            .to_vec()
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<OutputFile>, Error> {
        check_paths(model)?;
        let mut files = Vec::new();
        for file in model.targets() {
            let path = modules::module_path(file);
            let mut add = |ending: &str, content: String| {
                files.push(OutputFile { path: format!("{path}_{ending}"), content });
            };
            if options.layer.has_messages() {
                add("pb2.py", messages::print(file, model));
                add("pb2.pyi", stubs::print(file, model));
            }
            if options.layer.has_actors() && file.actors().next().is_some() {
                add("actor.py", actors::print(file, model));
            }
            if options.layer != Layer::Actor && rpc::has_plain(file) {
                add("rpc.py", rpc::print(file, model));
            }
        }
        Ok(files)
    }
}

/// Refuses proto files whose path cannot be imported as a Python module.
fn check_paths(model: &Model) -> Result<(), Error> {
    let mut faults = Vec::new();
    for file in model.targets() {
        let path = modules::module_path(file);
        let bad = path.split('/').find(|part| !modules::is_importable(part));
        if let Some(part) = bad {
            faults.push(Diagnostic::new(
                Position::file(&file.path),
                format!(
                    "\"{part}\" in the path of {} cannot be part of a Python module",
                    file.path
                ),
                "rename the folder or file: letters, digits and underscores, and no Python keyword",
            ));
        }
    }
    Error::from_faults(faults)
}

/// A printer that has the header and a module docstring already.
fn begin(file: &File, about: &str) -> Printer {
    let mut printer = Printer::new("    ");
    printer.comment(CommentStyle::Hash, &header(&file.path));
    printer.comment(CommentStyle::DocString, &[about]);
    printer.blank();
    printer
}

/// The documentation of a declaration; `fallback` if nobody wrote any.
fn doc(printer: &mut Printer, comments: &crate::model::Comments, deprecated: bool, fallback: &str) {
    let mut lines = comments.lines();
    if lines.is_empty() && !fallback.is_empty() {
        lines.push(fallback.to_owned());
    }
    if deprecated {
        lines.push(String::new());
        lines.push("Deprecated.".to_owned());
    }
    printer.comment(CommentStyle::DocString, &lines);
}

/// A Python string literal.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
