//! `barflow live`: feeds into the graph until told to stop.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use barflow_operators::dataflow::validate::ValidateOptions;
use barflow_operators::intake::Reject;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_operators::quality::judge::Known;
use clap::{Args, ValueHint};

use super::args::put;
use super::delivery::DeliveryArgs;
use super::failure::{Failure, Outcome};
use super::live_end::conclude;
use super::mesh::{MeshArgs, connect};
use super::replay::rejected;
use super::revisions::on_revision;
use super::signals::Signals;
use super::sink;
use super::summary::Summary;
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::config::bars::BarBook;
use crate::config::file::ConfigFile;
use crate::config::live::LiveSettings;
use crate::config::problem::Problems;
use crate::config::replay::Typed;
use crate::config::section::{Section, Value};
use crate::delivery::JobPlan;
use crate::feeds::hub::Outlets;
use crate::graph::assemble::{GraphOptions, OnReject};
use crate::graph::flow::EpochClock;
use crate::graph::quality::Quality;
use crate::graph::revised::Revised;
use crate::graph::run::{Feeder, Pace, run as run_graph};
use crate::graph::stop::Stop;
use crate::graph::tally::Tally;
use crate::live::begin::from_checkpoint;
use crate::live::{Book, Reports, Supervisor};
use crate::sinks::gaps::GapLedger;
use crate::sinks::rejects::Quarantine;
use crate::telemetry;
use crate::telemetry::latency::Latency;

/// Trades per batch: a live batch holds what came at once, seldom more than a few.
const BATCH_ROWS: usize = 64;

/// Batches kept for reuse: what the queue of a worker may hold, 13 MB.
const BATCHES: usize = 4096;

/// Bad rows and frames logged one by one; the others are only counted.
const SHOWN: usize = 20;

const EXAMPLES: &str = "\
Examples:
  # everything from a file; docs/live.md explains it
  barflow live --config configs/live.toml

  # without an exchange: a venue of our own in another terminal
  barflow simulator --protocol binance-spot --listen 127.0.0.1:9000 --speed 60x BTCUSDT-trades-2024-03-01.zip
  barflow live --venue binance-spot --instrument BTCUSDT --at 127.0.0.1:9000

SIGTERM or Ctrl-C ends it in good order; SIGHUP, or a change of the file, has it read again:
instruments, bars and feeds come and go without disturbing the others.";

/// Which feeds: those of a file, or one that is typed.
#[derive(Clone, Debug, Args)]
pub struct FeedArgs {
    /// Configuration file (TOML); flags and environment go over it
    #[arg(long, value_name = "FILE", env = "BARFLOW_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Protocol of a feed that stands in no file, such as binance-spot, coinbase, kraken
    #[arg(long, value_name = "PROTOCOL", requires = "instruments", conflicts_with = "config")]
    pub venue: Option<String>,

    /// Instruments of that feed, as the venue writes them
    #[arg(long = "instrument", value_name = "SYMBOL", value_delimiter = ',', requires = "venue")]
    pub instruments: Vec<String>,

    /// Channel of that feed: trades or aggregates
    #[arg(long, value_name = "CHANNEL", requires = "venue")]
    pub channel: Option<String>,

    /// Connect to a `barflow simulator` at this address instead of the exchanges
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Option<String>,
}

/// `barflow live`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LiveArgs {
    /// Which feeds.
    #[command(flatten)]
    pub feed: FeedArgs,

    /// Begin with these files, then go on live
    #[arg(long, value_name = "FILES", value_hint = ValueHint::AnyPath)]
    pub history: Vec<String>,

    /// Instrument of all history files; by default told from their names
    #[arg(long, value_name = "ID")]
    pub history_instrument: Option<String>,

    /// Bars to make: NAME=kind,key=value,… (repeatable)
    #[arg(long = "bar", value_name = "SPEC", env = "BARFLOW_BAR", value_delimiter = ';')]
    pub bars: Vec<String>,

    /// Where bars go: jsonl, parquet, kafka or none
    #[arg(long, value_name = "SINK", env = "BARFLOW_SINK")]
    pub sink: Option<String>,

    /// File (jsonl; default standard output) or folder (parquet; default ./bars)
    #[arg(long, value_name = "PATH", env = "BARFLOW_OUT", value_hint = ValueHint::AnyPath)]
    pub out: Option<String>,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT", env = "BARFLOW_BROKERS")]
    pub brokers: Option<String>,

    /// Kafka topic; {spec} {instrument} {venue} {market} {symbol} are filled in
    /// [default: bars.{spec}]
    #[arg(long, value_name = "TOPIC", env = "BARFLOW_TOPIC")]
    pub topic: Option<String>,

    /// Create missing Kafka topics
    #[arg(long)]
    pub create_topics: bool,

    /// Also keep the bars that stand, by key, in a compacted topic beside each topic: TOPIC.current
    #[arg(long)]
    pub current: bool,

    /// How bars are delivered.
    #[command(flatten)]
    pub delivery: DeliveryArgs,

    /// Dataflow workers; instruments are spread over them [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_WORKERS")]
    pub workers: Option<String>,

    /// One of several processes.
    #[command(flatten)]
    pub mesh: MeshArgs,

    /// Set bad rows and frames aside into this file (JSON lines)
    #[arg(long, value_name = "FILE", env = "BARFLOW_QUARANTINE", value_hint = ValueHint::FilePath)]
    pub quarantine: Option<String>,

    /// Write gaps that could not be filled into this file (JSON lines)
    #[arg(long, value_name = "FILE", env = "BARFLOW_GAPS", value_hint = ValueHint::FilePath)]
    pub gaps: Option<String>,

    /// What bars do while trades are missing: wait for REST, or go on and be corrected
    /// [default: wait]
    #[arg(long, value_name = "wait|revise", env = "BARFLOW_ON_GAP")]
    pub on_gap: Option<String>,

    /// Retain so much of the past for trades that come late: a time, a number of trades per
    /// instrument, or both (1h,500000) [default: nothing]
    #[arg(long, value_name = "WINDOW", env = "BARFLOW_REVISION_WINDOW")]
    pub revision_window: Option<String>,

    /// Hold the trades against these expectations (TOML, docs/quality.md)
    #[arg(long, value_name = "SUITE", env = "BARFLOW_QUALITY", value_hint = ValueHint::FilePath)]
    pub quality: Option<String>,

    /// Also record all frames into this folder
    #[arg(long, value_name = "FOLDER", env = "BARFLOW_RECORD", value_hint = ValueHint::DirPath)]
    pub record: Option<String>,

    /// Time between two reports in the log; 0 for none [default: 1m]
    #[arg(long, value_name = "TIME", env = "BARFLOW_REPORT_EVERY")]
    pub report_every: Option<String>,

    /// Serve metrics for Prometheus at this address
    #[arg(long, value_name = "HOST:PORT", env = "BARFLOW_METRICS")]
    pub metrics: Option<String>,

    /// Stop in good order after this time
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,

    /// Least level of log lines: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "BARFLOW_LOG", default_value = "info")]
    pub log: tracing::Level,
}

impl LiveArgs {
    fn typed(&self) -> Typed {
        let mut typed = Typed { bars: self.bars.clone(), ..Typed::default() };
        for (key, flag, value) in [
            ("workers", "--workers", &self.workers),
            ("quarantine", "--quarantine", &self.quarantine),
            ("gaps", "--gaps", &self.gaps),
            ("on_gap", "--on-gap", &self.on_gap),
            ("revision_window", "--revision-window", &self.revision_window),
            ("quality", "--quality", &self.quality),
            ("record", "--record", &self.record),
            ("report_every", "--report-every", &self.report_every),
            ("metrics", "--metrics", &self.metrics),
            ("history_instrument", "--history-instrument", &self.history_instrument),
        ] {
            put(&mut typed.replay, key, flag, value);
        }
        self.mesh.put(&mut typed.replay);
        if !self.history.is_empty() {
            typed.replay.put("history", Value::List(self.history.clone()), "--history");
            typed.replay.put("start", Value::Text("from-history".into()), "--history");
        }
        put(&mut typed.sink, "kind", "--sink", &self.sink);
        put(&mut typed.sink, "out", "--out", &self.out);
        self.delivery.put(&mut typed.sink);
        put(&mut typed.kafka, "brokers", "--brokers", &self.brokers);
        put(&mut typed.kafka, "topic", "--topic", &self.topic);
        if self.current {
            put(&mut typed.kafka, "current", "--current", &Some("true".to_owned()));
        }
        if self.create_topics {
            let value = Some("true".to_owned());
            put(&mut typed.kafka, "create_topics", "--create-topics", &value);
        }
        typed
    }

    /// The configuration as it stands now.
    fn settings(&self) -> Result<LiveSettings, Problems> {
        let mut settings = LiveSettings::understand(self.feed.file()?, self.typed())?;
        settings.delivery.reset_state = self.delivery.reset_state;
        Ok(settings)
    }
}

impl FeedArgs {
    /// The file with what was typed about feeds over it.
    pub(super) fn file(&self) -> Result<ConfigFile, Problems> {
        let mut file = match &self.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        if let Some(venue) = &self.venue {
            let mut feed = Section::new(format!("feed \"{venue}\""), "--venue");
            feed.put("venue", Value::Text(venue.clone()), "--venue");
            feed.put("instruments", Value::List(self.instruments.clone()), "--instrument");
            if let Some(channel) = &self.channel {
                feed.put("channel", Value::Text(channel.clone()), "--channel");
            }
            file.feeds.push((venue.clone(), feed));
        }
        if let Some(address) = &self.at {
            for (_, feed) in &mut file.feeds {
                feed.put("websocket", Value::Text(format!("ws://{address}")), "--at");
                feed.put("rest", Value::Text(format!("http://{address}")), "--at");
            }
        }
        Ok(file)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong settings (2), outside world (3).
pub fn run(args: LiveArgs) -> Result<Outcome, Failure> {
    let settings = args.settings()?;
    let again = args.clone();
    execute(
        settings,
        Run {
            config: args.feed.config.clone(),
            read_again: Box::new(move || again.settings().map_err(|wrong| wrong.to_string())),
            duration: args.duration,
            log: args.log,
        },
    )
}

/// How a run behaves that is no matter of its settings.
pub(super) struct Run {
    /// The file to watch for changes.
    pub(super) config: Option<PathBuf>,
    /// Understands the configuration again.
    pub(super) read_again: Box<dyn Fn() -> Result<LiveSettings, String> + Send>,
    /// When to stop.
    pub(super) duration: Option<String>,
    /// Least level of log lines.
    pub(super) log: tracing::Level,
}

/// Runs live feeds by validated settings.
pub(super) fn execute(mut settings: LiveSettings, run: Run) -> Result<Outcome, Failure> {
    crate::memory::keep_little();
    let limit = match &run.duration {
        Some(text) => Some(
            crate::config::bar_kinds::duration_ns(text)
                .map_err(|e| Failure::usage(anyhow::anyhow!("--for {text}: {e}")))?,
        ),
        None => None,
    };
    telemetry::start(run.log, settings.metrics)
        .map_err(|e| Failure::outside(anyhow::anyhow!("{e}")))?;
    let stop = Stop::new();
    let signals = Signals::raise(&stop).map_err(unhandled)?;
    let hangup = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&hangup))
        .map_err(unhandled)?;
    let started = Instant::now();
    if let Some(ns) = limit {
        stop_after(Duration::from_nanos(ns.max(0).unsigned_abs()), &stop);
    }
    let workers = settings.mesh.workers(settings.workers);
    let share = workers.share();
    let same = settings.job();
    settings.keep(share);
    if settings.feeds.is_empty() {
        tracing::info!("no instrument falls to this process; it stays for the others");
    }
    let latency = Latency::default();
    let wanted = sink::Wanted {
        kind: settings.sink,
        out: settings.out.as_deref(),
        kafka: &settings.kafka,
        bars: &settings.bars,
        instruments: settings.instruments(),
        latency: Some(latency.clone()),
        delivery: &settings.delivery,
        job: "live".to_owned(),
        workers: &workers,
        stop: &stop,
        complete_when_stopped: true,
    };
    let job = JobPlan {
        job: wanted.job()?,
        settings: wanted.settings(&[]),
        lenient: true,
        delivery: settings.delivery.clone(),
    };
    let taken = wanted.take()?;
    let mesh = connect(workers.clone(), &same, settings.mesh.patience, &stop)?;
    let begun = taken.begin(&job)?;
    begun.order_bars(|feed| settings.bars.for_feed(feed));
    from_checkpoint(&mut settings, &begun.resume).map_err(Failure::usage)?;
    let quarantine = match &settings.quarantine {
        Some(path) => Some(Arc::new(Quarantine::open(path, !begun.resume.is_empty())?)),
        None => None,
    };
    let gaps = match &settings.gaps {
        Some(path) => GapLedger::open(path).map_err(|error| {
            let what = format!("the gap ledger {} could not be opened", path.display());
            Failure::outside(anyhow::Error::new(error).context(what))
        })?,
        None => GapLedger::default(),
    };
    let (recorder, recording) = match &settings.record {
        Some(folder) => {
            let (recorder, recording) = crate::recording::recorder::start(folder, "live", &stop)
                .map_err(|e| Failure::outside(anyhow::Error::new(e)))?;
            (Some(recorder), Some(recording))
        }
        None => (None, None),
    };
    let pool = BatchPool::new(BATCH_ROWS, BATCHES);
    let on_reject = on_reject(quarantine.clone(), stop.clone());
    let (tally, revised) = (Tally::default(), Revised::default());
    let book = Book::new(settings.bars.clone());
    let shared = book.clone();
    // Feeds say when they are down in their own way; what lies before the first trade was not ours.
    let quality = settings.quality.clone().map(|suite| Quality::new(suite, |_| Known::default()));
    let options = GraphOptions {
        specs_of: Arc::new(move |feed| shared.now().for_feed(feed)),
        validate: ValidateOptions {
            order: OrderOptions {
                policy: RejectPolicy::SetAside,
                reorder_window: 1024,
                pool: pool.clone(),
                revises: settings.revision_window.is_some(),
            },
            resume: begun.resume.orders,
        },
        window: settings.revision_window,
        on_revision: on_revision(revised.clone(), quarantine.clone(), stop.clone()),
        on_reject: Arc::clone(&on_reject),
        trades: None,
        daily: None,
        tally: tally.clone(),
        stop: stop.clone(),
        quality: quality.clone(),
        clock: EpochClock::default(),
        latency: latency.clone(),
        checkpoints: begun.checkpoints,
    };
    let revises = settings.revision_window.is_some();
    let reports = Reports::default();
    let pace = Pace { idle_spin: settings.idle_spin, ..Pace::LIVE };
    let supervisor = Supervisor {
        config: run.config,
        read_again: run.read_again,
        hangup,
        book,
        on_new_bars: on_new_bars(job.settings, begun.settings_changes),
        positions: begun.resume.positions,
        latency: latency.clone(),
        reports: Arc::clone(&reports),
        recorder,
        settings,
    };
    let feeder: Feeder = Box::new(move |inlets, stop| {
        supervisor.run(Outlets { inlets, share, pool, stop: stop.clone(), on_reject, gaps })
    });
    let result = run_graph(mesh, pace, options, vec![feeder], begun.sinks);
    let recorded = recording.map(crate::recording::recorder::Recording::finish);

    let mut remarks = remarks(&reports, &latency);
    if let (Some(quarantine), true) = (&quarantine, rejected(&tally) > 0) {
        remarks.push(format!("bad rows are in {}", quarantine.path().display()));
    }
    match recorded {
        Some(Ok(files)) => {
            remarks.extend(files.iter().map(|f| format!("frames are in {}", f.display())));
        }
        Some(Err(error)) => remarks.push(format!("the recording is not whole: {error}")),
        None => {}
    }
    let summary = Summary {
        files: 0,
        tally: &tally,
        report: result.as_ref().ok(),
        elapsed: started.elapsed(),
        stopped: signals
            .name()
            .map(str::to_owned)
            .or_else(|| stop.asker())
            .map(|who| format!("stopped by {who}")),
        revised: revises.then(|| revised.totals()),
        quality: quality.as_ref().map(Quality::days),
        workers: &workers,
        remarks: &remarks,
    };
    eprint!("{}", summary.text());
    conclude(result)
}

/// Bars that come and go while the run goes on are part of what a restart has to find.
fn on_new_bars(settings: JobSettings, changes: SettingsChanges) -> Box<dyn Fn(&BarBook) + Send> {
    Box::new(move |bars| changes.put(settings.with_bars_of(JobSettings::of(bars.specs()))))
}

fn unhandled(error: std::io::Error) -> Failure {
    Failure::outside(anyhow::Error::new(error).context("signals cannot be handled"))
}

fn stop_after(limit: Duration, stop: &Stop) {
    let stop = stop.clone();
    // The process ends with its main thread, whatever this one waits for.
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        stop.raise();
    });
}

/// Rows and frames that are no trades never stop a live run: they are set aside, or logged.
fn on_reject(quarantine: Option<Arc<Quarantine>>, stop: Stop) -> OnReject {
    let shown = std::sync::atomic::AtomicUsize::new(0);
    Arc::new(move |reject: Reject| {
        if shown.fetch_add(1, Ordering::Relaxed) < SHOWN {
            tracing::warn!(
                source = %reject.source,
                field = reject.field,
                value = reject.value,
                "{}",
                reject.reason
            );
        }
        if let Some(quarantine) = &quarantine
            && let Err(error) = quarantine.add(&reject)
        {
            stop.fail(error);
        }
    })
}

fn remarks(reports: &Reports, latency: &Latency) -> Vec<String> {
    let mut remarks = Vec::new();
    let reports = reports.read().unwrap_or_else(PoisonError::into_inner).clone();
    for (feed, report) in reports {
        let mut text = format!("feed {feed}");
        for line in report.counters().lines() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {line}");
        }
        remarks.push(text);
    }
    remarks.extend(latency.table().lines().map(str::to_owned));
    remarks
}
