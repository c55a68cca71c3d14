//! What a back end is, and the list of those that exist.
//!
//! A back end turns each target file of the model into its own output files, named after the proto file: buf runs the
//! plugin once per folder, so a file shared by several protos would be written by several runs. It never fails for what
//! [`crate::validate`] checks, and it prints nothing that depends on the machine, the time or the front end.

pub mod java;
pub mod python;
pub mod typescript;

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{error::Error, model::Model};

/// A generated file, not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path below the output folder, with `/` whatever the system.
    pub path: String,
    /// The whole text. Begins with [`header`] and ends with a line end.
    pub content: String,
}

/// One back end.
pub trait Language: Sync {
    /// Its name in `lang=` and `--lang`.
    fn name(&self) -> &'static str;

    /// The parameters that it takes beside `lang` and `layer`.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// What an rpc is called in this language. Keywords are already escaped; two rpcs of one actor service must not end
    /// up with the same name, which [`crate::validate`] checks.
    fn action_name(&self, rpc: &str) -> String;

    /// Names that [`Language::action_name`] must not produce because the base classes of the SDK use them, with a word on
    /// what each is.
    fn taken_actions(&self) -> &'static [(&'static str, &'static str)];

    /// What a field is called. Two fields of one message must not end up with the same name.
    fn field_name(&self, field: &str) -> String;

    /// What a message or enum is called, given its enclosing messages. Two types of one file must not end up with the
    /// same name.
    fn type_name(&self, outer: &[String], name: &str) -> String;

    /// Every name that an actor service declares at the top of its output file, such as its client and its base class.
    /// None may equal a type name of the same file where the language puts both into one scope.
    fn service_names(&self, service: &str) -> Vec<String>;

    /// Prints the targets of the model.
    ///
    /// # Errors
    /// [`Error::Protos`] for what only this language cannot express, [`Error::Usage`] for contradicting parameters.
    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<OutputFile>, Error>;
}

/// A parameter of a back end: `name=value` in the plugin's options and in `--plugin-opt`.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    /// The values that it takes; empty means any text.
    pub values: &'static [&'static str],
    /// What it does, one line.
    pub help: &'static str,
}

/// All back ends.
pub fn languages() -> [&'static dyn Language; 3] {
    [&typescript::TypeScript, &python::Python, &java::Java]
}

/// The back end with this name. `ts` and `py` are short for two of them.
///
/// # Errors
/// [`Error::Usage`] if there is none, naming those that exist.
pub fn language(name: &str) -> Result<&'static dyn Language, Error> {
    let long = match name {
        "ts" => "typescript",
        "py" => "python",
        other => other,
    };
    languages().into_iter().find(|language| language.name() == long).ok_or_else(|| {
        let known = languages().map(|language| language.name()).join(", ");
        Error::Usage(format!("unknown language \"{name}\"; use one of: {known}"))
    })
}

/// Which part of the output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layer {
    /// Messages and enums, and the method names and types of plain services. The SDKs are built on this layer of
    /// Callboard's own protos.
    Messages,
    /// What users import for actor services: client, base class, registration constants.
    Actor,
    /// Both.
    #[default]
    All,
}

impl Layer {
    /// True if messages are wanted.
    pub fn has_messages(self) -> bool {
        self != Layer::Actor
    }

    /// True if actors are wanted.
    pub fn has_actors(self) -> bool {
        self != Layer::Messages
    }
}

impl FromStr for Layer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "messages" => Ok(Layer::Messages),
            "actor" => Ok(Layer::Actor),
            "all" => Ok(Layer::All),
            _ => Err(Error::Usage(format!(
                "unknown layer \"{text}\"; use one of: messages, actor, all"
            ))),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Messages => "messages",
            Layer::Actor => "actor",
            Layer::All => "all",
        })
    }
}

/// How to generate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which part of the output is wanted.
    pub layer: Layer,
    /// The parameters of the language, by name.
    pub parameters: BTreeMap<String, String>,
}

impl Options {
    /// Reads the plugin's parameter text, `lang=python,layer=all,name=value`.
    ///
    /// # Errors
    /// [`Error::Usage`] if `lang` is missing or anything is unknown or given twice.
    pub fn parse(text: &str) -> Result<(&'static dyn Language, Options), Error> {
        let mut parameters = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Error::Usage(format!("parameter \"{name}\" is given twice")));
            }
        }
        let Some(name) = parameters.remove("lang") else {
            let known = languages().map(|language| language.name()).join(", ");
            return Err(Error::Usage(format!(
                "parameter \"lang\" is missing; add lang=NAME with one of: {known}"
            )));
        };
        let layer = parameters.remove("layer").map_or(Ok(Layer::All), |layer| layer.parse())?;
        let language = language(&name)?;
        let options = Options { layer, parameters };
        options.check(language)?;
        Ok((language, options))
    }

    /// The value of a parameter, or `default`.
    pub fn get<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.parameters.get(name).map_or(default, String::as_str)
    }

    /// Refuses parameters and values that `language` does not know.
    ///
    /// # Errors
    /// [`Error::Usage`] naming what it does know.
    pub fn check(&self, language: &dyn Language) -> Result<(), Error> {
        for (name, value) in &self.parameters {
            let known = language.parameters();
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let names: Vec<&str> =
                    ["lang", "layer"].into_iter().chain(known.iter().map(|p| p.name)).collect();
                return Err(Error::Usage(format!(
                    "{} has no parameter \"{name}\"; it has: {}",
                    language.name(),
                    names.join(", ")
                )));
            };
            if !parameter.values.is_empty() && !parameter.values.contains(&value.as_str()) {
                return Err(Error::Usage(format!(
                    "parameter \"{name}\" cannot be \"{value}\"; use one of: {}",
                    parameter.values.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// The first lines of every generated file, without comment markers. Back ends print them as a comment, followed by a
/// blank line; [`crate::output`] removes only files whose first lines contain the first of these.
pub fn header(proto: &str) -> [String; 2] {
    [
        format!("@generated by callboard gen from {proto}."),
        "Do not edit: change the proto file and generate again.".to_owned(),
    ]
}
