//! `barflow store prune`: what is not needed any more.

use std::collections::BTreeSet;
use std::path::PathBuf;

use barflow_replay::checksum::{checksum_file, sha256};
use barflow_replay::find::find;
use barflow_replay::progress::StopFlag;
use barflow_replay::store::journal::Journal;
use barflow_replay::store::layout::{self, ARCHIVE};
use barflow_replay::store::series::days;
use barflow_replay::store::work::Writing;
use clap::Args;
use jiff::civil::Date;

use super::super::failure::{Failure, Outcome};
use super::selection::{Place, bytes};
use crate::config::instant::day;

const EXAMPLES: &str = "\
Examples:
  barflow store prune --store history --archives          # lists what it would remove
  barflow store prune --store history --archives --yes
  barflow store prune --store history --before 2022-01-01 --instrument binance:spot:BTCUSDT --yes";

/// `barflow store prune`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PruneArgs {
    #[command(flatten)]
    place: Place,

    /// Remove archives whose trades are in the store
    #[arg(long)]
    archives: bool,

    /// Remove days before this one (files that also contain later days stay)
    #[arg(long, value_name = "DATE", value_parser = day)]
    before: Option<Date>,

    /// Remove the files; without this option, only list them
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage or no store (2), outside world (3).
pub fn run(args: &PruneArgs) -> Result<Outcome, Failure> {
    if !args.archives && args.before.is_none() {
        let error = anyhow::anyhow!("--archives, --before DATE, or both are required");
        return Err(Failure::usage(error));
    }
    let writing = args.yes.then(|| Writing::begin(&args.place.store)).transpose();
    let _writing = writing?;
    let mut goes: Vec<PathBuf> = Vec::new();
    if args.archives {
        goes.extend(converted_archives(args)?);
    }
    if let Some(before) = args.before {
        for series in args.place.series()? {
            let files = series.files.into_iter().chain(series.covered);
            let is_old = |facts: &_| days(facts).is_some_and(|(_, last)| last < before);
            goes.extend(files.filter(is_old).map(|facts| facts.path));
        }
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    let total: u64 = goes.iter().map(size).sum();
    for path in &goes {
        println!("{}", path.display());
        if args.yes {
            layout::remove(&args.place.store, path)?;
            // The checksum of an archive goes with it; other files have none.
            let sum = checksum_file(path);
            if sum.exists() {
                layout::remove(&args.place.store, &sum)?;
            }
        }
    }
    let (count, size) = (goes.len(), bytes(total));
    match args.yes {
        true => eprintln!("{count} files ({size}) removed"),
        false => eprintln!("{count} files ({size}) would be removed; add --yes to remove them"),
    }
    Ok(Outcome::Done)
}

/// Archives of the store whose checksum is that of some file's source.
fn converted_archives(args: &PruneArgs) -> Result<Vec<PathBuf>, Failure> {
    let folder = args.place.store.join(ARCHIVE);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let journal = Journal::read(&args.place.store)?;
    let series = args.place.series()?;
    let files = series.iter().flat_map(|series| &series.files);
    let held: BTreeSet<&str> =
        files.flat_map(|file| &file.sources).map(|source| source.sha256.as_str()).collect();
    let mut goes = Vec::new();
    let found = match find(&[folder.display().to_string()], &StopFlag::default()) {
        Ok(found) => found.paths,
        Err(barflow_replay::error::ReplayError::NothingToRead(_)) => return Ok(goes),
        Err(error) => return Err(error.into()),
    };
    for archive in found {
        let sum = sha256(&archive).map_err(|error| {
            let context = format!("could not read {}", archive.display());
            Failure::outside(anyhow::Error::new(error).context(context))
        })?;
        if held.contains(sum.as_str()) && journal.find(&sum).is_some() {
            goes.push(archive);
        }
    }
    Ok(goes)
}
