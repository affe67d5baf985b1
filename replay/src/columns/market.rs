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
    /// What rows say: each field by the first row that has one; none if no row says anything.
    pub fn of(columns: &Columns, rows: &[Vec<Cell<'static>>]) -> Option<Self> {
        let mut said = places(columns).map(|(field, at)| {
            let cells = rows.iter().filter_map(|row| row.get(at?));
            cells.map(Cell::text).find_map(|text| Some(value(field, &text)?.to_owned()))
        });
        let [exchange, symbol, base, counter] = said.each_mut().map(Option::take);
        let market = Self { exchange, symbol, base, counter };
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

    /// Whether it has a field.
    pub(crate) fn said(&self, field: &str) -> bool {
        self.fields().iter().any(|(name, value)| *name == field && value.is_some())
    }

    /// Whether it has a field that another one lacks.
    pub(crate) fn says_more_than(&self, other: &Self) -> bool {
        let mut both = self.fields().into_iter().zip(other.fields());
        both.any(|((_, ours), (_, theirs))| ours.is_some() && theirs.is_none())
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

    /// The first field in which a row is of another market, and its value there: another one than the first rows
    /// have, none where they have one, or one where they have none.
    pub(crate) fn other<'a>(
        &self,
        columns: &Columns,
        cell: &impl Fn(usize) -> Cell<'a>,
    ) -> Option<(&'static str, String)> {
        self.fields().into_iter().zip(places(columns)).find_map(|((field, wanted), (_, at))| {
            let cell = cell(at?);
            let found = cell.text();
            let is_other = match wanted {
                Some(wanted) => found.trim() != wanted,
                None => value(field, &found).is_some(),
            };
            is_other.then(|| (field, found.into_owned()))
        })
    }
}

/// The columns of the fields, in the order of [`Market::fields`].
fn places(columns: &Columns) -> [(&'static str, Option<usize>); 4] {
    [
        ("exchange", columns.exchange),
        ("symbol", columns.symbol),
        ("base", columns.base),
        ("quote", columns.counter),
    ]
}

/// What a text in the column of a field says of the market; none if it says nothing.
fn value<'a>(field: &str, text: &'a str) -> Option<&'a str> {
    let text = Some(text.trim()).filter(|text| !is_nothing(text))?;
    let says = match field {
        "symbol" => true,
        // Tapes of equities have a code of one or two characters, or a number, for the venue of each trade.
        "exchange" => text.chars().count() > 2 && text.parse::<f64>().is_err(),
        // A number there is a price or a quantity.
        _ => text.parse::<f64>().is_err(),
    };
    says.then_some(text)
}

impl fmt::Display for Market {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<&str> =
            self.fields().into_iter().filter_map(|(_, value)| value.map(String::as_str)).collect();
        to.write_str(&said.join(","))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::columns::resolve::{Seen, resolve};

    const NAMES: &str = "time,price,qty,exchange,symbol,base,quote";

    fn row(text: &str) -> Vec<Cell<'static>> {
        let cells = format!("1709251200000,1,1,{text}");
        cells.split(',').map(|cell| Cell::Text(Cow::Owned(cell.to_owned()))).collect()
    }

    fn columns() -> Columns {
        let names = Some(NAMES.split(',').map(str::to_owned).collect());
        let rows = vec![row("kraken,BTC-USD,BTC,USD")];
        resolve(&Seen { names, delimiter: b',', rows }, None).unwrap().columns
    }

    #[test]
    fn the_first_row_that_has_a_field_decides_and_all_others_are_compared_with_it() {
        let columns = columns();
        let rows = [row(",null,nan,5"), row("Q,BTC-USD,,6"), row("kraken,ETH-USD,ETH,7")];
        let market = Market::of(&columns, &rows).unwrap();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(
            (market.exchange.clone(), market.symbol.clone()),
            (said("kraken"), said("BTC-USD"))
        );
        assert_eq!((market.base.clone(), market.counter.clone()), (said("ETH"), None));
        let other = |market: &Market, text: &str| {
            let row = row(text);
            market.other(&columns, &|at| row[at].clone()).map(|(field, _)| field)
        };
        for (text, field) in [
            ("kraken,BTC-USD,ETH,8", None),
            ("kraken, BTC-USD ,ETH,", None),
            (",BTC-USD,ETH,8", Some("exchange")),
            ("kraken,,ETH,8", Some("symbol")),
            ("kraken,ETH-USD,ETH,8", Some("symbol")),
            ("kraken,BTC-USD,BTC,8", Some("base")),
            ("kraken,BTC-USD,ETH,USD", Some("quote")),
        ] {
            assert_eq!(other(&market, text), field, "{text}");
        }
        // The first rows say nothing.
        assert_eq!(Market::of(&columns, &[row("Q,,nan,5")]), None);
        let none = Market::default();
        assert_eq!(other(&none, "N,None,,8"), None);
        assert_eq!(other(&none, "N,BTC-USD,,8"), Some("symbol"));
        assert_eq!(other(&none, "kraken,,,8"), Some("exchange"));
    }
}
