//! From the cells of a row to its fields.

use barflow_operators::trade::Aggressor;

use super::cell::{Cell, ROUNDED};
use super::{Columns, Side};
use crate::rows::RawRow;

/// What is wrong with a side of 0 where no −1 was seen.
pub(super) const ZERO: &str = "0 and no −1 among its first rows: 0 may be a side or mean that it is not known; say with \
                               --columns …,side_buy=1,side_sell=0 or side_buy=1,side_sell=-1 which it is";

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which field.
    pub field: &'static str,
    /// Its text.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Wrong {
    fn new(field: &'static str, cell: &Cell<'_>, reason: impl Into<String>) -> Self {
        Self { field, value: cell.text().into_owned(), reason: reason.into() }
    }
}

/// The fields of a row; its time is in ns. Ids are 0 where the source has none.
///
/// # Errors
/// The first field that cannot be read.
pub fn row<'a>(columns: &Columns, cell: impl Fn(usize) -> Cell<'a>) -> Result<RawRow, Wrong> {
    let id = match columns.id {
        Some(at) => id("trade_id", &cell(at))?,
        // The order numbers them.
        None => 0,
    };
    let price = number("price", &cell(columns.price))?;
    let printed = number("qty", &cell(columns.qty))?;
    let (qty, aggressor) = match &columns.side {
        Some(Side::SignOfQty) => (printed.abs(), by_sign(printed)),
        Some(Side::BuyerIsMaker { column }) => (printed, maker(&cell(*column))?),
        Some(Side::Word { column, buy, sell, zero_is_unknown, of_maker }) => {
            let words = (buy.as_deref(), sell.as_deref());
            let side = side(&cell(*column), words, *zero_is_unknown)?;
            (printed, if *of_maker { opposite(side) } else { side })
        }
        None => (printed, Aggressor::Unknown),
    };
    if let Some(at) = columns.maker {
        agrees(aggressor, &cell(at))?;
    }
    let quote = match columns.quote {
        Some(at) => number("quote_qty", &cell(at))?,
        None => 0.0,
    };
    let count = match columns.span {
        Some((first, last)) => {
            let last = cell(last);
            let from = id_of(&cell(first)).zip(id_of(&last));
            let count = from.and_then(|(first, last)| {
                u32::try_from(last.checked_sub(first)?).ok()?.checked_add(1)
            });
            let reason = "not a range of ids with first_trade_id";
            count.ok_or_else(|| Wrong::new("last_trade_id", &last, reason))?
        }
        None => 1,
    };
    let time = time(columns, &cell(columns.time))?;
    Ok(RawRow { id, price, qty, quote, time, aggressor, count })
}

fn id_of(cell: &Cell<'_>) -> Option<u64> {
    cell.id()
}

fn id(field: &'static str, cell: &Cell<'_>) -> Result<u64, Wrong> {
    cell.id().ok_or_else(|| Wrong::new(field, cell, "not a whole number of at least 0"))
}

fn number(field: &'static str, cell: &Cell<'_>) -> Result<f64, Wrong> {
    cell.number().ok_or_else(|| Wrong::new(field, cell, "not a decimal number"))
}

fn time(columns: &Columns, cell: &Cell<'_>) -> Result<u64, Wrong> {
    let ns = cell.time(columns.form).and_then(|ns| u64::try_from(ns).ok());
    ns.ok_or_else(|| {
        let reason = match cell.is_rounded() {
            true => ROUNDED,
            false => "not a time of the form that the file's times have",
        };
        Wrong::new("time", cell, reason)
    })
}

fn maker(cell: &Cell<'_>) -> Result<Aggressor, Wrong> {
    match cell.truth() {
        Some(true) => Ok(Aggressor::Seller),
        Some(false) => Ok(Aggressor::Buyer),
        None => Err(Wrong::new("is_buyer_maker", cell, "not True or False")),
    }
}

/// Holds the side against another column that tells the maker.
fn agrees(aggressor: Aggressor, maker: &Cell<'_>) -> Result<(), Wrong> {
    let side = match (aggressor, maker.truth()) {
        (Aggressor::Buyer, Some(true)) => "buy",
        (Aggressor::Seller, Some(false)) => "sell",
        _ => return Ok(()),
    };
    let reason = format!(
        "contradicts side = {side}: the maker is not the one who crossed the spread; --columns with \
         side=… or buyer_is_maker=… says which of them is right"
    );
    Err(Wrong::new("is_buyer_maker", maker, reason))
}

fn opposite(side: Aggressor) -> Aggressor {
    match side {
        Aggressor::Buyer => Aggressor::Seller,
        Aggressor::Seller => Aggressor::Buyer,
        Aggressor::Unknown => Aggressor::Unknown,
    }
}

fn by_sign(qty: f64) -> Aggressor {
    if qty > 0.0 {
        Aggressor::Buyer
    } else if qty < 0.0 {
        Aggressor::Seller
    } else {
        Aggressor::Unknown
    }
}

fn side(
    cell: &Cell<'_>,
    (buy, sell): (Option<&str>, Option<&str>),
    zero_is_unknown: bool,
) -> Result<Aggressor, Wrong> {
    if buy.is_some() || sell.is_some() {
        let text = cell.text();
        let is = |word: Option<&str>| word.is_some_and(|w| text.trim().eq_ignore_ascii_case(w));
        if is(buy) {
            return Ok(Aggressor::Buyer);
        }
        if is(sell) {
            return Ok(Aggressor::Seller);
        }
    }
    let known = cell.side(zero_is_unknown);
    // Words that were given replace the usual ones.
    let replaced = match known {
        Some(Aggressor::Buyer) => buy.is_some(),
        Some(Aggressor::Seller) => sell.is_some(),
        _ => false,
    };
    known.filter(|_| !replaced).ok_or_else(|| {
        let reason = match cell.number() == Some(0.0) {
            true => ZERO,
            false => {
                "not buy, sell or unknown; --columns …,side_buy=WORD,side_sell=WORD names other words"
            }
        };
        Wrong::new("side", cell, reason)
    })
}
