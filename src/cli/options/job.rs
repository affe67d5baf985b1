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

    /// Threads per worker that share an instrument's history; the bars equal those of one pass, bit for bit
    /// [default: 1]
    #[arg(long, value_name = "N", env = "BARFLOW_PARALLEL")]
    pub parallel: Option<String>,
}

/// One job as several processes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Threads and processes")]
pub struct ClusterArgs {
    /// Run as one of several processes that share the instruments: file with one host:port per line
    #[arg(long, value_name = "FILE", env = "BARFLOW_HOSTS", value_hint = ValueHint::FilePath)]
    pub hosts: Option<String>,

    /// Number of this process in --hosts, from 0
    #[arg(long, value_name = "K", env = "BARFLOW_PROCESS")]
    pub process: Option<String>,

    /// Where the secret is that all processes share: ${NAME}, an environment variable, or ${file:/path}; needed
    /// unless all --hosts are loopback addresses
    #[arg(long, value_name = "REFERENCE", env = "BARFLOW_CLUSTER_SECRET")]
    pub cluster_secret: Option<String>,

    /// How long to wait for the other processes at the start [default: 1m]
    #[arg(long, value_name = "TIME", env = "BARFLOW_CLUSTER_TIMEOUT", hide_short_help = true)]
    pub cluster_timeout: Option<String>,
}

/// Corrections of trade files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Corrections and revisions")]
pub struct CorrectionArgs {
    /// Apply corrections: add, remove or replace trades by id (CSV, docs/revisions.md)
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
    /// History to keep for corrections and late trades: a time, a number of trades per instrument,
    /// or both (1h,500000) [default: nothing, or 1000000 trades with --corrections]
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

    /// Protocol of a feed without a configuration file: binance-spot, binance-um, binance-cm,
    /// coinbase, kraken, …
    #[arg(long, value_name = "PROTOCOL", requires = "symbols", conflicts_with = "config")]
    pub venue: Option<String>,

    /// Symbols of that feed, as the venue writes them
    #[arg(long = "instrument", value_name = "SYMBOL", value_delimiter = ',', requires = "venue")]
    pub symbols: Vec<String>,

    /// Channel of that feed: trades or aggregates
    #[arg(long = "channel", value_name = "CHANNEL", requires = "venue")]
    pub feed_channel: Option<String>,

    /// Connect to a `barflow simulator` at this address in place of the exchanges
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Option<String>,

    /// Also trust the certificates of this file (PEM), for websockets and REST
    #[arg(long, value_name = "FILE", env = "BARFLOW_CA_FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<String>,
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
        if let Some(path) = &self.ca_file {
            for (_, feed) in &mut file.feeds {
                feed.put("ca_file", Value::Text(path.clone()), "--ca-file");
            }
        }
        if let Some(address) = &self.at {
            if address.contains(['@', '/', '?']) {
                // Not shown: what is before an @ may be a password.
                let mut problems = Problems::default();
                problems.add("--at", "must be HOST:PORT, without a login, a scheme or a path");
                return Err(problems);
            }
            for (_, feed) in &mut file.feeds {
                feed.put("websocket", Value::Text(format!("ws://{address}")), "--at");
                feed.put("rest", Value::Text(format!("http://{address}")), "--at");
                feed.put("proxy", Value::Text("none".to_owned()), "--at");
            }
        }
        Ok(file)
    }
}

/// The log, and when a command that listens to feeds stops.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Monitoring")]
pub struct LoggingArgs {
    /// Stop gracefully after this time
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,

    /// Minimum log level: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "BARFLOW_LOG", default_value = "info")]
    pub log: tracing::Level,
}
