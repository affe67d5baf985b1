//! Whether the last row of a file may have been cut.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::decode::Container;
use crate::plan_note::PlanNote;
use crate::spool;

/// Bytes of the longest rest of a row that is looked at.
const LONGEST: u64 = 4096;

/// A note about a plain file whose last row has no line end, if rows end `with_number`: cut short, it
/// would be another one. Files in containers have sizes or checksums.
pub fn note(path: &Path, container: Container, with_number: bool) -> Option<PlanNote> {
    let may_be_cut = container == Container::Plain && with_number;
    let lacks_end = may_be_cut && last_byte(path).is_some_and(|last| last != b'\n');
    lacks_end.then(|| PlanNote::NoLineEnd(vec![path.to_owned()]))
}

/// Whether a plain file that had `was` bytes ended amid the last row that it has now: it was still being
/// written. Where it was no such file, other rows lie behind that byte.
///
/// # Errors
/// When it cannot be read.
pub fn was_amid_last_row(path: &Path, container: Container, was: u64) -> io::Result<bool> {
    if container != Container::Plain || was == 0 {
        return Ok(false);
    }
    let mut file = spool::open(path)?;
    let bytes = file.seek(SeekFrom::End(0))?;
    if was >= bytes || bytes - was > LONGEST {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(was - 1))?;
    let mut rest = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut rest)?;
    let rest = rest.strip_suffix(b"\n").unwrap_or(&rest);
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    // The last byte that it had, and what came of the row.
    Ok(rest.len() > 1 && !rest.contains(&b'\n'))
}

fn last_byte(path: &Path) -> Option<u8> {
    let mut file = spool::open(path).ok()?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(last[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ended_amid_its_last_row_only_if_nothing_else_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        let was = |text: &str, was: u64, container| {
            std::fs::write(&path, text).unwrap();
            was_amid_last_row(&path, container, was).unwrap()
        };
        for (text, bytes, expected) in [
            ("1,10\n2,2050\n", 8, true),
            ("1,10\r\n2,2050\r\n", 9, true),
            ("1,10\n2,2050", 10, true),
            // Only its line end was missing.
            ("1,10\n2,2050\n", 11, false),
            ("1,10\r\n2,2050\r\n", 12, false),
            // It ended behind a row; it is as it was; it is shorter; it was empty.
            ("1,10\n2,2050\n", 5, false),
            ("1,10\n2,2050\n", 12, false),
            ("1,10\n2,2050\n", 99, false),
            ("1,10\n", 0, false),
            // Rows came behind it, whose ids tell what they are.
            ("1,10\n2,2050\n3,30\n", 8, false),
        ] {
            assert_eq!(was(text, bytes, Container::Plain), expected, "{text:?} {bytes}");
            assert!(!was(text, bytes, Container::Gzip));
        }
    }
}
