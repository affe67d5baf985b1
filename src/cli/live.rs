//! `barflow live`: feeds into the graph until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::args::put;
use super::delivery::DeliveryArgs;
use super::failure::{Failure, Outcome, conclude};
use super::mesh::MeshArgs;
use super::progress::Watcher;
use super::signals::Signals;
use super::summary;
use crate::config::file::ConfigFile;
use crate::config::live::LiveSettings;
use crate::config::problem::Problems;
use crate::config::replay::Typed;
use crate::config::section::{Section, Value};
use crate::job::live::reload::Reload;
use crate::job::{JobReport, LiveJob};
use crate::stop::Stop;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  # everything from a file; docs/live.md explains it
  barflow live --config configs/live.toml

  # without an exchange: a venue of our own in another terminal
  barflow venue --protocol binance-spot --listen 127.0.0.1:9000 --speed 60x BTCUSDT-trades-2024-03-01.zip
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

    /// Talk to a `barflow venue` at this address instead of the exchanges
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

    /// How the command runs.
    #[command(flatten)]
    pub run: RunArgs,
}

/// How a command that listens to feeds runs.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,

    /// Least level of log lines: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "BARFLOW_LOG", default_value = "info")]
    pub log: tracing::Level,
}

impl RunArgs {
    fn limit(&self) -> Result<Option<Duration>, Failure> {
        let Some(text) = &self.duration else { return Ok(None) };
        let ns = crate::config::bar_kinds::duration_ns(text)
            .map_err(|e| Failure::usage(anyhow::anyhow!("--for {text}: {e}")))?;
        Ok(Some(Duration::from_nanos(ns.max(0).unsigned_abs())))
    }
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
    let (config, again) = (args.feed.config.clone(), args.clone());
    let read = move || again.settings().map_err(|wrong| wrong.to_string());
    execute(settings, reload(config, read)?, &args.run)
}

/// How the configuration is read again: at SIGHUP, and when the file changes.
pub(super) fn reload(
    file: Option<PathBuf>,
    read: impl Fn() -> Result<LiveSettings, String> + Send + 'static,
) -> Result<Reload, Failure> {
    let requested = Arc::new(AtomicBool::new(false));
    Signals::hangup(&requested)?;
    Ok(Reload { requested, file, read: Box::new(read) })
}

/// Runs live feeds by validated settings.
pub(super) fn execute(
    settings: LiveSettings,
    reload: Reload,
    args: &RunArgs,
) -> Result<Outcome, Failure> {
    crate::memory::keep_little();
    let limit = args.limit()?;
    telemetry::start(args.log, settings.metrics)
        .map_err(|e| Failure::outside(anyhow::anyhow!("{e}")))?;
    let stop = Stop::new();
    Signals::raise(&stop)?;
    if let Some(limit) = limit {
        stop_after(limit, &stop);
    }
    let job = LiveJob::new(settings).with_reload(reload);
    let ran = job.run(&stop, &Watcher::with_summary(summarise));
    conclude(ran.map(|_| Outcome::Done))
}

fn summarise(report: &JobReport) {
    eprint!("{}", summary::text(report));
    if let Some(who) = &report.stopped_by {
        eprintln!("stopped by {who}");
    }
}

fn stop_after(limit: Duration, stop: &Stop) {
    let stop = stop.clone();
    // The process ends with its main thread, whatever this one waits for.
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        stop.raise();
    });
}
