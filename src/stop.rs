//! How a run is stopped, and why.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// An error of any part of a run.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A part of the program that ended without an error of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breakdown {
    /// A thread panicked.
    #[error("{part} panicked{}{}", if why.is_empty() { "" } else { ": " }, why)]
    Panicked {
        /// Which: "a worker", "the thread of feed \"spot\"".
        part: String,
        /// The message of the panic, if it is known.
        why: String,
    },
    /// The dataflow or one of its threads could not start.
    #[error("{part} could not start: {why}")]
    NotStarted {
        /// Which: "the dataflow".
        part: String,
        /// What was said.
        why: String,
    },
}

impl Breakdown {
    /// A thread panicked with an unknown message.
    pub fn panicked(part: impl Into<String>) -> Self {
        Self::Panicked { part: part.into(), why: String::new() }
    }
}

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Who asked for the end from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who sent a signal.
    Signal(Signal),
    /// Another process of the job, by its number.
    Process(usize),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => signal.fmt(f),
            Self::Process(process) => write!(f, "process {process}"),
        }
    }
}

/// How long an end may take where nobody has said otherwise: so long container managers wait.
const ENDING: Duration = Duration::from_secs(30);

/// What the first error was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// An input that cannot be read on; what it gave before may still be on its way.
    Input,
    Other,
}

/// A flag that everybody who feeds the graph looks at, and the first reason for raising it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    cause: Arc<Mutex<Option<(Origin, Cause)>>>,
    asker: Arc<Mutex<Option<Asker>>>,
    since: Arc<OnceLock<Instant>>,
    /// Whether somebody else asked, even if the end had been decided by then.
    was_asked: Arc<AtomicBool>,
    /// Seconds that the end may take longer than usual.
    longer: Arc<AtomicU64>,
}

impl Stop {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag itself, for signal handlers.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    /// Asks for the end; what is under way is finished and flushed.
    pub fn raise(&self) {
        self.since.get_or_init(Instant::now);
        self.raised.store(true, Ordering::Release);
    }

    /// For how long the end has been asked for; none if it has not been.
    pub fn raised_for(&self) -> Option<Duration> {
        self.since.get().map(Instant::elapsed)
    }

    /// The end may take so much longer than usual: somebody is to be waited for.
    pub fn allow(&self, longer: Duration) {
        self.longer.fetch_max(longer.as_secs(), Ordering::AcqRel);
    }

    /// Whether the end was asked for so long ago that something must be waited for in vain, such as the
    /// reader of an output.
    pub fn is_overdue(&self) -> bool {
        let allowed = ENDING + Duration::from_secs(self.longer.load(Ordering::Acquire));
        self.raised_for().is_some_and(|since| since >= allowed)
    }

    /// Requests the end on behalf of another, who is remembered if it is the first request.
    pub fn raise_for(&self, asker: Asker) {
        self.was_asked.store(true, Ordering::Release);
        if !self.is_raised() {
            let mut slot = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(asker);
        }
        self.raise();
    }

    /// Whether somebody else asked for the end, if only after it had been decided.
    pub fn was_asked_for(&self) -> bool {
        self.was_asked.load(Ordering::Acquire)
    }

    /// On whose behalf the end was asked for, if it was not ours.
    pub fn asker(&self) -> Option<Asker> {
        *self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the end because of an error; the first error is kept.
    pub fn fail(&self, cause: impl Into<Cause>) {
        self.keep_first(Origin::Other, cause.into());
    }

    /// Asks for the end because an input cannot be read on.
    pub fn fail_input(&self, cause: impl Into<Cause>) {
        self.keep_first(Origin::Input, cause.into());
    }

    /// Asks for the end because of a row that an input gave. Readers are ahead of those who look at
    /// the rows: an input that could not be read on since then failed behind this row, and the row is
    /// the first error.
    pub fn fail_row(&self, cause: impl Into<Cause>) {
        let mut slot = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take_if(|(origin, _)| *origin == Origin::Input);
        drop(slot);
        self.keep_first(Origin::Other, cause.into());
    }

    fn keep_first(&self, origin: Origin, cause: Cause) {
        let mut slot = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert((origin, cause));
        drop(slot);
        self.fail_untold();
    }

    /// Requests the end because of an error, which is reported separately.
    pub fn fail_untold(&self) {
        self.failed.store(true, Ordering::Release);
        self.raise();
    }

    /// Whether the end was asked for.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Whether it was asked for because of an error.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The first error, taken out.
    pub fn take_cause(&self) -> Option<Cause> {
        let taken = self.cause.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.map(|(_, cause)| cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_kept_and_a_row_comes_before_the_end_of_its_input() {
        type Fail = fn(&Stop);
        let input: Fail = |stop| stop.fail_input("input");
        let row: Fail = |stop| stop.fail_row("row");
        let sink: Fail = |stop| stop.fail("sink");
        for (fails, kept) in [
            (vec![input, row], "row"),
            (vec![row, input], "row"),
            (vec![input, sink], "input"),
            (vec![sink, input, row], "sink"),
            (vec![input, row, sink], "row"),
        ] {
            let stop = Stop::new();
            fails.iter().for_each(|fail| fail(&stop));
            assert!(stop.has_failed() && stop.is_raised());
            assert_eq!(stop.take_cause().map(|cause| cause.to_string()).as_deref(), Some(kept));
        }
    }
}
