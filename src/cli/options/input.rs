//! Options that select trades and bars.

use std::path::PathBuf;

use barflow_replay::columns::choice::ColumnChoice;
use clap::{Args, ValueHint};

use super::super::failure::Failure;
use crate::config::file::ConfigFile;
use crate::config::problem::Problems;

/// The configuration file.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, value_name = "FILE", env = "BARFLOW_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads the file; an empty one if none was named.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self) -> Result<ConfigFile, Problems> {
        self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)
    }
}

/// Which trade files, and which part of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct FileArgs {
    /// Files, folders, quoted patterns or - for standard input: Binance trades or aggTrades (.zip, .csv, .csv.gz,
    /// .csv.zst), barflow's trades Parquet, Kraken time & sales, LEAN ticks, Tardis trades, and any
    /// other CSV or Parquet by the names of its columns
    #[arg(value_name = "FILES", value_hint = ValueHint::AnyPath)]
    pub files: Vec<String>,

    /// Which part of them.
    #[command(flatten)]
    pub part: PartArgs,

    /// How their rows are read.
    #[command(flatten)]
    pub layout: LayoutArgs,

    /// Skip verifying archives (checksums, CRCs) before use
    #[arg(long)]
    pub no_verify: bool,
}

/// How the rows of trade files are read.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct LayoutArgs {
    /// Columns of CSV or Parquet files by name (or position, where there is no header):
    /// time=ts,price=px,qty=size[,side=S,id=I,time_unit=ms,side_buy=B,…] [default: by the header]
    #[arg(long, value_name = "MAP", env = "BARFLOW_COLUMNS")]
    pub columns: Option<String>,

    /// Keep ticks that LEAN flags as suspicious [default: left out and counted]
    #[arg(long)]
    pub keep_suspicious: bool,
}

/// What was typed for columns.
///
/// # Errors
/// When it is not a list of columns.
pub fn columns(args: &LayoutArgs) -> Result<Option<ColumnChoice>, Failure> {
    let parsed = args.columns.as_deref().map(str::parse).transpose();
    parsed.map_err(|error: String| Failure::usage(anyhow::anyhow!("--columns: {error}")))
}

/// Which part of trade files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct PartArgs {
    /// Instrument of all files, such as binance:spot:BTCUSDT; XBTUSD=binance:spot:BTCUSDT also takes
    /// files named for XBTUSD [default: from the file names]
    #[arg(long, value_name = "ID", env = "BARFLOW_INSTRUMENT")]
    pub instrument: Option<String>,

    /// Use trades from this time on: 2024-03-01, 2024-03-01T12:00:00Z, 2024-03-01T12:00[Europe/Berlin],
    /// or s, ms, µs or ns since 1970
    #[arg(long, value_name = "TIME", env = "BARFLOW_FROM")]
    pub from: Option<String>,

    /// Use trades before this time
    #[arg(long, value_name = "TIME", env = "BARFLOW_TO")]
    pub to: Option<String>,
}

/// A trade store instead of files, and what its trades are worth.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct HistoryArgs {
    /// Read this trade store (`barflow convert`) in place of files; select with --instrument,
    /// --from and --to
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = ValueHint::DirPath)]
    pub store: Option<String>,

    /// Kind of trades, if the store has both: trades or aggTrades
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,

    /// Quote value of a trade: product (price × qty, as live) or source (the file's own column)
    #[arg(long, value_name = "WHICH", env = "BARFLOW_QUOTE")]
    pub quote: Option<String>,

    /// Quote value of one contract of a coin-margined instrument [default: the venue's rule]
    #[arg(long, value_name = "SIZE", env = "BARFLOW_CONTRACT_SIZE")]
    pub contract_size: Option<String>,
}

/// Recordings instead of trade files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct RecordingArgs {
    /// The files are recordings of this protocol (binance-spot, coinbase, kraken, …) by `barflow
    /// record`, cryptofeed or hftbacktest
    #[arg(long, value_name = "NAME", env = "BARFLOW_PROTOCOL")]
    pub protocol: Option<String>,

    /// Channel of the recordings: trades or aggregates [default: the venue's first]
    #[arg(long, value_name = "CHANNEL", env = "BARFLOW_CHANNEL")]
    pub channel: Option<String>,

    /// Read recordings from any host; otherwise a host that is not the protocol's is refused
    #[arg(long)]
    pub any_host: bool,
}

/// Which bars.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Bars")]
pub struct BarArgs {
    /// Bars to make: NAME=kind,key=value,… (repeatable; `barflow help bars` lists kinds and keys)
    #[arg(long = "bar", value_name = "SPEC", env = "BARFLOW_BAR", value_delimiter = ';')]
    pub bar_specs: Vec<String>,
}

/// How trades are put in order.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub struct ReadingArgs {
    /// How many trades may wait for a missing id [default: 1024]
    #[arg(long, value_name = "N", env = "BARFLOW_REORDER_WINDOW", hide_short_help = true)]
    pub reorder_window: Option<String>,

    /// Trades per batch [default: 8192]
    #[arg(long, value_name = "N", env = "BARFLOW_BATCH_ROWS", hide_short_help = true)]
    pub batch_rows: Option<String>,
}
