//! What things are called in TypeScript: the rules of protobuf-es, so that its output and ours are interchangeable.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Enum, File};

/// Words that cannot name a type or a constant.
const RESERVED: &[&str] = &[
    "Object",
    "Partial",
    "Uint8Array",
    "bigint",
    "boolean",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "globalThis",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "number",
    "object",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "string",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Properties that every object has.
const OBJECT_PROPERTIES: [&str; 4] = ["constructor", "toJSON", "toString", "valueOf"];

/// Makes a word an identifier.
pub(super) fn identifier(name: &str) -> String {
    escaped(name, RESERVED.contains(&name))
}

/// Makes a word a property or method.
pub(super) fn property(name: &str) -> String {
    escaped(name, OBJECT_PROPERTIES.contains(&name))
}

fn escaped(name: &str, reserved: bool) -> String {
    if reserved { format!("{name}$") } else { name.to_owned() }
}

/// The type of a message or enum.
pub(super) fn type_name(outer: &[String], name: &str) -> String {
    identifier(&joined(outer, name))
}

fn joined(outer: &[String], name: &str) -> String {
    let parts: Vec<&str> = outer.iter().map(String::as_str).chain([name]).collect();
    parts.join("_")
}

/// The constants that a `_pb.ts` file exports, by full name of what they describe.
#[derive(Debug, Default)]
pub(super) struct FileNames {
    /// The descriptor of the file.
    pub(super) file: String,
    /// Descriptors of messages and enums.
    pub(super) schemas: BTreeMap<String, String>,
    /// Descriptors of services.
    pub(super) services: BTreeMap<String, String>,
    /// Every name that the file declares.
    pub(super) all: BTreeSet<String>,
}

impl FileNames {
    /// Names everything in `file`. A name that is taken gets `$`, `$1` and so on: types first, then the file, then the
    /// rest in the order of the descriptor.
    pub(super) fn of(file: &File) -> Self {
        let mut names = FileNames::default();
        for message in file.all_messages() {
            names.all.insert(type_name(&message.outer, &message.name));
        }
        for item in file.all_enums() {
            names.all.insert(type_name(&item.outer, &item.name));
        }
        names.file = names.claim(&file_symbol(file));
        for message in file.all_messages() {
            let ideal = joined(&message.outer, &message.name) + "Schema";
            let name = names.claim(&ideal);
            names.schemas.insert(message.full_name.clone(), name);
        }
        for item in file.all_enums() {
            let ideal = joined(&item.outer, &item.name) + "Schema";
            let name = names.claim(&ideal);
            names.schemas.insert(item.full_name.clone(), name);
        }
        for service in &file.services {
            let name = names.claim(&service.name);
            names.services.insert(service.full_name.clone(), name);
        }
        names
    }

    fn claim(&mut self, ideal: &str) -> String {
        let mut name = identifier(ideal);
        let mut number = 0;
        while !self.all.insert(name.clone()) {
            name = match number {
                0 => format!("{ideal}$"),
                _ => format!("{ideal}${number}"),
            };
            number += 1;
        }
        name
    }
}

fn file_symbol(file: &File) -> String {
    let mut symbol = String::from("file_");
    let mut replaced = false;
    for character in file.stem().chars() {
        if character.is_ascii_alphanumeric() || character == '_' {
            symbol.push(character);
            replaced = false;
        } else if !std::mem::replace(&mut replaced, true) {
            symbol.push('_');
        }
    }
    symbol
}

/// The names of an enum's values, without the prefix that all of them share with the enum.
pub(super) fn value_names(item: &Enum) -> Vec<String> {
    let mut prefix = String::new();
    for (index, character) in item.name.chars().enumerate() {
        if index > 0 && character.is_ascii_uppercase() {
            prefix.push('_');
        }
        prefix.push(character.to_ascii_lowercase());
    }
    prefix.push('_');
    let shared =
        item.values.iter().all(|value| {
            value.name.to_lowercase().strip_prefix(&prefix).is_some_and(|rest| {
                !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit())
            })
        });
    let cut = if shared { prefix.len() } else { 0 };
    item.values.iter().map(|value| property(&value.name[cut..])).collect()
}
