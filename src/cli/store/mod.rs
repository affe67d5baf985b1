//! The trade store: `barflow convert`, `compact`, `store …`.

use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};

pub mod compact;
pub mod convert;
pub mod list;
pub mod prune;
pub mod selection;
pub mod verify;

const EXAMPLES: &str = "\
Examples:
  # what is there, and what is missing
  barflow store ls --store history

  # the metadata of every file
  barflow store info --store history --instrument binance:spot:BTCUSDT

  # read everything back, for audits
  barflow store verify --store history

  # remove archives that were converted
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
    /// List the contents of a store per instrument
    Ls(list::ListArgs),
    /// List the metadata of files
    Info(list::InfoArgs),
    /// Read everything back and compare it with the recorded digests
    Verify(verify::VerifyArgs),
    /// Remove converted archives or old days
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
