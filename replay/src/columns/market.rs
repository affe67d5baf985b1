//! What the rows of one instrument have in common, where columns say it.

use std::fmt;

use super::Columns;
use super::cell::{Cell, is_nothing};

/// Exchange, symbol and currencies of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// The exchange.
    pub exchange: Option<String>,
    /// The symbol.
    pub symbol: Option<String>,
    /// The currency that is traded.
    pub base: Option<String>,
    /// The currency in which prices are.
    pub counter: Option<String>,
}

impl Market {
    /// What a row says; none if no column does.
    pub fn of(columns: &Columns, row: &[Cell<'static>]) -> Option<Self> {
        // What is not there says nothing.
        let text = |at: Option<usize>| {
            Some(row.get(at?)?.text().trim().to_owned()).filter(|text| !is_nothing(text))
        };
        // A number there is a price or a quantity.
        let currency = |at| text(at).filter(|text| text.parse::<f64>().is_err());
        // Tapes of equities have a code of one or two characters, or a number, for the venue of each trade.
        let is_name = |text: &String| text.chars().count() > 2;
        let market = Self {
            exchange: currency(columns.exchange).filter(is_name),
            symbol: text(columns.symbol),
            base: currency(columns.base),
            counter: currency(columns.counter),
        };
        (market != Self::default()).then_some(market)
    }

    /// Fields by their names.
    fn fields(&self) -> [(&'static str, Option<&String>); 4] {
        [
            ("exchange", self.exchange.as_ref()),
            ("symbol", self.symbol.as_ref()),
            ("base", self.base.as_ref()),
            ("quote", self.counter.as_ref()),
        ]
    }

    /// The first field in which rows of two files of one instrument differ, and its two values. Symbols may be
    /// spelt in several ways, and are compared with the instrument.
    pub(crate) fn difference<'a>(
        &'a self,
        other: &'a Self,
    ) -> Option<(&'static str, &'a str, &'a str)> {
        let both = self.fields().into_iter().zip(other.fields());
        both.filter(|((field, _), _)| *field != "symbol").find_map(
            |((field, ours), (_, theirs))| {
                let (ours, theirs) = ours.zip(theirs)?;
                (!ours.eq_ignore_ascii_case(theirs)).then_some((
                    field,
                    ours.as_str(),
                    theirs.as_str(),
                ))
            },
        )
    }

    /// The first field in which a row is of another market, and its value there.
    pub(crate) fn other<'a>(
        &self,
        columns: &Columns,
        cell: &impl Fn(usize) -> Cell<'a>,
    ) -> Option<(&'static str, String)> {
        let places = [columns.exchange, columns.symbol, columns.base, columns.counter];
        self.fields().into_iter().zip(places).find_map(|((field, wanted), at)| {
            let (at, wanted) = at.zip(wanted)?;
            let cell = cell(at);
            let found = cell.text();
            (found.trim() != wanted).then(|| (field, found.into_owned()))
        })
    }
}

impl fmt::Display for Market {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<&str> =
            self.fields().into_iter().filter_map(|(_, value)| value.map(String::as_str)).collect();
        to.write_str(&said.join(","))
    }
}
