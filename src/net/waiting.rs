//! Waits for other machines on threads of their own: neither a request nor the reading of what is sent heeds a flag,
//! and a user who asks for the end is not to wait for a timeout. A thread that is left behind ends with its request, or
//! with the process.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// Between two looks at whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// What waiting has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// Something came.
    Came(T),
    /// Nothing comes any more.
    Ended,
    /// The end was asked for.
    Stopped,
}

/// What comes next, until the end is asked for.
pub fn receive<T>(from: &Receiver<T>, is_over: impl Fn() -> bool) -> Waited<T> {
    while !is_over() {
        match from.recv_timeout(LOOK) {
            Ok(value) => return Waited::Came(value),
            Err(RecvTimeoutError::Disconnected) => return Waited::Ended,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Waited::Stopped
}

/// The result of work that may take long, on a thread of this name; none once the end was asked for.
///
/// # Errors
/// When the system starts no thread, or it panics.
pub fn on_a_thread<T: Send + 'static>(
    name: &str,
    is_over: impl Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (send, result) = sync_channel(1);
    // Nobody listens any more after a stop.
    Builder::new().name(name.to_owned()).spawn(move || drop(send.send(work())))?;
    match receive(&result, is_over) {
        Waited::Came(value) => Ok(Some(value)),
        Waited::Ended => Err(io::Error::other("a thread panicked")),
        Waited::Stopped => Ok(None),
    }
}

/// Sleeps; false once the end was asked for.
pub fn sleep_until(until: Instant, is_over: impl Fn() -> bool) -> bool {
    while !is_over() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(LOOK));
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::stop::Stop;

    #[test]
    fn work_has_a_result_and_whoever_waits_is_let_go_by_the_flag() {
        let stop = Stop::new();
        let is_over = || stop.is_raised();
        assert_eq!(on_a_thread("work", is_over, || 7).unwrap(), Some(7));
        assert!(on_a_thread("work", is_over, || panic!("on purpose")).is_err());
        assert!(sleep_until(Instant::now(), is_over));
        let flag = stop.clone();
        let waiting = thread::spawn(move || on_a_thread("work", || flag.is_raised(), thread::park));
        stop.raise();
        assert_eq!(waiting.join().unwrap().unwrap(), None);
        assert!(!sleep_until(Instant::now() + Duration::from_secs(3600), is_over));
    }
}
