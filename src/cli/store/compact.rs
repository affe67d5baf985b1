//! `barflow compact`: days into months and years.

use std::path::Path;

use barflow_replay::checksum::verify;
use barflow_replay::decode::Container;
use barflow_replay::error::ReplayError;
use barflow_replay::progress::Progress;
use barflow_replay::store::compact::{merge, plan};
use barflow_replay::store::layout;
use barflow_replay::store::series::Series;
use barflow_replay::store::work::Writing;
use barflow_replay::threads::on_threads;
use clap::Args;

use super::super::failure::{Failure, Outcome};
use super::super::progress::Shown;
use super::super::say::{say, show};
use super::selection::{Place, bytes, stop, threads};
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  barflow compact --store history
  barflow compact --store history --target-size 1GiB --dry-run

Merges whole years if they fit into the target size, else whole months. The
new file is read back before the old ones are removed. Months with missing days are left as they are.";

/// `barflow compact`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompactArgs {
    #[command(flatten)]
    place: Place,

    /// Maximum file size, such as 256MiB, 1GiB or a number of bytes
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    target_size: u64,

    /// Files to write in parallel [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// List what would be merged, and stop
    #[arg(long)]
    dry_run: bool,
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err("must be a number followed by B, KiB, MiB or GiB".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "must be a number followed by B, KiB, MiB or GiB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

/// Runs the command.
///
/// # Errors
/// No store (2), damage (2), outside world (3).
pub fn run(args: &CompactArgs) -> Result<Outcome, Failure> {
    let stop = stop()?;
    let store = &args.place.store;
    let writing = (!args.dry_run).then(|| Writing::begin(store)).transpose();
    let _writing = writing?;
    let all = args.place.series()?;
    let mut merges = Vec::new();
    for series in &all {
        let planned = plan(series, args.target_size);
        planned.remarks.iter().for_each(|remark| say!("{remark}"));
        merges.extend(planned.merges.into_iter().map(|merge| (series, merge)));
    }
    if args.dry_run {
        for (series, merge) in &merges {
            show!(
                "{} {}: {}, {}",
                series.feed.instrument,
                barflow_replay::store::series::range(&(merge.first, merge.last)),
                counted(merge.files.len() as u64, "file"),
                bytes(merge.bytes())
            );
        }
        return Ok(Outcome::Done);
    }
    let total: u64 = merges.iter().map(|(_, merge)| merge.bytes()).sum();
    let progress = Progress::until(stop.flag().into());
    let shown = Shown::start(progress.clone(), total);
    let done = on_threads(&merges, threads(args.jobs), &stop.flag(), |(series, planned)| {
        let made = merge(store, series, planned, &progress);
        progress.add_bytes(planned.bytes());
        made
    });
    drop(shown);
    let mut made = 0;
    for path in done.iter().flatten() {
        match path {
            Ok(path) => {
                made += 1;
                show!("{}", path.display());
            }
            Err(ReplayError::Stopped) => {}
            Err(error) => say!("refused: {error}"),
        }
    }
    let files: usize = merges.iter().map(|(_, merge)| merge.files.len()).sum();
    let is_left = |done: &&Option<_>| matches!(done, None | Some(Err(ReplayError::Stopped)));
    let left = done.iter().filter(is_left).count();
    if left > 0 {
        say!(
            "stopped: {made} of {} merges made, the others left as they were; run the same command \
             to resume",
            merges.len()
        );
        return Ok(Outcome::stopped(&stop));
    }
    let removed = match leftovers(store, &all, &progress) {
        Err(ReplayError::Stopped) => {
            say!(
                "stopped before files of an earlier merge were removed; run the same command again"
            );
            return Ok(Outcome::stopped(&stop));
        }
        removed => removed?,
    };
    say!("merged {} into {made} ({}){removed}", counted(files as u64, "file"), bytes(total));
    let failed = done.iter().any(|result| !matches!(result, Some(Ok(_))));
    Ok(if failed { Outcome::WithRejects } else { Outcome::Done })
}

/// Removes what an interrupted merge had left beside its file.
fn leftovers(store: &Path, all: &[Series], progress: &Progress) -> Result<String, ReplayError> {
    let covered: Vec<_> = all.iter().flat_map(|series| &series.covered).collect();
    // They are the last to have the trades if what covers them is damaged.
    for series in all.iter().filter(|series| !series.covered.is_empty()) {
        for file in &series.files {
            verify(&file.path, Container::Parquet, progress)?;
        }
    }
    for file in &covered {
        layout::remove(store, &file.path)?;
    }
    Ok(match covered.len() {
        0 => String::new(),
        count => format!("; {} of an earlier merge removed", counted(count as u64, "file")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("12"), Ok(12));
        assert!(size("x").is_err() && size("3 apples").is_err());
        assert!(size("99999999999999GiB").is_err());
    }
}
