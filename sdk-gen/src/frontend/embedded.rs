//! Proto files that users need not have: Callboard's options and types, and the part of Spawn's options that means the
//! same. The well-known types of `google.protobuf` come with protox.

use std::path::Path;

use prost_types::FileDescriptorProto;
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

use crate::error::Error;

const FILES: [(&str, &str); 4] = [
    ("callboard/type/v1/type.proto", include_str!("../../../proto/callboard/type/v1/type.proto")),
    (
        "callboard/options/v1/options.proto",
        include_str!("../../../proto/callboard/options/v1/options.proto"),
    ),
    ("spawn/actors/actor.proto", include_str!("../../proto/spawn/actors/actor.proto")),
    ("spawn/actors/extensions.proto", include_str!("../../proto/spawn/actors/extensions.proto")),
];

/// True if `path` is one of the embedded files, as imports write them.
pub(crate) fn has(path: &Path) -> bool {
    FILES.iter().any(|(file, _)| Path::new(file) == path)
}

/// Serves the embedded files.
pub(crate) struct EmbeddedFiles;

impl FileResolver for EmbeddedFiles {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match FILES.iter().find(|(path, _)| *path == name) {
            Some((path, source)) => File::from_source(path, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The descriptors of Callboard's options with everything that they import, imports first.
pub(crate) fn option_files() -> Result<Vec<FileDescriptorProto>, Error> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(EmbeddedFiles);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler
        .include_imports(true)
        .open_file("callboard/options/v1/options.proto")
        .map_err(|error| Error::Descriptors(format!("the embedded options: {error:?}")))?;
    Ok(compiler.file_descriptor_set().file)
}
