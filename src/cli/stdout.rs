//! Data for standard output.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::printable::json;

/// Why some of what a command printed did not arrive.
static LOST: OnceLock<String> = OnceLock::new();

/// When the text began that is being written; none while nothing is.
static SINCE: Mutex<Option<Instant>> = Mutex::new(None);

/// Writes text; a reader that has closed the pipe has seen enough. Any other error ends the command as
/// [failed](lost) once it is done.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    *since() = Some(Instant::now());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = LOST.set(error.to_string());
        }
        _ => {}
    }
    *since() = None;
}

/// As [`print`], a JSON text: whatever a file says of itself moves no cursor.
pub(super) fn print_json(text: &str) {
    print(&json(text));
}

fn since() -> MutexGuard<'static, Option<Instant>> {
    SINCE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long a text has been waiting for its reader; none if there is none.
pub(super) fn waits() -> Option<Duration> {
    since().map(|since| since.elapsed())
}

/// Why some of what was printed did not arrive; none where all did, or its reader closed the pipe.
pub(super) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}
