//! The commands.

use clap::{Parser, Subcommand};

use super::{
    archive_server, check, checkpoints, demo, diff, fetch, help, live, quality, record, replay,
    simulator, store, sweep, sync_report, synth, verify,
};

/// A streaming dataflow engine for information-driven bars.
#[derive(Debug, Parser)]
#[command(name = "barflow", version, about, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
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
    Replay(Box<replay::ReplayArgs>),
    /// Try a grid of bar specifications on trade files, in one pass
    Sweep(Box<sweep::SweepArgs>),
    /// Make bars from exchange feeds, until stopped
    Live(Box<live::LiveArgs>),
    /// Record the raw frames of exchange feeds
    Record(Box<record::RecordArgs>),
    /// Simulate an exchange: play trade files through its protocol, with faults
    #[command(visible_alias = "venue")]
    Simulator(Box<simulator::SimulatorArgs>),
    /// Compare two outputs of bars and show the first difference
    Diff(diff::DiffArgs),
    /// Make the bars of trade files again and compare them with an output, for audits
    Verify(Box<verify::VerifyArgs>),
    /// Validate trade files against an expectation suite: a score per day and a report
    Quality(Box<quality::QualityArgs>),
    /// Measure after how many trades bars no longer depend on where they began
    SyncReport(Box<sync_report::SyncReportArgs>),
    /// Show or delete job checkpoints
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Download archives of trades from the venue's public archive, and verify them
    Fetch(Box<fetch::FetchArgs>),
    /// Convert archives into a trade store: a Parquet file per instrument and day
    Convert(store::convert::ConvertArgs),
    /// Merge the days of a trade store into months and years
    Compact(store::compact::CompactArgs),
    /// List, verify and prune a trade store
    Store(store::StoreArgs),
    /// Serve files as the venue's public archive does, with faults
    ArchiveServer(archive_server::ArchiveServerArgs),
    /// Write realistic day files in Binance's layout
    Synth(synth::SynthArgs),
    /// Validate configuration files without doing anything
    Check(check::CheckArgs),
    /// Make a day, replay it, write bars, and show what to look at next
    Demo(demo::DemoArgs),
    /// Explain a command, or a topic: bars
    Help(help::HelpArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}
