//! `barflow store prune`: what is not needed any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barflow_replay::checksum::{checksum_file, sha256, verify};
use barflow_replay::decode::Container;
use barflow_replay::error::ReplayError;
use barflow_replay::find::find;
use barflow_replay::progress::{Progress, StopFlag};
use barflow_replay::store::journal::Journal;
use barflow_replay::store::layout::{self, ARCHIVE};
use barflow_replay::store::series::reach;
use barflow_replay::store::work::Writing;
use barflow_replay::trades_parquet::facts::Facts;
use clap::Args;
use jiff::civil::Date;

use super::super::failure::{Failure, Outcome};
use super::super::say::{say, show};
use super::selection::{Place, bytes};
use crate::config::instant::day;
use crate::thousands::counted;

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
    let mut kept = 0;
    if args.archives {
        let (archives, needed) = converted_archives(args)?;
        goes.extend(archives);
        kept = needed;
    }
    if let Some(before) = args.before {
        for series in args.place.series()? {
            let files = series.files.into_iter().chain(series.covered);
            let is_old = |facts: &_| reach(facts).is_some_and(|(_, last)| last < before);
            goes.extend(files.filter(is_old).map(|facts| facts.path));
        }
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    let total: u64 = goes.iter().map(size).sum();
    for path in &goes {
        show!("{}", path.display());
        if args.yes {
            layout::remove(&args.place.store, path)?;
            // The checksum of an archive goes with it; other files have none.
            let sum = checksum_file(path);
            if sum.exists() {
                layout::remove(&args.place.store, &sum)?;
            }
        }
    }
    let (files, size) = (counted(goes.len() as u64, "file"), bytes(total));
    match args.yes {
        true => say!("{files} ({size}) removed"),
        false => say!("{files} ({size}) would be removed; add --yes to remove"),
    }
    Ok(if kept > 0 { Outcome::WithRejects } else { Outcome::Done })
}

/// Archives of the store all of whose trades are in sound files of it, and how many others were
/// converted and are kept, which are named.
fn converted_archives(args: &PruneArgs) -> Result<(Vec<PathBuf>, usize), Failure> {
    let folder = args.place.store.join(ARCHIVE);
    let (mut goes, mut kept) = (Vec::new(), 0);
    if !folder.exists() {
        return Ok((goes, kept));
    }
    let journal = Journal::read(&args.place.store)?;
    let series = args.place.series()?;
    let found = match find(&[folder.display().to_string()], &StopFlag::default()) {
        Ok(found) => found.paths,
        Err(ReplayError::NothingToRead(_)) => return Ok((goes, kept)),
        Err(error) => return Err(error.into()),
    };
    let mut sound = BTreeMap::new();
    for archive in found {
        let sum = sha256(&archive).map_err(|error| {
            let context = format!("could not read {}", archive.display());
            Failure::outside(anyhow::Error::new(error).context(context))
        })?;
        let Some(conversion) = journal.find(&sum) else { continue };
        let files = series.iter().flat_map(|series| &series.files);
        let of = |file: &&Facts| file.sources.iter().any(|source| source.sha256 == sum);
        let files: Vec<&Facts> = files.filter(of).collect();
        if files.is_empty() {
            continue;
        }
        match why_kept(&files, conversion.rows, &mut sound) {
            None => goes.push(archive),
            Some(why) => {
                kept += 1;
                say!("kept: {}: {why}", archive.display());
            }
        }
    }
    Ok((goes, kept))
}

/// Why the archive of these files is still needed; `sound` says of files whether they were verified.
fn why_kept<'a>(
    files: &[&'a Facts],
    rows: u64,
    sound: &mut BTreeMap<&'a Path, Option<String>>,
) -> Option<String> {
    let held: u64 = files.iter().map(|file| file.rows).sum();
    if held < rows {
        return Some(format!("the store holds {held} of its {rows} trades"));
    }
    files.iter().find_map(|file| {
        let verified = || {
            let verdict = verify(&file.path, Container::Parquet, &Progress::default());
            verdict.err().map(|error| error.to_string())
        };
        sound.entry(&file.path).or_insert_with(verified).clone()
    })
}
