//! Options of how a command runs: threads, processes, feeds, corrections, its log.

use clap::{Args, ValueHint};

use super::ConfigArgs;
use crate::config::file::ConfigFile;
use crate::config::problem::Problems;
use crate::config::section::{Section, Value};

/// How many threads share the work of a replay.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Threads and processes")]
pub struct ThreadArgs {
    /// Dataflow workers; instruments are spread over them [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_WORKERS")]
    pub workers: Option<String>,

    /// Threads that share the history of one instrument; the bars are those of one pass, to the bit
    /// [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_PARALLEL")]
    pub parallel: Option<String>,
}

/// One job as several processes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Threads and processes")]
pub struct ClusterArgs {
    /// Be one of several processes that share the instruments: file with host:port of each
    #[arg(long, value_name = "FILE", env = "BARFLOW_HOSTS", value_hint = ValueHint::FilePath)]
    pub hosts: Option<String>,

    /// Which of them this is, counted from 0
    #[arg(long, value_name = "K", env = "BARFLOW_PROCESS")]
    pub process: Option<String>,

    /// How long to wait for the others at the start [default: 1m]
    #[arg(long, value_name = "TIME", env = "BARFLOW_MESH_PATIENCE", hide_short_help = true)]
    pub mesh_patience: Option<String>,
}

/// Corrections of trade files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Corrections and revisions")]
pub struct CorrectionArgs {
    /// Correct the history: add, remove or replace trades by their ids (CSV, docs/revisions.md)
    #[arg(long, value_name = "FILE", env = "BARFLOW_CORRECTIONS", value_hint = ValueHint::FilePath)]
    pub corrections: Option<String>,

    /// How much of the past may change.
    #[command(flatten)]
    pub window: RevisionArgs,
}

/// How much of the past may change.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Corrections and revisions")]
pub struct RevisionArgs {
    /// Retain so much of the past for corrections and late trades: a time, a number of trades per
    /// instrument, or both (1h,500000) [default: nothing, or 1000000 trades with --corrections]
    #[arg(long, value_name = "WINDOW", env = "BARFLOW_REVISION_WINDOW")]
    pub revision_window: Option<String>,
}

/// Which feeds: those of a file, or one that is typed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Feeds")]
pub struct FeedArgs {
    /// Which file.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Protocol of a feed that is in no file, such as binance-spot, coinbase, kraken
    #[arg(long, value_name = "PROTOCOL", requires = "symbols", conflicts_with = "config")]
    pub venue: Option<String>,

    /// Instruments of that feed, as the venue writes them
    #[arg(long = "instrument", value_name = "SYMBOL", value_delimiter = ',', requires = "venue")]
    pub symbols: Vec<String>,

    /// Channel of that feed: trades or aggregates
    #[arg(long = "channel", value_name = "CHANNEL", requires = "venue")]
    pub feed_channel: Option<String>,

    /// Connect to a `barflow simulator` at this address instead of the exchanges
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Option<String>,
}

impl FeedArgs {
    /// The file with what was typed about feeds over it.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn file(&self) -> Result<ConfigFile, Problems> {
        let mut file = self.config.read()?;
        if let Some(venue) = &self.venue {
            let mut feed = Section::new(format!("feed \"{venue}\""), "--venue");
            feed.put("venue", Value::Text(venue.clone()), "--venue");
            feed.put("instruments", Value::List(self.symbols.clone()), "--instrument");
            if let Some(channel) = &self.feed_channel {
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

/// The log, and when a command that listens to feeds stops.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Monitoring")]
pub struct LoggingArgs {
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,

    /// Least level of log lines: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "BARFLOW_LOG", default_value = "info")]
    pub log: tracing::Level,
}
