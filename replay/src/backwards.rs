//! A file whose newest trade stands first, from its last line to its first.
//!
//! Text cannot be decoded backwards: it is decoded once, its blocks go into a temporary file,
//! compressed, and come back in reverse. Memory holds one block, whatever the size of the file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use crate::decode::{Block, Decoding, MARGIN, decode as decode_forwards};
use crate::error::ReplayError;
use crate::rows::header::before_rows;

/// Blocks are compressed as fast as possible: they are read back at once.
const LEVEL: i32 = 1;

/// A block in the temporary file.
struct Kept {
    /// Compressed bytes.
    stored: usize,
    bytes: usize,
    member: Option<Arc<str>>,
}

/// As [`decode`](decode_forwards), with the lines in reverse; byte order mark and header are left
/// out. Offsets count from the end of the file.
///
/// # Errors
/// When the file cannot be read or is damaged, and when the temporary file cannot be written.
pub fn decode(what: Decoding<'_>, take: &mut dyn FnMut(Block) -> bool) -> Result<(), ReplayError> {
    let Decoding { path, from, buffers, .. } = what;
    let refused = |error| ReplayError::io("write a temporary copy of", path, error);
    let (member, skip) = from.unwrap_or((None, 0));
    let mut file = tempfile::tempfile().map_err(refused)?;
    let (mut kept, mut lines, mut failed) = (Vec::new(), 0, None);
    let mut keep = |block: Block| {
        if member.is_some() && member != block.member.as_deref() {
            return false;
        }
        let all = &block.bytes[MARGIN..block.end];
        let before = if block.first { before_rows(all).0 } else { 0 };
        lines += memchr::memchr_iter(b'\n', all).count() as u64;
        let stored = store(&mut file, &all[before..]);
        let bytes = all.len() - before;
        let member = block.member.clone();
        buffers.give_back(block.bytes);
        match stored {
            Ok(stored) => kept.push(Kept { stored, bytes, member }),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    };
    let from = member.map(|member| (Some(member), 0));
    decode_forwards(Decoding { from, ..what }, &mut keep)?;
    match failed {
        Some(error) => Err(refused(error)),
        None => give(file, kept, lines, skip, take).map_err(refused),
    }
}

fn store(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    let stored = zstd::bulk::compress(bytes, LEVEL)?;
    file.write_all(&stored)?;
    Ok(stored.len())
}

/// Hands out the blocks from the last to the first, from `skip` bytes on.
fn give(
    mut file: File,
    kept: Vec<Kept>,
    lines: u64,
    skip: u64,
    take: &mut dyn FnMut(Block) -> bool,
) -> io::Result<()> {
    let mut end = file.stream_position()?;
    let mut offset = 0;
    for Kept { stored, bytes, member } in kept.into_iter().rev() {
        end -= stored as u64;
        let (start, length) = (offset, bytes as u64);
        offset += length;
        if bytes == 0 || offset <= skip {
            continue;
        }
        file.seek(SeekFrom::Start(end))?;
        let mut packed = vec![0; stored];
        file.read_exact(&mut packed)?;
        let text = zstd::bulk::decompress(&packed, bytes)?;
        let passed = skip.saturating_sub(start) as usize;
        let mut lined = vec![0; MARGIN];
        reverse(&text, &mut lined);
        lined.drain(MARGIN..MARGIN + passed);
        let filled = lined.len();
        lined.resize(filled + 2 * MARGIN, 0);
        let offset = start + passed as u64;
        let length = length - passed as u64;
        let first = offset == 0;
        let lines = Some(lines);
        if !take(Block { member, first, offset, bytes: lined, end: filled, length, lines }) {
            break;
        }
    }
    Ok(())
}

/// Appends the lines of a text that ends with a newline, the last one first.
fn reverse(text: &[u8], to: &mut Vec<u8>) {
    let mut end = text.len();
    while end > 0 {
        let start = memchr::memrchr(b'\n', &text[..end - 1]).map_or(0, |newline| newline + 1);
        to.extend_from_slice(&text[start..end]);
        end = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Buffers, Container};
    use crate::progress::Progress;

    fn read(text: &str, skip: u64) -> (String, Vec<u64>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (mut read, mut offsets) = (Vec::new(), Vec::new());
        let take = &mut |block: Block| {
            read.extend_from_slice(&block.bytes[MARGIN..block.end]);
            offsets.push(block.offset);
            true
        };
        let what = Decoding {
            path: file.path(),
            container: Container::Plain,
            from: Some((None, skip)),
            progress: &Progress::default(),
            buffers: &Buffers::default(),
        };
        decode(what, take).unwrap();
        (String::from_utf8(read).unwrap(), offsets)
    }

    #[test]
    fn lines_come_in_reverse_without_header_and_from_any_line_on() {
        assert_eq!(read("id,price\n3,1\n2,1\n1,1", 0).0, "1,1\n2,1\n3,1\n");
        assert_eq!(read("3\r\n\r\n1\r\n", 0).0, "1\r\n\r\n3\r\n");
        assert_eq!(read("3,1\n2,1\n1,1\n", 4), ("2,1\n3,1\n".to_owned(), vec![4]));
        assert_eq!(read("3,1\n", 4).0, "");
    }

    #[test]
    fn long_files_come_in_blocks_that_follow_one_another() {
        let line = |number: usize| format!("{number:09},1.5\n");
        let rows: Vec<String> = (0..100_000).map(line).collect();
        let back: String = rows.iter().rev().map(String::as_str).collect();
        let (all, offsets) = read(&back, 0);
        assert_eq!(all, rows.concat());
        assert!(offsets.len() > 2 && offsets.is_sorted(), "{offsets:?}");
        let skip = 14 * 77_777;
        assert_eq!(read(&back, skip).0, rows[77_777..].concat());
    }
}
