//! How Java spells what protos name: the rules of protoc where its classes are meant, our own for methods and constants.

use crate::{
    model::{File, Message, Model},
    names,
};

/// Words that cannot be method names, literals included. `yield` can, but not where it is called without a receiver.
const RESERVED: &[&str] = &[
    "abstract",
    "assert",
    "boolean",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extends",
    "false",
    "final",
    "finally",
    "float",
    "for",
    "goto",
    "if",
    "implements",
    "import",
    "instanceof",
    "int",
    "interface",
    "long",
    "native",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "short",
    "static",
    "strictfp",
    "super",
    "switch",
    "synchronized",
    "this",
    "throw",
    "throws",
    "transient",
    "true",
    "try",
    "void",
    "volatile",
    "while",
    "yield",
];

/// Constants of a `Def` class that are not actions.
const DEF_CONSTANTS: &[&str] = &["TYPE", "SERVICE", "DEFINITION"];

/// The method for an rpc.
pub(super) fn method(rpc: &str) -> String {
    let name = names::camel(rpc);
    if RESERVED.contains(&name.as_str()) { name + "_" } else { name }
}

/// The constant for an rpc in its `Def` class.
pub(super) fn constant(rpc: &str) -> String {
    let name = names::screaming(rpc);
    if DEF_CONSTANTS.contains(&name.as_str()) { name + "_" } else { name }
}

/// The getter of a field, as protoc names it.
pub(super) fn getter(field: &str) -> String {
    format!("get{}", protoc_camel(field))
}

/// The class that protoc makes for a file as a whole.
pub(super) fn outer_class(file: &File) -> String {
    if let Some(name) = &file.java.outer_classname {
        return name.clone();
    }
    let stem = file.stem();
    let name = protoc_camel(stem.rsplit('/').next().unwrap_or(stem));
    let clashes = file.all_messages().iter().any(|item| item.name == name)
        || file.all_enums().iter().any(|item| item.name == name)
        || file.services.iter().any(|item| item.name == name);
    if clashes { name + "OuterClass" } else { name }
}

/// Where a message's class is: its package, and its name with the classes around it.
pub(super) fn class_of(model: &Model, full_name: &str) -> (String, String) {
    let (Some(file), Some(message)) = (model.file_of(full_name), model.message(full_name)) else {
        // Front ends resolve every name before a model exists.
        return (String::new(), full_name.to_owned());
    };
    let mut path = message.outer.clone();
    path.push(message.name.clone());
    if !file.java.multiple_files {
        path.insert(0, outer_class(file));
    }
    (file.java.package.clone(), path.join("."))
}

/// True if a message or one around it is deprecated, so that naming its class is reported by the compiler.
pub(super) fn is_deprecated(model: &Model, full_name: &str) -> bool {
    let Some(message) = model.message(full_name) else {
        return false;
    };
    message.deprecated || enclosing(model, message).is_some_and(|outer| outer.deprecated)
}

fn enclosing<'a>(model: &'a Model, message: &Message) -> Option<&'a Message> {
    let suffix = message.name.len() + 1;
    let outer = message.full_name.len().checked_sub(suffix)?;
    model.message(&message.full_name[..outer])
}

/// protoc's own change to camel case: a letter behind a digit or a separator becomes capital, others stay.
fn protoc_camel(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut raise = true;
    for character in name.chars() {
        if character.is_ascii_alphabetic() {
            if raise {
                result.push(character.to_ascii_uppercase());
            } else {
                result.push(character);
            }
            raise = false;
        } else {
            if character.is_ascii_digit() {
                result.push(character);
            }
            raise = true;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_and_constants_get_an_underscore() {
        assert_eq!(method("Do"), "do_");
        assert_eq!(method("Default"), "default_");
        assert_eq!(method("SetLanguage"), "setLanguage");
        assert_eq!(constant("SetLanguage"), "SET_LANGUAGE");
        assert_eq!(constant("Type"), "TYPE_");
    }

    #[test]
    fn camel_case_follows_protoc() {
        for (name, camel) in [
            ("incrementor", "Incrementor"),
            ("foo_bar-baz", "FooBarBaz"),
            ("fooBar", "FooBar"),
            ("v1beta", "V1Beta"),
            ("HTTP", "HTTP"),
        ] {
            assert_eq!(protoc_camel(name), camel);
        }
        assert_eq!(getter("account_id"), "getAccountId");
    }
}
