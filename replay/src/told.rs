//! Which symbol a path tells where it is not one of Binance's names: a partition folder (`symbol=BTCUSDT/`), a name
//! of Bybit, Tardis or Kraken, a folder per symbol.
//!
//! | what | is compared with |
//! |---|---|
//! | a partition folder, Tardis's names | the instrument that was given |
//! | a name that begins with a pair (`BTCUSDT2024-03-01.csv`, `XBTUSD.csv`) | the same, if its symbol is a pair as well; other files |
//! | a pair within a name, a folder named for a pair | other files |
//! | a folder or name beside one that is named for the instrument (`MSFT/` beside `AAPL/`) | the instrument |
//!
//! **Invariant:** names that tell different symbols are never one series.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use barflow_operators::instrument::InstrumentId;

use crate::columns::names::{is_same_symbol, plain};
use crate::error::ReplayError;
use crate::naming;
use crate::tardis;

/// What the pairs of venues end with; the longer of two that end alike first.
const QUOTES: [&str; 36] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDD", "USDE", "USDQ", "USDR", "USD1", "EURT",
    "EURC", "EURQ", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "KRW", "TRY", "BRL", "AED",
    "MXN", "INR", "IDR", "ZAR", "XBT", "BTC", "ETH", "BNB", "DAI", "DOT", "POL", "SOL",
];

/// Words of folders and names that are no part of a symbol.
const WORDS: [&str; 48] = [
    "data", "trade", "trades", "tick", "ticks", "daily", "monthly", "hourly", "raw", "csv",
    "parquet", "zip", "gz", "zst", "archive", "archives", "history", "old", "new", "all", "backup",
    "tmp", "temp", "test", "part", "file", "files", "export", "spot", "perp", "swap", "futures",
    "linear", "inverse", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct",
    "nov", "dec", "input", "output",
];

/// Keys of partition folders whose value is the symbol, without case and punctuation.
const KEYS: [&str; 11] = [
    "symbol",
    "sym",
    "instrument",
    "instrumentname",
    "instrumentid",
    "instid",
    "ticker",
    "pair",
    "tradingpair",
    "currencypair",
    "productid",
];

/// Words in names of rows that have the columns of trades, and are none.
const OTHER_DATA: [&str; 3] = ["liquidations", "liquidation", "liquidationsnapshot"];

/// Exchanges, each with its names.
const VENUES: [&[&str]; 21] = [
    &["binance"],
    &["bybit"],
    &["okx", "okex"],
    &["kraken"],
    &["coinbase", "gdax"],
    &["deribit"],
    &["bitmex"],
    &["bitstamp"],
    &["bitfinex"],
    &["htx", "huobi"],
    &["ftx"],
    &["gemini"],
    &["kucoin"],
    &["gate"],
    &["bitget"],
    &["mexc"],
    &["upbit"],
    &["bithumb"],
    &["hyperliquid"],
    &["poloniex"],
    &["bittrex"],
];

/// Where a symbol was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a name whose form says that it is one, or a partition folder.
    Said,
    /// It is a pair, and the name begins with it.
    Begins,
    /// It is a pair, somewhere in the name, or a folder's name.
    Within,
}

/// A symbol that a path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// As it is written.
    pub symbol: String,
    /// Where.
    pub place: Place,
}

/// What a path tells.
pub fn symbol(path: &Path) -> Option<Told> {
    let naming = naming::read(path);
    let stem = stem(path);
    let said = naming.symbol.filter(|_| !naming.symbol_of_folder);
    let said = said.or_else(|| tardis::of(&stem).and_then(|name| name.symbol));
    let said = said.or_else(|| partition(path));
    said.map(|symbol| Told { symbol, place: Place::Said }).or_else(|| pair_of_name(&stem)).or_else(
        || {
            folders(path).find_map(|(_, word)| {
                pair(word).then(|| Told { symbol: word.to_owned(), place: Place::Within })
            })
        },
    )
}

/// The symbol that a name says by its form, or a partition folder.
pub fn said(path: &Path) -> Option<String> {
    symbol(path).filter(|told| told.place == Place::Said).map(|told| told.symbol)
}

/// The kind of rows that a name says, if they are no trades.
pub fn other_data(path: &Path) -> Option<String> {
    let stem = stem(path);
    if let Some(name) = tardis::of(&stem) {
        return Some(name.data).filter(|data| data != "trades");
    }
    let words = || stem.split(['-', '_', ' ', '.']);
    let is_other = |word: &&str| OTHER_DATA.contains(&word.to_ascii_lowercase().as_str());
    let has_trades = words().any(|word| word.eq_ignore_ascii_case("trades"));
    words().find(is_other).filter(|_| !has_trades).map(str::to_owned)
}

/// The exchange that a name of it means, in any of its markets: `binance-futures` is `binance`.
pub fn venue(name: &str) -> Option<&'static str> {
    let name = plain(name);
    VENUES
        .into_iter()
        .find(|names| names.iter().any(|known| name.starts_with(known)))?
        .first()
        .copied()
}

/// The value of a partition folder whose key says that it is a symbol: `symbol=BTC%2FUSDT`.
pub fn partition(path: &Path) -> Option<String> {
    folders(path).find_map(|(_, word)| {
        let (key, value) = word.split_once('=')?;
        let is_null = value.is_empty() || value.starts_with("__HIVE");
        let decode = |text: &str, code: &str, to: &str| {
            text.replace(&code.to_uppercase(), to).replace(&code.to_lowercase(), to)
        };
        let value = decode(&decode(value, "%2f", "/"), "%3a", ":");
        // An instrument of ours, or a contract as CCXT writes it, `BTC/USDT:USDT`: what it is settled in stands last.
        let value = match value.parse::<InstrumentId>() {
            Ok(instrument) => instrument.symbol().to_owned(),
            Err(_) => value.split(':').next()?.to_owned(),
        };
        (!is_null && KEYS.contains(&plain(key).as_str())).then_some(value)
    })
}

/// Folders of a path and their places, the innermost first.
fn folders(path: &Path) -> impl Iterator<Item = (&Path, &str)> {
    path.ancestors()
        .skip(1)
        .filter_map(|folder| Some((folder.parent()?, folder.file_name()?.to_str()?)))
}

/// The name without its endings.
fn stem(path: &Path) -> String {
    let mut stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while let Some((name, ending)) = stem.rsplit_once('.') {
        let ending = ending.to_ascii_lowercase();
        if !["zip", "csv", "gz", "zst", "parquet", "txt"].contains(&ending.as_str()) {
            break;
        }
        stem = name.to_owned();
    }
    stem
}

/// Whether a word is a pair of currencies: `BTCUSDT`, `btcusdt`, `BTC-USD`, `BTC-USDT-SWAP`.
fn pair(word: &str) -> bool {
    let parts: Vec<&str> = word.split(['-', '_', '/']).collect();
    is_of_one_case(word) && matches!(pair_at(&parts), Some(used) if used == parts.len())
}

fn is_of_one_case(word: &str) -> bool {
    !word.contains(char::is_lowercase) || !word.contains(char::is_uppercase)
}

/// How many parts from the first on are a pair; none if they are not.
fn pair_at(parts: &[&str]) -> Option<usize> {
    let is_base = |base: &str| {
        let letters = base.trim_start_matches(|c: char| c.is_ascii_digit());
        let of_letters = letters.chars().all(|c| c.is_alphabetic() || c == '.');
        letters.len() >= 2 && of_letters && !WORDS.contains(&plain(base).as_str())
    };
    let upper = |text: &str| text.to_ascii_uppercase();
    let is_quote = |part: &str| QUOTES.contains(&upper(part).as_str());
    let first = upper(parts.first()?);
    // Words end like currencies: country, polkadot, kenneth.
    let is_word = parts.first().is_some_and(|part| part.contains(char::is_lowercase));
    let is_plain = |quote: &&&str| !is_word || quote.contains("USD");
    let mut quotes = QUOTES.iter().filter(is_plain);
    let in_one = quotes.any(|quote| first.strip_suffix(quote).is_some_and(is_base));
    let used = match parts.get(1) {
        // `CBETH-USD` is of CBETH, although that ends as a pair of its own does.
        Some(quote)
            if is_base(&first) && is_quote(quote) && !parts.get(2).is_some_and(|p| is_quote(p)) =>
        {
            2
        }
        _ if in_one => 1,
        _ => return None,
    };
    let is_contract = |part: &&str| ["SWAP", "PERP", "PERPETUAL"].contains(&upper(part).as_str());
    Some(used + usize::from(parts.get(used).is_some_and(is_contract)))
}

/// The one pair in a name; none where it has several.
fn pair_of_name(stem: &str) -> Option<Told> {
    let parts: Vec<&str> = stem.split(['-', '_', ' ', '.']).map(without_date).collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let used = pair_at(&parts[at..]);
        let symbol = used.map(|used| parts[at..at + used].join("-"));
        found.extend(symbol.filter(|symbol| is_of_one_case(symbol)).map(|symbol| (at, symbol)));
        at += used.unwrap_or(1);
    }
    let (first, symbol) = found.first().cloned()?;
    let is_one = found.iter().all(|(_, other)| is_same_symbol(other, &symbol));
    let place = if first == 0 { Place::Begins } else { Place::Within };
    is_one.then_some(Told { symbol, place })
}

/// `BTCUSDT` of `BTCUSDT2024`, which is what stands before the first dash of `BTCUSDT2024-03-01`.
fn without_date(part: &str) -> &str {
    let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
    if !word.is_empty() && part.len() - word.len() >= 4 { word } else { part }
}

/// Whether what a path tells contradicts an instrument that was given for it, whatever other files say.
pub fn contradicts(told: &Told, given: &InstrumentId) -> bool {
    let is_held = match told.place {
        Place::Said => true,
        Place::Begins => pair(given.symbol()),
        Place::Within => false,
    };
    is_held && !is_same_symbol(&told.symbol, given.symbol())
}

/// Checks that files that are to be one instrument, if one was given and none is to be renamed, are not named for
/// several.
///
/// # Errors
/// When two of them are.
pub fn one_symbol<'a>(
    paths: impl Iterator<Item = &'a Path>,
    given: Option<&InstrumentId>,
) -> Result<(), ReplayError> {
    let Some(given) = given else { return Ok(()) };
    let paths: BTreeSet<&Path> = paths.collect();
    let Some(((a, of_a), (b, of_b))) = different(&paths).or_else(|| beside(&paths, given)) else {
        return Ok(());
    };
    let other = if is_same_symbol(&of_a, given.symbol()) { &of_b } else { &of_a };
    Err(ReplayError::Mixed(format!(
        "{} is of {of_a} and {} of {of_b} by their names, and both are to be {given}: leave one of them out (a \
         pattern chooses files), or give the instrument as {other}={given} to take both",
        a.display(),
        b.display()
    )))
}

/// Checks that the members of an archive are not named for several symbols.
///
/// # Errors
/// When two of them are.
pub fn one_symbol_of_members(
    archive: &Path,
    members: &[(usize, String)],
) -> Result<(), ReplayError> {
    let paths = members.iter().map(|(_, name)| Path::new(name)).collect();
    let Some(((a, of_a), (b, of_b))) = different(&paths) else { return Ok(()) };
    Err(ReplayError::Mixed(format!(
        "{}: member \"{}\" is of {of_a} and \"{}\" of {of_b} by their names; unpack it, and give the files of \
         each separately",
        archive.display(),
        a.display(),
        b.display()
    )))
}

type Named<'a> = (&'a Path, String);

/// Two paths that tell different symbols.
fn different<'a>(paths: &BTreeSet<&'a Path>) -> Option<(Named<'a>, Named<'a>)> {
    let mut told = paths.iter().filter_map(|path| Some((*path, symbol(path)?.symbol)));
    let first = told.next()?;
    let other = told.find(|(_, symbol)| !is_same_symbol(symbol, &first.1))?;
    Some((first, other))
}

/// A path with a word like a symbol where another path has the instrument's: `MSFT/` beside `AAPL/`.
fn beside<'a>(paths: &BTreeSet<&'a Path>, given: &InstrumentId) -> Option<(Named<'a>, Named<'a>)> {
    // Pairs have a rule of their own.
    if pair(given.symbol()) {
        return None;
    }
    let is_given = |word: &str| is_same_symbol(word, given.symbol());
    let mut places: Vec<(PathBuf, &'a Path)> = Vec::new();
    for path in paths {
        let of_given = words(path).into_iter().filter(|(_, word)| is_given(word));
        places.extend(of_given.map(|(place, _)| (place, *path)));
    }
    let is_ticker = |word: &str| {
        let is_symbol = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || ".-_".contains(c);
        word.len() <= 6
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(is_symbol)
            && !word.ends_with(|c: char| c.is_ascii_digit())
            && !WORDS.contains(&plain(word).as_str())
    };
    paths.iter().find_map(|path| {
        let words = words(path);
        if words.iter().any(|(_, word)| is_given(word)) {
            return None;
        }
        words.into_iter().filter(|(_, word)| is_ticker(word)).find_map(|(place, word)| {
            let (_, other) = places.iter().find(|(of_given, _)| *of_given == place)?;
            Some(((*other, given.symbol().to_owned()), (*path, word)))
        })
    })
}

/// The folders of a path and what its name begins with, each with the folder that it is in.
fn words(path: &Path) -> Vec<(PathBuf, String)> {
    let stem = stem(path);
    let name = stem.split(['-', '_', ' ']).next().map(without_date).unwrap_or_default();
    let of_name = path.parent().map(|folder| (folder.to_owned(), name.to_owned()));
    let of_folders = folders(path).map(|(place, word)| (place.to_owned(), word.to_owned()));
    of_name.into_iter().chain(of_folders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_symbols_and_harmless_words_do_not() {
        for (path, wanted, place) in [
            ("a/symbol=BTCUSDT/part-0.csv", "BTCUSDT", Place::Said),
            ("a/Ticker=BTC%2FUSDT/day=1/part-0.parquet", "BTC/USDT", Place::Said),
            ("instrument=binance:spot:BTCUSDT/x.csv", "BTCUSDT", Place::Said),
            ("symbol=BTC_USDT:USDT/x.csv", "BTC_USDT", Place::Said),
            ("symbol=BTC%2FUSDT%3AUSDT/x.csv", "BTC/USDT", Place::Said),
            ("CBETH-USD_1.csv", "CBETH-USD", Place::Begins),
            ("PYUSD-USD_2024.csv", "PYUSD-USD", Place::Begins),
            ("ETHUSDT/BTCUSDT-trades-2024-03-01.csv", "BTCUSDT", Place::Said),
            ("deribit_trades_2024-03-01_BTC-PERPETUAL.csv.gz", "BTC-PERPETUAL", Place::Said),
            ("BTCUSDT2024-03-01.csv.gz", "BTCUSDT", Place::Begins),
            ("BTCUSDT_2024-03-01.csv", "BTCUSDT", Place::Begins),
            ("BTCUSDT20240301.csv", "BTCUSDT", Place::Begins),
            ("BTC-USDT-SWAP_2024.csv", "BTC-USDT-SWAP", Place::Begins),
            ("XBTUSD.csv", "XBTUSD", Place::Begins),
            ("1000PEPEUSDT2024-03-01.csv", "1000PEPEUSDT", Place::Begins),
            ("Bitstamp_BTCUSD_2024_tick.csv", "BTCUSD", Place::Within),
            ("coinbase-eth-usd-trades.parquet", "eth-usd", Place::Within),
            ("b/BTCUSDT/2024/2024-03-01.csv", "BTCUSDT", Place::Within),
            ("b/btc-usd/x.csv", "btc-usd", Place::Within),
        ] {
            let told = symbol(Path::new(path)).unwrap();
            assert_eq!((told.symbol.as_str(), told.place), (wanted, place), "{path}");
        }
        for path in [
            "data/trades/2024/daily/2024-03-01.csv",
            "trades_2024-03-01.csv",
            "part-0.parquet",
            "part1_usd.csv",
            "new-usdt/x.csv",
            "USDT/x.csv",
            "market=spot/year=2024/x.csv",
            "symbol=__HIVE_DEFAULT_PARTITION__/x.csv",
            "20240301.csv",
            "BTCUSDT-ETHUSDT-spread.csv",
            "tBTCUSD.csv",
            "country_2024.csv",
            "polkadot_2024.csv",
            "home/kenneth/1.csv",
            "deribit_trades_2024-03-01_PERPETUALS.csv.gz",
            "x.csv",
        ] {
            assert_eq!(symbol(Path::new(path)), None, "{path}");
        }
    }

    fn apart(paths: &[&str], given: &str) -> bool {
        let paths = paths.iter().map(|path| Path::new(*path));
        one_symbol(paths, Some(&given.parse().unwrap())).is_err()
    }

    #[test]
    fn files_of_one_instrument_are_not_named_for_two() {
        for paths in [
            ["a/BTCUSDT/1.csv", "a/ETHUSDT/1.csv"],
            ["BTCUSDT2024-03-01.csv", "ETHUSDT2024-03-01.csv"],
            ["XBTUSD.csv", "ETHUSD.csv"],
            ["a/BTCUSDT/1.csv", "symbol=ETHUSDT/1.csv"],
            ["x/btc-usd/1.csv", "x/eth-usd/1.csv"],
            ["CBETH-USD_1.csv", "CBETH-EUR_1.csv"],
            ["symbol=BTC_USDT:USDT/1.csv", "symbol=ETH_USDT:USDT/1.csv"],
        ] {
            assert!(apart(&paths, "own:spot:X"), "{paths:?}");
        }
        assert!(apart(&["q/AAPL/1.csv", "q/MSFT/1.csv"], "own:equity:AAPL"));
        assert!(apart(&["q/AAPL.csv", "q/MSFT_2024.csv"], "own:equity:AAPL"));
        for paths in [
            ["data/2024/1.csv", "trades/daily/1.csv"],
            ["BTCUSDT/1.csv", "extra/1.csv"],
            ["BTCUSDT/1.csv", "OLD/1.csv"],
            ["XBTUSD_2023.csv", "BTCUSD_2024.csv"],
            ["BTCUSDT/2024-03-01.csv", "BTC-USDT/2024-03-02.csv"],
            ["q/AAPL/1.csv", "q/Q1/1.csv"],
            ["data/BTCUSDT/1.csv", "data/LIVE/1.csv"],
        ] {
            assert!(!apart(&paths, "own:spot:BTCUSDT"), "{paths:?}");
            assert!(!apart(&paths, "own:spot:AAPL"), "{paths:?}");
        }
    }

    #[test]
    fn an_instrument_that_is_no_pair_may_have_files_of_any_name() {
        let told = |path: &str| symbol(Path::new(path)).unwrap();
        let id = |text: &str| text.parse::<InstrumentId>().unwrap();
        assert!(contradicts(&told("BTCUSDT2024-03-01.csv"), &id("bybit:linear:ETHUSDT")));
        assert!(!contradicts(&told("BTCUSDT2024-03-01.csv"), &id("own:spot:X")));
        assert!(!contradicts(&told("XBTUSD.csv"), &id("kraken:spot:BTCUSD")));
        assert!(contradicts(&told("symbol=BTCUSDT/x.csv"), &id("own:spot:X")));
        assert!(!contradicts(&told("BTCUSDT/x.csv"), &id("own:spot:ETHUSDT")));
    }
}
