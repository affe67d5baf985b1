//! LEAN's tick files: what its folders and names say of the market, and with it of prices and times.
//!
//! `{security}/{market}/tick/{symbol}/{YYYYMMDD}_trade.zip`. Prices of equities and options are whole numbers of
//! ten-thousandths, all others as they are (`LeanData.GenerateLine`). Times count from midnight in the zone that
//! LEAN's market-hours database has for the symbol.
//!
//! **Invariant:** neither scale nor zone is guessed from values: a market that is not known is refused.

use std::fmt;
use std::path::Path;

use barflow_operators::instrument::InstrumentId;

/// LEAN's security types.
const SECURITIES: [&str; 10] = [
    "equity",
    "option",
    "index",
    "indexoption",
    "future",
    "futureoption",
    "crypto",
    "cryptofuture",
    "forex",
    "cfd",
];

/// LEAN's markets of futures on US exchanges.
const US_FUTURES: [&str; 6] = ["cme", "cbot", "nymex", "comex", "cboe", "cfe"];

/// What LEAN calls the place of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its type, as in folders: `equity`.
    pub security: &'static str,
    /// Its market: `usa`; none where nothing says it.
    pub market: Option<String>,
    /// Whether folders say so, and not a name or a habit.
    pub of_folder: bool,
}

/// How the ticks of a place are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether prices are whole numbers of ten-thousandths.
    pub scaled: bool,
    /// The zone in which days begin.
    pub zone: &'static str,
}

fn security(word: &str) -> Option<&'static str> {
    SECURITIES.into_iter().find(|security| word.eq_ignore_ascii_case(security))
}

impl Place {
    /// What the folders of a file say.
    pub fn of_folders(path: &Path) -> Option<Self> {
        let folders: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        folders.windows(3).rev().find_map(|three| {
            let security = security(three[0]).filter(|_| three[2].eq_ignore_ascii_case("tick"))?;
            let market = Some(three[1].to_ascii_lowercase());
            Some(Self { security, market, of_folder: true })
        })
    }

    /// `20131007_spy_Trade_Tick.csv` is the name of equities alone.
    pub(crate) fn of_equities() -> Self {
        Self { security: "equity", market: Some("usa".to_owned()), of_folder: false }
    }

    /// What an instrument that was given says: its market is the security type.
    pub fn of_instrument(instrument: &InstrumentId) -> Option<Self> {
        let security = security(instrument.market())?;
        let of_usa = matches!(security, "equity" | "option" | "index");
        Some(Self { security, market: of_usa.then(|| "usa".to_owned()), of_folder: false })
    }

    /// How its ticks are written.
    ///
    /// # Errors
    /// When that is not known.
    pub fn terms(&self, symbol: &str) -> Result<Terms, String> {
        let unknown = |why: String| Err(format!("{why}; {CONVERT}"));
        let (scaled, zone) = match (self.security, self.market.as_deref()) {
            ("equity" | "option", Some("usa")) => (true, "America/New_York"),
            ("future", Some(market)) if US_FUTURES.contains(&market) => (false, "UTC"),
            ("index", Some("usa")) if symbol.eq_ignore_ascii_case("SPX") => {
                (false, "America/Chicago")
            }
            ("index", Some("usa")) => {
                return unknown(format!(
                    "the time zone of LEAN's index ticks of {symbol} is not known"
                ));
            }
            ("crypto" | "cryptofuture" | "forex" | "cfd", _) => {
                return unknown(format!("LEAN's {self} ticks have a layout that is not read"));
            }
            (_, None) => {
                return Err(format!(
                    "the time zone of LEAN's {self} ticks depends on the market, and no folder names it; \
                     keep them in LEAN's folders ({}/cme/tick/SYMBOL)",
                    self.security
                ));
            }
            (_, Some(_)) => return unknown(format!("the time zone of LEAN's {self} is not known")),
        };
        Ok(Terms { scaled, zone })
    }
}

/// What to do with ticks that are not read.
const CONVERT: &str = "write the rows with times since 1970 and read them with --columns \
                       time=…,price=…,qty=…";

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.market {
            Some(market) if self.of_folder => write!(to, "{} ticks of {market}", self.security),
            _ => to.write_str(self.security),
        }
    }
}

/// The symbol in a name, with the contract that follows it: `ES_201312`.
pub(crate) fn symbol(stem: &str) -> Option<String> {
    let mut parts = stem.split('_').skip(1);
    let symbol = parts.next()?;
    let kinds = [parts.next()?, parts.next()?].map(str::to_ascii_lowercase);
    let is_tick = kinds == ["tick", "trade"] || kinds == ["trade", "tick"];
    let parts: Vec<&str> = std::iter::once(symbol).chain(parts).collect();
    is_tick.then(|| parts.join("_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_names_and_instruments_tell_the_place() {
        let place = |path: &str| Place::of_folders(Path::new(path)).map(|place| place.to_string());
        let told = place("data/future/cme/tick/es/20131007_trade.zip");
        assert_eq!(told.as_deref(), Some("future ticks of cme"));
        for other in
            ["equity/20131007_trade.zip", "spy/20131007_trade.zip", "equity/usa/minute/spy/x.zip"]
        {
            assert_eq!(place(other), None, "{other}");
        }
        let given = |text: &str| Place::of_instrument(&text.parse().unwrap());
        assert_eq!(
            given("lean:equity:SPY").unwrap().terms("SPY").unwrap().zone,
            "America/New_York"
        );
        assert!(given("lean:future:ES").unwrap().terms("ES").unwrap_err().contains("folders"));
        assert_eq!(given("own:spot:X"), None);
    }

    #[test]
    fn contracts_are_part_of_the_symbol() {
        for (stem, wanted) in [
            ("20131007_spy_Trade_Tick", Some("SPY")),
            ("20131007_spx_tick_trade", Some("SPX")),
            ("20131007_es_tick_trade_201312", Some("ES_201312")),
            (
                "20131224_goog_tick_trade_american_call_8500000_20140118",
                Some("GOOG_AMERICAN_CALL_8500000_20140118"),
            ),
            ("20131007_es_tick_quote_201312", None),
            ("20131007_trade", None),
        ] {
            assert_eq!(symbol(stem).as_deref(), wanted, "{stem}");
        }
    }
}
