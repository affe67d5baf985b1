//! Whether the last row of a file may have been cut.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::decode::Container;
use crate::plan_note::PlanNote;
use crate::spool;

/// A note about a plain file whose last row has no line end, if rows end `with_number`: cut short, it
/// would be another one. Files in containers have sizes or checksums.
pub fn note(path: &Path, container: Container, with_number: bool) -> Option<PlanNote> {
    let may_be_cut = container == Container::Plain && with_number;
    let lacks_end = may_be_cut && last_byte(path).is_some_and(|last| last != b'\n');
    lacks_end.then(|| PlanNote::NoLineEnd(vec![path.to_owned()]))
}

fn last_byte(path: &Path) -> Option<u8> {
    let mut file = spool::open(path).ok()?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(last[0])
}
