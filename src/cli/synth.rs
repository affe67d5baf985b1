//! `barflow synth`.

use std::path::PathBuf;

use barflow_operators::batch::InputKind;
use barflow_replay::progress::Progress;
use barflow_replay::synth::{SynthOptions, write_days_with};
use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::progress::Shown;
use super::say::show;
use crate::config::instant::day;
use crate::config::instruments::instrument;
use crate::config::problem::Problems;

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

    /// Seed; the same seed generates the same bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Layout of the rows: trades or aggTrades
    #[arg(long, value_name = "KIND", default_value = "trades")]
    pub kind: String,
}

/// Writes the days and names them on standard output.
///
/// # Errors
/// What is wrong with the arguments, or what the disk refuses.
pub fn run(args: &SynthArgs) -> Result<Outcome, Failure> {
    let options = options(args)?;
    let progress = Progress::default();
    let shown = Shown::of_rows(progress.clone(), options.trades * u64::from(options.days));
    let paths = write_days_with(&options, &progress);
    drop(shown);
    for path in paths? {
        show!("{}", path.display());
    }
    Ok(Outcome::Done)
}

fn options(args: &SynthArgs) -> Result<SynthOptions, Problems> {
    let mut problems = Problems::default();
    let instrument = instrument(&args.instrument);
    if let Err(error) = &instrument {
        problems.add("--instrument", error.as_str());
    }
    let date = day(&args.date);
    if let Err(error) = &date {
        problems.add("--date", format!("\"{}\": {error}", args.date));
    }
    let input = match args.kind.as_str() {
        "trades" => Some(InputKind::Trades),
        "aggTrades" | "agg_trades" => Some(InputKind::AggTrades),
        other => {
            problems.add("--kind", format!("\"{other}\" is neither trades nor aggTrades"));
            None
        }
    };
    if args.trades == 0 || args.days == 0 {
        problems.add("--trades, --days", "must be at least 1");
    }
    if args.trades.checked_mul(u64::from(args.days)).is_none() {
        problems.add("--trades, --days", "too many");
    }
    match (instrument, date, input) {
        (Ok(instrument), Ok(date), Some(input)) => problems.or(SynthOptions {
            out: args.out.clone(),
            instrument,
            date,
            days: args.days,
            trades: args.trades,
            seed: args.seed,
            input,
        }),
        _ => Err(problems),
    }
}
