//! The end of a run whose broker does not respond.

use super::settings::KafkaSettings;
use crate::checkpoints::job::JobName;
use crate::graph::sink::SinkError;
use crate::thousands::counted;

/// Whether the run was asked to end, and another attempt might outlast the time it has for that.
pub(super) fn must_end(settings: &KafkaSettings, job: &JobName, attempt: u32) -> bool {
    let Some(waited) = settings.stop.raised_for() else { return false };
    let timeout = settings.shutdown_timeout;
    let left = timeout.saturating_sub(waited);
    if left < settings.patience {
        return true;
    }
    let seconds = left.as_secs();
    tracing::warn!(%job, attempt, "stopping: an interrupted commit is retried for another {seconds} s");
    false
}

/// Why the run ends without its last bars.
pub(super) fn left_uncommitted(
    settings: &KafkaSettings,
    job: &JobName,
    bars: u64,
    error: &SinkError,
) -> SinkError {
    SinkError::Unavailable(format!(
        "{error}\nthe run was asked to end, and {} not committed within {:?} \
         (--shutdown-timeout)\nhint: nothing is lost: the next start of job \"{job}\" makes them again",
        match bars {
            1 => "at least 1 bar was".to_owned(),
            bars => format!("at least {} were", counted(bars, "bar")),
        },
        settings.shutdown_timeout,
    ))
}
