//! `barflow sweep`: a grid of bar specifications on the same trades.

mod pass;
mod report;

use std::path::Path;
use std::time::Instant;

use barflow_replay::atomic_file::is_unfinished;
use clap::{ArgMatches, Args, ValueHint};
use xxhash_rust::xxh3::xxh3_64;

use super::failure::{Failure, Outcome};
use super::notes;
use super::options::{self, ConfigArgs, FileArgs};
use super::progress::Watcher;
use super::say::say;
use super::signals::Signals;
use crate::config::bars::{BarBook, BarOrder};
use crate::config::section::Value;
use crate::config::sink_kind::SinkKind;
use crate::config::sweep::{Holdout, SweepSettings, TypedSweep};
use crate::job::ReplayJob;
use crate::job::outputs::{Inputs, Outputs};
use crate::stop::Stop;
use crate::sweep::baselines::{self, Baseline, Search};
use crate::sweep::folder::{self, FolderError};
use crate::sweep::output::Results;
use crate::sweep::state::State;
use crate::sweep::totals::Totals;
use crate::sweep::worker::Late;
use crate::telemetry;
use crate::thousands::{counted, grouped};

use pass::{Pass, Passed, Saved};

const EXAMPLES: &str = "\
Examples:
  # the grid in a file; see docs/SWEEPS.md
  barflow sweep --config configs/sweep.toml 'data/BTCUSDT-trades-2024-*.zip'

  # the grid on the command line: 25 x 19 configurations, ranked by variance ratio
  barflow sweep data/ --grid kind=imbalance --grid measure=dollar \\
    --grid 'alpha=1e-4..1e-2 log 25' --grid 'target=200..2000 step 100' --by variance_ratio

  # do imbalance bars beat plain bars of the same count, and do the best stay good on the other half?
  barflow sweep data/ --grid kind=imbalance --grid 'target=200..2000 step 100' --by variance_ratio_z \\
    --baselines --holdout 0.5

Writes OUT/summary.parquet (a row per configuration) and a heat map of two keys, OUT/map.svg and OUT/map.png;
prints the best; --bars N writes the bars of the N best. An interrupted sweep resumes when run again.";

/// `barflow sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    /// Which configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// A key of the grid: a value, a list (a,b,c), or a range: 1e-4..1e-2 log 25, 200..2000 lin 10,
    /// 100..500 step 50 (repeatable)
    #[arg(long = "grid", value_name = "KEY=VALUES")]
    pub grid: Vec<String>,

    /// What the best are ranked by: jarque_bera, jarque_bera_per_bar, serial_correlation,
    /// variance_ratio, variance_ratio_z, bars, ticks_p50, sync_trades [default: jarque_bera]
    #[arg(long, value_name = "CRITERION")]
    pub by: Option<String>,

    /// Keep the last share of the trades, such as 0.5, out of the ranking, and show both parts' figures
    #[arg(long, value_name = "SHARE")]
    pub holdout: Option<String>,

    /// Add time, tick, volume and dollar bars of about the same count, to compare the best with
    #[arg(long)]
    pub baselines: bool,

    /// Threads that build bars [default: as many as cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,

    /// Which trades; of one instrument.
    #[command(flatten)]
    pub files: FileArgs,

    /// Folder for the results [default: sweep]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub out: Option<String>,

    /// How many of the best to print [default: 10]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub top: Option<String>,

    /// Write the bars of the N best to OUT/bars
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub bars: Option<String>,
}

impl SweepArgs {
    fn typed(&self, matches: &ArgMatches) -> Result<TypedSweep, Failure> {
        let replay = options::typed(matches).replay;
        let mut typed = TypedSweep { replay, ..TypedSweep::default() };
        let keys = ["out", "by", "top", "bars", "threads", "holdout"];
        options::lay_all(matches, &keys, &mut typed.sweep);
        if self.baselines {
            typed.sweep.put("baselines", Value::Text("true".to_owned()), "--baselines");
        }
        for argument in &self.grid {
            let Some((key, values)) = argument.split_once('=') else {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--grid {argument:?} must be KEY=VALUES, such as alpha=0.001,0.002"
                )));
            };
            let texts: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
            let value = match <[String; 1]>::try_from(texts) {
                Ok([one]) => Value::Text(one),
                Err(list) => Value::List(list),
            };
            typed.grid.put(key.trim(), value, format!("--grid {argument:?}"));
        }
        Ok(typed)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong settings or files (2), bad data (1), outside world (3).
pub fn run(args: &SweepArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let settings = SweepSettings::understand(args.config.read()?, args.typed(matches)?)?;
    telemetry::start(tracing::Level::WARN, None)
        .map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
    check_folder(&settings)?;
    let started = Instant::now();
    let stop = Stop::new();
    Signals::raise(&stop)?;
    let path = settings.out.join(STATE);
    let Some(swept) = sweep(&settings, &path, &stop)? else { return Ok(Outcome::stopped(&stop)) };
    let (grid, by, holdout) = (&settings.grid, settings.by, settings.holdout);
    let Passed { figures, totals, fresh, outcome } = swept;
    let mut results = Results { grid, by, figures, baselines: Vec::new(), holdout, totals };
    let seconds = started.elapsed().as_secs_f64();
    if settings.baselines {
        match baselines(&settings, &results, &stop)? {
            Some(baselines) => results.baselines = baselines,
            None => return Ok(stopped(totals.trades, &stop)),
        }
    }
    report::write(&settings, &results)?;
    let steps = fresh as f64 * grid.points.len() as f64;
    say!(
        "{}, {} in {seconds:.2} s ({:.2} ns per trade and configuration, all threads together)",
        counted(grid.points.len() as u64, "configuration"),
        counted(totals.trades, "trade"),
        seconds * 1e9 / steps.max(1.0)
    );
    if settings.bars > 0 {
        write_bars(&settings, &results, &stop)?;
    }
    if stop.is_raised() {
        return Ok(stopped(totals.trades, &stop));
    }
    // Only now: until everything is written, it can resume.
    let _ = std::fs::remove_file(path);
    Ok(outcome)
}

/// Makes sure that the results destroy neither trades nor those of another grid.
fn check_folder(settings: &SweepSettings) -> Result<(), Failure> {
    let inputs = Inputs::of_files(&settings.replay.files, settings.replay.store.as_deref());
    let outputs = Outputs::default().folder("--out", Some(&settings.out), None);
    outputs.check(&inputs).map_err(Failure::usage)?;
    let replaces = folder::claim(&settings.out, &settings.grid).map_err(|error| match error {
        FolderError::Disk { .. } => Failure::outside(error),
        FolderError::OtherGrid { .. } | FolderError::Unknown { .. } => Failure::usage(error),
    })?;
    if replaces {
        say!("note: the results in {} are replaced", settings.out.display());
    }
    Ok(())
}

fn stopped(trades: u64, stop: &Stop) -> Outcome {
    say!("stopped after {} trades; run the same command to resume", grouped(trades));
    Outcome::stopped(stop)
}

/// Where the state of an unfinished sweep is, in the folder of what comes out.
const STATE: &str = "sweep.state";

/// All configurations of the grid; none if it was stopped.
fn sweep(settings: &SweepSettings, path: &Path, stop: &Stop) -> Result<Option<Passed>, Failure> {
    let of = fingerprint(settings, stop)?;
    let border = match settings.holdout {
        Some(holdout) => match State::border(path, of) {
            Some(border) => Some(border),
            None => match border(count(settings, stop)?, holdout, stop)? {
                Some(border) => Some(border),
                None => return Ok(None),
            },
        },
        None => None,
    };
    let every = settings.write_every;
    let saved = Saved { path, of, every, at_end: settings.bars > 0 || settings.baselines };
    let late = Some(Late { after: settings.late, most: settings.late_most });
    let specs = settings.grid.points.iter().map(|point| point.spec.clone()).collect();
    let passed = Pass { settings, specs, late, border }.run(Some(&saved), stop)?;
    if stop.is_raised() {
        stopped(passed.totals.trades, stop);
        return Ok(None);
    }
    Ok(Some(passed))
}

/// How many of the counted trades come before the holdout; none if counting was stopped.
fn border(trades: u64, holdout: Holdout, stop: &Stop) -> Result<Option<u64>, Failure> {
    if stop.is_raised() {
        say!("stopped while counting trades; run the same command again");
        return Ok(None);
    }
    let border = holdout.border(trades).ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--holdout {}: of {} nothing would be left on one side",
            holdout.share(),
            counted(trades, "trade")
        ))
    })?;
    Ok(Some(border))
}

/// How many trades there are.
fn count(settings: &SweepSettings, stop: &Stop) -> Result<u64, Failure> {
    let pass = Pass { settings, specs: Vec::new(), late: None, border: None };
    Ok(pass.run(None, stop)?.totals.trades)
}

/// The plain bars that the best of each family are compared with; none if it was stopped.
fn baselines(
    settings: &SweepSettings,
    results: &Results<'_>,
    stop: &Stop,
) -> Result<Option<Vec<Baseline>>, Failure> {
    let compared = baselines::compared(&settings.grid, &results.ranking());
    let Totals { in_sample, .. } = results.totals;
    let border = settings.holdout.map(|_| in_sample);
    let mut searches: Vec<Search> = compared
        .into_iter()
        .flat_map(|of| baselines::Kind::ALL.map(|kind| (of, kind)))
        .filter_map(|(of, kind)| {
            Search::new(kind, of, results.figures[of].in_sample.bars(), &results.totals)
        })
        .collect();
    for _ in 0..baselines::PASSES {
        let rungs: Vec<(usize, f64)> = searches
            .iter()
            .enumerate()
            .flat_map(|(at, search)| search.rungs().into_iter().map(move |size| (at, size)))
            .collect();
        if rungs.is_empty() {
            break;
        }
        let specs = rungs.iter().map(|(at, size)| searches[*at].spec(*size));
        let specs = specs.collect::<Result<_, _>>()?;
        let passed = Pass { settings, specs, late: None, border }.run(None, stop)?;
        if stop.is_raised() {
            return Ok(None);
        }
        for ((at, size), figures) in rungs.into_iter().zip(passed.figures) {
            searches[at].tried(size, figures);
        }
    }
    Ok(Some(searches.into_iter().filter_map(Search::found).collect()))
}

/// What makes a state of another sweep useless: the grid, the files, how they are read.
fn fingerprint(settings: &SweepSettings, stop: &Stop) -> Result<u64, Failure> {
    use std::fmt::Write as _;
    let replay = &settings.replay;
    let plan = replay.plan(&stop.flag().into());
    let plan = plan.map_err(|error| Failure::of_run(error, stop))?;
    notes::print(&plan.notes);
    if let [first, second, ..] = &plan.instruments[..] {
        let text = format!(
            "{} and {}: a sweep is of one instrument; choose files of one",
            first.feed.instrument, second.feed.instrument
        );
        return Err(Failure::usage(anyhow::anyhow!(text)));
    }
    let reading = (replay.from, replay.to, replay.quote, replay.contract_size);
    let mut text = format!(
        "{:?} {reading:?} {} {} {} {:?}",
        settings.grid, replay.reorder_window, settings.late, settings.late_most, settings.holdout
    );
    for file in plan.instruments.iter().flat_map(|instrument| &instrument.files) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{:?} {} {}", file.path.file_name(), file.bytes, file.first_time);
    }
    Ok(xxh3_64(text.as_bytes()))
}

/// The bars of the best, as a replay makes them.
fn write_bars(settings: &SweepSettings, results: &Results<'_>, stop: &Stop) -> Result<(), Failure> {
    let best = results.ranking();
    let specs = best.iter().take(settings.bars).map(|at| &settings.grid.points[*at].spec);
    let orders = specs.map(|spec| BarOrder { spec: spec.clone(), instruments: Vec::new() });
    let folder = settings.out.join("bars");
    let mut replay = settings.replay.clone();
    replay.bars = BarBook::of(orders.collect());
    replay.sink = SinkKind::Parquet;
    let disk = |what: &str, folder: &Path, error: std::io::Error| {
        let what = format!("could not {what} \"{}\"", folder.display());
        Failure::outside(anyhow::Error::new(error).context(what))
    };
    // Beside those of an earlier run, so that the folder never holds bars of two.
    let made = settings.out.join(".bars");
    remove_bars(&made).map_err(|error| disk("replace", &made, error))?;
    replay.out = Some(made.clone());
    let bars = replay.bars.orders().len();
    let ran = ReplayJob::new(replay).run(stop, &Watcher::default());
    ran.map_err(|error| Failure::of_run(error, stop))?;
    if stop.is_raised() {
        return Ok(());
    }
    remove_bars(&folder).map_err(|error| disk("replace", &folder, error))?;
    std::fs::create_dir_all(&made)
        .and_then(|()| barflow_replay::atomic_file::rename(&made, &folder))
        .map_err(|error| disk("write", &folder, error))?;
    say!("bars of the best {bars} are in {}", folder.display());
    Ok(())
}

/// Removes the bars of an earlier run, finished or not, and nothing else.
fn remove_bars(folder: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        // What it leads to is not ours.
        Ok(found) if !found.is_dir() => {
            return Err(std::io::Error::other("it is a link or a file, not a folder; remove it"));
        }
        Ok(_) => {}
    }
    for entry in std::fs::read_dir(folder)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let is_bars = path.extension().is_some_and(|ending| ending == "parquet");
        if is_bars || is_unfinished(&name) {
            std::fs::remove_file(path)?;
        }
    }
    std::fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_trades_that_was_stopped_is_not_believed() {
        let (holdout, stop) = ("0.5".parse().unwrap(), Stop::new());
        assert!(matches!(border(10, holdout, &stop), Ok(Some(5))));
        stop.raise();
        assert!(matches!(border(10, holdout, &stop), Ok(None)));
    }
}
