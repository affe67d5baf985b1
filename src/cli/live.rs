//! `barflow live`: bars from feeds until somebody stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barflow_replay::files;
use clap::{ArgMatches, Args, ValueHint};

use super::failure::{Failure, Outcome, conclude};
use super::options::{
    self, BarArgs, ClosingArgs, ClusterArgs, ExpectationArgs, FeedArgs, KafkaArgs, LoggingArgs,
    OutputArgs, QuarantineArgs, RecoveryArgs, RevisionArgs,
};
use super::progress::Watcher;
use super::signals::Signals;
use super::{help, summary, taken};
use crate::config::live::LiveSettings;
use crate::config::problem::Problems;
use crate::config::replay::Typed;
use crate::config::section::Value;
use crate::job::LiveJob;
use crate::job::live::reload::Reload;
use crate::stop::Stop;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  # everything from a file; docs/live.md explains it
  barflow live --config configs/live.toml

  # without an exchange: the simulator in another terminal
  barflow simulator --protocol binance-spot --listen 127.0.0.1:9000 --speed 60x BTCUSDT-trades-2024-03-01.zip
  barflow live --venue binance-spot --instrument BTCUSDT --at 127.0.0.1:9000

SIGTERM or Ctrl-C stops it gracefully. On SIGHUP, or when the file changes, it is read again:
instruments, bars and feeds are added and removed without disturbing the others.";

/// `barflow live`.
#[derive(Clone, Debug, Args)]
#[command(after_help = help::with_bars(EXAMPLES))]
pub struct LiveArgs {
    /// Which feeds.
    #[command(flatten)]
    pub feed: FeedArgs,

    /// Replay these files first, then continue live
    #[arg(long, value_name = "FILES", value_hint = ValueHint::AnyPath, help_heading = "History")]
    pub history: Vec<String>,

    /// Instrument of all history files [default: from the file names]
    #[arg(long, value_name = "ID", help_heading = "History")]
    pub history_instrument: Option<String>,

    /// Which bars.
    #[command(flatten)]
    pub bars: BarArgs,

    /// Where bars go.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Which bars close early, or without a trade.
    #[command(flatten)]
    pub closing: ClosingArgs,

    /// Parquet: begin a new part at each hour, each day, or at a size such as 64MB [default: hour]
    #[arg(long, value_name = "hour|day|SIZE", env = "BARFLOW_ROLL", help_heading = "Output")]
    pub roll: Option<String>,

    /// Also record all frames to this folder
    #[arg(long, value_name = "FOLDER", env = "BARFLOW_RECORD", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Output")]
    pub record: Option<String>,

    /// How bars are written to Kafka.
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// What a restart finds.
    #[command(flatten)]
    pub recovery: RecoveryArgs,

    /// What is expected of the trades.
    #[command(flatten)]
    pub expectations: ExpectationArgs,

    /// Where bad rows and frames go.
    #[command(flatten)]
    pub quarantine: QuarantineArgs,

    /// Write gaps that could not be filled to this file (JSON lines)
    #[arg(long, value_name = "FILE", env = "BARFLOW_GAPS", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Quality")]
    pub gaps: Option<String>,

    /// While trades are missing: wait for REST, or continue and revise the bars later
    /// [default: wait]
    #[arg(long, value_name = "wait|revise", env = "BARFLOW_ON_GAP")]
    #[arg(help_heading = "Corrections and revisions")]
    pub on_gap: Option<String>,

    /// How much of the past may change.
    #[command(flatten)]
    pub window: RevisionArgs,

    /// Dataflow workers; instruments are spread over them [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_WORKERS")]
    #[arg(help_heading = "Threads and processes")]
    pub workers: Option<String>,

    /// One of several processes.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Time between two reports in the log; 0 for none [default: 1m]
    #[arg(long, value_name = "TIME", env = "BARFLOW_REPORT_EVERY", help_heading = "Monitoring")]
    pub report_every: Option<String>,

    /// Serve metrics for Prometheus at this address
    #[arg(long, value_name = "HOST:PORT", env = "BARFLOW_METRICS", help_heading = "Monitoring")]
    pub metrics: Option<String>,

    /// The log, and when to stop.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

impl LiveArgs {
    /// The configuration as it is now.
    fn settings(&self, mut typed: Typed) -> Result<LiveSettings, Problems> {
        if !self.history.is_empty() {
            typed.replay.put("start", Value::Text("from-history".into()), "--history");
        }
        let mut settings = LiveSettings::understand(self.feed.file()?, typed)?;
        settings.delivery.reset_state = self.recovery.reset_state;
        Ok(settings)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong settings (2), outside world (3).
pub fn run(args: &LiveArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let typed = options::typed(matches);
    let settings = args.settings(typed.clone())?;
    let again = args.clone();
    let read = move || again.settings(typed.clone()).map_err(|wrong| wrong.to_string());
    execute(settings, reload(args.feed.config.config.clone(), read)?, &args.logging)
}

/// How the configuration is read again: at SIGHUP, and when the file changes.
pub(super) fn reload(
    file: Option<PathBuf>,
    read: impl Fn() -> Result<LiveSettings, String> + Send + 'static,
) -> Result<Reload, Failure> {
    let requested = Arc::new(AtomicBool::new(false));
    Signals::hangup(&requested)?;
    let named = file.clone();
    let read = move || {
        // A pipe in its place may never say anything, and a process substitution has said everything.
        named.as_deref().map_or(Ok(()), |file| {
            let unusable = |error| format!("{}: could not be read: {error}", file.display());
            files::open(file).map(drop).map_err(unusable)
        })?;
        read()
    };
    Ok(Reload { requested, file, read: Box::new(read) })
}

/// Runs live feeds by validated settings.
pub(super) fn execute(
    settings: LiveSettings,
    reload: Reload,
    args: &LoggingArgs,
) -> Result<Outcome, Failure> {
    crate::memory::keep_little();
    let limit = args.duration.as_deref().map(limit).transpose()?;
    telemetry::start(args.log, settings.metrics)
        .map_err(|e| Failure::outside(anyhow::anyhow!("{e}")))?;
    let stop = Stop::new();
    Signals::raise(&stop)?;
    let over = Arc::new(AtomicBool::new(false));
    if let Some(limit) = limit {
        stop_after(limit, &stop, Arc::clone(&over));
    }
    let if_taken = settings.delivery.if_taken;
    let job = LiveJob::new(settings).with_reload(reload);
    let ran = job.run(&stop, &Watcher::with_summary(summary::print_live));
    taken::wait(&ran, if_taken, &stop);
    if over.load(Ordering::Acquire)
        && let Ok(report) = &ran
        && let Some(why) = report.never_connected()
    {
        let limit = args.duration.as_deref().unwrap_or_default();
        return Err(Failure::outside(anyhow::anyhow!("no feed connected within {limit}: {why}"))
            .hint("check `websocket`, name resolution, proxies and the network"));
    }
    conclude(ran.map(|report| Outcome::of_live(&report)), &stop)
}

fn limit(text: &str) -> Result<Duration, Failure> {
    let ns = crate::config::durations::duration_ns(text)
        .map_err(|e| Failure::usage(anyhow::anyhow!("--for {text}: {e}")))?;
    Ok(Duration::from_nanos(ns.max(0).unsigned_abs()))
}

/// Stops after this time, and raises `over` if nothing else has.
fn stop_after(limit: Duration, stop: &Stop, over: Arc<AtomicBool>) {
    let stop = stop.clone();
    // The process ends with its main thread, whatever this one waits for.
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        over.store(!stop.is_raised(), Ordering::Release);
        stop.raise();
    });
}
