//! What to do when the system does not hand over a connection.

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

/// Before the next attempt.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Between two lines of log.
const LINE: Duration = Duration::from_secs(30);

/// Whether the client hung up before it was attended to, which says nothing about the next one.
pub(crate) fn is_of_the_client(error: &Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How often it failed, and when that was last said.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    unsaid: u64,
    said: Option<Instant>,
}

impl Refusals {
    /// It failed once more: how often since the last line, if it is time for a line.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < LINE) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_how_often_it_failed() {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.count(began), Some(1));
        for second in 1..30 {
            assert_eq!(refusals.count(began + Duration::from_secs(second)), None);
        }
        assert_eq!(refusals.count(began + LINE), Some(30));
        assert_eq!(refusals.count(began + LINE), None);
    }

    #[test]
    fn missing_file_handles_are_not_the_clients_fault() {
        assert!(is_of_the_client(&Error::from(ErrorKind::ConnectionAborted)));
        let too_many_open_files = Error::from_raw_os_error(24);
        assert!(!is_of_the_client(&too_many_open_files));
    }
}
