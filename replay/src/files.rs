//! How files are opened, each kind in one way: what somebody else laid at a name that can be guessed, or
//! handed over, is neither followed, nor waited for, nor read without end.
//!
//! | kind | symbolic link | anything but a regular file |
//! |---|---|---|
//! | a file of ours ([`Access::open_own`], [`Access::append_to_own`]) | refused | refused |
//! | an output that was named ([`open_output`]) | refused, except the system's own (`/dev/stdout`) | written to as a [`Stream`] |
//! | what is read ([`open`], [`read`]) | followed | refused |
//! | a text that was named ([`read_named`]) | followed | read, up to a limit |

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::progress::StopFlag;

/// The longest line of a file of ours, or of one that was written by a barflow: far above any.
pub const LONGEST_LINE: u64 = 1 << 20;

/// Between two looks at what does not answer.
const LOOK: Duration = Duration::from_millis(20);
/// How long a named pipe may be without a reader when it is opened, and how long its reader may take
/// nothing once the end of the run was asked for.
const PATIENCE: Duration = Duration::from_secs(5);

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
        true => up_to(Heard { from: file, any: false }, most)?,
        // A terminal is waited for.
        false => up_to(File::open(path)?, most)?,
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("byte {at} of it is not UTF-8"))
    })
}

/// A pipe that is read; it is waited for, but not forever.
struct Heard<R> {
    from: R,
    /// Whether anything has come: before that an end means that nobody has opened it to write.
    any: bool,
}

impl<R: Read> Read for Heard<R> {
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

/// How a regular file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// At its end, also where others add to it.
    Append,
    /// Anywhere.
    Update,
}

/// An output that was named.
#[derive(Debug)]
pub enum Output {
    /// A regular file.
    File(File),
    /// Something that cannot be read back.
    Stream(Stream),
}

/// A pipe, terminal or device that is written to. Its reader is waited for, but not after the end of the
/// run was asked for.
#[derive(Debug)]
pub struct Stream {
    file: File,
    /// Whether it is shared with others, so that it cannot be told not to wait.
    shared: bool,
    stop: StopFlag,
    /// Until when its reader is waited for: the end was asked for, and it takes nothing.
    until: Option<Instant>,
}

/// Opens an output that was named, or makes a regular file there.
///
/// # Errors
/// When the system refuses, at a symbolic link that is not the system's own, and at a named pipe that
/// nobody reads.
pub fn open_output(
    path: &Path,
    access: Access,
    writing: Writing,
    stop: &StopFlag,
) -> io::Result<Output> {
    let is_systems = is_systems(path);
    let there = if is_systems { fs::metadata(path) } else { fs::symlink_metadata(path) };
    if there.is_ok_and(|there| special(there.file_type()).is_some()) {
        return Stream::open(path, access, is_systems, stop).map(Output::Stream);
    }
    if is_systems {
        // Standard output that leads to a file: it is added to, as the shell would.
        return access.open_options().append(true).open(path).map(Output::File);
    }
    match writing {
        Writing::Append => access.append_to_own(path),
        Writing::Update => access.open_own(path),
    }
    .map(Output::File)
}

/// Whether an output is a symbolic link that is not followed.
pub fn is_link(path: &Path) -> bool {
    path.is_symlink() && !is_systems(path)
}

/// Whether only the system makes names in this folder: `/dev`, and the open files of a process.
fn is_systems(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    folder.is_some_and(|folder| {
        folder == Path::new("/dev") || (folder.starts_with("/proc") && folder.ends_with("fd"))
    })
}

impl Stream {
    fn open(path: &Path, access: Access, follow: bool, stop: &StopFlag) -> io::Result<Self> {
        let mut options = access.open_options();
        // Where others may write to the folder, the kernel refuses to create what is their pipe
        // (fs.protected_fifos).
        let links = if follow { 0 } else { libc::O_NOFOLLOW };
        options.write(true).create(!follow).truncate(false).custom_flags(libc::O_NONBLOCK | links);
        let until = Instant::now() + PATIENCE;
        loop {
            match options.open(path) {
                Ok(file) => {
                    return Ok(Self { file, shared: false, stop: stop.clone(), until: None });
                }
                Err(error) if error.raw_os_error() != Some(libc::ENXIO) => return Err(error),
                Err(_) if stop.is_raised() || Instant::now() >= until => {
                    let text = "it is a pipe that nobody reads; start its reader first";
                    return Err(io::Error::other(text));
                }
                Err(_) => thread::sleep(LOOK),
            }
        }
    }
}

/// Standard output. It is written to at once: a print before or after it stands before or after it.
///
/// # Errors
/// When there is none.
pub fn standard_output(stop: &StopFlag) -> io::Result<Output> {
    let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok(match special(file.metadata()?.file_type()) {
        None => Output::File(file),
        Some(_) => Output::Stream(Stream { file, shared: true, stop: stop.clone(), until: None }),
    })
}

impl Stream {
    /// Writes what is taken without waiting for long.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.shared {
            return self.file.write(bytes);
        }
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&look)) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            // So much has room in a pipe that takes anything at all.
            Ok(_) => self.file.write(&bytes[..bytes.len().min(libc::PIPE_BUF)]),
            Err(error) => Err(error.into()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.until = None;
                    return done;
                }
            }
            if self.stop.is_raised() {
                let until = *self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
                if Instant::now() >= until {
                    return Err(io::Error::other("its reader takes nothing"));
                }
            }
            if !self.shared {
                thread::sleep(LOOK);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
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
        let stop = StopFlag::default();
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
            assert_eq!(is_link(&path), name != "pipe");
            for writing in [Writing::Append, Writing::Update].into_iter().filter(|_| name != "pipe")
            {
                let error = open_output(&path, Access::Group, writing, &stop).unwrap_err();
                assert!(error.to_string().contains("not written through"), "{error}");
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
    fn outputs_that_are_pipes_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let open =
            |path: &Path, stop: &StopFlag| open_output(path, Access::Usual, Writing::Append, stop);
        let stop = StopFlag::default();
        // More than a pipe holds, to a reader that takes its time.
        let read = thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&path).unwrap());
            open(&path, &stop).unwrap().write_all(&[7; 1 << 18]).unwrap();
            reader.join().unwrap()
        });
        assert_eq!(read, vec![7; 1 << 18]);
        open(Path::new("/dev/null"), &stop).unwrap().write_all(b"x").unwrap();
        let raised = StopFlag::from(std::sync::Arc::new(true.into()));
        assert!(open(&path, &raised).unwrap_err().to_string().contains("nobody reads"));
        let held = File::options().read(true).write(true).open(&path).unwrap();
        let refused = open(&path, &raised).unwrap().write_all(&[7; 1 << 18]).unwrap_err();
        assert!(refused.to_string().contains("takes nothing"), "{refused}");
        drop(held);
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
