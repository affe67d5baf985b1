//! What can be read only once (standard input, pipes) is read once, into a temporary file without a
//! name, and looked at and read there as often as any file.
//!
//! The paths that were spooled are a property of the process: a pipe that was read is empty for
//! everybody in it. So they are kept in one place, which [`open`] asks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::ReplayError;
use crate::files;
use crate::progress::StopFlag;

/// The argument that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// Between two looks at the flag.
const LOOK: Duration = Duration::from_millis(50);

static SPOOLED: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

fn spooled() -> MutexGuard<'static, BTreeMap<PathBuf, File>> {
    SPOOLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file, at its beginning; of one that was spooled what was read from it.
///
/// # Errors
/// When the system refuses.
pub fn open(path: &Path) -> io::Result<File> {
    match spooled().get(path) {
        Some(file) => reopen(file),
        None => files::open(path),
    }
}

/// A handle with a position of its own: a duplicated one would share it.
#[cfg(target_os = "linux")]
fn reopen(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn reopen(_: &File) -> io::Result<File> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Bytes of a file, or of what was spooled of it.
///
/// # Errors
/// When the system refuses.
pub fn length(path: &Path) -> io::Result<u64> {
    match spooled().get(path) {
        Some(file) => file.metadata().map(|metadata| metadata.len()),
        None => std::fs::metadata(path).map(|metadata| metadata.len()),
    }
}

/// Reads all of what can be read only once, unless that was done before.
///
/// # Errors
/// When it or the temporary file cannot be used, on devices, when it has more than `most` bytes or
/// than half of what the disk has free, and when `stop` is raised.
pub fn take(path: &Path, most: u64, stop: &StopFlag) -> Result<(), ReplayError> {
    if spooled().contains_key(path) {
        return Ok(());
    }
    if cfg!(not(target_os = "linux")) {
        let reason = "it is a pipe, which can be read only once; save it to a file first";
        return Err(ReplayError::layout(path, reason));
    }
    let (send, read) = channel();
    let from = path.to_owned();
    // Opening a pipe waits for its writer and reading for its data, neither of which heeds a flag.
    thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || {
            // Nobody listens any more after a stop.
            let _ = send.send(copy(&from, most));
        })
        .map_err(|e| ReplayError::io("start a thread to read", path, e))?;
    let result = loop {
        match read.recv_timeout(LOOK) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Timeout) if stop.is_raised() => return Err(ReplayError::Stopped),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let error = io::Error::other("the thread that reads it panicked");
                break Err(ReplayError::io("read", path, error));
            }
        }
    };
    spooled().insert(path.to_owned(), result?);
    Ok(())
}

fn copy(path: &Path, most: u64) -> Result<File, ReplayError> {
    let standard = path == Path::new(STANDARD_INPUT) || path == Path::new("/dev/stdin");
    let stdin = io::stdin();
    if standard && stdin.is_terminal() {
        let reason = "it is a terminal; pipe trades into it, or name a file";
        return Err(ReplayError::layout(path, reason));
    }
    let unreadable = |e| ReplayError::io("open", path, e);
    let mut from = match standard {
        true => File::from(stdin.as_fd().try_clone_to_owned().map_err(unreadable)?),
        false => File::open(path).map_err(unreadable)?,
    };
    if from.metadata().map_err(unreadable)?.file_type().is_char_device() {
        let reason = "it is a device, not a file or a pipe of trades";
        return Err(ReplayError::layout(path, reason));
    }
    let folder = std::env::temp_dir();
    let mut to = tempfile::tempfile_in(&folder)
        .map_err(|e| ReplayError::io("create a temporary file in", &folder, e))?;
    let room = room(&folder);
    let mut buffer = vec![0; 1 << 17];
    let mut bytes = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReplayError::io("read", path, error)),
        };
        bytes += read as u64;
        if bytes > most.min(room) {
            let text = match bytes > most {
                true => format!("it has more than {most} bytes, the most that is read of it"),
                false => format!(
                    "what can be read only once is kept in \"{}\" meanwhile, and it has more than {room} \
                     bytes, half of what was free there; save it to a file, or set TMPDIR to a folder \
                     with more room",
                    folder.display()
                ),
            };
            return Err(ReplayError::layout(path, text));
        }
        io::Write::write_all(&mut to, &buffer[..read])
            .map_err(|e| ReplayError::io("write to a temporary file in", &folder, e))?;
    }
    to.rewind().map_err(|e| ReplayError::io("read", path, e))?;
    Ok(to)
}

/// Half of the bytes that are free in a folder.
fn room(folder: &Path) -> u64 {
    // A system that does not say refuses the writing itself.
    let disk = rustix::fs::statvfs(folder);
    disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) / 2)
}
