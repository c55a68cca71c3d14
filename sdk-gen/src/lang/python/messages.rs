//! `_pb2.py`: registers the file's descriptor and makes its classes.

use super::{begin, escaped, is_keyword, literal, modules};
use crate::{
    model::{Enum, File, Message, Model},
    printer::Printer,
};

/// How many characters of the descriptor stand in one line.
const CHUNK: usize = 88;

pub(super) fn print(file: &File, model: &Model) -> String {
    let mut p = begin(file, &format!("Messages and enums of {}.", file.path));
    let enums = file.all_enums();
    p.line("# ruff: noqa").blank();
    if !enums.is_empty() {
        p.line("import enum as _enum").blank();
    }
    imports(&mut p, file, model);
    p.blank().line("_pool = _descriptor_pool.Default()");
    p.block("_pool.AddSerializedFile(", ")", |p| {
        p.lines(bytes_literals(&file.descriptor));
    });
    p.line(format!("DESCRIPTOR = _pool.FindFileByName({})", literal(&file.path)));
    p.blank();
    for message in &file.messages {
        top_message(&mut p, message);
    }
    for item in &file.enums {
        let name = escaped(&item.name);
        enumeration(&mut p, item, &name, &name);
    }
    for message in file.all_messages() {
        for item in &message.enums {
            let path = class_path(&item.outer, &item.name);
            let target = format!("{}.{}", class_path_of(message), escaped(&item.name));
            enumeration(&mut p, item, &target, &path);
        }
        for inner in message.messages.iter().filter(|inner| is_keyword(&inner.name)) {
            let outer = class_path_of(message);
            let name = literal(&inner.name);
            p.line(format!("{outer}.{}_ = getattr({outer}, {name})", inner.name));
        }
    }
    p.finish()
}

fn imports(p: &mut Printer, file: &File, model: &Model) {
    p.line("from google.protobuf import descriptor_pool as _descriptor_pool");
    p.line("from google.protobuf import message_factory as _message_factory");
    // Importing a dependency registers its descriptor, without which this one is refused.
    let mut dependencies = file.descriptor_dependencies.clone();
    dependencies.sort();
    for dependency in &dependencies {
        if let Some(imported) = model.file(dependency) {
            p.line(modules::import(file, imported, "pb2").statement());
        }
    }
    p.lines(modules::reexports(file, model));
}

fn top_message(p: &mut Printer, message: &Message) {
    let name = escaped(&message.name);
    p.line(format!(
        "{name} = _message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name[{}])",
        literal(&message.name)
    ));
    p.line(format!("{name}.__module__ = __name__"));
}

fn enumeration(p: &mut Printer, item: &Enum, target: &str, qualified: &str) {
    p.line(format!("{target} = _enum.IntEnum("));
    p.indent(|p| {
        p.line(format!("{},", literal(&escaped(&item.name))));
        p.block("[", "],", |p| {
            for value in &item.values {
                p.line(format!("({}, {}),", literal(&value_name(&value.name)), value.number));
            }
        });
        p.line(format!("module=__name__, qualname={},", literal(qualified)));
    });
    p.line(")");
}

/// The name of an enum's value in Python. Members called `mro` and those that begin with underscores mean something to
/// Python's enums.
pub(super) fn value_name(name: &str) -> String {
    if name.starts_with('_') {
        format!("V{name}")
    } else if name == "mro" {
        "mro_".to_owned()
    } else {
        escaped(name)
    }
}

fn class_path(outer: &[String], name: &str) -> String {
    outer.iter().map(String::as_str).chain([name]).map(escaped).collect::<Vec<_>>().join(".")
}

fn class_path_of(message: &Message) -> String {
    class_path(&message.outer, &message.name)
}

/// The bytes as Python literals of about one line each.
fn bytes_literals(data: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for byte in data {
        let shown = match byte {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            0x20..=0x7e => char::from(*byte).to_string(),
            other => format!("\\x{other:02x}"),
        };
        if line.len() + shown.len() > CHUNK {
            lines.push(format!("b\"{line}\""));
            line.clear();
        }
        line.push_str(&shown);
    }
    lines.push(format!("b\"{line}\""));
    lines
}
