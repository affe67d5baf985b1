//! Tardis's names: `{exchange}_{data type}_{date}_{symbol}.csv.gz`.

use jiff::civil::Date;

/// Names of groups of symbols, which stand where a symbol does.
const GROUPS: [&str; 5] = ["SPOT", "FUTURES", "PERPETUALS", "OPTIONS", "COMBOS"];

/// Tardis's types of data; those of book snapshots end with their depth.
const DATA: [&str; 8] = [
    "trades",
    "quotes",
    "liquidations",
    "incremental_book_L2",
    "derivative_ticker",
    "options_chain",
    "book_ticker",
    "book_snapshot_",
];

/// What a name of Tardis says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TardisName {
    /// `trades`, `quotes`, `incremental_book_L2`, …
    pub data: String,
    /// The symbol; none if it is a group of them.
    pub symbol: Option<String>,
}

/// Reads a name without its endings; none if it is not one of Tardis's.
pub fn of(stem: &str) -> Option<TardisName> {
    let parts: Vec<&str> = stem.split('_').collect();
    let is_day = |part: &&str| part.len() == 10 && part.parse::<Date>().is_ok();
    let day = parts.iter().position(is_day).filter(|at| *at >= 2)?;
    let data = parts[1..day].join("_");
    if !DATA.iter().any(|known| data == *known || known.ends_with('_') && data.starts_with(known)) {
        return None;
    }
    let symbol = parts[day + 1..].join("_");
    let is_one = !symbol.is_empty() && !GROUPS.contains(&symbol.as_str());
    Some(TardisName { data, symbol: is_one.then_some(symbol) })
}
