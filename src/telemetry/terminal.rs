//! The terminal, where log lines, bars on standard output and a line that redraws itself meet.
//!
//! **Invariant:** while a bottom line is shown, whatever else goes to the terminal is written
//! [`above`] it, a whole piece at a time; so no line is torn, and nothing of the bottom line stays.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

static BOTTOM: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn bottom() -> MutexGuard<'static, Option<ProgressBar>> {
    BOTTOM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether standard error is a terminal that can redraw a line.
pub fn can_redraw() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A line at the bottom of the terminal, until it is dropped.
#[derive(Debug)]
pub struct BottomLine(ProgressBar);

impl BottomLine {
    /// Shows this line; it replaces another one.
    pub fn show(line: ProgressBar) -> Self {
        *bottom() = Some(line.clone());
        Self(line)
    }

    /// The line.
    pub fn line(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for BottomLine {
    fn drop(&mut self) {
        *bottom() = None;
        self.0.finish_and_clear();
    }
}

/// Clears the bottom line, if there is one, because the process ends at once.
pub fn clear() {
    if let Some(line) = bottom().take() {
        line.finish_and_clear();
    }
}

/// Writes something to the terminal while the bottom line, if there is one, is out of the way.
pub fn above<T>(write: impl FnOnce() -> T) -> T {
    let line = bottom().clone();
    match line {
        Some(line) => line.suspend(write),
        None => write(),
    }
}

/// Standard error for the log: each line goes above the bottom line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().lock().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Whether standard error takes colours: a terminal without NO_COLOR, or one that was told so.
pub fn has_colour() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
