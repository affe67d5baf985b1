//! Columns by name: own data in any order, from any exporter.
//!
//! ```text
//! header ─┐
//! choice ─┼─► resolve ─► Columns ─► read: cells of a row ─► RawRow
//! sample ─┘
//! ```
//!
//! A header whose names and places are those of a known layout is read by that layout's own parser;
//! every other one, and every Parquet file that is not barflow's own, goes through [`Columns`].
//!
//! **Invariant:** nothing is guessed from values that a name could say; a header of which time, price
//! and quantity are not understood is refused.

use std::fmt;

pub mod cell;
pub mod choice;
pub mod fields;
mod listed;
pub mod market;
pub mod names;
pub mod read;
pub mod resolve;

/// Where the fields of a row are, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Names in the file's order; positions from 1 where it has no header.
    pub names: Vec<String>,
    /// What separates the fields of a line.
    pub delimiter: u8,
    /// Column of the time.
    pub time: usize,
    /// How times are written.
    pub form: TimeForm,
    /// Column of the price.
    pub price: usize,
    /// Column of the quantity.
    pub qty: usize,
    /// Column of the quote value.
    pub quote: Option<usize>,
    /// Column of the ids, if they are the venue's and numbers.
    pub id: Option<usize>,
    /// Columns of first and last id of an aggregate.
    pub span: Option<(usize, usize)>,
    /// Who crossed the spread.
    pub side: Option<Side>,
    /// Column that says of the buyer whether it was the maker, where another one has the side: both have to agree.
    pub maker: Option<usize>,
    /// Column of the exchange.
    pub exchange: Option<usize>,
    /// Column of the symbol.
    pub symbol: Option<usize>,
    /// Column of the currency that is traded.
    pub base: Option<usize>,
    /// Column of the currency in which prices are.
    pub counter: Option<usize>,
}

/// How times are written. A typed timestamp of a Parquet file needs none of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// A number of units of this many ns since 1970.
    Number {
        /// Ns per unit.
        unit: i64,
    },
    /// ISO 8601; without a zone it is UTC.
    Text,
}

/// How the side of a trade is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// A word or a sign.
    Word {
        /// In which column.
        column: usize,
        /// What stands for a buyer; the usual words if not given.
        buy: Option<String>,
        /// What stands for a seller; the usual words if not given.
        sell: Option<String>,
        /// Whether 0 means that the side is not known.
        zero_is_unknown: bool,
        /// Whether it is the side of the maker, so that the other one crossed the spread.
        of_maker: bool,
    },
    /// Whether the buyer was the maker.
    BuyerIsMaker {
        /// In which column.
        column: usize,
    },
    /// The sign of the quantity.
    SignOfQty,
}

/// Why a source with an id column is read as one without ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutIds {
    /// Ids are text.
    Text,
    /// Ids are empty.
    Empty,
    /// Ids are numbers that do not follow each other.
    Holes,
}

impl fmt::Display for WithoutIds {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Text => "its ids are not numbers",
            Self::Empty => "its ids are empty",
            Self::Holes => "its ids leave holes by design (most do not follow the one before)",
        })
    }
}

impl Columns {
    /// The columns as `--columns` takes them, with what was found about their values.
    pub fn describe(&self) -> String {
        let name = |column: usize| self.names.get(column).map_or("?", String::as_str);
        let mut parts = vec![
            format!("time={}", name(self.time)),
            format!("price={}", name(self.price)),
            format!("qty={}", name(self.qty)),
        ];
        parts.extend(self.quote.map(|column| format!("quote={}", name(column))));
        match &self.side {
            Some(Side::Word { column, buy, sell, .. }) => {
                parts.push(format!("side={}", name(*column)));
                parts.extend(buy.iter().map(|word| format!("side_buy={word}")));
                parts.extend(sell.iter().map(|word| format!("side_sell={word}")));
            }
            Some(Side::BuyerIsMaker { column }) => {
                parts.push(format!("buyer_is_maker={}", name(*column)));
            }
            Some(Side::SignOfQty) => parts.push(format!("side={}", name(self.qty))),
            None => {}
        }
        parts.extend(self.id.map(|column| format!("id={}", name(column))));
        parts.extend(self.symbol.map(|column| format!("symbol={}", name(column))));
        if let TimeForm::Number { unit } = self.form {
            let word = choice::UNITS.iter().find(|(_, ns)| *ns == unit);
            parts.extend(word.map(|(word, _)| format!("time_unit={word}")));
        }
        parts.join(",")
    }

    /// The columns that are read, in the file's order.
    pub fn needed(&self) -> Vec<usize> {
        let side = match &self.side {
            Some(Side::Word { column, .. } | Side::BuyerIsMaker { column }) => Some(*column),
            Some(Side::SignOfQty) | None => None,
        };
        let (first, last) = self.span.unzip();
        let always = [self.time, self.price, self.qty];
        let maybe = [self.quote, self.id, side, self.maker, first, last];
        let market = [self.exchange, self.symbol, self.base, self.counter];
        let maybe = maybe.into_iter().chain(market);
        let mut needed: Vec<usize> = always.into_iter().chain(maybe.flatten()).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Whether its names are those of Binance's futures archives.
    pub fn is_of_binance_futures(&self) -> bool {
        let has = |role| self.names.iter().any(|n| names::known(n).is_some_and(|k| k.role == role));
        let is_maker = matches!(self.side, Some(Side::BuyerIsMaker { .. }));
        let own = self.exchange.is_none() && self.symbol.is_none();
        is_maker
            && own
            && self.id.is_some()
            && !has(names::Role::BestMatch)
            && (self.span.is_some() || matches!(self.names.len(), 6))
    }

    /// Whether its names are those of Coinbase's own trades, in REST and both feeds, whose side is the maker's. CCXT,
    /// Tardis and cryptofeed, which write the taker's, have other ones.
    pub fn is_of_coinbase(&self) -> bool {
        let has = |wanted: &str| self.names.iter().any(|name| names::plain(name) == wanted);
        ["tradeid", "side", "size", "price", "time"].into_iter().all(has)
    }

    /// The same columns with the side taken for the maker's; none if the column `side` does not have the usual words.
    pub fn with_side_of_maker(&self) -> Option<Self> {
        let mut columns = self.clone();
        let Some(Side::Word { column, buy: None, sell: None, of_maker, .. }) = &mut columns.side
        else {
            return None;
        };
        let is_side = self.names.get(*column).is_some_and(|name| names::plain(name) == "side");
        *of_maker = true;
        is_side.then_some(columns)
    }

    /// Whether a number that counts stands last in a row.
    pub fn ends_with_a_number(&self) -> bool {
        let last = self.names.len().saturating_sub(1);
        [self.time, self.price, self.qty].contains(&last) || self.id == Some(last)
    }

    /// Whether it is no more than time, price and quantity, as Kraken exports them.
    pub fn is_bare(&self) -> bool {
        self.names.len() == 3 && self.side.is_none() && self.id.is_none()
    }
}
