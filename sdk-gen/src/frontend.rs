//! Front ends: the three ways in which protos reach the generator. Each ends in the same model.

pub mod descriptor_set;
pub(crate) mod embedded;
pub mod plugin;
pub mod sources;

use prost_types::FileDescriptorProto;

use crate::error::{Diagnostic, Position};

/// The fault for a file of protobuf editions. They are refused before any descriptor pool sees them, because the
/// reflection library panics on them.
pub(crate) fn editions_fault(position: Position) -> Diagnostic {
    Diagnostic::new(
        position,
        "protobuf editions are not supported",
        "write syntax = \"proto3\"; instead of the edition, or keep the file out of this run",
    )
}

/// The faults of files that only the descriptor shows: editions. `file` may come from any compiler.
pub(crate) fn unsupported(file: &FileDescriptorProto) -> Option<Diagnostic> {
    if !matches!(file.syntax(), "" | "proto2" | "proto3") {
        let line = file.source_code_info.iter().flat_map(|info| &info.location);
        let span = line.filter(|location| location.path == [12]).find_map(|l| l.span.first());
        let position = Position {
            file: file.name().to_owned(),
            line: span.map_or(0, |line| *line as u32 + 1),
            column: 0,
        };
        return Some(editions_fault(position));
    }
    None
}
