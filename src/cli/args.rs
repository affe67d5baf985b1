//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use super::delivery::DeliveryArgs;
use super::mesh::MeshArgs;
use crate::config::replay::Typed;
use crate::config::section::{Section, Value};

/// A streaming dataflow engine for information-driven bars.
#[derive(Debug, Parser)]
#[command(name = "barflow", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 done but with rows set aside, or stopped by bad data; \
2 wrong usage, configuration or input files; 3 outside world unavailable; \
4 another copy of the job has taken over.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make bars from historical trade files
    Replay(Box<ReplayArgs>),
    /// Try a grid of bar specifications on trade files, in one pass
    Sweep(Box<super::sweep::SweepArgs>),
    /// Make bars from exchange feeds, until told to stop
    Live(Box<super::live::LiveArgs>),
    /// Record the raw frames of exchange feeds
    Record(Box<super::record::RecordArgs>),
    /// Simulate an exchange: play trade files through its protocol, with faults
    #[command(visible_alias = "venue")]
    Simulator(Box<super::simulator::SimulatorArgs>),
    /// Compare two outputs of bars and name the first difference
    Diff(super::diff::DiffArgs),
    /// Make the bars of trade files again and compare them with an output, for audits
    Verify(Box<super::verify::VerifyArgs>),
    /// Hold trade files against expectations: a score per day, a verdict, a report
    Quality(Box<super::quality::QualityArgs>),
    /// Measure after how many trades bars no longer depend on where they began
    SyncReport(Box<super::sync_report::SyncReportArgs>),
    /// Say where jobs stand, or forget it
    Checkpoints(super::checkpoints::CheckpointsArgs),
    /// Bring archives of trades from the venue's public archive, verified
    Fetch(Box<super::fetch::FetchArgs>),
    /// Turn archives into a trade store: a Parquet file per instrument and day
    Convert(super::store::convert::ConvertArgs),
    /// Merge the days of a trade store into months and years
    Compact(super::store::compact::CompactArgs),
    /// Look after a trade store
    Store(super::store::StoreArgs),
    /// Serve files as the venue's public archive does, with faults
    ArchiveServer(super::archive_server::ArchiveServerArgs),
    /// Write realistic day files in Binance's layout
    Synth(SynthArgs),
    /// Validate configuration files without doing anything
    Check(CheckArgs),
    /// Make a day, replay it, write bars, and show what to look at next
    Demo(DemoArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

const REPLAY_EXAMPLES: &str = "\
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

Kinds of bars: time, tick, volume, dollar, imbalance, runs, and for comparison the
compatibility modes mlfinlab-*, risklabai-*, predecessor-*, nautilus-* (docs/BARS.md).
Values are taken from flags, then the environment, then the file given with --config.";

/// `barflow replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// Files, folders or quoted patterns: Binance trades or aggTrades (.zip, .csv, .csv.gz,
    /// .csv.zst), barflow's trades Parquet, Kraken time & sales, LEAN ticks, Tardis trades
    #[arg(value_name = "FILES", value_hint = ValueHint::AnyPath)]
    pub files: Vec<String>,

    /// Configuration file (TOML); flags and environment go over it
    #[arg(long, value_name = "FILE", env = "BARFLOW_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Files are recordings of this protocol (binance-spot, coinbase, kraken, …): of `barflow
    /// record`, cryptofeed or hftbacktest
    #[arg(long, value_name = "NAME", env = "BARFLOW_PROTOCOL")]
    pub protocol: Option<String>,

    /// Channel of the recordings: trades or aggregates [default: the venue's first]
    #[arg(long, value_name = "CHANNEL", env = "BARFLOW_CHANNEL")]
    pub channel: Option<String>,

    /// Instrument of all files, such as binance:spot:BTCUSDT; by default told from their names
    #[arg(long, value_name = "ID", env = "BARFLOW_INSTRUMENT")]
    pub instrument: Option<String>,

    /// Take the trades of this trade store instead of files (`barflow convert`); which of them, say
    /// --instrument, --from and --to
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = ValueHint::DirPath)]
    pub store: Option<String>,

    /// Also write sums of the bars by UTC day, and over trailing weeks, as JSON lines, as they stand at
    /// the end of the run
    #[arg(long, value_name = "FILE", env = "BARFLOW_DAILY", value_hint = ValueHint::FilePath)]
    pub daily: Option<String>,

    /// Kind of the store's trades, where it has both: trades or aggTrades
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,

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

    /// Kafka value encoding: json or avro
    #[arg(long, value_name = "ENCODING", env = "BARFLOW_ENCODING")]
    pub encoding: Option<String>,

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

    /// Threads that share the history of one instrument; the bars are those of one pass, to the bit
    /// [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_PARALLEL")]
    pub parallel: Option<String>,

    /// One of several processes.
    #[command(flatten)]
    pub mesh: MeshArgs,

    /// Take trades from this time on (2024-03-01, 2024-03-01T12:00:00Z, ns)
    #[arg(long, value_name = "TIME", env = "BARFLOW_FROM")]
    pub from: Option<String>,

    /// Take trades before this time
    #[arg(long, value_name = "TIME", env = "BARFLOW_TO")]
    pub to: Option<String>,

    /// Do not verify archives (checksums, CRCs) before using them
    #[arg(long)]
    pub no_verify: bool,

    /// Set bad rows aside into this file (JSON lines) instead of stopping at the first
    #[arg(long, value_name = "FILE", env = "BARFLOW_QUARANTINE", value_hint = ValueHint::FilePath)]
    pub quarantine: Option<String>,

    /// Quote value of a trade: product (price × qty, as live) or source (the file's own column)
    #[arg(long, value_name = "WHICH", env = "BARFLOW_QUOTE")]
    pub quote: Option<String>,

    /// Quote value of one contract of a coin-margined instrument [default: the venue's rule]
    #[arg(long, value_name = "SIZE", env = "BARFLOW_CONTRACT_SIZE")]
    pub contract_size: Option<String>,

    /// Also write the validated trades into this folder, as Parquet that replay reads fast
    #[arg(long, value_name = "FOLDER", env = "BARFLOW_SINK_TRADES", value_hint = ValueHint::DirPath)]
    pub sink_trades: Option<String>,

    /// Correct the history: add, remove or replace trades by their ids (CSV, docs/revisions.md)
    #[arg(long, value_name = "FILE", env = "BARFLOW_CORRECTIONS", value_hint = ValueHint::FilePath)]
    pub corrections: Option<String>,

    /// Retain so much of the past for corrections and late trades: a time, a number of trades, or
    /// both (1h,500000) [default: 1000000 with --corrections, else nothing]
    #[arg(long, value_name = "WINDOW", env = "BARFLOW_REVISION_WINDOW")]
    pub revision_window: Option<String>,

    /// Hold the trades against these expectations on the way (TOML, docs/quality.md)
    #[arg(long, value_name = "SUITE", env = "BARFLOW_QUALITY", value_hint = ValueHint::FilePath)]
    pub quality: Option<String>,

    /// Trades that may wait for a missing id [default: 1024]
    #[arg(long, value_name = "N", env = "BARFLOW_REORDER_WINDOW", hide_short_help = true)]
    pub reorder_window: Option<String>,

    /// Trades per batch [default: 8192]
    #[arg(long, value_name = "N", env = "BARFLOW_BATCH_ROWS", hide_short_help = true)]
    pub batch_rows: Option<String>,
}

impl ReplayArgs {
    /// The flags as sections, to be laid over a file's.
    pub fn typed(&self) -> Typed {
        let mut typed = Typed { bars: self.bars.clone(), ..Typed::default() };
        if !self.files.is_empty() {
            typed.replay.put("files", Value::List(self.files.clone()), "FILES");
        }
        for (key, flag, value) in [
            ("protocol", "--protocol", &self.protocol),
            ("channel", "--channel", &self.channel),
            ("instrument", "--instrument", &self.instrument),
            ("store", "--store", &self.store),
            ("input", "--kind", &self.kind),
            ("workers", "--workers", &self.workers),
            ("parallel", "--parallel", &self.parallel),
            ("from", "--from", &self.from),
            ("to", "--to", &self.to),
            ("quarantine", "--quarantine", &self.quarantine),
            ("daily", "--daily", &self.daily),
            ("quote", "--quote", &self.quote),
            ("contract_size", "--contract-size", &self.contract_size),
            ("trades", "--sink-trades", &self.sink_trades),
            ("corrections", "--corrections", &self.corrections),
            ("revision_window", "--revision-window", &self.revision_window),
            ("quality", "--quality", &self.quality),
            ("reorder_window", "--reorder-window", &self.reorder_window),
            ("batch_rows", "--batch-rows", &self.batch_rows),
        ] {
            put(&mut typed.replay, key, flag, value);
        }
        self.mesh.put(&mut typed.replay);
        put(&mut typed.sink, "kind", "--sink", &self.sink);
        put(&mut typed.sink, "out", "--out", &self.out);
        self.delivery.put(&mut typed.sink);
        put(&mut typed.kafka, "brokers", "--brokers", &self.brokers);
        put(&mut typed.kafka, "topic", "--topic", &self.topic);
        put(&mut typed.kafka, "encoding", "--encoding", &self.encoding);
        if self.no_verify {
            typed.replay.put("verify", Value::Text("false".into()), "--no-verify");
        }
        if self.current {
            typed.kafka.put("current", Value::Text("true".into()), "--current");
        }
        if self.create_topics {
            typed.kafka.put("create_topics", Value::Text("true".into()), "--create-topics");
        }
        typed
    }
}

pub(super) fn put(section: &mut Section, key: &str, flag: &str, value: &Option<String>) {
    if let Some(value) = value {
        let environment = format!("BARFLOW_{}", flag[2..].replace('-', "_").to_uppercase());
        let from_environment = std::env::var(&environment).is_ok_and(|set| set == *value)
            && !std::env::args().any(|argument| argument.starts_with(flag));
        let origin = if from_environment { environment } else { flag.to_owned() };
        section.put(key, Value::Text(value.clone()), origin);
    }
}

/// `barflow synth`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  barflow synth --out data --instrument binance:spot:BTCUSDT \
                        --date 2024-03-01 --days 3 --trades 500000 --seed 7")]
pub struct SynthArgs {
    /// Folder for the files
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// Instrument; its market decides the layout
    #[arg(long, value_name = "ID", default_value = "binance:spot:BTCUSDT")]
    pub instrument: String,

    /// First day
    #[arg(long, value_name = "DATE")]
    pub date: String,

    /// Days
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub days: u32,

    /// Trades per day
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub trades: u64,

    /// The same seed makes the same bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Layout of the rows: trades or aggTrades
    #[arg(long, value_name = "KIND", default_value = "trades")]
    pub kind: String,
}

/// `barflow check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration files
    #[arg(required = true, value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

/// `barflow demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the day and its bars
    #[arg(long, value_name = "DIR", default_value = "barflow-demo", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// Trades in the day
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    pub trades: u64,
}
