//! The time at which things happen to us, as opposed to event time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time at the first call, and the monotonic clock since: differences are never negative
/// when the computer's clock is set.
fn anchor() -> &'static (i64, Instant) {
    static ANCHOR: OnceLock<(i64, Instant)> = OnceLock::new();
    ANCHOR.get_or_init(|| (wall_ns(), Instant::now()))
}

/// By how much the computer's clock was set forward since, ns.
static FORWARD: AtomicI64 = AtomicI64::new(0);

/// Less than this is left to the monotonic clock: clocks are adjusted all the time.
const STEP: i64 = 1_000_000_000;

fn wall_ns() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX)
}

/// Now, in ns since the Unix epoch. Never goes back within a process.
pub fn now_ns() -> i64 {
    let (wall, since) = anchor();
    let since = i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX);
    wall.saturating_add(since).saturating_add(FORWARD.load(Ordering::Relaxed))
}

/// The same, with a step of the computer's clock that nobody has [followed](follow) yet: what is read right
/// after a sleep of the computer is not from the future.
pub fn received_ns() -> i64 {
    let now = now_ns();
    now.saturating_add(behind(wall_ns(), now).unwrap_or(0))
}

/// Follows the computer's clock, if it was set forward or stood still while the computer slept; by how
/// much, ns. One thread does that, now and then: trades would otherwise seem to come from the future.
pub fn follow() -> Option<i64> {
    let behind = behind(wall_ns(), now_ns())?;
    FORWARD.fetch_add(behind, Ordering::Relaxed);
    Some(behind)
}

/// By how much `now` is behind the wall clock, if that is worth a step.
fn behind(wall: i64, now: i64) -> Option<i64> {
    Some(wall.saturating_sub(now)).filter(|behind| *behind > STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_is_followed_and_one_that_is_set_back_is_not() {
        assert_eq!(behind(10 * STEP, 7 * STEP), Some(3 * STEP));
        assert_eq!(behind(10 * STEP, 10 * STEP - 5), None);
        assert_eq!(behind(7 * STEP, 10 * STEP), None);
        let before = now_ns();
        assert!(follow().is_none() && now_ns() >= before);
    }
}
