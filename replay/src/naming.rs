//! What file names tell: symbol, kind of input, date, market.
//!
//! Binance's public archive: `data/{spot|futures/um|futures/cm}/{daily|monthly}/{kind}/{SYMBOL}/
//! {SYMBOL}-{kind}-{YYYY-MM[-DD]}.zip` (github.com/binance/binance-public-data).

use std::path::Path;

use barflow_operators::batch::InputKind;
use jiff::civil::Date;

use crate::lean;

/// What a name says; each part only if it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Symbol.
    pub symbol: Option<String>,
    /// Trades or aggregates.
    pub input: Option<InputKind>,
    /// First and last day that the file is about.
    pub days: Option<(Date, Date)>,
    /// Whether the symbol is the name of the folder: LEAN's files have it nowhere else, and a file may have
    /// been moved.
    pub symbol_of_folder: bool,
    /// `spot`, `um` or `cm`, from folders.
    pub market: Option<&'static str>,
    /// The place that LEAN's folders or names say.
    pub lean: Option<lean::Place>,
}

/// Reads a path's name and folders.
pub fn read(path: &Path) -> Naming {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let lean = lean::Place::of_folders(path);
    let mut naming = Naming { market: market(path), lean, ..Naming::default() };
    for (word, kind) in [("-trades-", InputKind::Trades), ("-aggTrades-", InputKind::AggTrades)] {
        if let Some((symbol, date)) = stem.split_once(word) {
            naming.symbol = Some(symbol.to_owned()).filter(|symbol| !symbol.is_empty());
            naming.input = Some(kind);
            naming.days = days(date);
        }
    }
    // LEAN: `20131010_trade.zip` in a folder named for the symbol.
    if let Some((date, "trade")) = stem.split_once('_') {
        naming.days = compact_date(date).map(|day| (day, day));
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        naming.symbol = folder.map(str::to_uppercase);
        naming.symbol_of_folder = true;
    }
    // A member of it: `20131010_spy_Trade_Tick.csv`, `20131007_es_tick_trade_201312.csv`.
    if let Some(symbol) = lean::symbol(stem)
        && let Some(day) = stem.split('_').next().and_then(compact_date)
    {
        naming.days = Some((day, day));
        naming.symbol = Some(symbol);
        naming.symbol_of_folder = false;
        if stem.to_ascii_lowercase().ends_with("_trade_tick") {
            naming.lean.get_or_insert_with(lean::Place::of_equities);
        }
    }
    naming
}

/// COIN-M symbols look like `BTCUSD_PERP` or `BTCUSD_240329`.
pub fn is_coin_margined(symbol: &str) -> bool {
    symbol.split_once('_').is_some_and(|(pair, contract)| {
        let dated = contract.len() == 6 && contract.bytes().all(|byte| byte.is_ascii_digit());
        pair.ends_with("USD") && (contract == "PERP" || dated)
    })
}

fn market(path: &Path) -> Option<&'static str> {
    let folders: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let futures = |market: &str| folders.windows(2).any(|pair| pair == ["futures", market]);
    if futures("um") {
        Some("um")
    } else if futures("cm") {
        Some("cm")
    } else if folders.contains(&"spot") {
        Some("spot")
    } else {
        None
    }
}

fn days(text: &str) -> Option<(Date, Date)> {
    if let Ok(day) = text.parse::<Date>() {
        return Some((day, day));
    }
    let Some((year, month)) = text.split_once('-') else {
        // A year of a trade store.
        let first = Date::new(text.parse().ok().filter(|_| text.len() == 4)?, 1, 1).ok()?;
        return Some((first, first.last_of_year()));
    };
    let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
    Some((first, first.last_of_month()))
}

/// `20131010` as a date.
pub fn compact_date(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.is_ascii() {
        return None;
    }
    let (year, rest) = text.split_at(4);
    let (month, day) = rest.split_at(2);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_layout_tells_symbol_kind_days_and_market() {
        let naming =
            read(Path::new("data/futures/um/daily/trades/X/ETHUSDT-trades-2024-03-01.zip"));
        assert_eq!(naming.symbol.as_deref(), Some("ETHUSDT"));
        assert_eq!(naming.input, Some(InputKind::Trades));
        assert_eq!(naming.market, Some("um"));
        let day = Date::new(2024, 3, 1).unwrap();
        assert_eq!(naming.days, Some((day, day)));
        let monthly = read(Path::new("spot/BTCUSDT-aggTrades-2024-02.csv.gz"));
        assert_eq!(monthly.input, Some(InputKind::AggTrades));
        assert_eq!(monthly.days.unwrap().1, Date::new(2024, 2, 29).unwrap());
        assert_eq!(monthly.market, Some("spot"));
        let year = read(Path::new("BTCUSDT-trades-2024.parquet")).days.unwrap();
        assert_eq!(year, (Date::new(2024, 1, 1).unwrap(), Date::new(2024, 12, 31).unwrap()));
    }

    #[test]
    fn names_that_tell_nothing_are_no_trouble() {
        assert_eq!(read(Path::new("x.csv")), Naming::default());
        assert_eq!(read(Path::new("a-trades-.zip")).days, None);
        assert_eq!(read(Path::new("a-trades-2024-13.zip")).days, None);
    }

    #[test]
    fn lean_names_have_the_date_and_the_folder_the_symbol() {
        let naming = read(Path::new("lean/spy/20131010_trade.zip"));
        assert_eq!(naming.symbol.as_deref(), Some("SPY"));
        assert_eq!(naming.days.unwrap().0, Date::new(2013, 10, 10).unwrap());
    }

    #[test]
    fn coin_margined_symbols_are_told_from_others() {
        assert!(is_coin_margined("BTCUSD_PERP") && is_coin_margined("ETHUSD_240329"));
        assert!(!is_coin_margined("BTCUSDT") && !is_coin_margined("BTCUSDT_240329"));
    }
}
