//! Data for standard output.

use std::io::Write;

/// Writes text; a reader that has closed the pipe has seen enough.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
