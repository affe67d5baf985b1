//! `barflow record`: raw frames with receive times, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::live::{execute, reload};
use super::options::{FeedArgs, LoggingArgs};
use crate::config::bars::BarBook;
use crate::config::live::LiveSettings;
use crate::config::problem::Problems;
use crate::config::replay::Typed;
use crate::config::sink_kind::SinkKind;

const EXAMPLES: &str = "\
Examples:
  barflow record --venue binance-spot --instrument BTCUSDT,ETHUSDT --out recordings
  barflow record --config configs/live.toml --out recordings --for 24h

What is recorded can be replayed (`barflow replay --protocol …`) and played (`barflow simulator …`).";

/// `barflow record`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RecordArgs {
    /// Which feeds.
    #[command(flatten)]
    pub feed: FeedArgs,

    /// Folder for the recordings
    #[arg(help_heading = "Output", long, value_name = "FOLDER", default_value = "recordings", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// The log, and when to stop.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

impl RecordArgs {
    fn settings(&self) -> Result<LiveSettings, Problems> {
        let mut file = self.feed.file()?;
        // Of a file for live runs only the feeds count here.
        file.sections.clear();
        file.bars.clear();
        let mut settings = LiveSettings::understand(file, Typed::default())?;
        settings.bars = BarBook::default();
        settings.sink = SinkKind::None;
        settings.record = Some(self.out.clone());
        for feed in &mut settings.feeds {
            // A recording holds what came; what did not is reported and not asked for.
            feed.backfill_budget = Duration::ZERO;
        }
        Ok(settings)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong settings (2), outside world (3).
pub fn run(args: &RecordArgs) -> Result<Outcome, Failure> {
    let settings = args.settings()?;
    let again = args.clone();
    let read = move || again.settings().map_err(|wrong| wrong.to_string());
    execute(settings, reload(args.feed.config.config.clone(), read)?, &args.logging)
}
