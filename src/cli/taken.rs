//! A copy of a job that another one has taken over from.

use std::time::Duration;

use super::say::say;
use crate::config::delivery::IfTaken;
use crate::graph::sink::SinkError;
use crate::job::JobError;
use crate::stop::Stop;

/// Between two looks at whether the end was asked for.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until a signal asks for the end, if that is what this copy is to do: a supervisor that starts
/// again whatever has ended would have both copies take the job from each other.
pub(super) fn wait<T>(ran: &Result<T, JobError>, if_taken: IfTaken, stop: &Stop) {
    let Err(JobError::Sink(SinkError::Fenced(reason))) = ran else { return };
    if if_taken == IfTaken::Exit {
        return;
    }
    let reason = reason.lines().next().unwrap_or_default();
    say!("{reason}; doing nothing until stopped (--if-taken wait)");
    while !stop.was_asked_for() {
        std::thread::sleep(LOOK);
    }
}
