//! A checksum of all bytes of a file, in its footer, and one of the footer alone.
//!
//! Parquet's own page checksums cover pages only, and the library does not write them. One flipped
//! bit in the footer can mean another instrument or another day. So the value of `barflow.seal` is a
//! hash of the whole file and one of its footer, both taken with zeros in place of their digits.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::ReplayError;
use crate::parquet_footer::LONGEST;
use crate::progress::Progress;
use crate::spool;

/// Key of the seal in the file's metadata.
pub(super) const KEY: &str = "barflow.seal";
/// What its value begins with.
const MARK: &[u8] = b"xxh3:";
/// Hexadecimal digits of one hash.
const DIGITS: usize = 16;
/// Its value before the hashes are known.
pub(super) const UNSEALED: &str = "xxh3:00000000000000000000000000000000";
/// Magic and length at the end of a Parquet file.
const TAIL: u64 = 8;

/// Hashes what is written.
pub(super) struct Sealing {
    file: File,
    hash: Xxh3,
}

impl Sealing {
    pub(super) fn new(file: File) -> Self {
        Self { file, hash: Xxh3::new() }
    }

    /// Writes the hashes into the finished file; `path` is where it lies.
    pub(super) fn seal(self, path: &Path) -> io::Result<File> {
        let Self { file, hash } = self;
        let mut footer = read_footer(&mut File::open(path)?)?;
        let digits =
            footer.digits.clone().ok_or_else(|| io::Error::other("no place for a seal"))?;
        footer.clear();
        let text = format!("{:016x}{:016x}", hash.digest(), xxh3_64(&footer.bytes));
        file.write_all_at(text.as_bytes(), footer.start + digits.start as u64)?;
        Ok(file)
    }
}

impl Write for Sealing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hash.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The last part of a file, and where the digits of the seal are in it.
struct SealedFooter {
    /// Where it begins in the file.
    start: u64,
    bytes: Vec<u8>,
    digits: Option<Range<usize>>,
}

impl SealedFooter {
    /// Puts zeros in place of the digits.
    fn clear(&mut self) {
        if let Some(digits) = self.digits.clone() {
            self.bytes[digits].fill(b'0');
        }
    }

    /// The hashes of the file and of the footer that the seal has.
    fn sealed(&self) -> Option<(String, String)> {
        let text = String::from_utf8_lossy(&self.bytes[self.digits.clone()?]).into_owned();
        Some((text.get(..DIGITS)?.to_owned(), text.get(DIGITS..)?.to_owned()))
    }
}

fn read_footer(file: &mut File) -> io::Result<SealedFooter> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = [0; TAIL as usize];
    let start = length.checked_sub(TAIL).ok_or(io::ErrorKind::UnexpectedEof)?;
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut tail)?;
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    // A length that cannot be is found by the reader of the footer.
    let start = start.checked_sub(footer).filter(|_| footer <= LONGEST).unwrap_or(start);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let digits = find_digits(&bytes);
    Ok(SealedFooter { start, bytes, digits })
}

/// The digits are those of the mark that follows the key, after a byte or two that thrift puts there.
fn find_digits(footer: &[u8]) -> Option<Range<usize>> {
    let key = memchr::memmem::find(footer, KEY.as_bytes())? + KEY.len();
    let after = footer.get(key..key + 4 + MARK.len())?;
    let begin = key + memchr::memmem::find(after, MARK)? + MARK.len();
    let end = begin + 2 * DIGITS;
    (end <= footer.len()).then_some(begin..end)
}

/// Holds a footer against its seal, if it has one.
///
/// # Errors
/// When they differ, or the file cannot be read.
pub(super) fn verify_footer(path: &Path, file: &mut File) -> Result<(), ReplayError> {
    let mut footer = match read_footer(file) {
        Ok(footer) => footer,
        // Too short: the reader of the footer says so.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => return Err(ReplayError::io("read", path, error)),
    };
    let Some((_, expected)) = footer.sealed() else { return Ok(()) };
    footer.clear();
    agree(path, "Parquet footer", expected, xxh3_64(&footer.bytes))
}

/// Holds a file against its seal. Returns whether it has one.
///
/// # Errors
/// When they differ, or the file cannot be read.
pub(crate) fn verify_all(path: &Path, progress: &Progress) -> Result<bool, ReplayError> {
    let unreadable = |error| ReplayError::io("read", path, error);
    let mut file = spool::open(path).map_err(unreadable)?;
    verify_footer(path, &mut file)?;
    let Ok(mut footer) = read_footer(&mut file) else { return Ok(false) };
    let Some((expected, _)) = footer.sealed() else { return Ok(false) };
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 17];
    let mut left = footer.start;
    file.rewind().map_err(unreadable)?;
    while left > 0 {
        if progress.is_stopped() {
            return Err(ReplayError::Stopped);
        }
        let wanted = left.min(buffer.len() as u64) as usize;
        file.read_exact(&mut buffer[..wanted]).map_err(unreadable)?;
        hash.update(&buffer[..wanted]);
        left -= wanted as u64;
    }
    footer.clear();
    hash.update(&footer.bytes);
    agree(path, "Parquet data", expected, hash.digest())?;
    Ok(true)
}

fn agree(path: &Path, what: &str, expected: String, found: u64) -> Result<(), ReplayError> {
    let found = format!("{found:016x}");
    if expected == found {
        return Ok(());
    }
    let expected = format!("the checksum {expected}");
    Err(ReplayError::corrupt(path, what, expected, format!("{found} (it is damaged)")))
}
