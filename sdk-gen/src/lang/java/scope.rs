//! The names that one Java source file can use without their package, and the imports that this takes.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use crate::model::{File, Model};

const SDK: &str = "io.callboard.sdk";

/// Simple names of one source file. A name that its package declares itself is never imported: whoever else has it is
/// written with its package.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    model: &'a Model,
    package: &'a str,
    /// Top-level classes of the package, those that protoc and we generate.
    declared: BTreeSet<String>,
    /// Imported simple names with their packages.
    imported: BTreeMap<String, String>,
}

impl<'a> Scope<'a> {
    /// The scope of a source file in the package of `file`.
    pub(super) fn new(model: &'a Model, file: &'a File) -> Self {
        let package = file.java.package.as_str();
        let mut declared = BTreeSet::new();
        let neighbours = model.files().iter().filter(|other| other.java.package == package);
        for other in neighbours {
            declared.insert(names::outer_class(other));
            if other.java.multiple_files {
                declared.extend(other.messages.iter().map(|item| item.name.clone()));
                declared.extend(other.enums.iter().map(|item| item.name.clone()));
            }
            for (service, _) in other.actors() {
                let suffixes = super::SUFFIXES;
                declared.extend(suffixes.map(|suffix| format!("{}{suffix}", service.name)));
            }
        }
        Scope { model, package, declared, imported: BTreeMap::new() }
    }

    /// A name like this one that no class of the package has.
    pub(super) fn free(&self, name: &str) -> String {
        let mut free = name.to_owned();
        while self.declared.contains(&free) {
            free.push('_');
        }
        free
    }

    /// A class of the SDK.
    pub(super) fn sdk(&mut self, name: &str) -> String {
        self.class(SDK, name)
    }

    /// A class of `java.lang`.
    pub(super) fn lang(&mut self, name: &str) -> String {
        if self.declared.contains(name) { format!("java.lang.{name}") } else { name.to_owned() }
    }

    /// The class of a message.
    pub(super) fn message(&mut self, full_name: &str) -> String {
        let (package, path) = names::class_of(self.model, full_name);
        let (first, nested) =
            path.split_once('.').map_or((path.as_str(), None), |(first, rest)| (first, Some(rest)));
        let first = self.class(&package, first);
        nested.map_or(first.clone(), |nested| format!("{first}.{nested}"))
    }

    /// A top-level class by package and name.
    pub(super) fn class(&mut self, package: &str, name: &str) -> String {
        if package == self.package {
            return name.to_owned();
        }
        let full = format!("{package}.{name}");
        if self.declared.contains(name) || JAVA_LANG.contains(&name) {
            return full;
        }
        let owner = self.imported.entry(name.to_owned()).or_insert_with(|| package.to_owned());
        if owner == package { name.to_owned() } else { full }
    }

    /// The import statements, sorted.
    pub(super) fn imports(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .imported
            .iter()
            .map(|(name, package)| format!("import {package}.{name};"))
            .collect();
        lines.sort();
        lines
    }
}

/// Classes of `java.lang` that generated files use, which an import must not hide.
const JAVA_LANG: &[&str] =
    &["Class", "Deprecated", "Exception", "Override", "String", "SuppressWarnings"];
