//! Data for standard output.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

/// Why some of what a command printed did not arrive.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes text; a reader that has closed the pipe has seen enough. Any other error ends the command as
/// [failed](lost) once it is done.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = LOST.set(error.to_string());
        }
        _ => {}
    }
}

/// Why some of what was printed did not arrive; none where all did, or its reader closed the pipe.
pub(super) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}
