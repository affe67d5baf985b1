//! `barflow store verify`: everything is read back.

use std::path::PathBuf;

use barflow_replay::checksum::published_sum;
use barflow_replay::error::ReplayError;
use barflow_replay::find::find;
use barflow_replay::progress::{Progress, StopFlag};
use barflow_replay::store::audit::audit;
use barflow_replay::store::journal::Journal;
use barflow_replay::store::layout::ARCHIVE;
use barflow_replay::store::resets::resets;
use barflow_replay::store::series::{Series, range};
use barflow_replay::threads::on_threads;
use barflow_replay::trades_parquet::facts::Facts;
use clap::Args;

use super::super::failure::{Failure, Outcome};
use super::super::progress::Shown;
use super::super::say::{say, show};
use super::selection::{Place, stop, threads};
use crate::thousands::counted;

/// `barflow store verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,

    /// Files to read in parallel [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// No store (2), outside world (3). Damage is an outcome, named file by file.
pub fn run(args: &VerifyArgs) -> Result<Outcome, Failure> {
    let stop = stop()?;
    let store = &args.place.store;
    let all = args.place.series()?;
    let journal = Journal::read(store)?;
    let files: Vec<&Facts> = all.iter().flat_map(|series| &series.files).collect();
    let archives = archives(args)?;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    let total: u64 =
        files.iter().map(|file| file.bytes).sum::<u64>() + archives.iter().map(size).sum::<u64>();
    let progress = Progress::until(stop.flag().into());
    let shown = Shown::start(progress.clone(), total);
    let threads = threads(args.jobs);
    let read = on_threads(&files, threads, &stop.flag(), |file| {
        let counted = audit(&file.path, &progress);
        progress.add_bytes(file.bytes);
        counted.map(drop).and_then(|()| journal.agrees(file))
    });
    let summed = on_threads(&archives, threads, &stop.flag(), |archive| {
        let sound = barflow_replay::checksum::verify_published(archive, &progress);
        progress.add_bytes(size(archive));
        sound
    });
    drop(shown);
    let mut damaged = 0;
    let mut left = 0;
    for result in read.iter().chain(&summed) {
        match result {
            Some(Ok(())) => {}
            None | Some(Err(ReplayError::Stopped)) => left += 1,
            Some(Err(error)) => {
                damaged += 1;
                show!("damaged: {error}");
            }
        }
    }
    all.iter().for_each(remark);
    journal.disagreements().for_each(|disagreement| say!("{disagreement}"));
    let trades: u64 = files.iter().map(|file| file.rows).sum();
    say!(
        "{} ({}) and {} read, {damaged} damaged",
        counted(files.len() as u64, "file"),
        counted(trades, "trade"),
        counted(archives.len() as u64, "archive")
    );
    if left > 0 {
        say!("stopped: {left} were not read; run the same command again");
        return Ok(Outcome::stopped(&stop));
    }
    Ok(if damaged > 0 { Outcome::WithRejects } else { Outcome::Done })
}

fn archives(args: &VerifyArgs) -> Result<Vec<PathBuf>, Failure> {
    let folder = args.place.store.join(ARCHIVE);
    if !folder.exists() || args.place.instrument.is_some() || args.place.kind.is_some() {
        return Ok(Vec::new());
    }
    let found = find(&[folder.display().to_string()], &StopFlag::default());
    let found = match found {
        Ok(found) => found.paths,
        // A folder without archives is not damaged.
        Err(ReplayError::NothingToRead(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let has_sum = |path: &PathBuf| !matches!(published_sum(path), Ok(None));
    Ok(found.into_iter().filter(has_sum).collect())
}

fn remark(series: &Series) {
    let instrument = &series.feed.instrument;
    resets(series).iter().for_each(|reset| say!("{reset}"));
    for days in series.missing() {
        say!("{instrument}: the store has no {}", range(&days));
    }
    for file in &series.covered {
        let path = file.path.display();
        say!(
            "{instrument}: {path} is not used because a longer file covers its days (`barflow \
             compact` removes it)"
        );
    }
}
