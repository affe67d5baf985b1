//! What can be read only once (standard input, pipes) is read once, into a temporary file without a
//! name, and looked at and read there as often as any file.
//!
//! The paths that were spooled are a property of the process: a pipe that was read is empty for
//! everybody in it. So they are kept in one place, which [`open`] asks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::ReplayError;
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
        None => File::open(path),
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
/// When it or the temporary file cannot be used, on terminals, and when `stop` is raised.
pub(crate) fn take(path: &Path, stop: &StopFlag) -> Result<(), ReplayError> {
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
            let _ = send.send(copy(&from));
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

fn copy(path: &Path) -> Result<File, ReplayError> {
    let standard = path == Path::new(STANDARD_INPUT) || path == Path::new("/dev/stdin");
    let mut from: Box<dyn Read> = if standard {
        if io::stdin().is_terminal() {
            let reason = "it is a terminal; pipe trades into it, or name a file";
            return Err(ReplayError::layout(path, reason));
        }
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|e| ReplayError::io("open", path, e))?)
    };
    let folder = std::env::temp_dir();
    let mut to = tempfile::tempfile_in(&folder)
        .map_err(|e| ReplayError::io("create a temporary file in", &folder, e))?;
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReplayError::io("read", path, error)),
        };
        io::Write::write_all(&mut to, &buffer[..read])
            .map_err(|e| ReplayError::io("write to a temporary file in", &folder, e))?;
    }
    to.rewind().map_err(|e| ReplayError::io("read", path, e))?;
    Ok(to)
}
