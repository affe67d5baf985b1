//! `barflow convert`: archives into a trade store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use barflow_replay::error::ReplayError;
use barflow_replay::find::{self, Found};
use barflow_replay::named::{self, GivenInstrument, Renames};
use barflow_replay::plan::PlanOptions;
use barflow_replay::plan_note::{NotTaken, PlanNote, Reason};
use barflow_replay::progress::{Progress, StopFlag};
use barflow_replay::store::claim::Disagreement;
use barflow_replay::store::convert::{self as conversion, ConvertOptions, ConvertOutcome};
use barflow_replay::store::journal::Journal;
use barflow_replay::store::layout::ARCHIVE;
use barflow_replay::store::resets;
use barflow_replay::store::work::Writing;
use barflow_replay::threads::on_threads;
use barflow_replay::told::one_symbol;
use barflow_replay::trades_parquet::read::is_own;
use clap::{Args, ValueHint};

use super::super::failure::{Failure, Outcome};
use super::super::notes;
use super::super::options::{LayoutArgs, columns};
use super::super::progress::Shown;
use super::super::say::say;
use super::selection::{bytes, stop, threads};
use crate::config::instruments;
use crate::stop::Stop;
use crate::thousands::{counted, grouped};

const EXAMPLES: &str = "\
Examples:
  # everything that `barflow fetch` downloaded into this store
  barflow convert --store history

  # archives from elsewhere
  barflow convert --store history 'data/BTCUSDT-trades-2024-03-*.zip'

Writes one Parquet file per instrument and UTC day, ordered by id, with times in µs if the venue publishes
µs or ms, otherwise ns. A file gets its final name only after it was written, read back and found equal.
An archive that is damaged or contains a bad row is reported and not converted. Where two archives
disagree about a day, the one with more trades is used (on a tie, the one whose name sorts last) and
both are reported, as are days whose ids begin again: the store has them, and a replay has to begin
or end there (--from, --to). If interrupted, run the same command to resume.

Exit codes: 0 all converted; 1 some were refused, disagree, or begin ids again; 2 wrong usage; 3 disk unavailable;
130, 143 stopped by SIGINT or SIGTERM.";

/// How many trades may wait for a missing id. Archives are whole, so this is generous: 4 MB.
const REORDER_WINDOW: usize = 1 << 16;

/// `barflow convert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConvertArgs {
    /// Archives, folders or patterns [default: the archives of the store]
    #[arg(value_name = "FILES", value_hint = ValueHint::AnyPath, help_heading = "Input")]
    pub files: Vec<String>,

    /// Folder of the store
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = ValueHint::DirPath)]
    pub store: PathBuf,

    /// Convert archives again that were converted before
    #[arg(long)]
    pub again: bool,

    /// Instrument of all files, such as binance:spot:BTCUSDT [default: from the file names]
    #[arg(long, value_name = "ID", value_parser = instruments::of_files, help_heading = "Input")]
    pub instrument: Option<GivenInstrument>,

    /// Quote value of one contract of an inverse instrument [default: the venue's rule]
    #[arg(long, value_name = "NUMBER", help_heading = "Input")]
    pub contract_size: Option<f64>,

    /// How their rows are read.
    #[command(flatten)]
    pub layout: LayoutArgs,

    /// Archives to convert in parallel [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Threads and processes")]
    pub jobs: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage (2), outside world (3). Refused archives are an outcome.
pub fn run(args: &ConvertArgs) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let stop = stop()?;
    let stop_reading = StopFlag::from(stop.flag());
    let Found { paths, notes } = find(args, &stop)?;
    notes::print(&notes);
    let archives: Vec<PathBuf> = paths.into_iter().collect();
    let (instrument, renames) = named::parts(args.instrument.as_ref());
    let unrenamed = instrument.as_ref().filter(|_| renames == Renames::Nothing);
    one_symbol(archives.iter().map(|path| &**path), unrenamed)?;
    let sizes = archives.iter().map(|path| std::fs::metadata(path).map_or(0, |found| found.len()));
    let total: u64 = sizes.sum();
    let _writing = Writing::begin(&args.store)?;
    let journal = Mutex::new(Journal::open(&args.store)?);
    let progress = Progress::until(stop_reading.clone());
    let options = ConvertOptions {
        plan: PlanOptions {
            instrument,
            renames,
            contract_size: args.contract_size,
            stop: stop_reading,
            columns: columns(&args.layout)?,
            keep_suspicious: args.layout.keep_suspicious,
            ..PlanOptions::default()
        },
        reorder_window: REORDER_WINDOW,
        again: args.again,
        progress: progress.clone(),
    };
    let shown = Shown::start(progress, total);
    let outcomes = on_threads(&archives, threads(args.jobs), &stop.flag(), |archive| {
        conversion::convert(archive, &args.store, &options, &journal)
    });
    drop(shown);
    let finished = outcomes.iter().flatten().flatten();
    let resets = resets::of_conversions(&args.store, finished.map(ConvertOutcome::conversion));
    let concluded = conclude(&archives, outcomes, total, begun, &stop)?;
    resets.iter().for_each(|reset| say!("{reset}"));
    Ok(match concluded {
        Outcome::Done if !resets.is_empty() => Outcome::WithRejects,
        concluded => concluded,
    })
}

fn find(args: &ConvertArgs, stop: &Stop) -> Result<Found, Failure> {
    let of_store = args.store.join(ARCHIVE);
    if args.files.is_empty() && !of_store.exists() {
        let error =
            anyhow::anyhow!("{} has no archives, and no files were given", args.store.display());
        return Err(Failure::usage(error).hint("`barflow fetch` downloads archives into a store"));
    }
    let inputs = match args.files.is_empty() {
        true => vec![of_store.display().to_string()],
        false => args.files.clone(),
    };
    let found = find::find(&inputs, &stop.flag().into());
    let Found { paths, mut notes } = found.map_err(|error| Failure::of_run(error, stop))?;
    // What cannot be opened is refused when it is converted.
    let is_ours =
        |path: &Path| find::ends_with(path, ".parquet") && is_own(path).unwrap_or_default();
    let (ours, paths): (BTreeSet<_>, BTreeSet<_>) =
        paths.into_iter().partition(|path| is_ours(path));
    let is_named = |path: &Path| args.files.iter().any(|file| Path::new(file) == path);
    let (named, found): (BTreeSet<_>, BTreeSet<_>) =
        ours.into_iter().partition(|path| is_named(path));
    let inside = |path: &Path| is_inside(&args.store, path);
    if let Some(path) = named.iter().find(|path| inside(path)) {
        let text = "its trades are in this store already, this is the file that holds them";
        return Err(Failure::usage(anyhow::anyhow!("{}: {text}", path.display())));
    }
    if !found.is_empty() {
        let not_taken = |path: PathBuf| {
            let reason = match inside(&path) {
                true => Reason::OwnTrades,
                false => Reason::OwnTradesElsewhere,
            };
            NotTaken { reason, path }
        };
        let mut not_taken: Vec<_> = found.into_iter().map(not_taken).collect();
        not_taken.sort();
        notes.push(PlanNote::NotTaken(not_taken));
    }
    Ok(Found { paths: paths.into_iter().chain(named).collect(), notes })
}

/// Whether a file lies in the store, whatever leads there.
fn is_inside(store: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(store).zip(real(path)).is_some_and(|(store, path)| path.starts_with(store))
}

fn conclude(
    archives: &[PathBuf],
    outcomes: Vec<Option<Result<ConvertOutcome, ReplayError>>>,
    total: u64,
    begun: Instant,
    stop: &Stop,
) -> Result<Outcome, Failure> {
    let mut disagreements: Vec<Disagreement> = Vec::new();
    let (mut converted, mut already, mut refused, mut left, mut trades) = (0, 0, 0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Some(Ok(ConvertOutcome::Converted(conversion))) => {
                converted += 1;
                trades += conversion.rows;
                disagreements.extend(conversion.disagreements.clone());
                let repeated = conversion.source_rows - conversion.rows;
                if repeated > 0 {
                    let count = counted(repeated, "duplicate trade");
                    say!("{}: {count} dropped", conversion.archive);
                }
            }
            Some(Ok(ConvertOutcome::Already(conversion))) => {
                already += 1;
                disagreements.extend(conversion.disagreements);
            }
            // A full disk is not a fault of the archive, and the next one would meet it as well.
            Some(Err(error @ ReplayError::Io { .. })) => return Err(error.into()),
            Some(Err(ReplayError::Stopped)) => left += 1,
            Some(Err(error)) => {
                refused += 1;
                say!("refused: {error}");
            }
            None => left += 1,
        }
    }
    disagreements.iter().for_each(|disagreement| say!("{disagreement}"));
    let seconds = begun.elapsed().as_secs_f64();
    say!(
        "{converted} of {} ({}) converted: {} in {seconds:.2} s ({} trades/s); {already} already \
         converted, {refused} refused",
        counted(archives.len() as u64, "archive"),
        bytes(total),
        counted(trades, "trade"),
        grouped((trades as f64 / seconds.max(1e-9)) as u64),
    );
    if already > 0 {
        say!(
            "of what was already converted footers and row counts were checked; `barflow store verify` \
             reads all of it"
        );
    }
    if left > 0 {
        say!("stopped: {} left; run the same command to resume", counted(left, "archive"));
        return Ok(Outcome::stopped(stop));
    }
    let is_whole = refused == 0 && disagreements.is_empty();
    Ok(if !is_whole { Outcome::WithRejects } else { Outcome::Done })
}
