//! Waits for a registry on threads of their own: a request does not heed a flag, and a user who asks for the end is not
//! to wait for a timeout. A thread that is left behind ends with its request, or with the process.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use crate::stop::Stop;

/// Between two looks at the flag.
const LOOK: Duration = Duration::from_millis(50);

/// The result of work that may take long; none once the end was asked for.
///
/// # Errors
/// When the system starts no thread.
pub(super) fn on_a_thread<T: Send + 'static>(
    stop: &Stop,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (send, result) = sync_channel(1);
    // Nobody listens any more after a stop.
    Builder::new().name("registry".to_owned()).spawn(move || drop(send.send(work())))?;
    while !stop.is_raised() {
        match result.recv_timeout(LOOK) {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("a thread panicked"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Ok(None)
}

/// Sleeps, or until the end is asked for.
pub(super) fn sleep(stop: &Stop, mut time: Duration) {
    while !stop.is_raised() && !time.is_zero() {
        let next = time.min(LOOK);
        std::thread::sleep(next);
        time -= next;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn work_has_a_result_and_whoever_waits_is_let_go_by_the_flag() {
        let stop = Stop::new();
        assert_eq!(on_a_thread(&stop, || 7).unwrap(), Some(7));
        assert!(on_a_thread(&stop, || panic!("on purpose")).is_err());
        let flag = stop.clone();
        let waiting = std::thread::spawn(move || on_a_thread(&flag, std::thread::park));
        stop.raise();
        assert_eq!(waiting.join().unwrap().unwrap(), None);
        sleep(&stop, Duration::MAX);
    }
}
