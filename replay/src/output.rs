//! Outputs that were named, and standard output.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::files::{Access, LOOK, special};
use crate::progress::StopFlag;

/// How long a named pipe may be without a reader when it is opened, and how long its reader may take
/// nothing once the end of the run was asked for.
const PATIENCE: Duration = Duration::from_secs(5);

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
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        assert!(!is_link(&at("precious")));
        for path in [at("link"), at("dangling")] {
            assert!(is_link(&path));
            for writing in [Writing::Append, Writing::Update] {
                let stop = StopFlag::default();
                let error = open_output(&path, Access::Group, writing, &stop).unwrap_err();
                assert!(error.to_string().contains("not written through"), "{error}");
            }
        }
        assert!(!at("nothing").exists());
        assert_eq!(fs::read(at("precious")).unwrap(), b"precious");
    }

    #[test]
    fn outputs_that_are_pipes_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
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
}
