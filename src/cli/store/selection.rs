//! Which store, which part of it, and what the commands of a store have in common.

use std::path::PathBuf;

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::InstrumentId;
use barflow_replay::store::series::{self, Series};
use clap::{Args, ValueHint};

use super::super::failure::Failure;
use super::super::signals::Signals;
use crate::config::instruments::instrument;
use crate::stop::Stop;

/// Which store, and which part of it.
#[derive(Debug, Args)]
pub struct Place {
    /// Folder of the store
    #[arg(long, value_name = "DIR", env = "BARFLOW_STORE", value_hint = ValueHint::DirPath)]
    pub store: PathBuf,

    /// Only this instrument, such as binance:spot:BTCUSDT
    #[arg(long, value_name = "ID", value_parser = instrument)]
    pub instrument: Option<InstrumentId>,

    /// Only this kind: trades or aggTrades
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Option<InputKind>,
}

impl Place {
    /// The series that are selected.
    pub(super) fn series(&self) -> Result<Vec<Series>, Failure> {
        let mut all = series::read(&self.store)?;
        all.retain(|series| {
            self.instrument.as_ref().is_none_or(|id| *id == series.feed.instrument)
                && self.kind.is_none_or(|kind| kind == series.feed.input)
        });
        Ok(all)
    }
}

/// Understands a kind of input.
pub fn kind(text: &str) -> Result<InputKind, String> {
    match text {
        "trades" => Ok(InputKind::Trades),
        "aggTrades" | "agg_trades" => Ok(InputKind::AggTrades),
        _ => Err("neither trades nor aggTrades".to_owned()),
    }
}

/// What Ctrl-C raises.
pub(super) fn stop() -> Result<Stop, Failure> {
    let stop = Stop::new();
    Signals::raise(&stop)?;
    Ok(stop)
}

/// Default number of threads.
pub(super) fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores).clamp(1, 256)
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
