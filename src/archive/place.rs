//! Where the archive keeps what.
//!
//! `data/{spot|futures/um|futures/cm}/{daily|monthly}/{kind}/{SYMBOL}/{SYMBOL}-{kind}-{DATE}.zip`

use std::fmt;
use std::str::FromStr;

use barflow_operators::batch::InputKind;
use barflow_replay::naming;
use barflow_replay::store::layout;
use jiff::civil::Date;

/// Which of the venue's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Market {
    /// Spot.
    Spot,
    /// Futures margined in a stable coin.
    Um,
    /// Futures margined in the coin itself.
    Cm,
}

impl Market {
    /// As on the command line and in instruments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Um => "um",
            Self::Cm => "cm",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Um => "futures/um",
            Self::Cm => "futures/cm",
        }
    }
}

impl FromStr for Market {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Spot, Self::Um, Self::Cm];
        let found = known.into_iter().find(|market| market.as_str() == text);
        found.ok_or_else(|| "is not one of spot, um, cm".to_owned())
    }
}

/// What one file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A UTC day.
    Day(Date),
    /// A UTC month, by its first day.
    Month(Date),
}

impl Period {
    /// The month that a day lies in.
    pub fn month_of(day: Date) -> Self {
        Self::Month(day.first_of_month())
    }

    /// Its first and last day.
    pub fn days(self) -> (Date, Date) {
        match self {
            Self::Day(day) => (day, day),
            Self::Month(first) => (first, first.last_of_month()),
        }
    }
}

/// `2024-03-01`, `2024-03`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.days();
        f.write_str(&layout::period(first, last))
    }
}

/// The files of one symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Market.
    pub market: Market,
    /// Trades or aggregates.
    pub kind: InputKind,
    /// Symbol, as the venue writes it.
    pub symbol: String,
}

impl Series {
    /// Key of the folder with its daily or monthly files, with a slash at the end.
    pub fn folder(&self, monthly: bool) -> String {
        let (market, kind) = (self.market.folder(), layout::kind(self.kind));
        let how = if monthly { "monthly" } else { "daily" };
        format!("data/{market}/{how}/{kind}/{}/", self.symbol)
    }

    /// Key of one file.
    pub fn key(&self, period: Period) -> String {
        let folder = self.folder(matches!(period, Period::Month(_)));
        format!("{folder}{}-{}-{period}.zip", self.symbol, layout::kind(self.kind))
    }

    /// What a key is about; none if it is not an archive of this series.
    pub fn period(&self, key: &str) -> Option<Period> {
        let (first, last) = naming::read(key.as_ref()).days?;
        let period = if first == last { Period::Day(first) } else { Period::Month(first) };
        (self.key(period) == key).then_some(period)
    }
}

/// `binance:spot:BTCUSDT trades`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let market = self.market.as_str();
        write!(f, "binance:{market}:{} {}", self.symbol, layout::kind(self.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn keys_are_those_of_the_public_archive_and_read_back() {
        let spot =
            Series { market: Market::Spot, kind: InputKind::Trades, symbol: "BTCUSDT".to_owned() };
        let day = Period::Day(date(2024, 3, 1));
        let key = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip";
        assert_eq!(spot.key(day), key);
        assert_eq!(spot.period(key), Some(day));
        let coin = Series {
            market: "cm".parse().unwrap(),
            kind: InputKind::AggTrades,
            symbol: "BTCUSD_PERP".to_owned(),
        };
        let month = Period::month_of(date(2024, 2, 17));
        let key = "data/futures/cm/monthly/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2024-02.zip";
        assert_eq!(coin.key(month), key);
        assert_eq!(coin.period(key), Some(month));
        assert_eq!(month.days().1, date(2024, 2, 29));
        for other in [&format!("{key}.CHECKSUM"), &spot.key(day), "x", "data/2024-02.zip"] {
            assert_eq!(coin.period(other), None, "{other}");
        }
        assert!("SPOT".parse::<Market>().is_err());
    }
}
