//! `barflow replay`.

use super::args::ReplayArgs;
use super::failure::{Failure, Outcome, conclude};
use super::progress::Watcher;
use super::signals::Signals;
use super::summary;
use crate::config::file::ConfigFile;
use crate::config::replay::ReplaySettings;
use crate::job::{JobReport, ReplayJob};
use crate::stop::Stop;
use crate::telemetry;

/// Runs the command.
///
/// # Errors
/// Wrong settings or files (2), bad data (1), outside world (3).
pub fn run(args: ReplayArgs) -> Result<Outcome, Failure> {
    let file = match &args.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let mut settings = ReplaySettings::understand(file, args.typed())?;
    settings.delivery.reset_state = args.delivery.reset_state;
    // A sink that waits for its broker says so, and processes of one job log about each other; all
    // else that is worth knowing is in the summary.
    let together = settings.mesh.workers(settings.workers).share().is_part();
    let level = if together { tracing::Level::INFO } else { tracing::Level::WARN };
    telemetry::start(level, None).map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
    replay(settings)
}

/// Replays by validated settings, with progress and a summary.
///
/// # Errors
/// As [`run`].
pub fn replay(settings: ReplaySettings) -> Result<Outcome, Failure> {
    let stop = Stop::new();
    Signals::raise(&stop)?;
    let ran = ReplayJob::new(settings).run(&stop, &Watcher::with_summary(summarise));
    conclude(ran.map(|report| Outcome::of_replay(&report)))
}

/// Prints the summary of a replay.
pub(super) fn summarise(report: &JobReport) {
    eprint!("{}{}", summary::text(report), summary::stopped_replay(report));
}
