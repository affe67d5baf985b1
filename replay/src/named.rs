//! Whether names agree about the instrument: of a file and of what was typed, of an archive and of its
//! members.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::{InstrumentError, InstrumentId};

use crate::columns::market::Market;
use crate::columns::names::is_same_symbol;
use crate::error::ReplayError;
use crate::lean;
use crate::naming::{self, Naming};
use crate::rows::Layout;
use crate::store::layout;
use crate::told;

/// Which files may be taken as an instrument although they are named for another symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Renames {
    /// None.
    #[default]
    Nothing,
    /// Those that are named for this symbol.
    Symbol(String),
    /// Whatever they are named for.
    Anything,
}

/// An instrument as it is typed: `venue:market:SYMBOL`, or `NAME=venue:market:SYMBOL` to take files
/// that are named for NAME as that instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenInstrument {
    /// The instrument.
    pub id: InstrumentId,
    /// Which files are renamed.
    pub renames: Renames,
}

impl FromStr for GivenInstrument {
    type Err = InstrumentError;

    fn from_str(text: &str) -> Result<Self, InstrumentError> {
        Self::parse(text, str::parse)
    }
}

impl GivenInstrument {
    /// Reads what was typed; `parse` reads the instrument itself.
    ///
    /// # Errors
    /// When that is not an instrument.
    pub fn parse<E>(
        text: &str,
        parse: impl FnOnce(&str) -> Result<InstrumentId, E>,
    ) -> Result<Self, E> {
        let (renames, id) = match text.split_once('=') {
            Some((name, id)) => (Renames::Symbol(name.trim().to_owned()), id.trim()),
            None => (Renames::Nothing, text),
        };
        Ok(Self { id: parse(id)?, renames })
    }
}

impl fmt::Display for GivenInstrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.renames {
            Renames::Symbol(name) => write!(f, "{name}={}", self.id),
            Renames::Nothing | Renames::Anything => write!(f, "{}", self.id),
        }
    }
}

/// An instrument that was given, if one was, and which files it renames.
pub fn parts(given: Option<&GivenInstrument>) -> (Option<InstrumentId>, Renames) {
    given.cloned().map(|given| (Some(given.id), given.renames)).unwrap_or_default()
}

/// Holds what a file says of its symbol against the instrument that was given for it.
///
/// # Errors
/// When they differ, and the file is not to be renamed.
pub fn agrees(
    path: &Path,
    symbol: &str,
    given: &InstrumentId,
    renames: &Renames,
) -> Result<(), ReplayError> {
    let renamed = match renames {
        Renames::Nothing => false,
        Renames::Symbol(name) => is_same_symbol(name, symbol),
        Renames::Anything => true,
    };
    if renamed || is_same_symbol(symbol, given.symbol()) {
        return Ok(());
    }
    Err(ReplayError::Mixed(format!(
        "{} is of {symbol}, not of {given}; leave it out (a pattern chooses files), or give the \
         instrument as {symbol}={given} to take files of {symbol} as {given}",
        path.display()
    )))
}

/// Holds what a path tells of its symbol besides Binance's and LEAN's names (`symbol=BTCUSDT/`,
/// `BTCUSDT2024-03-01.csv`) against its name and the instrument that was given for it.
///
/// # Errors
/// When they differ, and the file is not to be renamed.
pub fn path_agrees(
    path: &Path,
    naming: &Naming,
    given: Option<&InstrumentId>,
    renames: &Renames,
) -> Result<(), ReplayError> {
    let named = naming.symbol.as_ref().filter(|_| !naming.symbol_of_folder);
    if let Some((named, folder)) = named.zip(told::partition(path))
        && !is_same_symbol(named, &folder)
        && *renames == Renames::Nothing
    {
        return Err(ReplayError::Mixed(format!(
            "{} is named for {named}, and lies in a folder of {folder}; leave it out (a pattern chooses \
             files), or move it",
            path.display()
        )));
    }
    match told::symbol(path).zip(given) {
        Some((told, given)) if told::contradicts(&told, given) => {
            agrees(path, &told.symbol, given, renames)
        }
        _ => Ok(()),
    }
}

/// Holds what rows say of their market against the instrument that was given for them.
///
/// # Errors
/// When the symbol differs, and the file is not to be renamed, or the exchange is another one.
pub fn rows_agree(
    path: &Path,
    market: &Market,
    given: &InstrumentId,
    renames: &Renames,
) -> Result<(), ReplayError> {
    if let Some(symbol) = &market.symbol {
        agrees(path, symbol, given, renames)?;
    }
    let Some(exchange) = &market.exchange else { return Ok(()) };
    match told::venue(exchange).zip(told::venue(given.venue())) {
        Some((here, typed)) if here != typed && *renames == Renames::Nothing => {
            Err(ReplayError::Mixed(format!(
                "{}: first row: field \"exchange\" is \"{exchange}\", and it is to be {given}; leave it out (a \
                 pattern chooses files), or give the instrument as {}={given} to take it as that",
                path.display(),
                market.symbol.as_deref().unwrap_or(given.symbol())
            )))
        }
        _ => Ok(()),
    }
}

/// Holds the symbol of a file's rows against what its name says, where no instrument was given.
///
/// # Errors
/// When they differ.
pub fn name_agrees_with_rows(
    path: &Path,
    naming: &Naming,
    symbol: Option<&str>,
) -> Result<(), ReplayError> {
    let of_members = naming.symbol.clone().filter(|_| !naming.symbol_of_folder);
    let named = of_members.or_else(|| told::said(path));
    match named.zip(symbol) {
        Some((named, symbol)) if !is_same_symbol(&named, symbol) => {
            Err(ReplayError::Mixed(format!(
                "{}: first row: field \"symbol\" is \"{symbol}\", and it is named for {named}; if its rows are right, \
             give the instrument as {named}=venue:market:{symbol} with --instrument",
                path.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Checks that a name does not say that the rows are of another kind than trades, which may have the same
/// columns: Tardis's liquidations.
///
/// # Errors
/// When it does; `file` is the file, `named` it or one of its members.
pub fn is_of_trades(file: &Path, named: &Path) -> Result<(), ReplayError> {
    let Some(other) = told::other_data(named) else { return Ok(()) };
    let name = named.file_name().unwrap_or_default().to_string_lossy();
    let reason = format!(
        "\"{name}\" is named for {other}, not for trades; leave it out (a pattern chooses files), or if its rows \
         are trades, give it a name that says so"
    );
    Err(ReplayError::layout(file, reason))
}

/// Holds the market of a file's folders (`futures/um`) against the instrument that was given for it.
///
/// # Errors
/// When they differ, and the file is not to be renamed.
pub fn market_agrees(
    path: &Path,
    naming: &Naming,
    given: Option<&InstrumentId>,
    renames: &Renames,
) -> Result<(), ReplayError> {
    let (Some(given), Some(market), Some(symbol)) = (given, naming.market, &naming.symbol) else {
        return Ok(());
    };
    if given.venue() != "binance" || given.market() == market || *renames != Renames::Nothing {
        return Ok(());
    }
    Err(ReplayError::Mixed(format!(
        "{} lies in a folder of {market}, and is to be {given}; leave it out, or give the instrument \
         as {symbol}={given} to take it as that",
        path.display()
    )))
}

/// Holds the kind of trades that a file is named for against that of its columns.
///
/// # Errors
/// When they differ.
pub fn input_agrees(path: &Path, naming: &Naming, columns: &Layout) -> Result<(), ReplayError> {
    let found = columns.input();
    // Aggregates of other writers may lack the ids of their trades.
    let is_told = found == InputKind::AggTrades || matches!(columns, Layout::Trades { .. });
    match naming.input.filter(|named| is_told && *named != found) {
        None => Ok(()),
        Some(named) => {
            let (named, found) = (layout::kind(named), layout::kind(found));
            Err(ReplayError::Mixed(format!(
                "{}: it is named for {named}, and has the columns of {found}; give it a name that says \
                 -{found}-",
                path.display()
            )))
        }
    }
}

/// The place that LEAN's folders say, or else the instrument that was given for a file.
///
/// # Errors
/// When they differ, and the file is not to be renamed.
pub fn lean_place(
    path: &Path,
    naming: &Naming,
    given: Option<&InstrumentId>,
    renames: &Renames,
) -> Result<Option<lean::Place>, ReplayError> {
    let Some((given, typed)) = given.and_then(|id| Some((id, lean::Place::of_instrument(id)?)))
    else {
        return Ok(naming.lean.clone());
    };
    match naming.lean.as_ref().filter(|place| place.of_folder) {
        Some(place) if place.security != typed.security && *renames == Renames::Nothing => {
            let (place, symbol) = (place.security, naming.symbol.as_deref().unwrap_or("SYMBOL"));
            Err(ReplayError::Mixed(format!(
                "{} lies in a folder of LEAN's {place} ticks, and is to be {given}; give the \
                 instrument as {}:{place}:{symbol}",
                path.display(),
                given.venue()
            )))
        }
        Some(place) => Ok(Some(place.clone())),
        None => Ok(Some(typed)),
    }
}

/// Holds the names of an archive's members against the archive's own, or against each other. Returns
/// what the archive's name says, completed by that of its members.
///
/// # Errors
/// When two of them name different symbols or kinds of trades.
pub fn members_agree(
    path: &Path,
    archive: Naming,
    members: &[(usize, String)],
) -> Result<Naming, ReplayError> {
    let mut told = archive;
    let names = |(_, name): &(usize, String)| naming::read(Path::new(name)).symbol.is_some();
    if told.symbol_of_folder && members.iter().any(names) {
        (told.symbol, told.symbol_of_folder) = (None, false);
    }
    let mut by = "the archive".to_owned();
    for (_, name) in members {
        let of = naming::read(Path::new(name));
        let other_symbol =
            matches!((&told.symbol, &of.symbol), (Some(a), Some(b)) if !is_same_symbol(a, b));
        let other_input = matches!((told.input, of.input), (Some(a), Some(b)) if a != b);
        if other_symbol || other_input {
            let word = |naming: &Naming| {
                let symbol = naming.symbol.as_deref().unwrap_or_default();
                format!("{} {symbol}", naming.input.map_or("trades", |input| input.as_str()))
            };
            return Err(ReplayError::Mixed(format!(
                "{}: member \"{name}\" is named for {}, {by} for {}; unpack it, and give the files \
                 of each separately",
                path.display(),
                word(&of),
                word(&told)
            )));
        }
        if told.symbol.is_none() && of.symbol.is_some() {
            by = format!("member \"{name}\"");
            told.symbol = of.symbol;
        }
        told.input = told.input.or(of.input);
        told.lean = told.lean.or(of.lean);
    }
    Ok(told)
}

/// Where nothing but a name can tell the instrument (Kraken's files), members with names of different
/// pairs are different instruments.
///
/// # Errors
/// When there are such.
pub fn one_pair(path: &Path, members: &[(usize, String)]) -> Result<(), ReplayError> {
    let pair = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.split(['.', '_', '-']).next().unwrap_or_default().to_uppercase()
    };
    let mut names = members.iter().map(|(_, name)| name.as_str());
    let Some(first) = names.next() else { return Ok(()) };
    match names.find(|name| pair(name) != pair(first)) {
        None => Ok(()),
        Some(other) => Err(ReplayError::Mixed(format!(
            "{}: members \"{first}\" and \"{other}\" are named for different pairs; unpack it, and \
             give the files of each separately",
            path.display()
        ))),
    }
}

/// What Kraken's pairs end with.
const KRAKENS_QUOTES: [&str; 22] = [
    "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "AED", "MXN", "XBT", "BTC", "ETH", "DOT",
    "POL", "USDT", "USDC", "USDQ", "USDR", "DAI", "EURT", "EURC", "EURQ",
];

/// Three columns without names are read as Kraken's where a name says so, and not on a guess: others have
/// signed quantities there.
///
/// # Errors
/// When the file is not named for one of Kraken's pairs, as `XBTUSD.csv` or `XBTUSD_2023.csv`; of an archive, all
/// its members.
pub fn is_of_kraken(path: &Path, members: &[(usize, String)]) -> Result<(), ReplayError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let are_pairs = !members.is_empty() && members.iter().all(|(_, name)| is_krakens_name(name));
    if are_pairs || is_krakens_name(&file) {
        return Ok(());
    }
    let reason = "its rows have three fields and no header, as Kraken's time & sales, but its name is not one \
                  of Kraken's pairs (such as XBTUSD.csv); if they are Kraken's, say which with --instrument \
                  kraken:spot:XBTUSD, else name the columns with --columns time=1,price=2,qty=3, and side=3 if \
                  the sign of the quantity is the side";
    Err(ReplayError::layout(path, reason))
}

/// The pair that a file is named for: `XBTUSD` of `XBTUSD`, `XBTUSD_2023Q1` and `XBTUSD-2024-03-01`. None where
/// more stands in the name: then it may be of anything, and files of one pair would be taken for
/// instruments of their own.
pub fn pair(stem: &str) -> Option<&str> {
    let (pair, period) = stem.split_once(['_', '-']).unwrap_or((stem, ""));
    let is_period = |c: char| c.is_ascii_digit() || matches!(c, 'Q' | '_' | '-');
    let is_one = !pair.is_empty() && pair.chars().all(|c| c.is_alphanumeric() || c == '.');
    (is_one && period.chars().all(is_period)).then_some(pair)
}

fn is_krakens_name(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or_default();
    let stem = stem.split_once(".csv").map_or(stem, |(stem, _)| stem);
    let stem = stem.strip_suffix(".zip").unwrap_or(stem);
    let is_symbol = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '.';
    pair(stem).is_some_and(|pair| {
        let has_quote = |quote: &str| pair.strip_suffix(quote).is_some_and(|base| !base.is_empty());
        pair.chars().all(is_symbol) && KRAKENS_QUOTES.iter().any(|quote| has_quote(quote))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[&str]) -> Vec<(usize, String)> {
        names.iter().enumerate().map(|(at, name)| (at, (*name).to_owned())).collect()
    }

    #[test]
    fn a_symbol_is_the_same_however_it_is_spelt() {
        let id: InstrumentId = "okx:spot:BTC-USDT".parse().unwrap();
        let path = Path::new("x");
        agrees(path, "BTCUSDT", &id, &Renames::Nothing).unwrap();
        agrees(path, "btc_usdt", &id, &Renames::Nothing).unwrap();
        let error = agrees(path, "ETHUSDT", &id, &Renames::Nothing).unwrap_err().to_string();
        assert!(error.contains("ETHUSDT=okx:spot:BTC-USDT"), "{error}");
        agrees(path, "ETHUSDT", &id, &Renames::Symbol("ETHUSDT".to_owned())).unwrap();
        agrees(path, "SOLUSDT", &id, &Renames::Symbol("ETHUSDT".to_owned())).unwrap_err();
    }

    #[test]
    fn the_market_of_folders_is_that_of_the_instrument() {
        let path = Path::new("futures/um/BTCUSDT-trades-2024-03-01.zip");
        let check = |given: &str, renames: &Renames| {
            let given = given.parse().unwrap();
            market_agrees(path, &naming::read(path), Some(&given), renames)
        };
        check("binance:um:BTCUSDT", &Renames::Nothing).unwrap();
        check("own:spot:BTCUSDT", &Renames::Nothing).unwrap();
        check("binance:spot:BTCUSDT", &Renames::Anything).unwrap();
        let error = check("binance:spot:BTCUSDT", &Renames::Nothing).unwrap_err().to_string();
        assert!(error.contains("folder of um"), "{error}");
    }

    #[test]
    fn what_is_typed_names_the_instrument_and_what_is_renamed() {
        let given: GivenInstrument = "XBTUSD=binance:spot:BTCUSDT".parse().unwrap();
        assert_eq!(given.id.symbol(), "BTCUSDT");
        assert_eq!(given.renames, Renames::Symbol("XBTUSD".to_owned()));
        let plain: GivenInstrument = "binance:spot:BTCUSDT".parse().unwrap();
        assert_eq!(plain.renames, Renames::Nothing);
        "XBTUSD=BTCUSDT".parse::<GivenInstrument>().unwrap_err();
    }

    #[test]
    fn members_of_another_symbol_or_kind_are_refused() {
        let path = Path::new("BTCUSDT-trades-2024-03.zip");
        let check = |of: &str, names: &[&str]| {
            members_agree(path, naming::read(Path::new(of)), &members(names))
        };
        check("BTCUSDT-trades-2024-03.zip", &["BTCUSDT-trades-2024-03-01.csv", "x.csv"]).unwrap();
        check("BTCUSDT-trades-2024-03.zip", &["ETHUSDT-trades-2024-03-01.csv"]).unwrap_err();
        check("BTCUSDT-trades-2024-03.zip", &["BTCUSDT-aggTrades-2024-03-01.csv"]).unwrap_err();
        check("x.zip", &["A-trades-2024.csv", "b/B-trades-2024.csv"]).unwrap_err();
        let told = check("x.zip", &["A-trades-2024.csv", "a-trades-2023.csv"]).unwrap();
        assert_eq!(told.symbol.as_deref(), Some("A"));
    }

    #[test]
    fn names_of_krakens_pairs_are_known_from_others() {
        for name in
            ["XBTUSD.csv", "BCHEUR.csv.gz", "a/1INCHUSD.csv", "ETH2.SETH.csv", "XBTUSDT_2023Q1.csv"]
        {
            assert!(is_krakens_name(name), "{name}");
        }
        for name in [
            "XBTUSD-1M-2018-01.csv",
            "trades.csv",
            "TRADES.csv",
            "-",
            "x",
            "XBTUSD_bitmex.csv",
            "USD.csv",
        ] {
            assert!(!is_krakens_name(name), "{name}");
        }
        let archive = Path::new("Kraken_Trading_History.zip");
        is_of_kraken(archive, &members(&["XBTUSD.csv"])).unwrap();
        is_of_kraken(archive, &members(&["rows.csv"])).unwrap_err();
        is_of_kraken(Path::new("rows.csv"), &[]).unwrap_err();
    }

    #[test]
    fn a_period_in_a_name_is_no_part_of_the_pair() {
        for name in ["XBTUSD", "XBTUSD_2023Q1", "XBTUSD-2024-03-01", "XBTUSD_2024-03"] {
            assert_eq!(pair(name), Some("XBTUSD"), "{name}");
        }
        for name in ["", "XBTUSD-trades-2024-03-01", "kraken_XBTUSD", "2024-03-01_XBTUSD"] {
            assert_eq!(pair(name), None, "{name}");
        }
    }

    #[test]
    fn pairs_of_one_archive_are_not_merged() {
        let path = Path::new("Kraken_Trading_History.zip");
        one_pair(path, &members(&["XBTUSD.csv"])).unwrap();
        one_pair(path, &members(&["a/XBTUSD_2023.csv", "b/XBTUSD_2024.csv"])).unwrap();
        one_pair(path, &members(&["XBTUSD.csv", "ETHUSD.csv"])).unwrap_err();
    }
}
