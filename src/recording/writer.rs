//! Writing recordings, in files of bounded size and time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use barflow_replay::atomic_file;
use barflow_replay::files::Access;
use jiff::Timestamp;

use super::{Recorded, RecordingError, native};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Files of one second and stem before something else must be wrong.
const SAME_NAMES: u32 = 10_000;

/// When a file is full, and how much of it a crash may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A new file begins when the one being written has this many (compressed) bytes. It is looked
    /// at when a block is written, so a file may be a block larger.
    pub file_bytes: u64,
    /// A new file begins with the first frame of every UTC hour.
    pub hourly: bool,
    /// A block ends after this many bytes of text …
    pub block_bytes: usize,
    /// … or this many frames, whichever comes first. Readers can read what is in ended blocks: a
    /// crash of the program takes the last block, no more.
    pub block_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, hourly: true, block_bytes: 1 << 20, block_frames: 8_192 }
    }
}

/// Writes frames into files named `stem-yyyymmddThhmmssZ.capture.zst`, after their first frame.
///
/// While a file is written its name ends with `.part`; complete, it is synced and renamed. No file
/// that exists is ever replaced: `-2`, `-3`, … follow the time instead. A writer that is dropped
/// rather than finished leaves its `.part` behind, as a crash does, for [`super::reader`] to read.
pub struct Writer {
    folder: PathBuf,
    stem: String,
    limits: Limits,
    open: Option<Open>,
    complete: Vec<PathBuf>,
    line: Vec<u8>,
}

/// The file being written.
struct Open {
    part: PathBuf,
    path: PathBuf,
    /// UTC hours since the epoch at its first frame.
    hour: i64,
    encoder: zstd::Encoder<'static, Counted>,
    pending_bytes: usize,
    pending_frames: u32,
}

impl Writer {
    /// A writer of files in `folder`, which exists. No file is made before the first frame.
    ///
    /// # Errors
    /// When the stem cannot begin a file name.
    pub fn new(folder: &Path, stem: &str, limits: Limits) -> Result<Self, RecordingError> {
        if stem.is_empty() || stem.contains(['/', '\\', '\0']) {
            let why = "a name must not be empty or contain / or \\";
            return Err(RecordingError::Name { name: stem.to_owned(), why });
        }
        Ok(Self {
            folder: folder.to_owned(),
            stem: stem.to_owned(),
            limits,
            open: None,
            complete: Vec::new(),
            line: Vec::new(),
        })
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// When the disk refuses; nothing more can be written then.
    pub fn write(&mut self, recorded: &Recorded) -> Result<(), RecordingError> {
        if self.open.as_ref().is_some_and(|open| open.is_full(recorded, &self.limits)) {
            self.complete()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::create(&self.folder, &self.stem, recorded.recv_time)?),
        };
        self.line.clear();
        native::encode(recorded, &mut self.line);
        open.append(&self.line)?;
        if open.pending_bytes >= self.limits.block_bytes
            || open.pending_frames >= self.limits.block_frames
        {
            open.end_block()?;
        }
        Ok(())
    }

    /// Whether frames wait for their block to end.
    pub fn is_pending(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.pending_frames > 0)
    }

    /// Ends the block: what was written so far can be read from the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        match &mut self.open {
            Some(open) if open.pending_frames > 0 => open.end_block(),
            _ => Ok(()),
        }
    }

    /// Completes the last file. Returns all files, in the order of writing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, RecordingError> {
        self.complete()?;
        Ok(self.complete)
    }

    fn complete(&mut self) -> Result<(), RecordingError> {
        if let Some(open) = self.open.take() {
            self.complete.push(open.complete()?);
        }
        Ok(())
    }
}

impl Open {
    fn create(folder: &Path, stem: &str, first: i64) -> Result<Self, RecordingError> {
        let (part, path, file) = free_name(folder, &format!("{stem}-{}", to_the_second(first)))?;
        let failed = |e| RecordingError::io("write", &part, e);
        let counted = Counted { file, bytes: 0 };
        let mut encoder =
            zstd::Encoder::new(counted, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(failed)?;
        // The reader should find a flipped bit, before it changes bars.
        encoder.include_checksum(true).map_err(failed)?;
        encoder.write_all(native::HEADER).map_err(failed)?;
        let hour = first.div_euclid(HOUR_NS);
        Ok(Self { part, path, hour, encoder, pending_bytes: 0, pending_frames: 0 })
    }

    fn is_full(&self, next: &Recorded, limits: &Limits) -> bool {
        // Connections hand in their frames on their own: one from just before the hour may come
        // behind one from just after it, and must not open a third file.
        let later = next.recv_time.div_euclid(HOUR_NS) > self.hour;
        (limits.hourly && later) || self.encoder.get_ref().bytes >= limits.file_bytes
    }

    fn append(&mut self, line: &[u8]) -> Result<(), RecordingError> {
        self.encoder.write_all(line).map_err(|e| RecordingError::io("write", &self.part, e))?;
        self.pending_bytes += line.len();
        self.pending_frames += 1;
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), RecordingError> {
        (self.pending_bytes, self.pending_frames) = (0, 0);
        self.encoder.flush().map_err(|e| RecordingError::io("write", &self.part, e))?;
        self.check_in_place()
    }

    /// Checks that the file is still the one under its name: what is written to another nobody finds.
    fn check_in_place(&self) -> Result<(), RecordingError> {
        let failed = |e| RecordingError::io("write", &self.part, e);
        let open = self.encoder.get_ref().file.metadata().map_err(failed)?;
        let what = match fs::metadata(&self.part) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => return Ok(()),
            Ok(_) => "it was replaced while frames are written to it".to_owned(),
            Err(error) => {
                format!("it was moved or removed while frames are written to it ({error})")
            }
        };
        Err(failed(io::Error::other(what)))
    }

    fn complete(self) -> Result<PathBuf, RecordingError> {
        let failed = |e| RecordingError::io("write", &self.part, e);
        let counted = self.encoder.finish().map_err(failed)?;
        // Somebody else may have put a file there meanwhile; another writer cannot (`free_name`).
        if self.path.try_exists().map_err(failed)? {
            let taken = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(RecordingError::io("name", &self.path, taken));
        }
        atomic_file::publish(&counted.file, &self.part, &self.path)
            .map_err(|e| RecordingError::io("write", &self.path, e))?;
        Ok(self.path)
    }
}

/// Creates the first of `name`, `name-2`, `name-3`, … that does not exist.
fn free_name(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf, File), RecordingError> {
    for number in 1..=SAME_NAMES {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{suffix}.capture.zst"));
        let part = folder.join(format!("{name}{suffix}.capture.zst.part"));
        let file = match Access::Group.open_options().write(true).create_new(true).open(&part) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(RecordingError::io("write", &part, error)),
        };
        // In this order: a writer that completes this name between the two steps still holds the
        // `.part` in the first or has made the file by the second.
        match path.try_exists() {
            Ok(false) => return Ok((part, path, file)),
            Ok(true) => {
                fs::remove_file(&part).map_err(|e| RecordingError::io("remove", &part, e))?;
            }
            Err(error) => return Err(RecordingError::io("look for", &path, error)),
        }
    }
    Err(RecordingError::Name { name: name.to_owned(), why: "10000 files have that name" })
}

/// A time in a file name.
fn to_the_second(recv_time: i64) -> String {
    // Every i64 of ns lies between 1677 and 2262, far within what a Timestamp holds.
    let time = Timestamp::from_nanosecond(i128::from(recv_time)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Counts the bytes that reach the file.
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
