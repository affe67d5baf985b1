//! `barflow archive-server`: serves files as the public archive does.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use barflow_simulator::archive::faults::Faults;
use barflow_simulator::archive::tree::{Market, Tree};
use barflow_simulator::archive::{ServerOptions, start};
use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::say::say;
use super::signals::Signals;
use crate::stop::Stop;
use crate::telemetry;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  # synthetic days, fetched in another terminal
  barflow synth --out published --date 2024-03-01 --days 3
  barflow archive-server published --faults cut=0.2,429=0.1
  barflow fetch --base-url http://127.0.0.1:8800 --symbol BTCUSDT --from 2024-03-01 --to 2024-03-03 \\
    --store history

Faults (docs/fetch.md): cut, corrupt, 5xx, redirect, no-range = probability per
request; stall, 429 = probability:pause; missing, wrong-sum = probability per file, permanent;
rate = bytes per second.";

/// `barflow archive-server`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ArchiveServerArgs {
    /// Archives with the venue's file names: files, folders or patterns
    #[arg(value_name = "FILES", required = true, value_hint = ValueHint::AnyPath)]
    files: Vec<String>,

    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8800")]
    listen: SocketAddr,

    /// Market of files whose folders do not name it: spot, um, cm
    #[arg(long, value_name = "MARKET")]
    market: Option<Market>,

    /// Faults to inject, with their rates
    #[arg(long, value_name = "FAULTS", default_value = "")]
    faults: Faults,

    /// Seed of the faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Keys per page of the listing
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    page: u16,

    /// Disable the listing, like a plain web server
    #[arg(long)]
    no_listing: bool,
}

/// Serves until a signal comes.
///
/// # Errors
/// When there are no archives (2), or the address is taken (3).
pub fn run(args: &ArchiveServerArgs) -> Result<Outcome, Failure> {
    let tree = Tree::of(&args.files, args.market)?;
    for path in &tree.ignored {
        say!("skipped because of its name: {}", path.display());
    }
    for path in &tree.linked {
        say!("skipped because a symbolic link leads to it: {}", path.display());
    }
    let stop = Stop::default();
    Signals::raise(&stop)?;
    telemetry::start(tracing::Level::WARN, None)
        .map_err(|error| Failure::outside(anyhow::anyhow!(error)))?;
    say!("{}", counted((tree.keys.len() / 2) as u64, "archive"));
    let options = ServerOptions {
        listen: args.listen,
        faults: args.faults.clone(),
        seed: args.seed,
        page: (!args.no_listing).then_some(args.page.into()),
    };
    let running = start(tree, options)
        .with_context(|| format!("cannot listen at {}", args.listen))
        .map_err(Failure::outside)?;
    let mut stdout = std::io::stdout();
    // The parent process may have closed it; nothing depends on it.
    let _ =
        writeln!(stdout, "listening on http://{}", running.address).and_then(|()| stdout.flush());
    while !stop.is_raised() && !running.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let tally = std::sync::Arc::clone(&running.tally);
    running.stop().map_err(Failure::outside)?;
    say!("{}", tally.summary());
    Ok(Outcome::Done)
}
