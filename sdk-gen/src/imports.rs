//! Keeps track of what an output file imports, under which local name.
//!
//! A back end prints the body first and asks for each symbol where it uses it; then it prints the import lines from
//! [`Imports::modules`] in its own syntax above the body.

use std::collections::{BTreeMap, BTreeSet};

/// The imports of one output file.
#[derive(Debug, Clone, Default)]
pub struct Imports {
    taken: BTreeSet<String>,
    modules: BTreeMap<String, BTreeMap<String, Local>>,
}

#[derive(Debug, Clone)]
struct Local {
    name: String,
    type_only: bool,
}

/// One imported symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported<'a> {
    /// Its name in the module that it comes from.
    pub symbol: &'a str,
    /// Its name in this file; the same, unless that was taken.
    pub local: &'a str,
    /// True if it is only used as a type.
    pub type_only: bool,
}

impl Imports {
    /// Without any imports.
    pub fn new() -> Self {
        Imports::default()
    }

    /// Keeps imports from using `name`, because the file declares it itself or the language does. Call it for all such
    /// names before the first import.
    pub fn reserve(&mut self, name: impl Into<String>) {
        self.taken.insert(name.into());
    }

    /// Imports `symbol` of `module` and answers its local name, which is `symbol` or, if that is taken by something else,
    /// `symbol$1`, `symbol$2` and so on with `separator` for `$`.
    pub fn value(&mut self, module: &str, symbol: &str, separator: &str) -> String {
        self.add(module, symbol, separator, false)
    }

    /// The same for a symbol that is only used as a type. If it is imported both ways, it is a value.
    pub fn type_only(&mut self, module: &str, symbol: &str, separator: &str) -> String {
        self.add(module, symbol, separator, true)
    }

    fn add(&mut self, module: &str, symbol: &str, separator: &str, type_only: bool) -> String {
        let symbols = self.modules.entry(module.to_owned()).or_default();
        if let Some(local) = symbols.get_mut(symbol) {
            local.type_only &= type_only;
            return local.name.clone();
        }
        let mut name = symbol.to_owned();
        let mut number = 0;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{symbol}{separator}{number}");
        }
        symbols.insert(symbol.to_owned(), Local { name: name.clone(), type_only });
        name
    }

    /// The modules in order of their names, each with its symbols in order of theirs.
    pub fn modules(&self) -> impl Iterator<Item = (&str, Vec<Imported<'_>>)> {
        self.modules.iter().map(|(module, symbols)| {
            let symbols = symbols.iter().map(|(symbol, local)| Imported {
                symbol,
                local: &local.name,
                type_only: local.type_only,
            });
            (module.as_str(), symbols.collect())
        })
    }

    /// True if nothing is imported.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_an_alias_and_keeps_it() {
        let mut imports = Imports::new();
        imports.reserve("Part");
        assert_eq!(imports.type_only("./a", "Part", "$"), "Part$1");
        assert_eq!(imports.value("./b", "Part", "$"), "Part$2");
        assert_eq!(imports.value("./a", "Part", "$"), "Part$1");
        assert_eq!(imports.type_only("./a", "Whole", "$"), "Whole");
        let modules: Vec<_> = imports.modules().collect();
        assert_eq!(modules[0].0, "./a");
        assert_eq!(
            modules[0].1,
            [
                Imported { symbol: "Part", local: "Part$1", type_only: false },
                Imported { symbol: "Whole", local: "Whole", type_only: true },
            ]
        );
    }
}
