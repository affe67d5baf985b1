//! `barflow replay`: plan, run, report.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use barflow_operators::dataflow::validate::{Sequenced, ValidateOptions};
use barflow_operators::intake::Reject;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_replay::error::ReplayError;
use barflow_replay::progress::Progress;
use barflow_replay::stream::ReadOptions;
use crossbeam::channel::Sender;
use xxhash_rust::xxh3::xxh3_64;

use super::args::ReplayArgs;
use super::failure::{Failure, Outcome};
use super::mesh::{connect, unmesh};
use super::progress::Shown;
use super::revisions::{fingerprint, on_revision, window};
use super::signals::Signals;
use super::sink;
use super::source::Source;
use super::summary::Summary;
use crate::config::file::ConfigFile;
use crate::config::replay::ReplaySettings;
use crate::delivery::{JobPlan, Resumption, Taken};
use crate::graph::assemble::{GraphOptions, OnReject};
use crate::graph::daily::Daily;
use crate::graph::flow::EpochClock;
use crate::graph::quality::Quality;
use crate::graph::revised::Revised;
use crate::graph::run::{Pace, run as run_graph};
use crate::graph::sink::{BarSink, SinkError, SinkReport};
use crate::graph::stop::{Cause, Stop};
use crate::graph::tally::Tally;
use crate::sinks::atomic_file::{AtomicFile, refused};
use crate::sinks::rejects::Quarantine;
use crate::sinks::trades::TradeFiles;
use crate::telemetry;
use crate::telemetry::latency::Latency;

/// A row that no trade can be, with no quarantine to put it in.
#[derive(Debug, thiserror::Error)]
#[error("{}:{}: field \"{}\": {}: \"{}\"", .0.source, .0.line, .0.field, .0.reason, .0.value)]
pub struct BadRow(pub Reject);

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
    // A sink that waits for its broker says so, and processes talk of one another; whatever else is
    // worth knowing is in the summary.
    let together = settings.mesh.workers(settings.workers).share().is_part();
    let level = if together { tracing::Level::INFO } else { tracing::Level::WARN };
    telemetry::start(level, None).map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
    replay(&settings, true)
}

/// Replays by validated settings; `report` shows progress and prints the summary.
///
/// # Errors
/// As [`run`].
pub fn replay(settings: &ReplaySettings, report: bool) -> Result<Outcome, Failure> {
    replay_for(settings, Errand { progress: report, summary: report, ..Errand::default() })
}

/// What somebody else has a replay do.
#[derive(Default)]
pub(super) struct Errand {
    /// Instead of the sink of the settings.
    pub sink: Option<Box<dyn BarSink>>,
    /// Who listens to trades in order, instead of a folder.
    pub listener: Option<Sender<Sequenced>>,
    /// Whether progress is shown.
    pub progress: bool,
    /// Whether a summary is printed.
    pub summary: bool,
    /// Raised when the run was told to stop: what came out is not the whole.
    pub stop: Stop,
}

/// As [`replay`], for somebody else.
///
/// # Errors
/// As [`run`].
pub(super) fn replay_for(settings: &ReplaySettings, errand: Errand) -> Result<Outcome, Failure> {
    let Errand { sink, listener, progress: shows, summary, stop } = errand;
    let (mut source, lacks) = Source::find(settings)?;
    let corrections = source.corrections(settings)?;
    let window = window(settings, &corrections);
    let workers = settings.mesh.workers(settings.workers);
    let same = settings.job().with("inputs", source.text());
    let job = job_name(settings, &source);
    source.keep(workers.share());
    let mut remarks = source.remarks(settings);
    remarks.extend(lacks);
    let signals = Signals::raise(&stop).map_err(|e| {
        Failure::outside(anyhow::Error::new(e).context("signals cannot be handled"))
    })?;
    let started = Instant::now();
    let wanted = sink::Wanted {
        kind: settings.sink,
        out: settings.out.as_deref(),
        kafka: &settings.kafka,
        bars: &settings.bars,
        instruments: source.instruments(),
        latency: None,
        delivery: &settings.delivery,
        job,
        workers: &workers,
        stop: &stop,
        complete_when_stopped: false,
    };
    let taken = match sink {
        Some(sink) => Taken::Plain(sink),
        None => wanted.take()?,
    };
    let mesh = connect(workers.clone(), &same, settings.mesh.patience, &stop)?;
    let begun = taken.begin(&JobPlan {
        job: wanted.job()?,
        settings: wanted.settings(&decisive(settings)?),
        lenient: false,
        delivery: settings.delivery.clone(),
    })?;
    if settings.trades.is_some() && !begun.resume.is_empty() {
        let message = "--sink-trades would keep the trades behind the checkpoint only";
        return Err(Failure::usage(anyhow::anyhow!(message))
            .hint("keep them in a run of their own: --sink none --sink-trades FOLDER"));
    }
    remarks.extend(went_on(&begun.resume));
    if settings.from.is_some() {
        remarks.extend(super::sync_report::of_a_late_start(&settings.bars));
    }
    let quarantine = match &settings.quarantine {
        Some(path) => Some(Arc::new(Quarantine::open(path, !begun.resume.is_empty())?)),
        None => None,
    };

    // Twice what can be under way at once, so that the pool never runs dry.
    let pool = BatchPool::new(settings.batch_rows, if settings.parallel > 1 { 1024 } else { 96 });
    let progress = Progress::default();
    let (files, bytes) = source.size();
    let read = ReadOptions {
        pool: pool.clone(),
        verify: settings.verify,
        from: settings.from,
        to: settings.to,
        progress: progress.clone(),
        ..ReadOptions::new(settings.batch_rows)
    };
    let (trades, store) = match &settings.trades {
        Some(folder) => {
            let quotes = source.with_quote();
            let (send, store) = TradeFiles::start(folder, quotes, pool.clone(), stop.clone())
                .map_err(|e| Failure::outside(anyhow::Error::new(e)))?;
            (Some(send), Some(store))
        }
        None => (listener, None),
    };
    let (tally, revised) = (Tally::default(), Revised::default());
    let daily = settings.daily.as_ref().map(|_| Daily::default());
    let quality = settings.quality.clone().map(|suite| source.expectations(suite, settings));
    let book = settings.bars.clone();
    let options = GraphOptions {
        specs_of: Arc::new(move |feed| book.for_feed(feed)),
        validate: ValidateOptions {
            order: OrderOptions {
                policy: match quarantine {
                    Some(_) => RejectPolicy::SetAside,
                    None => RejectPolicy::Stop,
                },
                reorder_window: source.reorder_window(settings),
                pool: pool.clone(),
                revises: window.is_some(),
            },
            resume: begun.resume.orders.clone(),
        },
        window,
        on_revision: on_revision(revised.clone(), quarantine.clone(), stop.clone()),
        on_reject: on_reject(quarantine.clone(), stop.clone()),
        trades,
        daily: daily.clone(),
        tally: tally.clone(),
        stop: stop.clone(),
        quality: quality.clone(),
        clock: EpochClock::default(),
        latency: Latency::default(),
        checkpoints: begun.checkpoints,
    };
    let in_chunks = settings.parallel > 1 && source.is_worth_chunks(settings);
    if settings.parallel > 1 && !in_chunks {
        remarks.push(super::parallel::one_pass(settings.parallel));
    }
    let shown = shows.then(|| Shown::start(progress.clone(), bytes));
    let result = match source {
        Source::Files(plan) if in_chunks => {
            let run = super::parallel::run(plan, settings.parallel, options, read, begun.sinks);
            run.map(|(report, told)| {
                remarks.extend(told);
                report
            })
        }
        source => {
            let feeders =
                source.feeders(settings, &workers, &read, &begun.resume, corrections, pool)?;
            run_graph(mesh, Pace::HISTORY, options, feeders, begun.sinks)
        }
    };
    drop(shown);
    let kept = store.map(TradeFiles::finish).transpose();
    if let (Some(path), Some(daily), Ok(_)) = (&settings.daily, &daily, &result) {
        write_daily(path, daily)?;
        remarks.push(format!("sums by day are in {}", path.display()));
    }

    if let Ok(Some(paths)) = &kept {
        remarks.extend(paths.iter().map(|path| format!("trades are in {}", path.display())));
    }
    let rejected = rejected(&tally);
    if let (Some(quarantine), true) = (&quarantine, rejected > 0) {
        remarks.push(format!("bad rows are in {}", quarantine.path().display()));
    }
    if summary {
        let summary = Summary {
            files,
            tally: &tally,
            report: result.as_ref().ok(),
            elapsed: started.elapsed(),
            stopped: stopped_by(&signals, &stop, &tally),
            revised: window.map(|_| revised.totals()),
            quality: quality.as_ref().map(Quality::days),
            workers: &workers,
            remarks: &remarks,
        };
        eprint!("{}", summary.text());
    }
    let set_aside = rejected > 0 && quarantine.is_some();
    conclude(result, kept.map(drop), set_aside || revised.totals().refused > 0)
}

fn write_daily(path: &Path, daily: &Daily) -> Result<(), Failure> {
    let (unfinished, mut file) = AtomicFile::create(path)?;
    daily.write(&mut file).map_err(|error| refused("write", path, &error))?;
    unfinished.commit(&file)?;
    Ok(())
}

/// The same command is the same job, whatever else runs beside it.
fn job_name(settings: &ReplaySettings, source: &Source) -> String {
    let mut what = String::new();
    for instrument in source.instruments() {
        what.extend([instrument.as_str(), "\n"]);
    }
    what.push_str(&settings.kafka.settings().topic_template);
    format!("replay.{:08x}", xxh3_64(what.as_bytes()) as u32)
}

/// A run that makes fewer bars than its files hold says why.
fn went_on(resume: &Resumption) -> Vec<String> {
    let positions = resume
        .positions
        .iter()
        .map(|(instrument, at)| format!("{instrument}: goes on behind {at}"));
    let hint = "--reset-state begins again".to_owned();
    positions.chain((!resume.is_empty()).then_some(hint)).collect()
}

/// What decides, besides the bars, which bars come out.
fn decisive(settings: &ReplaySettings) -> Result<[(&'static str, Option<String>); 6], Failure> {
    let corrections = settings.corrections.as_deref().map(fingerprint).transpose();
    Ok([
        ("corrections", corrections.map_err(input_failure)?),
        ("quote", Some(settings.quote.as_str().to_owned())),
        ("contract_size", settings.contract_size.map(|size| size.to_string())),
        ("from", settings.from.map(|time| time.to_string())),
        ("reorder_window", Some(settings.reorder_window.to_string())),
        ("protocol", settings.protocol.clone()),
    ])
}

fn on_reject(quarantine: Option<Arc<Quarantine>>, stop: Stop) -> OnReject {
    Arc::new(move |reject| match &quarantine {
        Some(quarantine) => {
            if let Err(error) = quarantine.add(&reject) {
                stop.fail(error);
            }
        }
        None => stop.fail(BadRow(reject)),
    })
}

pub(super) fn rejected(tally: &Tally) -> u64 {
    use barflow_operators::dataflow::ledger::FactKind;
    let totals = tally.totals();
    let counts = totals.iter().filter(|(fact, _)| fact.kind == FactKind::Rejected);
    counts.map(|(_, n)| n.max(&0).unsigned_abs() as u64).sum()
}

fn stopped_by(signals: &Signals, stop: &Stop, tally: &Tally) -> Option<String> {
    let name = signals.name().map(str::to_owned).or_else(|| stop.asker())?;
    let positions = tally.positions();
    let mut text = format!("stopped by {name}; everything read before is in the output");
    for (instrument, position) in positions {
        text += &format!("\n{instrument}: applied up to {position}");
    }
    Some(text)
}

fn conclude(
    result: Result<SinkReport, Cause>,
    kept: Result<(), ReplayError>,
    set_aside: bool,
) -> Result<Outcome, Failure> {
    match result {
        Ok(_) => {
            kept.map_err(|e| Failure::outside(anyhow::Error::new(e)))?;
            Ok(if set_aside { Outcome::WithRejects } else { Outcome::Done })
        }
        Err(cause) => {
            let cause = match explained(cause) {
                Ok(outcome) => return outcome,
                Err(cause) => cause,
            };
            match cause.downcast::<BadRow>() {
                Ok(row) => Err(Failure::data(anyhow::Error::new(*row)).hint(
                    "bars up to that row stand; set bad rows aside with --quarantine FILE to go on",
                )),
                Err(cause) => Err(Failure::outside(anyhow::anyhow!("{cause}"))),
            }
        }
    }
}

/// How a file error ends a command.
pub fn input_failure(error: ReplayError) -> Failure {
    let hint = match &error {
        ReplayError::Checksum { .. } => {
            Some("fetch the archive again; no bar was made from it (--no-verify skips the check)")
        }
        ReplayError::Corrupt { .. } => Some("fetch the file again; it is not whole"),
        ReplayError::NothingToRead(_) => Some("`barflow replay --help` shows what can be read"),
        _ => None,
    };
    let code = if matches!(error, ReplayError::Io { .. }) { 3 } else { 2 };
    Failure { error: anyhow::Error::new(error), hint: hint.map(str::to_owned), code }
}

/// What the causes mean that replay and live have in common; another one is given back.
pub(super) fn explained(cause: Cause) -> Result<Result<Outcome, Failure>, Cause> {
    let cause = match cause.downcast::<SinkError>() {
        Ok(error) if matches!(*error, SinkError::ClosedPipe) => return Ok(Ok(Outcome::Done)),
        Ok(error) => return Ok(Err(Failure::from(*error))),
        Err(cause) => cause,
    };
    match cause.downcast::<ReplayError>() {
        Ok(error) => Ok(Err(input_failure(*error))),
        Err(cause) => unmesh(cause).map(Err),
    }
}
