//! Whether the file that a running job adds to is still the one under its name, and whole.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::atomic_file::refused;
use crate::graph::sink::SinkError;

/// Checks a file that was opened under `path` and left with so many bytes.
///
/// # Errors
/// When it was moved, removed, replaced or cut short by somebody else: what is written from then on would
/// be lost, or lie behind a hole.
pub(super) fn check(path: &Path, file: &File, bytes: u64) -> Result<(), SinkError> {
    let open = file.metadata().map_err(|e| refused("read", path, &e))?;
    let what = match std::fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => {
            if open.len() >= bytes || !open.is_file() {
                return Ok(());
            }
            format!("was cut from {bytes} to {} bytes", open.len())
        }
        Ok(_) => "was replaced".to_owned(),
        Err(error) => format!("was moved or removed ({error})"),
    };
    Err(SinkError::Refused(format!(
        "\"{}\" {what} while the job writes to it\nhint: stop the job before its files are moved; put the file \
         back as it was, and the next start makes the bars since its last commit again",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_moved_removed_replaced_or_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        let wrong = |change: &dyn Fn()| {
            fs::write(&path, "four").unwrap();
            let file = File::open(&path).unwrap();
            check(&path, &file, 4).unwrap();
            change();
            check(&path, &file, 4).unwrap_err().to_string()
        };
        assert!(wrong(&|| fs::rename(&path, &other).unwrap()).contains("moved or removed"));
        assert!(wrong(&|| fs::remove_file(&path).unwrap()).contains("moved or removed"));
        let replace = || {
            fs::write(&other, "four").unwrap();
            fs::rename(&other, &path).unwrap();
        };
        assert!(wrong(&replace).contains("was replaced"));
        assert!(wrong(&|| fs::write(&path, "x").unwrap()).contains("cut from 4 to 1 bytes"));
        // What has no length has none to lose.
        let null = Path::new("/dev/null");
        check(null, &File::open(null).unwrap(), 9).unwrap();
    }
}
