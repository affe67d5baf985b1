//! From lines to trades in columns.
//!
//! A fast path reads well-formed rows with a handful of integer operations per field; whatever it
//! does not recognise goes to a careful path that knows every field's rule and names what is
//! wrong. Both agree on every row that the fast path takes (tested).

use std::sync::Arc;

use barflow_operators::batch::{InputKind, TradeBatch};
use barflow_operators::input_batch::{LeftOut, Reject};
use barflow_operators::trade::{Aggressor, Trade};
use barflow_operators::validation;

use crate::columns::market::Market;
use crate::columns::{Columns, Side};
use crate::lean;

pub mod careful;
pub mod edges;
pub mod fast;
pub mod header;
pub mod id_edges;
pub mod judge;
pub mod mapped;
pub mod outside;
pub mod read;
pub mod scan;

use edges::Edges;
use outside::Outside;

/// Which columns a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Binance `trades`: id, price, qty, quote or base qty, time, isBuyerMaker\[, isBestMatch\].
    Trades {
        /// 6 (futures) or 7 (spot).
        columns: usize,
    },
    /// Binance `aggTrades`: id, price, qty, first id, last id, time, isBuyerMaker\[, isBestMatch\].
    AggTrades {
        /// 7 (futures) or 8 (spot).
        columns: usize,
    },
    /// Kraken time & sales: seconds, price, volume.
    Kraken,
    /// LEAN ticks: ms since midnight, price, size, exchange, flags, suspicious.
    Lean {
        /// When the file's day begins, in ns since the Unix epoch.
        midnight: i64,
        /// How its market writes prices and times.
        terms: lean::Terms,
    },
    /// Any other, by the names of its columns.
    Mapped(Arc<Columns>),
}

impl Layout {
    /// What a row is.
    pub fn input(&self) -> InputKind {
        match self {
            Self::AggTrades { .. } => InputKind::AggTrades,
            Self::Mapped(columns) if columns.span.is_some() => InputKind::AggTrades,
            _ => InputKind::Trades,
        }
    }

    /// Whether it is one of Binance's futures.
    pub fn is_of_futures(&self) -> bool {
        match self {
            Self::Trades { columns: 6 } | Self::AggTrades { columns: 7 } => true,
            // Binance's own names, in another order: spot's files have one column more.
            Self::Mapped(columns) => columns.is_of_binance_futures(),
            _ => false,
        }
    }

    /// Whether rows have the side.
    pub fn has_aggressor(&self) -> bool {
        match self {
            Self::Trades { .. } | Self::AggTrades { .. } => true,
            Self::Kraken | Self::Lean { .. } => false,
            Self::Mapped(columns) => columns.side.is_some(),
        }
    }

    /// Whether the side of rows is the maker's, in words.
    pub fn has_side_of_maker(&self) -> bool {
        let Self::Mapped(columns) = self else { return false };
        matches!(columns.side, Some(Side::Word { of_maker: true, .. }))
    }

    /// Whether rows have a quote value that can be taken.
    pub fn has_quote(&self) -> bool {
        match self {
            Self::Trades { .. } => true,
            Self::Mapped(columns) => columns.quote.is_some(),
            _ => false,
        }
    }

    /// Whether its rows are numbered as they are read: they have no ids.
    pub fn is_ordinal(&self) -> bool {
        match self {
            Self::Kraken | Self::Lean { .. } => true,
            Self::Mapped(columns) => columns.id.is_none(),
            Self::Trades { .. } | Self::AggTrades { .. } => false,
        }
    }

    /// Whether a number that counts stands last in a row.
    pub fn ends_with_a_number(&self) -> bool {
        match self {
            Self::Kraken => true,
            Self::Mapped(columns) => columns.ends_with_a_number(),
            _ => false,
        }
    }

    /// How many fields a row has.
    pub fn columns(&self) -> usize {
        match self {
            Self::Trades { columns } | Self::AggTrades { columns } => *columns,
            Self::Kraken => 3,
            Self::Lean { .. } => 6,
            Self::Mapped(columns) => columns.names.len(),
        }
    }
}

/// How the quote value of a trade is formed (docs/adr/0001).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Quote {
    /// `price * qty`, as live streams allow.
    #[default]
    Product,
    /// The file's own column.
    Source,
    /// Inverse contracts: `contracts * size` is the quote value, and the quantity in base
    /// currency is that divided by the price.
    Inverse {
        /// Quote value of one contract.
        contract: f64,
    },
}

/// Which valid rows of a file are not trades, by the rules of their source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Rows of quantity 0, see [`is_not_a_trade`](crate::binance::is_not_a_trade).
    pub zero_qty: bool,
    /// Ticks that LEAN flags as suspicious, as LEAN's own bars do.
    pub suspicious: bool,
}

/// Why ticks that LEAN flags are left out.
pub const SUSPICIOUS: &str = "flagged as suspicious";

/// How the rows of one file are read.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFormat {
    /// Which columns.
    pub layout: Layout,
    /// Ns per unit of the file's times.
    pub unit: i64,
    /// What every row says of its market, where rows do.
    pub market: Option<Arc<Market>>,
    /// How quote values are formed.
    pub quote: Quote,
    /// Which valid rows are not trades.
    pub exclude: Exclude,
    /// The header, if there is one: wherever it is repeated, it is passed over.
    pub header: Option<Arc<str>>,
}

/// What turns the rows of one file into trades.
#[derive(Clone, Debug)]
pub struct RowRules {
    /// How rows are read.
    pub format: RowFormat,
    /// First event time taken, ns.
    pub from: i64,
    /// First event time no longer taken, ns.
    pub to: i64,
}

/// The fields of a row, typed but not yet judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawRow {
    /// Id, or 0 where the source has none.
    pub id: u64,
    /// Price.
    pub price: f64,
    /// Quantity as written (contracts for inverse instruments).
    pub qty: f64,
    /// The file's quote column, if it was wanted.
    pub quote: f64,
    /// Time in the file's unit.
    pub time: u64,
    /// Who crossed the spread.
    pub aggressor: Aggressor,
    /// Trades underlying the row.
    pub count: u32,
}

impl RowRules {
    /// Whether trades of this time are wanted.
    #[inline(always)]
    pub fn wants(&self, event_time: i64) -> bool {
        event_time >= self.from && event_time < self.to
    }

    /// When a row's trade was; after every valid time if that is not known.
    #[inline(always)]
    pub fn event_time(&self, row: &RawRow) -> i64 {
        match &self.format.layout {
            Layout::Mapped(_) => ns(row.time, 1),
            Layout::Lean { midnight, .. } => {
                midnight.saturating_add(ns(row.time, self.format.unit))
            }
            _ => ns(row.time, self.format.unit),
        }
    }

    /// The trade that a row means.
    ///
    /// # Errors
    /// The first field that cannot be.
    #[inline(always)]
    pub fn judge(&self, row: &RawRow) -> Result<Trade, validation::Defect> {
        validation::check_id(row.id)?;
        let event_time = self.event_time(row);
        let (qty, quote) = match self.format.quote {
            Quote::Product => (row.qty, row.price * row.qty),
            Quote::Source => (row.qty, row.quote),
            Quote::Inverse { contract } => {
                let quote = row.qty * contract;
                // The quantity is a quotient here; the written one must be valid as well.
                validation::check(row.price, row.qty, quote, event_time)?;
                (quote / row.price, quote)
            }
        };
        validation::check(row.price, qty, quote, event_time)?;
        Ok(Trade {
            trade_id: row.id,
            event_time,
            price: row.price,
            qty,
            quote,
            aggressor: row.aggressor,
            count: row.count,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[inline(always)]
fn ns(time: u64, unit: i64) -> i64 {
    i64::try_from(time).ok().and_then(|time| time.checked_mul(unit)).unwrap_or(i64::MAX)
}

/// Where rows go, with the bookkeeping of lines.
pub struct Output<'a> {
    /// Trades.
    pub batch: &'a mut TradeBatch,
    /// Rows that are none.
    pub rejects: &'a mut Vec<Reject>,
    /// Valid rows that are not trades by rule.
    pub left_out: &'a mut Vec<LeftOut>,
    /// Names the file in rejects.
    pub source: &'a Arc<str>,
    /// Line of the next row, from 1.
    pub line: u64,
    /// Ordinal of the next row, for sources without ids.
    pub ordinal: &'a mut u64,
    /// Rows after which to stop.
    pub rows: usize,
    /// What stands outside the wanted times.
    pub edges: &'a mut Edges,
    /// Trades before the first row behind the wanted times, if there is one.
    pub behind: Option<usize>,
    /// Whether the next line is a header of other columns than the file's own: rows after it cannot
    /// be read.
    pub other_header: bool,
}

/// Rejects gathered in one input batch before it is cut: a file of nothing but bad rows stays
/// bounded.
pub const REJECTS_AT_ONCE: usize = 4096;

impl Output<'_> {
    /// Whether the input batch is to be cut here.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= self.rows
            || self.other_header
            || self.rejects.len() >= REJECTS_AT_ONCE
            || self.left_out.len() >= REJECTS_AT_ONCE
    }

    /// Notes a valid row that is not a trade by rule.
    fn leave_out(&mut self, id: Option<u64>, reason: &'static str) {
        let row = self.batch.len() as u32;
        self.left_out.push(LeftOut { row, line: self.line, id, reason: reason.into() });
    }

    /// Looks whether the time of a row without an id is contradicted by its neighbours, where only one of
    /// both is wanted.
    fn watch(&mut self, rules: &RowRules, event_time: i64, raw: impl FnOnce() -> String) {
        let (source, line) = (self.source, self.line);
        let outside = || Outside { source: Arc::clone(source), line, event_time, raw: raw() };
        let before = self.rejects.len();
        if event_time < rules.from {
            self.rejects.extend(self.edges.before(event_time, outside));
        } else if event_time >= rules.to {
            self.edges.behind(outside);
        } else {
            self.rejects.extend(self.edges.inside(event_time));
        }
        let row = self.batch.len() as u32;
        self.rejects[before..].iter_mut().for_each(|reject| reject.row = row);
    }

    /// Takes a valid trade if it lies within the wanted times.
    #[inline(always)]
    pub fn take(&mut self, rules: &RowRules, trade: &Trade) {
        if rules.wants(trade.event_time) {
            self.batch.push(trade);
            return;
        }
        if trade.event_time >= rules.to {
            self.behind.get_or_insert(self.batch.len());
        }
        if !rules.format.layout.is_ordinal() {
            self.watch_id(trade);
        }
    }

    /// Looks whether the time of a row with an id is contradicted by rows that are wanted.
    fn watch_id(&mut self, trade: &Trade) {
        let (source, line, event_time) = (self.source, self.line, trade.event_time);
        let row = || {
            let raw = trade.to_string();
            Outside { source: Arc::clone(source), line, event_time, raw }
        };
        self.rejects.extend(self.edges.ids.outside(self.batch, trade.trade_id, row));
    }
}
