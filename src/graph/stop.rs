//! How a run is asked to end, and why it did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An error of any part of a run.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A flag that everybody who feeds the graph looks at, and the first reason for raising it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    cause: Arc<Mutex<Option<Cause>>>,
}

impl Stop {
    /// A flag nobody has raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag itself, for signal handlers.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    /// Asks for the end; what is under way is finished and flushed.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
    }

    /// Asks for the end because of an error; the first error is kept.
    pub fn fail(&self, cause: impl Into<Cause>) {
        let mut slot = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| cause.into());
        drop(slot);
        self.raise();
    }

    /// Whether the end was asked for.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// The first error, taken out.
    pub fn take_cause(&self) -> Option<Cause> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
