//! Is a file what was published? Judged before anything of it is used.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::decode::{Buffers, Container, Decoding, decode};
use crate::error::ReplayError;
use crate::progress::Progress;
use crate::{files, spool, trades_parquet};

/// `FILE.CHECKSUM`, as Binance publishes it beside each archive.
pub fn checksum_file(path: &Path) -> PathBuf {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    // Tools that copy files to disks without case write them so.
    let lower = beside(".checksum");
    if lower.exists() { lower } else { beside(".CHECKSUM") }
}

/// Verifies a file: by the checksum beside it; without one, by decoding all of it once, which
/// checks every CRC that the container has. It ends early when `progress` is stopped, and counts
/// nothing there: what is verified is yet to be read.
///
/// # Errors
/// When it is not whole.
pub fn verify(path: &Path, container: Container, progress: &Progress) -> Result<(), ReplayError> {
    let beside = checksum_file(path);
    if beside.exists() {
        return verify_sum(path, &beside, progress);
    }
    match container {
        // Plain text has nothing to check.
        Container::Plain => Ok(()),
        Container::Parquet => trades_parquet::verify::verify(path, progress),
        _ => {
            let (progress, buffers) = (&progress.uncounted(), &Buffers::default());
            let what = Decoding { path, container, from: None, progress, buffers };
            decode(what, &mut |block| {
                buffers.give_back(block.bytes);
                true
            })
        }
    }
}

/// The checksum published beside a file, and where; none if there is none.
///
/// # Errors
/// When the checksum file cannot be read or is none.
pub fn published_sum(path: &Path) -> Result<Option<(PathBuf, String)>, ReplayError> {
    let beside = checksum_file(path);
    if !beside.exists() {
        return Ok(None);
    }
    let expected = expected_sum(&beside)?;
    Ok(Some((beside, expected)))
}

/// Holds a file against the checksum published beside it, if there is one.
///
/// # Errors
/// When they differ, or one of them cannot be read; [`ReplayError::Stopped`].
pub fn verify_published(path: &Path, progress: &Progress) -> Result<(), ReplayError> {
    let beside = checksum_file(path);
    if beside.exists() { verify_sum(path, &beside, progress) } else { Ok(()) }
}

/// The SHA-256 in the text of a checksum file, in lower case; none if it is not such a text.
pub fn sum_in(text: &str) -> Option<String> {
    let sum = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then_some(sum)
}

/// Bytes of a checksum file that are read: far above one line.
const LONGEST: u64 = 4096;

fn expected_sum(beside: &Path) -> Result<String, ReplayError> {
    let mut text = Vec::new();
    let read = files::open(beside).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    read.map_err(|e| ReplayError::io("read", beside, e))?;
    let text = String::from_utf8_lossy(&text);
    sum_in(&text).ok_or_else(|| {
        let expected = "a SHA-256 of 64 hexadecimal digits, two spaces and the file's name";
        let line = text.lines().next().unwrap_or("nothing");
        let found: String = line.chars().take(80).collect();
        ReplayError::corrupt(beside, "checksum file", expected, found)
    })
}

fn verify_sum(path: &Path, beside: &Path, progress: &Progress) -> Result<(), ReplayError> {
    let expected = expected_sum(beside)?;
    let found = sum_of(path, progress)?;
    if found == expected {
        Ok(())
    } else {
        let (path, checksum_file) = (path.to_owned(), beside.to_owned());
        Err(ReplayError::Checksum { path, checksum_file, expected, found })
    }
}

/// The SHA-256 of a file, in hexadecimal, unless the reading is stopped.
///
/// # Errors
/// When it cannot be read; [`ReplayError::Stopped`].
pub fn sum_of(path: &Path, progress: &Progress) -> Result<String, ReplayError> {
    let found = sha256_until(path, progress).map_err(|e| ReplayError::io("read", path, e))?;
    found.ok_or(ReplayError::Stopped)
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    // Nobody stops these counters.
    sha256_until(path, &Progress::default()).map(Option::unwrap_or_default)
}

/// The SHA-256 of a file; none if the reading was stopped.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_until(path: &Path, progress: &Progress) -> io::Result<Option<String>> {
    let mut file = spool::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        if progress.is_stopped() {
            return Ok(None);
        }
        match file.read(&mut buffer)? {
            0 => return Ok(Some(hex::encode(hasher.finalize()))),
            read => hasher.update(&buffer[..read]),
        }
    }
}
