//! The commands.

use clap::{Parser, Subcommand};

use super::{
    archive_server, check, checkpoints, demo, diff, fetch, help, live, quality, record, replay,
    schema, simulator, store, sweep, sync_report, synth, verify,
};

/// A streaming dataflow engine for information-driven bars.
#[derive(Debug, Parser)]
#[command(name = "barflow", version, about, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Colours on a terminal: auto, always, never [default: auto; NO_COLOR is heeded]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    #[arg(hide_possible_values = true, hide_short_help = true, display_order = 1000)]
    pub color: clap::ColorChoice,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 done, but rows were rejected, or stopped by bad data; \
2 wrong usage, configuration or input files; 3 network, broker or disk unavailable; \
4 another copy of the job has taken over; \
130, 141, 143 ended by Ctrl-C, a closed pipe or SIGTERM before all was done.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make bars from historical trade files
    Replay(Box<replay::ReplayArgs>),
    /// Evaluate a grid of bar specifications in one pass over trade files
    Sweep(Box<sweep::SweepArgs>),
    /// Make bars from live exchange feeds
    Live(Box<live::LiveArgs>),
    /// Record the raw frames of exchange feeds
    Record(Box<record::RecordArgs>),
    /// Simulate an exchange: play trade files through its protocol, with faults
    #[command(visible_alias = "venue")]
    Simulator(Box<simulator::SimulatorArgs>),
    /// Compare two outputs of bars and show the first difference
    Diff(diff::DiffArgs),
    /// Recompute bars from trade files and compare them with an output
    Verify(Box<verify::VerifyArgs>),
    /// Validate trade files against an expectation suite
    Quality(Box<quality::QualityArgs>),
    /// Measure how many trades a builder needs to converge, wherever it starts
    SyncReport(Box<sync_report::SyncReportArgs>),
    /// Show or delete job checkpoints
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Download and verify archives of trades from the venue's public archive
    Fetch(Box<fetch::FetchArgs>),
    /// Convert archives into a trade store: one Parquet file per instrument and day
    Convert(store::convert::ConvertArgs),
    /// Merge the days of a trade store into months and years
    Compact(store::compact::CompactArgs),
    /// Inspect and maintain a trade store
    Store(store::StoreArgs),
    /// Serve files as the venue's public archive does, with faults
    ArchiveServer(archive_server::ArchiveServerArgs),
    /// Print what readers of bars paste: schemas, tables, connectors
    Schema(schema::SchemaArgs),
    /// Generate realistic days of trades in Binance's layout
    Synth(synth::SynthArgs),
    /// Validate configuration files without running them
    Check(check::CheckArgs),
    /// Generate a day of trades, make bars, and suggest next steps
    Demo(demo::DemoArgs),
    /// Explain a command, or a topic: bars
    Help(help::HelpArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}
