//! A serialised `google.protobuf.FileDescriptorSet`, as `buf build -o x.binpb` and `protoc --descriptor_set_out` write.

use std::{collections::BTreeSet, path::Path};

use prost::Message;
use prost_reflect::DescriptorPool;

use crate::{
    error::{Error, Position},
    model::{self, Model},
};

/// A descriptor set with its files as bytes: decoding them with prost's own types would drop custom options.
#[derive(Clone, PartialEq, Message)]
struct RawFileDescriptorSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// Reads a descriptor set. `targets` are the files to generate, by import path; empty means every file but those of
/// `google.protobuf` and Callboard's own options and types.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Descriptors`] if it is no complete descriptor set,
/// [`Error::Protos`] for faults in the protos that it holds.
pub fn read(path: &Path, targets: &[String]) -> Result<Model, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let set = RawFileDescriptorSet::decode(bytes.as_slice()).map_err(|error| {
        Error::Descriptors(format!("{} is not a descriptor set: {error}", path.display()))
    })?;
    let pool = pool(&set.file)?;
    let targets = if targets.is_empty() {
        let own = |name: &str| {
            ["google/protobuf/", "callboard/type/", "callboard/options/", "spawn/actors/"]
                .iter()
                .any(|folder| name.starts_with(folder))
        };
        pool.files().map(|f| f.name().to_owned()).filter(|name| !own(name)).collect()
    } else {
        targets.iter().cloned().collect::<BTreeSet<_>>()
    };
    model::build(&pool, &targets)
}

/// A pool of serialised `FileDescriptorProto`s, in any order.
///
/// # Errors
/// [`Error::Protos`] if a file uses editions, [`Error::Descriptors`] if one does not decode, or names an import or type
/// that is not there.
pub(crate) fn pool(files: &[Vec<u8>]) -> Result<DescriptorPool, Error> {
    let mut faults = Vec::new();
    let mut waiting = Vec::with_capacity(files.len());
    for bytes in files {
        let file = prost_types::FileDescriptorProto::decode(bytes.as_slice())
            .map_err(|error| Error::Descriptors(format!("a file descriptor: {error}")))?;
        faults.extend(super::unsupported(&file));
        waiting.push((file, bytes));
    }
    Error::from_faults(faults)?;
    let mut pool = DescriptorPool::new();
    // A pool takes a file only after its imports.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut later = Vec::new();
        for (file, bytes) in waiting {
            if file.dependency.iter().all(|name| pool.get_file_by_name(name).is_some()) {
                pool.decode_file_descriptor_proto(bytes.as_slice())
                    .map_err(|error| Error::Descriptors(format!("{error:?}")))?;
            } else {
                later.push((file, bytes));
            }
        }
        if later.len() == before {
            return Err(missing_imports(&pool, &later));
        }
        waiting = later;
    }
    Ok(pool)
}

fn missing_imports(
    pool: &DescriptorPool,
    files: &[(prost_types::FileDescriptorProto, &Vec<u8>)],
) -> Error {
    let known: BTreeSet<&str> = files.iter().map(|(file, _)| file.name()).collect();
    let mut faults = Vec::new();
    for (file, _) in files {
        for import in &file.dependency {
            if pool.get_file_by_name(import).is_none() && !known.contains(import.as_str()) {
                faults.push(crate::error::Diagnostic::new(
                    Position::file(file.name()),
                    format!("its import {import} is not in the descriptor set"),
                    "write the set with imports: protoc --include_imports, or buf build",
                ));
            }
        }
    }
    match Error::from_faults(faults) {
        Err(error) => error,
        Ok(()) => Error::Descriptors("files import each other in a circle".to_owned()),
    }
}
