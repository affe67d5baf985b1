//! From files on disk to blocks of whole lines.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use barflow_operators::pool::Pool;
use flate2::bufread::DeflateDecoder;
use flate2::read::MultiGzDecoder;
use zip::CompressionMethod;

use crate::error::ReplayError;
use crate::members;
use crate::progress::Progress;
use crate::spool;

/// How a file's rows are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Container {
    /// Rows as they are.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// zip; its members are read one after the other, in the archive's order.
    Zip,
    /// barflow's own trades (or anything of that schema).
    Parquet,
}

/// Bytes decoded at a time. Measured: inflate and hand-over cost 10 % more with 64 KiB.
pub const BLOCK: usize = 1 << 19;

/// Room before and after a block's lines, so that eight bytes can be loaded around any field.
pub const MARGIN: usize = 64;

/// Whole lines of one member.
#[derive(Debug)]
pub struct Block {
    /// The member, if the file is an archive.
    pub member: Option<Arc<str>>,
    /// Whether this is the first block of the file or member.
    pub first: bool,
    /// Offset of the first line in the decoded member.
    pub offset: u64,
    /// [`MARGIN`] bytes of anything, the lines, at least [`MARGIN`] bytes of anything.
    pub bytes: Vec<u8>,
    /// Where the lines end in `bytes`; the last one ends with a newline, added if the file has
    /// none.
    pub end: usize,
    /// Bytes of the member in the lines: one less than they have if a newline was added.
    pub length: u64,
    /// Lines of the whole member, where it is read from its end.
    pub lines: Option<u64>,
}

/// Buffers to be used again: a fresh one costs a page fault every 4 KiB.
#[derive(Clone, Debug)]
pub struct Buffers(Pool<Vec<u8>>);

impl Default for Buffers {
    fn default() -> Self {
        Self(Pool::new(8))
    }
}

impl Buffers {
    const LENGTH: usize = MARGIN + BLOCK + 2 * MARGIN;

    fn take(&self) -> Vec<u8> {
        self.0.take().unwrap_or_else(|| vec![0; Self::LENGTH])
    }

    /// Takes a buffer back.
    pub fn give_back(&self, buffer: Vec<u8>) {
        if buffer.len() == Self::LENGTH {
            self.0.give_back(buffer);
        }
    }
}

/// What is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Decoding<'a> {
    /// The file.
    pub path: &'a Path,
    /// How it is packed.
    pub container: Container,
    /// Where to start, if not at the beginning: an offset, in a member if the file is an archive.
    pub from: Option<(Option<&'a str>, u64)>,
    /// How far reading has got, and whether it is to end.
    pub progress: &'a Progress,
    /// Where buffers come from.
    pub buffers: &'a Buffers,
}

/// Decodes a file, giving each block to `take`, which may say that it has enough by returning
/// false.
///
/// # Errors
/// When the file cannot be read or is damaged, naming what was expected and found.
pub fn decode(what: Decoding<'_>, take: &mut dyn FnMut(Block) -> bool) -> Result<(), ReplayError> {
    let Decoding { path, progress, .. } = what;
    let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
    let file = Counted { inner: file, progress: progress.clone() };
    // A block is decoded in a moment, so this is often enough.
    let take = &mut |block: Block| !progress.is_stopped() && take(block);
    let decoded = decode_file(what, file, take);
    // Whatever came of it: the end of the reading is not the end of the file.
    if progress.is_stopped() { Err(ReplayError::Stopped) } else { decoded }
}

fn decode_file(
    what: Decoding<'_>,
    file: Counted<File>,
    take: &mut dyn FnMut(Block) -> bool,
) -> Result<(), ReplayError> {
    let Decoding { path, container, from, buffers, .. } = what;
    let skip = from.map_or(0, |(_, offset)| offset);
    let damaged = |part: &str, expected: &str, error: io::Error| {
        ReplayError::corrupt(path, part, expected, error.to_string())
    };
    match container {
        Container::Plain => blocks(file, None, skip, buffers, take)
            .map(drop)
            .map_err(|e| line_error(path, e, "could not be read")),
        Container::Gzip => blocks(
            MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)),
            None,
            skip,
            buffers,
            take,
        )
        .map(drop)
        .map_err(|e| damaged("gzip data", "a complete gzip stream with a matching CRC", e)),
        Container::Zstd => zstd_decoder(file)
            .and_then(|decoder| blocks(decoder, None, skip, buffers, take))
            .map(drop)
            .map_err(|e| match e.to_string().contains(WINDOW_TOO_LARGE) {
                true => ReplayError::packing(path, None, WIDE_WINDOW),
                false => damaged("zstd data", "a complete zstd stream", e),
            }),
        Container::Zip => read_members(what, file, take),
        Container::Parquet => Err(ReplayError::layout(path, "Parquet has no lines")),
    }
}

/// Windows of zstd that are read: up to 128 MiB, as `zstd -d` does unless it is told otherwise. What a
/// frame claims to need is memory that it gets.
const WINDOW_LOG: u32 = 27;
/// The library's words for a window above that.
const WINDOW_TOO_LARGE: &str = "too much memory";
const WIDE_WINDOW: &str = "needs a zstd window above 128 MiB, which is not read; unpack it first: zstd -d \
                           --long=31";

fn zstd_decoder<R: Read>(from: R) -> io::Result<impl Read> {
    let mut decoder = zstd::Decoder::new(from)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn read_members(
    what: Decoding<'_>,
    file: Counted<File>,
    take: &mut dyn FnMut(Block) -> bool,
) -> Result<(), ReplayError> {
    let Decoding { path, from, buffers, .. } = what;
    let (mut archive, members) = members::open(path, file)?;
    let mut waiting_for = from.and_then(|(member, offset)| Some((member?, offset)));
    for (index, name) in members.read {
        let skip = match waiting_for {
            Some((wanted, offset)) if wanted == name => {
                waiting_for = None;
                offset
            }
            Some(_) => continue,
            None => 0,
        };
        let member = archive.by_index_raw(index).map_err(|e| {
            let expected = "a complete zip archive";
            ReplayError::corrupt(path, "not a usable zip", expected, e.to_string())
        })?;
        let promised = Promised { crc: member.crc32(), size: member.size() };
        let compression = member.compression();
        let name: Arc<str> = name.into();
        let called = Some(&name);
        // The member's raw bytes and our own inflate: the archive crate's reader takes a quarter
        // longer, and the first thing to be overlapped is this thread.
        let raw = BufReader::with_capacity(1 << 17, member);
        let read = match compression {
            CompressionMethod::Stored => {
                blocks(Promise::new(raw, promised), called, skip, buffers, take)
            }
            // Members that are compressed in another way are not chosen.
            _ => {
                let inflated = Promise::new(DeflateDecoder::new(raw), promised);
                blocks(inflated, called, skip, buffers, take)
            }
        };
        let more = read.map_err(|error| {
            let what = format!("member \"{name}\"");
            let expected = format!("{} bytes with CRC-32 {:08x}", promised.size, promised.crc);
            ReplayError::corrupt(path, what, expected, error.to_string())
        })?;
        if !more {
            return Ok(());
        }
    }
    match waiting_for {
        Some((wanted, _)) => {
            let text = format!("{} has no member \"{wanted}\"", path.display());
            Err(ReplayError::Resume(text))
        }
        None => Ok(()),
    }
}

fn line_error(path: &Path, error: io::Error, what: &str) -> ReplayError {
    if error.kind() == io::ErrorKind::InvalidData {
        ReplayError::corrupt(path, what, "lines of text", error.to_string())
    } else {
        ReplayError::io("read", path, error)
    }
}

/// Cuts a stream into blocks of whole lines. Returns whether `take` wants more.
fn blocks(
    mut from: impl Read,
    member: Option<&Arc<str>>,
    skip: u64,
    buffers: &Buffers,
    take: &mut dyn FnMut(Block) -> bool,
) -> io::Result<bool> {
    let skipped = io::copy(&mut from.by_ref().take(skip), &mut io::sink())?;
    if skipped < skip {
        let text = format!("it ends after {skipped} bytes, before the position to resume at");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    let mut offset = skip;
    let mut first = skip == 0;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let mut bytes = buffers.take();
        bytes[MARGIN..MARGIN + rest.len()].copy_from_slice(&rest);
        let mut filled = MARGIN + rest.len();
        let mut at_end = false;
        while filled < MARGIN + BLOCK {
            match from.read(&mut bytes[filled..MARGIN + BLOCK]) {
                Ok(0) => {
                    at_end = true;
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let end = if at_end {
            filled
        } else {
            match memchr::memrchr(b'\n', &bytes[MARGIN..filled]) {
                Some(newline) => MARGIN + newline + 1,
                None => {
                    let text = format!("a line longer than {BLOCK} bytes at offset {offset}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        };
        rest.clear();
        rest.extend_from_slice(&bytes[end..filled]);
        let length = (end - MARGIN) as u64;
        if length == 0 {
            buffers.give_back(bytes);
        } else {
            let mut end = end;
            if bytes[end - 1] != b'\n' {
                bytes[end] = b'\n';
                end += 1;
            }
            let member = member.cloned();
            let block = Block { member, first, offset, bytes, end, length, lines: None };
            first = false;
            offset += length;
            if !take(block) {
                return Ok(false);
            }
        }
        if at_end {
            return Ok(true);
        }
    }
}

/// What the archive's directory says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promised {
    crc: u32,
    size: u64,
}

/// Reads a member and, at its end, holds it against what was promised.
struct Promise<R> {
    inner: R,
    promised: Promised,
    crc: crc32fast::Hasher,
    size: u64,
}

impl<R> Promise<R> {
    fn new(inner: R, promised: Promised) -> Self {
        Self { inner, promised, crc: crc32fast::Hasher::new(), size: 0 }
    }
}

impl<R: Read> Read for Promise<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.crc.update(&buffer[..read]);
        self.size += read as u64;
        if read == 0 && !buffer.is_empty() {
            let found = Promised { crc: self.crc.clone().finalize(), size: self.size };
            if found != self.promised {
                let text = format!("{} bytes with CRC-32 {:08x}", found.size, found.crc);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(read)
    }
}

/// Counts what is read from disk.
struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        let read = self.inner.read(buffer)?;
        self.progress.add_bytes(read as u64);
        Ok(read)
    }
}

impl<R: io::Seek> io::Seek for Counted<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
