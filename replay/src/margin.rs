//! Whether Binance's rows are of coin-margined contracts. Their quantities are numbers of contracts, of
//! 100 or 10 US dollars each, so read as those of another market they give bars that are wrong by far.

use std::path::Path;

use barflow_operators::instrument::InstrumentId;

use crate::error::ReplayError;
use crate::naming;

/// In what contracts are margined, and what rows say beside their quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// In the coin: quantities are contracts, and beside them is the base quantity.
    Coin,
    /// In the quote currency, or a spot market: beside the base quantity is the quote value.
    Quote,
}

/// US dollars that a contract is worth.
const CONTRACTS: [f64; 2] = [100.0, 10.0];

/// What is printed is rounded.
const ROUNDED: f64 = 1e-3;

/// What the names of Binance's columns say.
pub fn of_header(names: &[String]) -> Option<Margin> {
    let plain = |name: &String| name.replace(['_', '"'], "").trim().to_ascii_lowercase();
    let names: Vec<String> = names.iter().map(plain).collect();
    let has = |wanted: &[&str]| names.iter().any(|name| wanted.contains(&name.as_str()));
    let is_binances = has(&["isbuyermaker"]) && has(&["qty", "quantity"]);
    match (has(&["baseqty", "basequantity"]), has(&["quoteqty", "quotequantity"])) {
        (true, false) if is_binances => Some(Margin::Coin),
        (false, true) if is_binances => Some(Margin::Quote),
        _ => None,
    }
}

/// What the rows of Binance's trades (id, price, quantity, base quantity or quote value, …) say; none if
/// they fit both or neither, or one another's contrary.
pub fn of_rows<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Margin> {
    let mut rows = lines.filter_map(of_row);
    let first = rows.next()?;
    rows.all(|other| other == first).then_some(first).flatten()
}

/// None where it is not a trade.
fn of_row(line: &str) -> Option<Option<Margin>> {
    let mut fields = line.split(',').skip(1).map(|field| field.trim().parse::<f64>());
    let mut next = || fields.next()?.ok().filter(|number| number.is_finite() && *number > 0.0);
    let (price, qty, beside) = (next()?, next()?, next()?);
    let is = |expected: f64| (beside - expected).abs() <= ROUNDED * expected;
    let is_base = qty.fract() == 0.0 && CONTRACTS.iter().any(|size| is(qty * size / price));
    Some(match (is_base, is(price * qty)) {
        (true, false) => Some(Margin::Coin),
        (false, true) => Some(Margin::Quote),
        _ => None,
    })
}

/// Holds what a file's name and rows say against the market of the instrument that they are to be.
///
/// # Errors
/// When one is of coin-margined contracts and the other is not.
pub fn agrees(
    path: &Path,
    named: Option<&str>,
    rows: Option<Margin>,
    instrument: &InstrumentId,
) -> Result<(), ReplayError> {
    if instrument.venue() != "binance" {
        return Ok(());
    }
    let symbol = instrument.symbol();
    let is_of_coins = |name: &str| naming::is_coin_margined(name);
    let is_of_quotes = |name: &str| ["USDT", "USDC", "BUSD"].iter().any(|end| name.ends_with(end));
    let (other, is_other): (_, &dyn Fn(&str) -> bool) = match instrument.market() {
        "spot" | "um" => (Margin::Coin, &is_of_coins),
        "cm" => (Margin::Quote, &is_of_quotes),
        _ => return Ok(()),
    };
    let name = [named, Some(symbol)].into_iter().flatten().find(|name| is_other(name));
    let why = match (rows == Some(other), name, other) {
        (true, _, Margin::Coin) => "its rows have the base quantity beside the quantity",
        (true, _, Margin::Quote) => "its rows have the quote value beside the quantity",
        (false, Some(_), Margin::Coin) => "the symbol is that of a coin-margined contract",
        (false, Some(_), Margin::Quote) => "the symbol is not that of a coin-margined contract",
        (false, None, _) => return Ok(()),
    };
    let symbol = name.unwrap_or("SYMBOL");
    let expected = match other {
        Margin::Coin => format!("contracts of COIN-M (binance:cm:{symbol})"),
        Margin::Quote => format!("USD-M or spot (binance:um:{symbol} or binance:spot:{symbol})"),
    };
    Err(ReplayError::Mixed(format!(
        "{} is to be {instrument}, but seems to be of {expected}: {why}; give the right market with \
         --instrument, or leave the file out",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_stands_beside_the_quantity() {
        let of = |header: &str| {
            let names: Vec<String> = header.split(',').map(str::to_owned).collect();
            of_header(&names)
        };
        assert_eq!(of("id,price,qty,base_qty,time,is_buyer_maker"), Some(Margin::Coin));
        assert_eq!(of("id,price,qty,baseQty,time,isBuyerMaker"), Some(Margin::Coin));
        assert_eq!(of("id,price,qty,quote_qty,time,is_buyer_maker"), Some(Margin::Quote));
        assert_eq!(of("id,price,base_qty,time,is_buyer_maker"), None);
        assert_eq!(of("id,time,price,qty,base_qty,side"), None);
    }

    #[test]
    fn rows_say_it_by_what_their_numbers_are() {
        let of = |rows: &[&str]| of_rows(rows.iter().copied());
        let coin =
            ["1,60000.0,3,0.005,1709251200000,true", "2,60001.5,40,0.06666500,1709251200001,true"];
        assert_eq!(of(&coin), Some(Margin::Coin));
        assert_eq!(of(&["1,3000,3,0.01,1709251200000,true"]), Some(Margin::Coin));
        assert_eq!(of(&["1,60000.0,0.1,6000,1709251200000,true"]), Some(Margin::Quote));
        // Neither, both (10 US dollars at a price of 10), and not all the same.
        assert_eq!(of(&["1,60000.0,3,7,1709251200000,true"]), None);
        assert_eq!(of(&["1,10,3,30,1709251200000,true", "2,10,3,3,1709251200000,true"]), None);
        assert_eq!(of(&[coin[0], "2,60000.0,0.1,6000,1709251200000,true"]), None);
        assert_eq!(of(&["x,y,z"]), None);
    }

    #[test]
    fn a_file_of_one_margin_is_not_taken_for_the_other() {
        let check = |named, rows, id: &str| {
            agrees(Path::new("x.csv"), named, rows, &id.parse().unwrap()).map_err(|e| e.to_string())
        };
        for (named, rows, id) in [
            (None, Some(Margin::Coin), "binance:cm:BTCUSD_PERP"),
            (Some("BTCUSD_PERP"), None, "binance:cm:BTCUSD_PERP"),
            (Some("BTCUSDT"), Some(Margin::Quote), "binance:um:BTCUSDT"),
            (Some("BTCUSDT_240329"), None, "binance:um:BTCUSDT_240329"),
            (Some("BTCUSD_PERP"), Some(Margin::Coin), "own:cm:BTCUSD_PERP"),
            (Some("BTCUSD_PERP"), Some(Margin::Coin), "own:um:BTCUSD_PERP"),
        ] {
            check(named, rows, id).unwrap();
        }
        for (named, rows, id) in [
            (None, Some(Margin::Coin), "binance:um:BTCUSDT"),
            (Some("BTCUSD_PERP"), None, "binance:spot:BTCUSDT"),
            (None, None, "binance:um:BTCUSD_240329"),
            (None, Some(Margin::Quote), "binance:cm:BTCUSD_PERP"),
            (Some("BTCUSDT"), None, "binance:cm:BTCUSD_PERP"),
        ] {
            let error = check(named, rows, id).unwrap_err();
            assert!(error.contains(id) && error.contains("x.csv"), "{error}");
        }
    }
}
