//! What the user says of columns: `time=ts,price=px,qty=size,side=aggressor,side_buy=B`.

use std::fmt;
use std::str::FromStr;

/// Which column holds what, by the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnChoice {
    text: String,
    pub(super) time: String,
    pub(super) price: String,
    pub(super) qty: String,
    pub(super) quote: Option<String>,
    pub(super) id: Option<String>,
    pub(super) side: Option<String>,
    pub(super) buyer_is_maker: Option<String>,
    pub(super) symbol: Option<String>,
    /// Ns per unit of time.
    pub(super) unit: Option<i64>,
    pub(super) side_buy: Option<String>,
    pub(super) side_sell: Option<String>,
    /// Trades of several exchanges are one instrument's: those of a consolidated tape.
    pub(super) any_exchange: bool,
}

/// The keys, for messages.
const KEYS: &str = "time, price, qty, side, buyer_is_maker, id, quote, symbol, exchange, time_unit, \
                    side_buy, side_sell";

/// The words for units of time.
pub const UNITS: [(&str, i64); 4] =
    [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

impl FromStr for ColumnChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut choice = Self { text: text.to_owned(), ..Self::default() };
        let (mut time, mut price, mut qty) = (None, None, None);
        let (mut unit, mut exchange) = (None, None);
        for pair in text.split(',') {
            let (key, value) = pair
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| format!("\"{pair}\" is not KEY=COLUMN; keys: {KEYS}"))?;
            let place = match key {
                "time" => &mut time,
                "price" => &mut price,
                "qty" => &mut qty,
                "quote" => &mut choice.quote,
                "id" => &mut choice.id,
                "side" => &mut choice.side,
                "buyer_is_maker" => &mut choice.buyer_is_maker,
                "symbol" => &mut choice.symbol,
                "exchange" => &mut exchange,
                "time_unit" => &mut unit,
                "side_buy" => &mut choice.side_buy,
                "side_sell" => &mut choice.side_sell,
                _ => return Err(format!("\"{key}\" is not one of its keys: {KEYS}")),
            };
            if place.replace(value.to_owned()).is_some() {
                return Err(format!("\"{key}\" is given twice"));
            }
        }
        let needed = |value: Option<String>, key: &str| {
            value.ok_or_else(|| format!("\"{key}\" is missing: time, price and qty are needed"))
        };
        choice.time = needed(time, "time")?;
        choice.price = needed(price, "price")?;
        choice.qty = needed(qty, "qty")?;
        if let Some(unit) = unit {
            let unit = if unit == "µs" { "us".to_owned() } else { unit };
            let known = UNITS.iter().find(|(word, _)| *word == unit);
            let (_, ns) =
                known.ok_or_else(|| format!("time_unit is s, ms, us or ns, not \"{unit}\""))?;
            choice.unit = Some(*ns);
        }
        choice.any_exchange = exchange.is_some();
        if let Some(exchange) = exchange.filter(|exchange| exchange != "any") {
            return Err(format!(
                "the exchange's column is known by its name: only exchange=any is taken, which reads \
                 trades of several exchanges as one instrument's, not \"{exchange}\""
            ));
        }
        if choice.side.is_some() && choice.buyer_is_maker.is_some() {
            return Err("side and buyer_is_maker cannot be combined".to_owned());
        }
        if choice.side.is_none() && (choice.side_buy.is_some() || choice.side_sell.is_some()) {
            return Err("side_buy and side_sell need side=COLUMN".to_owned());
        }
        Ok(choice)
    }
}

impl fmt::Display for ColumnChoice {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_or_refused_by_name() {
        let choice: ColumnChoice =
            "time=ts,price=px,qty=size,side=s,id=n,time_unit=ms,side_buy=B".parse().unwrap();
        assert_eq!((choice.time.as_str(), choice.unit), ("ts", Some(1_000_000)));
        assert_eq!(choice.side_buy.as_deref(), Some("B"));
        for (text, wanted) in [
            ("time=ts,price=px", "\"qty\" is missing"),
            ("time=ts,price=px,qty=q,colour=c", "\"colour\" is not one of its keys"),
            ("time=ts,price=px,qty", "is not KEY=COLUMN"),
            ("time=ts,price=px,qty=", "is not KEY=COLUMN"),
            ("time=ts,price=px,qty=q,qty=r", "given twice"),
            ("time=ts,price=px,qty=q,time_unit=h", "s, ms, us or ns"),
            ("time=ts,price=px,qty=q,side_buy=B", "need side"),
            ("time=ts,price=px,qty=q,exchange=ex", "exchange=any"),
        ] {
            let error = text.parse::<ColumnChoice>().unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
