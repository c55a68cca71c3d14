//! Positions and comments of declarations, from a file's source information.

use std::collections::HashMap;

use prost_types::FileDescriptorProto;

use super::Comments;
use crate::error::Position;

/// The source information of one file, by descriptor path.
pub(super) struct Source {
    file: String,
    locations: HashMap<Vec<i32>, (u32, u32, Comments)>,
}

impl Source {
    pub(super) fn new(file: &FileDescriptorProto) -> Self {
        let mut locations = HashMap::new();
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            let number = |index: usize| location.span.get(index).map_or(0, |n| *n as u32 + 1);
            let comments = Comments {
                leading: location.leading_comments().to_owned(),
                trailing: location.trailing_comments().to_owned(),
            };
            locations.entry(location.path.clone()).or_insert((number(0), number(1), comments));
        }
        Source { file: file.name().to_owned(), locations }
    }

    pub(super) fn position(&self, path: &[i32]) -> Position {
        let (line, column) = self.locations.get(path).map_or((0, 0), |(l, c, _)| (*l, *c));
        Position { file: self.file.clone(), line, column }
    }

    pub(super) fn comments(&self, path: &[i32]) -> Comments {
        self.locations.get(path).map(|(_, _, comments)| comments.clone()).unwrap_or_default()
    }

    /// The comment above `syntax` (path 12), else the one above `package` (path 2).
    pub(super) fn file_comments(&self) -> Comments {
        let syntax = self.comments(&[12]);
        if syntax.lines().is_empty() { self.comments(&[2]) } else { syntax }
    }
}
