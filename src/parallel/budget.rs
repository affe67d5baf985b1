//! How much a worker may be ahead.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::stop::Stop;

/// Bytes of one chunk that may wait for the joiner: a day of four million trades that cannot be
/// let go, and more bars than a chunk ever makes.
pub const CHUNK_BYTES: usize = 192 << 20;

/// How often somebody who waits for room looks whether the run has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes in use; a thread that wants more waits. One batch is let through even if it alone is too
/// much.
#[derive(Debug, Default)]
pub struct Budget {
    used: Mutex<usize>,
    freed: Condvar,
}

impl Budget {
    /// Takes room, waiting for it; false when the run ends meanwhile.
    pub fn take(&self, bytes: usize, stop: &Stop) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used + bytes > CHUNK_BYTES {
            if stop.is_raised() {
                return false;
            }
            let waited = self.freed.wait_timeout(used, LOOK);
            used = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *used += bytes;
        true
    }

    /// Gives room back.
    pub fn give_back(&self, bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let was_full = *used + bytes > CHUNK_BYTES;
        *used = used.saturating_sub(bytes);
        drop(used);
        if was_full {
            self.freed.notify_one();
        }
    }
}
