//! Java: clients, actor classes and definitions over the messages that protoc generates.

use super::{Language, Options, OutputFile};
use crate::{error::Error, model::Model, names};

/// The Java back end.
#[derive(Debug, Clone, Copy)]
pub struct Java;

impl Language for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn action_name(&self, rpc: &str) -> String {
        names::camel(rpc)
    }

    fn taken_actions(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn field_name(&self, field: &str) -> String {
        names::proto_camel(field)
    }

    fn type_name(&self, outer: &[String], name: &str) -> String {
        outer
            .iter()
            .map(String::as_str)
            .chain([name])
            .collect::<Vec<_>>()
            .join(".")
    }

    fn service_names(&self, service: &str) -> Vec<String> {
        ["Client", "Ref", "Actor", "Def"]
            .map(|suffix| format!("{service}{suffix}"))
            .to_vec()
    }

    fn generate(&self, _model: &Model, _options: &Options) -> Result<Vec<OutputFile>, Error> {
        Ok(Vec::new())
    }
}
