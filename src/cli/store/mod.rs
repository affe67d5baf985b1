//! The trade store: `barflow convert`, `compact`, `store …`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use barflow_operators::batch::InputKind;
use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};
use super::signals::Signals;
use crate::stop::Stop;

pub mod compact;
pub mod convert;
pub mod list;
pub mod prune;
pub mod verify;

const EXAMPLES: &str = "\
Examples:
  # what is there, and what is missing
  barflow store ls --store history

  # the metadata of every file
  barflow store info --store history --instrument binance:spot:BTCUSDT

  # read everything back, for audits
  barflow store verify --store history

  # archives that were converted are not needed any more
  barflow store prune --store history --archives --yes";

/// `barflow store`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// List what a store holds, per instrument
    Ls(list::ListArgs),
    /// List the metadata of files
    Info(list::InfoArgs),
    /// Read everything back and hold it against what was recorded
    Verify(verify::VerifyArgs),
    /// Remove what is not needed any more
    Prune(prune::PruneArgs),
}

/// Runs the command.
///
/// # Errors
/// Wrong usage or no store (2), damage (1), outside world (3).
pub fn run(args: &StoreArgs) -> Result<Outcome, Failure> {
    match &args.command {
        StoreCommand::Ls(args) => list::ls(args),
        StoreCommand::Info(args) => list::info(args),
        StoreCommand::Verify(args) => verify::run(args),
        StoreCommand::Prune(args) => prune::run(args),
    }
}

/// Which store, and which part of it.
#[derive(Debug, Args)]
pub struct Place {
    /// Folder of the store
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = clap::ValueHint::DirPath)]
    pub store: PathBuf,

    /// Only this instrument, such as binance:spot:BTCUSDT
    #[arg(long, value_name = "ID")]
    pub instrument: Option<barflow_operators::instrument::InstrumentId>,

    /// Only this kind: trades or aggTrades
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Option<InputKind>,
}

impl Place {
    /// The series that are meant.
    fn series(&self) -> Result<Vec<barflow_replay::store::series::Series>, Failure> {
        let mut all = barflow_replay::store::series::read(&self.store)?;
        all.retain(|series| {
            self.instrument.as_ref().is_none_or(|id| *id == series.feed.instrument)
                && self.kind.is_none_or(|kind| kind == series.feed.input)
        });
        Ok(all)
    }
}

/// Understands a kind of input.
pub(super) fn kind(text: &str) -> Result<InputKind, String> {
    match text {
        "trades" => Ok(InputKind::Trades),
        "aggTrades" | "agg_trades" => Ok(InputKind::AggTrades),
        _ => Err("neither trades nor aggTrades".to_owned()),
    }
}

/// The flag that Ctrl-C raises.
fn stop_flag() -> Result<std::sync::Arc<AtomicBool>, Failure> {
    let stop = Stop::new();
    Signals::raise(&stop)?;
    Ok(stop.flag())
}

/// Threads if nobody says how many.
fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores).clamp(1, 256)
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
