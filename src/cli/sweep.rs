//! `barflow sweep`: a grid of bar specifications on the same trades.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use barflow_operators::batch::TradeBatch;
use barflow_operators::dataflow::validate::OrderedBatch;
use barflow_operators::spec::BarSpec;
use barflow_replay::atomic_file::is_unfinished;
use clap::{ArgMatches, Args, ValueHint};
use crossbeam::channel::{Receiver, Sender, bounded};
use xxhash_rust::xxh3::xxh3_64;

use super::failure::{Failure, Outcome};
use super::notes;
use super::options::{self, ConfigArgs, FileArgs};
use super::progress::Watcher;
use super::say::{self, say};
use super::signals::Signals;
use crate::config::bars::{BarBook, BarOrder};
use crate::config::section::Value;
use crate::config::sink_kind::SinkKind;
use crate::config::sweep::{SweepSettings, TypedSweep};
use crate::fault_point;
use crate::job::ReplayJob;
use crate::job::outputs::{Inputs, Outputs};
use crate::sinks::atomic_file;
use crate::sinks::none::NoSink;
use crate::stop::Stop;
use crate::sweep::folder::{self, FolderError};
use crate::sweep::heat_map::HeatMap;
use crate::sweep::output;
use crate::sweep::state::State;
use crate::sweep::summary::Summary;
use crate::sweep::worker::{Late, Part, Word, work};
use crate::telemetry;
use crate::thousands::grouped;

/// Batches that may wait for a worker.
const QUEUE: usize = 8;

const EXAMPLES: &str = "\
Examples:
  # the grid in a file; see docs/SWEEPS.md
  barflow sweep --config configs/sweep.toml 'data/BTCUSDT-trades-2024-*.zip'

  # the grid on the command line: 25 x 19 configurations, ranked by variance ratio
  barflow sweep data/ --grid kind=imbalance --grid measure=dollar \\
    --grid 'alpha=1e-4..1e-2 log 25' --grid 'target=200..2000 step 100' --by variance_ratio

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
        let keys = ["out", "by", "top", "bars", "threads"];
        options::lay_all(matches, &keys, &mut typed.sweep);
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
    let swept = sweep(&settings, &stop)?;
    if stop.is_raised() {
        return Ok(stopped(swept.trades));
    }
    let summaries: Vec<&Summary> = swept.summaries();
    report(&settings, &summaries)?;
    let seconds = started.elapsed().as_secs_f64();
    let steps = swept.fresh as f64 * settings.grid.points.len() as f64;
    say!(
        "{} configurations, {} trades in {seconds:.2} s ({:.2} ns per trade and configuration, all \
         threads together)",
        grouped(settings.grid.points.len() as u64),
        grouped(swept.trades),
        seconds * 1e9 / steps.max(1.0)
    );
    if settings.bars > 0 {
        write_bars(&settings, &summaries, &stop)?;
    }
    if stop.is_raised() {
        return Ok(stopped(swept.trades));
    }
    // Only now: until everything is written, it can resume.
    let _ = std::fs::remove_file(settings.out.join(STATE));
    Ok(swept.outcome)
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

fn stopped(trades: u64) -> Outcome {
    say!("stopped after {} trades; run the same command to resume", grouped(trades));
    Outcome::WithRejects
}

/// Where the state of an unfinished sweep is, in the folder of what comes out.
const STATE: &str = "sweep.state";

/// The result of a sweep.
struct Swept {
    parts: Vec<Part>,
    /// Trades of the history; how many of them in this run.
    trades: u64,
    fresh: u64,
    outcome: Outcome,
}

impl Swept {
    /// In the order of the grid: parts were dealt out like cards.
    fn summaries(&self) -> Vec<&Summary> {
        let most = self.parts.iter().map(|part| part.summaries().len()).max().unwrap_or(0);
        (0..most)
            .flat_map(|at| self.parts.iter().filter_map(move |part| part.summaries().get(at)))
            .collect()
    }
}

fn sweep(settings: &SweepSettings, stop: &Stop) -> Result<Swept, Failure> {
    let workers = settings.threads.min(settings.grid.points.len());
    let hands: Vec<Vec<BarSpec>> = (0..workers)
        .map(|worker| {
            let mine = settings.grid.points.iter().skip(worker).step_by(workers);
            mine.map(|point| point.spec.clone()).collect()
        })
        .collect();
    let late = Late { after: settings.late, most: settings.late_most };
    let of = fingerprint(settings, stop)?;
    let path = settings.out.join(STATE);
    let (mut stands, parts) = match State::read(&path, of, workers) {
        Some((state, parts)) => {
            say!("resuming after {} trades", grouped(state.trades));
            ((state.last_trade_id, state.trades), parts)
        }
        None => ((0, 0), hands.iter().map(|specs| Part::new(specs, late)).collect()),
    };
    let before = stands.1;
    thread::scope(|scope| {
        let (words, threads): (Vec<Sender<Word>>, Vec<_>) = parts
            .into_iter()
            .zip(&hands)
            .enumerate()
            .map(|(number, (part, specs))| {
                let (send, receive) = bounded(QUEUE);
                (send, scope.spawn(move || work(part, specs, number, &receive)))
            })
            .unzip();
        let every = settings.write_every;
        let (send, trades) = bounded::<OrderedBatch>(QUEUE);
        let dealing = scope.spawn(move || {
            let mut result = deal(&trades, &words, &mut stands, of, &path, every, stop);
            // What is still to be done, or was not, begins here again.
            if result.is_ok() && (stop.is_raised() || settings.bars > 0) {
                result = write_down(&words, stands, of, &path);
            }
            (result, stands)
        });
        let job = ReplayJob::new(settings.replay.clone())
            .into_sink(Box::new(NoSink::default()))
            .with_trades(send);
        let replayed = job.run(stop, &Watcher::default());
        let dealt = dealing.join();
        let parts: Result<Vec<Part>, _> =
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let broken = || Failure::outside(anyhow::anyhow!("a thread panicked"));
        let ((result, stands), parts) =
            (dealt.map_err(|_| broken())?, parts.map_err(|_| broken())?);
        result?;
        let outcome = Outcome::of_replay(&replayed?);
        Ok(Swept { parts, trades: stands.1, fresh: stands.1 - before, outcome })
    })
}

/// Hands trades to all workers, and writes the state down now and then.
fn deal(
    trades: &Receiver<OrderedBatch>,
    words: &[Sender<Word>],
    stands: &mut (u64, u64),
    of: u64,
    path: &Path,
    every: Duration,
    stop: &Stop,
) -> Result<(), Failure> {
    let mut instrument = None;
    let mut written = Instant::now();
    for OrderedBatch { trades, .. } in trades {
        // A run that is stopped lets trades through before their time: those that wait
        // for a missing id. They are not taken, nor is anything after them.
        if stop.is_raised() {
            continue;
        }
        let mine = instrument.get_or_insert_with(|| trades.feed.instrument.clone());
        if *mine != trades.feed.instrument {
            let text = format!(
                "{mine} and {}: a sweep covers one instrument; give files of one",
                trades.feed.instrument
            );
            return Err(Failure::usage(anyhow::anyhow!(text)));
        }
        let old = trades.trade_id.partition_point(|id| stands.1 > 0 && *id <= stands.0);
        let news = match old {
            0 => trades,
            old if old == trades.len() => continue,
            old => {
                let news: Vec<_> = trades.iter().skip(old).collect();
                Arc::new(TradeBatch::from_trades(Arc::clone(&trades.feed), &news))
            }
        };
        let Some(last) = news.trade_id.last() else { continue };
        *stands = (*last, stands.1 + news.len() as u64);
        for worker in words {
            // A worker ends only when this end does.
            let _ = worker.send(Word::Trades(Arc::clone(&news)));
        }
        if written.elapsed() > every {
            write_down(words, *stands, of, path)?;
            written = Instant::now();
        }
    }
    Ok(())
}

fn write_down(
    words: &[Sender<Word>],
    stands: (u64, u64),
    of: u64,
    path: &Path,
) -> Result<(), Failure> {
    let (send, parts) = bounded(words.len());
    for worker in words {
        let _ = worker.send(Word::WriteDown(send.clone()));
    }
    drop(send);
    let mut parts: Vec<(usize, Vec<u8>)> = parts.iter().collect();
    parts.sort_unstable();
    let parts = parts.into_iter().map(|(_, bytes)| bytes).collect();
    State::new(of, stands.0, stands.1, parts).write(path).map_err(|e| {
        let what = format!("could not write \"{}\"", path.display());
        Failure::outside(anyhow::Error::new(e).context(what))
    })?;
    fault_point!("sweep-written");
    Ok(())
}

/// What makes a state of another sweep useless: the grid, the files, how they are read.
fn fingerprint(settings: &SweepSettings, stop: &Stop) -> Result<u64, Failure> {
    use std::fmt::Write as _;
    let replay = &settings.replay;
    let plan = replay.plan(&stop.flag().into())?;
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
        "{:?} {reading:?} {} {} {}",
        settings.grid, replay.reorder_window, settings.late, settings.late_most
    );
    for file in plan.instruments.iter().flat_map(|instrument| &instrument.files) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{:?} {} {}", file.path.file_name(), file.bytes, file.first_time);
    }
    Ok(xxh3_64(text.as_bytes()))
}

fn report(settings: &SweepSettings, summaries: &[&Summary]) -> Result<(), Failure> {
    let (grid, by) = (&settings.grid, settings.by);
    let path = settings.out.join("summary.parquet");
    output::parquet(&path, by, grid, summaries)?;
    let varies = |at: &usize| {
        let first = &grid.points[0].values[*at];
        grid.points.iter().any(|point| point.values[*at] != *first)
    };
    let axes = settings.map.clone().or_else(|| {
        let mut keys = (0..grid.keys.len()).filter(varies).map(|at| grid.keys[at].clone());
        Some((keys.next()?, keys.next()?))
    });
    if let Some((x, y)) = axes {
        let scores: Vec<Option<f64>> = summaries
            .iter()
            .enumerate()
            .map(|(at, summary)| output::score(by, grid, at, summary))
            .collect();
        let word = crate::config::sweep::CRITERIA.iter().find(|(_, c)| *c == by);
        let title = format!("{} (dark: better)", word.map_or("", |(word, _)| word));
        let undrawn = |e| Failure::outside(anyhow::anyhow!("the heat map could not be drawn: {e}"));
        let map = HeatMap::new(grid, &scores, (&x, &y), &title).map_err(undrawn)?;
        let (svg, png) = (settings.out.join("map.svg"), settings.out.join("map.png"));
        atomic_file::write(&svg, map.svg().map_err(undrawn)?.as_bytes())?;
        atomic_file::write(&png, &map.png().map_err(undrawn)?)?;
        say!("{title} over {x} and {y} is in {} and {}", svg.display(), png.display());
    }
    let best = output::ranking(by, grid, summaries);
    say::table(&output::table(grid, summaries, &best, settings.top));
    say!("all configurations are in {}", path.display());
    Ok(())
}

/// The bars of the best, as a replay makes them.
fn write_bars(
    settings: &SweepSettings,
    summaries: &[&Summary],
    stop: &Stop,
) -> Result<(), Failure> {
    let best = output::ranking(settings.by, &settings.grid, summaries);
    let specs = best.iter().take(settings.bars).map(|at| &settings.grid.points[*at].spec);
    let orders = specs.map(|spec| BarOrder { spec: spec.clone(), instruments: Vec::new() });
    let folder = settings.out.join("bars");
    let mut replay = settings.replay.clone();
    replay.bars = BarBook::of(orders.collect());
    replay.sink = SinkKind::Parquet;
    let disk = |what: &str, error: std::io::Error| {
        let what = format!("could not {what} \"{}\"", folder.display());
        Failure::outside(anyhow::Error::new(error).context(what))
    };
    // Beside those of an earlier run, so that the folder never holds bars of two.
    let made = settings.out.join(".bars");
    remove_bars(&made).map_err(|error| disk("replace", error))?;
    replay.out = Some(made.clone());
    let bars = replay.bars.orders().len();
    ReplayJob::new(replay).run(stop, &Watcher::default())?;
    if stop.is_raised() {
        return Ok(());
    }
    remove_bars(&folder).map_err(|error| disk("replace", error))?;
    std::fs::create_dir_all(&made)
        .and_then(|()| std::fs::rename(&made, &folder))
        .map_err(|error| disk("write", error))?;
    say!("bars of the best {bars} are in {}", folder.display());
    Ok(())
}

/// Removes the bars of an earlier run, finished or not, and nothing else.
fn remove_bars(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
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
