//! Callboard's code generator: from `.proto` files to typed clients, abstract actor classes and registration constants.
//!
//! ```text
//! front ends (frontend)        model           back ends (lang)
//!   .proto files   ─┐                        ┌─ TypeScript
//!   plugin stdin   ─┼─► Model ─► validate ──►┼─ Python        ─► OutputFile ─► output
//!   descriptor set ─┘                        └─ Java
//! ```
//!
//! A front end only builds a [`model::Model`]; a back end only reads it, through [`lang::Language`]. `protoc-gen-callboard`
//! and `callboard gen` ([`cli`]) are the same code behind two entrances and write identical files.

pub mod cli;
pub mod error;
pub mod frontend;
pub mod imports;
pub mod lang;
pub mod model;
pub mod names;
pub mod output;
pub mod printer;
pub mod validate;

use crate::{
    error::Error,
    lang::{Language, Options, OutputFile},
    model::Model,
};

/// Checks `model` for `language` and prints it. The files come sorted by path; nothing is written to disk.
///
/// # Errors
/// [`Error::Protos`] with every fault that the language's names or Callboard's rules show, [`Error::Usage`] for a parameter
/// that the language does not know.
pub fn generate(
    model: &Model,
    language: &dyn Language,
    options: &Options,
) -> Result<Vec<OutputFile>, Error> {
    options.check(language)?;
    validate::check(model, language)?;
    let mut files = language.generate(model, options)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(Error::Usage(format!(
            "two proto files would both be generated to {}; rename one of them",
            pair[0].path
        )));
    }
    Ok(files)
}
