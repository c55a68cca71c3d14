//! `_pb2.pyi`: what type checkers and editors know of the messages.

use std::collections::BTreeSet;

use super::{begin, doc, escaped, is_keyword, literal, messages::value_name, modules};
use crate::{
    model::{Enum, Field, File, Message, Model, Scalar, Shape, ValueType},
    names,
    printer::Printer,
};

pub(super) fn print(file: &File, model: &Model) -> String {
    let mut stub = Stub::new(file, model);
    let mut body = Printer::new("    ");
    for item in &file.enums {
        body.blanks(2);
        stub.enumeration(&mut body, item);
    }
    for message in &file.messages {
        body.blanks(2);
        stub.message(&mut body, message);
    }
    let mut p = begin(file, &format!("Messages and enums of {}.", file.path));
    p.line("# ruff: noqa").blank();
    stub.imports(&mut p);
    p.blank().line("DESCRIPTOR: _descriptor.FileDescriptor");
    p.blanks(2).append(&body);
    for name in &stub.aliases {
        p.line(format!("_Global_{name}: _typing.TypeAlias = {name}"));
    }
    p.finish()
}

struct Stub<'a> {
    file: &'a File,
    model: &'a Model,
    imports: BTreeSet<modules::ModuleImport>,
    /// Names that mean something else inside of classes: fields and nested types.
    shadowed: BTreeSet<&'a str>,
    /// Top-level types that are referred to where their name is shadowed.
    aliases: BTreeSet<String>,
}

impl<'a> Stub<'a> {
    fn new(file: &'a File, model: &'a Model) -> Self {
        let mut shadowed = BTreeSet::new();
        for message in file.all_messages() {
            shadowed.extend(message.fields.iter().map(|field| field.name.as_str()));
            shadowed.extend(message.messages.iter().map(|inner| inner.name.as_str()));
            shadowed.extend(message.enums.iter().map(|inner| inner.name.as_str()));
        }
        Stub { file, model, imports: BTreeSet::new(), shadowed, aliases: BTreeSet::new() }
    }

    fn imports(&self, p: &mut Printer) {
        p.line("import builtins as _builtins");
        p.line("import collections.abc as _abc");
        p.line("import enum as _enum");
        p.line("import typing as _typing").blank();
        p.line("from google.protobuf import descriptor as _descriptor");
        p.line("from google.protobuf import message as _message");
        p.line("from google.protobuf.internal import containers as _containers");
        for import in &self.imports {
            p.line(import.statement());
        }
        p.lines(modules::reexports(self.file, self.model));
    }

    fn enumeration(&mut self, p: &mut Printer, item: &Enum) {
        p.line(format!("class {}(_enum.IntEnum):", escaped(&item.name)));
        p.indent(|p| {
            doc(p, &item.comments, item.deprecated, "");
            for value in &item.values {
                p.line(format!("{} = {}", value_name(&value.name), value.number));
                doc(p, &value.comments, value.deprecated, "");
            }
        });
    }

    fn message(&mut self, p: &mut Printer, message: &Message) {
        p.line(format!("class {}(_message.Message):", escaped(&message.name)));
        p.indent(|p| {
            doc(p, &message.comments, message.deprecated, "");
            p.line("DESCRIPTOR: _descriptor.Descriptor");
            for item in &message.enums {
                p.blank();
                self.enumeration(p, item);
            }
            for inner in &message.messages {
                p.blank();
                self.message(p, inner);
            }
            for field in &message.fields {
                p.line(format!(
                    "{}_FIELD_NUMBER: _typing.Literal[{}]",
                    field.name.to_uppercase(),
                    field.number
                ));
            }
            for field in &message.fields {
                self.field(p, field);
            }
            self.constructor(p, message);
            self.presence(p, message);
        });
    }

    fn field(&mut self, p: &mut Printer, field: &Field) {
        if is_keyword(&field.name) {
            p.line(format!(
                "# Field {0} is a word of Python: use getattr and setattr with \"{0}\".",
                field.name
            ));
            return;
        }
        let read = match &field.shape {
            Shape::Singular(ValueType::Message(name)) => Some(self.type_of(name)),
            Shape::Singular(_) => None,
            Shape::Repeated(ValueType::Message(name)) => {
                let item = self.type_of(name);
                Some(format!("_containers.RepeatedCompositeFieldContainer[{item}]"))
            }
            Shape::Repeated(value) => {
                let item = self.value(value);
                Some(format!("_containers.RepeatedScalarFieldContainer[{item}]"))
            }
            Shape::Map(key, ValueType::Message(name)) => {
                let item = self.type_of(name);
                Some(format!("_containers.MessageMap[{}, {item}]", scalar(*key)))
            }
            Shape::Map(key, value) => {
                let item = self.value(value);
                Some(format!("_containers.ScalarMap[{}, {item}]", scalar(*key)))
            }
        };
        match (read, &field.shape) {
            (Some(read), _) => {
                p.line("@_builtins.property");
                p.line(format!("def {}(self) -> {read}:", field.name));
                p.indent(|p| {
                    doc(p, &field.comments, field.deprecated, "");
                    p.line("...");
                });
            }
            (None, Shape::Singular(value)) => {
                let value = self.value(value);
                p.line(format!("{}: {value}", field.name));
                doc(p, &field.comments, field.deprecated, "");
            }
            (None, _) => {}
        }
    }

    fn constructor(&mut self, p: &mut Printer, message: &Message) {
        let fields: Vec<&Field> =
            message.fields.iter().filter(|field| !is_keyword(&field.name)).collect();
        if fields.is_empty() {
            p.line("def __init__(self) -> None: ...");
            return;
        }
        // A field called self would be the parameter twice.
        let me = if fields.iter().any(|field| field.name == "self") { "_self" } else { "self" };
        p.line("def __init__(");
        p.indent(|p| {
            p.line(format!("{me},")).line("*,");
            for field in fields {
                let taken = match &field.shape {
                    Shape::Singular(value) => self.given(value),
                    Shape::Repeated(value) => format!("_abc.Iterable[{}]", self.given(value)),
                    Shape::Map(key, value) => {
                        format!("_abc.Mapping[{}, {}]", scalar(*key), self.given(value))
                    }
                };
                p.line(format!("{}: {taken} | None = ...,", field.name));
            }
        });
        p.line(") -> None: ...");
    }

    fn presence(&mut self, p: &mut Printer, message: &Message) {
        let oneofs = message.oneofs.iter().map(|oneof| oneof.name.as_str());
        let present: Vec<String> = message
            .fields
            .iter()
            .filter(|field| field.has_presence)
            .map(|field| field.name.as_str())
            .chain(oneofs)
            .map(literal)
            .collect();
        if !present.is_empty() {
            p.line(format!(
                "def HasField(self, field_name: _typing.Literal[{}]) -> _builtins.bool: ...",
                present.join(", ")
            ));
        }
        let overloads = message.oneofs.len() > 1;
        for (index, oneof) in message.oneofs.iter().enumerate() {
            let members: Vec<String> =
                message.oneof_fields(index).map(|field| literal(&field.name)).collect();
            if overloads {
                p.line("@_typing.overload");
            }
            p.line(format!(
                "def WhichOneof(self, oneof_group: _typing.Literal[{}]) -> _typing.Literal[{}] | None: ...",
                literal(&oneof.name),
                members.join(", ")
            ));
        }
    }

    /// The type of a value that is read.
    fn value(&mut self, value: &ValueType) -> String {
        match value {
            ValueType::Scalar(kind) => scalar(*kind).to_owned(),
            ValueType::Message(name) => self.type_of(name),
            // Reading answers plain numbers; numbers that the enum does not know are kept.
            ValueType::Enum(_) => "_builtins.int".to_owned(),
        }
    }

    /// The type of a value that is given to a constructor.
    fn given(&mut self, value: &ValueType) -> String {
        match value {
            ValueType::Enum(name) => format!("{} | _builtins.int", self.type_of(name)),
            other => self.value(other),
        }
    }

    fn type_of(&mut self, full_name: &str) -> String {
        let (outer, name) = match (self.model.message(full_name), self.model.enumeration(full_name))
        {
            (Some(message), _) => (&message.outer, &message.name),
            (None, Some(item)) => (&item.outer, &item.name),
            (None, None) => return "_typing.Any".to_owned(),
        };
        let path: Vec<String> = outer.iter().chain([name]).map(|part| escaped(part)).collect();
        match self.model.file_of(full_name) {
            Some(other) if other.path != self.file.path => {
                let import = modules::import(self.file, other, "pb2");
                let text = format!("{}.{}", import.alias, path.join("."));
                self.imports.insert(import);
                text
            }
            _ if self.shadowed.contains(path[0].as_str()) => {
                self.aliases.insert(path[0].clone());
                format!("_Global_{}", path.join("."))
            }
            _ => path.join("."),
        }
    }
}

fn scalar(kind: Scalar) -> &'static str {
    match kind {
        Scalar::Double | Scalar::Float => "_builtins.float",
        Scalar::Bool => "_builtins.bool",
        Scalar::String => "_builtins.str",
        Scalar::Bytes => "_builtins.bytes",
        _ => "_builtins.int",
    }
}

/// `_INCREMENTOR_ADD` for the action Add of the service Incrementor.
pub(super) fn constant(service: &str, method: &str) -> String {
    format!("_{}_{}", names::screaming(service), names::screaming(method))
}
