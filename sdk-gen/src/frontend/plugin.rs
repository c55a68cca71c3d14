//! The compiler plugin: a `CodeGeneratorRequest` comes in on stdin, a `CodeGeneratorResponse` goes out on stdout. protoc
//! and buf both speak it.

use std::collections::BTreeSet;

use prost::Message;

use super::descriptor_set;
use crate::{
    error::Error,
    lang::{Options, OutputFile},
    model::{self, Model},
};

/// `google.protobuf.compiler.CodeGeneratorRequest` with its files as bytes: prost's own type would drop custom options,
/// and with them everything that makes a service an actor.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Import paths of the files to generate.
    #[prost(string, repeated, tag = "1")]
    pub file_to_generate: Vec<String>,
    /// The text of `--callboard_opt` or `opt:`.
    #[prost(string, optional, tag = "2")]
    pub parameter: Option<String>,
    /// Serialised descriptors of those files and everything that they import.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub proto_file: Vec<Vec<u8>>,
}

/// `google.protobuf.compiler.CodeGeneratorResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Faults in the user's protos. The plugin then still exits with 0, as the protocol wants.
    #[prost(string, optional, tag = "1")]
    pub error: Option<String>,
    /// A bit set: 1 is proto3 `optional`. Editions (2) are not among ours.
    #[prost(uint64, optional, tag = "2")]
    pub supported_features: Option<u64>,
    /// The generated files.
    #[prost(message, repeated, tag = "15")]
    pub file: Vec<ResponseFile>,
}

/// One generated file.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseFile {
    /// Its path below the output folder.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its text.
    #[prost(string, optional, tag = "15")]
    pub content: Option<String>,
}

const FEATURE_PROTO3_OPTIONAL: u64 = 1;

/// Answers one request. Faults in protos and parameters become [`Response::error`].
///
/// # Errors
/// [`Error::Descriptors`] if the bytes are no request: then the caller is no protobuf compiler, and the plugin must exit
/// with a failure instead of answering.
pub fn answer(request: &[u8]) -> Result<Vec<u8>, Error> {
    let request = Request::decode(request).map_err(|error| {
        Error::Descriptors(format!("stdin is no CodeGeneratorRequest: {error}"))
    })?;
    let mut response =
        Response { supported_features: Some(FEATURE_PROTO3_OPTIONAL), ..Response::default() };
    match generate(&request) {
        Ok(files) => {
            response.file = files
                .into_iter()
                .map(|file| ResponseFile { name: Some(file.path), content: Some(file.content) })
                .collect();
        }
        Err(error) => response.error = Some(error.to_string()),
    }
    Ok(response.encode_to_vec())
}

fn generate(request: &Request) -> Result<Vec<OutputFile>, Error> {
    let (language, options) = Options::parse(request.parameter.as_deref().unwrap_or_default())?;
    let model = read(request)?;
    crate::generate(&model, language, &options)
}

fn read(request: &Request) -> Result<Model, Error> {
    let pool = descriptor_set::pool(&request.proto_file)?;
    let targets: BTreeSet<String> = request.file_to_generate.iter().cloned().collect();
    model::build(&pool, &targets)
}
