//! Which part of a file is read, and from which end.

use std::path::Path;
use std::sync::Arc;

use barflow_operators::position::FilePosition;

use crate::decode::Block;

/// A part of a file; by default all of it, from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePart {
    /// Only this member of an archive.
    pub member: Option<Arc<str>>,
    /// The newest trade stands first: lines are read from the last to the first.
    pub backwards: bool,
    /// Where reading begins, if what stands before is in another file.
    pub begin: Option<Begin>,
}

/// The beginning of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The member of an archive in which it is; those before it are not read.
    pub member: Option<Arc<str>>,
    /// Its offset in the decoded file or member (for Parquet: row number).
    pub byte: u64,
    /// Its line, from 1.
    pub line: u64,
}

impl FilePart {
    /// Where reading begins.
    pub fn start(&self, path: &Path) -> FilePosition {
        let start = FilePosition::start(path.display().to_string().into());
        match self.begin.clone() {
            Some(Begin { member, byte, line }) => FilePosition { member, byte, line, ..start },
            None => FilePosition { member: self.member.clone(), byte: 0, line: 1, ..start },
        }
    }

    /// Whether a position in the file lies in this part.
    pub fn contains(&self, position: &FilePosition) -> bool {
        self.member.is_none() || self.member == position.member
    }

    /// Whether a block of the file belongs to this part.
    pub fn has(&self, block: &Block) -> bool {
        self.member.is_none() || self.member == block.member
    }
}
