//! How far reading has got, for a progress bar, and whether it is still wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Raised to end reading.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl From<Arc<AtomicBool>> for StopFlag {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// Counters shared by readers and the progress display, and the flag that ends readers that are
/// in the middle of something long.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    rows: Arc<AtomicU64>,
    stop: StopFlag,
}

impl Progress {
    /// Counters of reading that ends when this flag is raised.
    pub fn until(stop: StopFlag) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Counters of their own, ended by the same flag.
    pub fn uncounted(&self) -> Self {
        Self::until(self.stop.clone())
    }

    /// Whether reading is no longer wanted.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_raised()
    }

    /// Notes bytes of input as they lie on disk.
    pub fn add_bytes(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes rows.
    pub fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}
