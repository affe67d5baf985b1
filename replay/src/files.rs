//! How files are opened, each kind in one way: what somebody else laid at a name that can be guessed, or
//! handed over, is neither followed, nor waited for, nor read without end.
//!
//! | kind | symbolic link | anything but a regular file |
//! |---|---|---|
//! | a file of ours ([`Access::open_own`], [`Access::append_to_own`]) | refused | refused |
//! | an output that was named ([`open_output`](crate::output::open_output)) | refused, except the system's own (`/dev/stdout`) | written to as a [`Stream`](crate::output::Stream) |
//! | what is read ([`open`], [`read`]) | followed | refused |
//! | a text that was named ([`read_named`]) | followed | read, up to a limit |
//! | a secret or a certificate that was named ([`read_text`]) | followed | refused |

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

/// The longest line of a file of ours, or of one that was written by a barflow: far above any.
pub const LONGEST_LINE: u64 = 1 << 20;

/// Between two looks at what does not answer.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// How long a pipe with settings may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Who may read a file besides its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// All that the umask lets.
    #[default]
    Usual,
    /// The owner's group at most: what keeps a job's state, raw rows and frames.
    Group,
}

impl Access {
    /// Opens files so that new ones have this access.
    pub fn open_options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(match self {
            Self::Usual => 0o666,
            Self::Group => 0o640,
        });
        options
    }

    /// Opens a file of ours, whose name can be guessed in a folder that others may write to, for reading
    /// and writing; makes it if it is not there.
    ///
    /// # Errors
    /// When the system refuses, or something else is there than a regular file.
    pub fn open_own(self, path: &Path) -> io::Result<File> {
        self.own(path, |options| options.read(true).write(true).create(true).truncate(false))
    }

    /// As [`open_own`](Self::open_own), to add to its end.
    ///
    /// # Errors
    /// As there.
    pub fn append_to_own(self, path: &Path) -> io::Result<File> {
        self.own(path, |options| options.read(true).append(true).create(true))
    }

    fn own(
        self,
        path: &Path,
        set: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions,
    ) -> io::Result<File> {
        let mut options = self.open_options();
        // Without the second flag a pipe without a reader would be waited for.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match set(&mut options).open(path) {
            Ok(file) => regular(file),
            Err(error) => Err(fs::symlink_metadata(path)
                .ok()
                .and_then(|there| unusable(path, there.file_type()))
                .unwrap_or(error)),
        }
    }
}

/// What stands at a name instead of a regular file, in words; none if that is one, or a folder.
pub(crate) fn special(kind: FileType) -> Option<&'static str> {
    if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        None
    }
}

fn unusable(path: &Path, kind: FileType) -> Option<io::Error> {
    let text = if kind.is_symlink() {
        let to = fs::read_link(path).unwrap_or_default();
        format!(
            "it is a symbolic link to \"{}\", which is not written through; remove it, or name that \
             file itself",
            to.display()
        )
    } else {
        format!("it is {}, not a regular file", special(kind)?)
    };
    Some(io::Error::other(text))
}

fn regular(file: File) -> io::Result<File> {
    match special(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(what) => Err(io::Error::other(format!("it is {what}, not a regular file"))),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// When the system refuses, or something else is there.
pub fn open(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?)
}

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// As [`open`], and when it is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    up_to(open(path)?, most)
}

/// Reads a text of at most so many bytes that the user named: a pipe is one as well.
///
/// # Errors
/// When the system refuses, and when it is longer, or not UTF-8.
pub fn read_named(path: &Path, most: u64) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let bytes = match file.metadata()?.file_type().is_fifo() {
        true => up_to(PipeReader { from: file, any: false }, most)?,
        // A terminal is waited for.
        false => up_to(File::open(path)?, most)?,
    };
    text(bytes)
}

/// Reads a text of at most so many bytes from a regular file: a pipe would be waited for, and that
/// cannot be interrupted where a run has begun.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text(read(path, most)?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("byte {at} of it is not UTF-8"))
    })
}

/// A pipe that is read; it is waited for, but not forever.
struct PipeReader<R> {
    from: R,
    /// Whether anything has come: before that an end means that nobody has opened it to write.
    any: bool,
}

impl<R: Read> Read for PipeReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            match self.from.read(into) {
                Ok(0) if !self.any => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(bytes) => {
                    self.any = true;
                    return Ok(bytes);
                }
                Err(error) => return Err(error),
            }
            if since.elapsed() > SILENCE {
                let text = format!("nothing came from it within {} s", SILENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            thread::sleep(LOOK);
        }
    }
}

/// Reads an open file of at most so many bytes.
///
/// # Errors
/// When the system refuses, and when it is longer.
pub fn up_to(file: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_long("it", most)),
        false => Ok(bytes),
    }
}

/// Whether a file of this length is read.
///
/// # Errors
/// When it is longer than `most`.
pub fn check_length(length: u64, most: u64) -> io::Result<()> {
    if length > most { Err(too_long("it", most)) } else { Ok(()) }
}

fn too_long(what: &str, most: u64) -> io::Error {
    let text = format!("{what} is longer than {most} bytes, the most that is read of such a file");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    /// Without its end.
    pub text: &'a [u8],
    /// Where the next one begins; none if this one has no end, as a crash leaves it.
    pub next: Option<u64>,
}

/// An object as JSON, and the end of its line.
///
/// # Errors
/// When it has no JSON form.
pub fn json_line(object: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    Ok(line)
}

/// Adds an object to a file of JSON lines, durably and in one write.
///
/// # Errors
/// When it has no JSON form, or the disk refuses.
pub fn append_json(file: &mut File, object: &impl Serialize) -> io::Result<()> {
    file.write_all(&json_line(object)?)?;
    file.sync_data()
}

/// The lines of a file, none longer than [`LONGEST_LINE`].
#[derive(Debug)]
pub struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    at: u64,
}

impl Lines<File> {
    /// Those of a regular file; none if it is not there.
    ///
    /// # Errors
    /// As [`open`].
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self::new(file?))),
        }
    }
}

impl<R: Read> Lines<R> {
    /// Of what is read here.
    pub fn new(from: R) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), number: 0, at: 0 }
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    /// When it cannot be read, or is too long.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut from = (&mut self.from).take(LONGEST_LINE + 1);
        let read = from.read_until(b'\n', &mut self.line)? as u64;
        self.number += 1;
        self.at += read;
        if read > LONGEST_LINE {
            return Err(too_long(&format!("line {}", self.number), LONGEST_LINE));
        }
        let is_whole = self.line.pop_if(|last| *last == b'\n').is_some();
        let text = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let line = Line { number: self.number, text, next: is_whole.then_some(self.at) };
        Ok((read > 0).then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn neither_links_nor_pipes_are_files_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        pipe(&at("pipe"));
        fs::create_dir(at("folder")).unwrap();
        for (name, said) in [("link", "precious\""), ("dangling", "nothing\""), ("pipe", "a pipe")]
        {
            let path = at(name);
            let refused = |opened: io::Result<File>| opened.unwrap_err().to_string();
            for error in [
                refused(Access::Group.open_own(&path)),
                refused(Access::Usual.append_to_own(&path)),
            ] {
                assert!(error.contains(said), "{error}");
            }
        }
        assert!(Access::Group.open_own(&at("folder")).is_err());
        assert!(open(&at("pipe")).unwrap_err().to_string().contains("a pipe"));
        assert!(open(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        assert!(read(&at("link"), 8).is_ok() && !at("nothing").exists());
        assert_eq!(fs::read(at("precious")).unwrap(), b"precious");
        Access::Group.open_own(&at("new")).unwrap();
        let mode = fs::metadata(at("new")).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
    }

    #[test]
    fn what_is_read_whole_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "12345678").unwrap();
        assert_eq!(read_named(&path, 8).unwrap(), "12345678");
        assert!(read_named(&path, 7).unwrap_err().to_string().contains("longer than 7 bytes"));
        assert!(read_named(Path::new("/dev/zero"), 1 << 20).is_err());
        fs::write(&path, b"12\xff").unwrap();
        assert!(read_named(&path, 8).unwrap_err().to_string().contains("byte 2"));
        let endless = Lines::new(io::repeat(0)).next_line().unwrap_err();
        assert!(endless.to_string().starts_with("line 1 is longer"), "{endless}");
    }

    proptest! {
        /// Lines are as the standard library splits them, and their ends add up.
        #[test]
        fn lines_are_lines(text in "[ab\r\n]{0,40}") {
            let (mut lines, mut whole) = (Vec::new(), 0);
            let mut read = Lines::new(text.as_bytes());
            while let Some(line) = read.next_line().unwrap() {
                lines.push(String::from_utf8(line.text.to_vec()).unwrap());
                whole = line.next.unwrap_or(whole);
            }
            prop_assert_eq!(whole as usize, text.rfind('\n').map_or(0, |at| at + 1));
            let expected: Vec<&str> = text.split_terminator('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
