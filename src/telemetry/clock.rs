//! The time at which things happen to us, as opposed to event time.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time at the first call, and the monotonic clock since: differences are never negative
/// when the computer's clock is set.
fn anchor() -> &'static (i64, Instant) {
    static ANCHOR: OnceLock<(i64, Instant)> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX), Instant::now())
    })
}

/// Now, in ns since the Unix epoch. Never goes back within a process.
pub fn now_ns() -> i64 {
    let (wall, since) = anchor();
    wall.saturating_add(i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX))
}
