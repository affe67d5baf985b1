//! `barflow replay`.

use clap::{ArgMatches, Args, ValueHint};

use super::failure::{Failure, Outcome, conclude};
use super::options::{
    self, BarArgs, ClosingArgs, ClusterArgs, ConfigArgs, CorrectionArgs, ExpectationArgs, FileArgs,
    HistoryArgs, KafkaArgs, OutputArgs, QuarantineArgs, ReadingArgs, RecordingArgs, RecoveryArgs,
    ThreadArgs,
};
use super::progress::Watcher;
use super::say::say;
use super::signals::Signals;
use super::{help, summary, taken};
use crate::config::replay::ReplaySettings;
use crate::job::ReplayJob;
use crate::stop::Stop;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  # dollar imbalance bars of one day, as JSON lines
  barflow replay BTCUSDT-trades-2024-03-01.zip

  # two specifications in one pass over a year, into Parquet
  barflow replay 'data/BTCUSDT-trades-2024-*.zip' --sink parquet --out bars \\
    --bar 'dib=imbalance,measure=dollar,threshold=wald,target=1000,alpha=0.001' \\
    --bar 'hour=time,every=1h'

  # a year of one instrument on four cores, the same bars to the bit
  barflow replay 'data/BTCUSDT-trades-2024-*.zip' --parallel 4 --sink parquet --out bars

  # a quarter from a trade store (docs/history.md)
  barflow replay --store history --instrument binance:spot:BTCUSDT --from 2024-01-01 --to 2024-04-01

  # a recorded connection
  barflow replay --protocol binance-spot recordings/

  # into Kafka, creating the topics
  barflow replay data/ --sink kafka --brokers localhost:9092 --create-topics

  # with a schema registry, for readers that use Confluent's Avro deserialisers
  barflow replay data/ --sink kafka --brokers localhost:9092 --create-topics --encoding avro-confluent \\
    --schema-registry http://localhost:8081 --schema-register auto

Flags override environment variables, which override the file given with --config.";

/// `barflow replay`.
#[derive(Debug, Args)]
#[command(after_help = help::with_bars(EXAMPLES))]
pub struct ReplayArgs {
    /// Which configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Which trades.
    #[command(flatten)]
    pub files: FileArgs,

    /// Which trades, if they are in a store.
    #[command(flatten)]
    pub history: HistoryArgs,

    /// Which trades, if they were recorded.
    #[command(flatten)]
    pub recordings: RecordingArgs,

    /// Which bars.
    #[command(flatten)]
    pub bars: BarArgs,

    /// Where bars go.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Which bars close early, or without a trade.
    #[command(flatten)]
    pub closing: ClosingArgs,

    /// Also write totals of the bars per UTC day and trailing week as JSON lines, including all
    /// corrections
    #[arg(long, value_name = "FILE", env = "BARFLOW_DAILY", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Output")]
    pub daily: Option<String>,

    /// Also write the validated trades to this folder as Parquet, which replays faster
    #[arg(long, value_name = "FOLDER", env = "BARFLOW_SINK_TRADES", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Output")]
    pub sink_trades: Option<String>,

    /// Order of bars of several instruments: event-time (by known_time) or instrument (one after the other)
    /// [default: event-time into one file or Kafka, instrument with --parallel, Parquet or no sink]
    #[arg(long, value_name = "ORDER", env = "BARFLOW_ORDER", help_heading = "Output")]
    pub order: Option<String>,

    /// Refuse to start where a file of an earlier run would be replaced
    #[arg(long, help_heading = "Output")]
    pub no_clobber: bool,

    /// How bars are written to Kafka.
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// What a restart finds.
    #[command(flatten)]
    pub recovery: RecoveryArgs,

    /// What is expected of the trades.
    #[command(flatten)]
    pub expectations: ExpectationArgs,

    /// Where bad rows go.
    #[command(flatten)]
    pub quarantine: QuarantineArgs,

    /// With a quarantine, stop when more than this share of the rows is bad, after 10,000 bad rows
    /// [default: 50%]
    #[arg(long, value_name = "PERCENT", env = "BARFLOW_MAX_BAD", help_heading = "Quality")]
    pub max_bad: Option<String>,

    /// What was wrong with the files.
    #[command(flatten)]
    pub corrections: CorrectionArgs,

    /// Who does the work.
    #[command(flatten)]
    pub threads: ThreadArgs,

    /// One of several processes.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// How trades are put in order.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Runs the command.
///
/// # Errors
/// Wrong settings or files (2), bad data (1), outside world (3).
pub fn run(args: &ReplayArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let mut settings = ReplaySettings::understand(args.config.read()?, options::typed(matches))?;
    settings.delivery.reset_state = args.recovery.reset_state;
    // A sink that waits for its broker says so, and processes of one job log about each other; all
    // else that is worth knowing is in the summary.
    let together = settings.cluster.hosts.len() > 1;
    let level = if together { tracing::Level::INFO } else { tracing::Level::WARN };
    telemetry::start(level, None).map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
    replay(settings)
}

/// Replays by validated settings, with progress and a summary.
///
/// # Errors
/// As [`run`].
pub fn replay(settings: ReplaySettings) -> Result<Outcome, Failure> {
    let stop = Stop::new();
    Signals::raise(&stop)?;
    let (if_taken, resumes) = (settings.delivery.if_taken, settings.delivery.is_exactly_once());
    let ran = ReplayJob::new(settings).run(&stop, &Watcher::with_summary(summary::print_replay));
    taken::wait(&ran, if_taken, &stop);
    if ran.as_ref().is_ok_and(|report| report.stopped_by.is_some()) {
        match resumes {
            true => say!("the output is incomplete; run the same command to resume"),
            false => say!("the output is incomplete; the same command starts from the beginning"),
        }
    }
    conclude(ran.map(|report| Outcome::of_replay(&report)), &stop)
}
