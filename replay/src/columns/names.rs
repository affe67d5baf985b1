//! What exporters call their columns.
//!
//! Names are compared without case, blanks and punctuation: `isBuyerMaker`, `is_buyer_maker` and
//! `Is Buyer Maker` are one name.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The venue's time of the trade.
    Time,
    /// Price.
    Price,
    /// Quantity.
    Qty,
    /// Price times quantity, as the source has it.
    Quote,
    /// The trade's id.
    Id,
    /// First id of an aggregate.
    FirstId,
    /// Last id of an aggregate.
    LastId,
    /// Who crossed the spread, in words or as a sign.
    Side,
    /// Whether the buyer was the maker.
    BuyerIsMaker,
    /// Whether the trade was the best match; always ignored.
    BestMatch,
    /// The exchange.
    Exchange,
    /// The symbol.
    Symbol,
    /// The currency that is traded.
    Base,
    /// The currency in which prices are.
    Counter,
}

/// A known name: what the column holds, how closely the name says so (0 first), and the unit of time
/// that the name has, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What the column holds.
    pub role: Role,
    /// Of two columns for one role, the one of the lower rank is taken.
    pub rank: u8,
    /// The unit that the name ends with.
    pub unit: Option<i64>,
}

/// Names by role and rank.
const NAMES: &[(Role, u8, &[&str])] = &[
    (
        Role::Time,
        0,
        &[
            "time",
            "timestamp",
            "ts",
            "tsevent",
            "eventtime",
            "eventtimestamp",
            "tradetime",
            "tradetimestamp",
            "transacttime",
            "transactiontime",
            "executiontime",
            "exectime",
            "executedat",
            "exchts",
            "exchangets",
            "exchangetimestamp",
            "exchangetime",
            "exchtimestamp",
            "siptimestamp",
            "unix",
            "unixtime",
            "unixtimestamp",
            "epoch",
            "mts",
        ],
    ),
    (Role::Time, 1, &["datetime", "date", "datetimeutc", "isotime", "participanttimestamp"]),
    // Of a row of a database, which may be newer than its trade.
    (Role::Time, 2, &["createdtime", "createdat"]),
    (
        Role::Price,
        0,
        &[
            "price",
            "px",
            "p",
            "tradeprice",
            "tradepx",
            "lastprice",
            "executionprice",
            "execprice",
            "fillprice",
            "rate",
        ],
    ),
    (
        Role::Qty,
        0,
        &[
            "qty",
            "quantity",
            "amount",
            "size",
            "volume",
            "vol",
            "q",
            "sz",
            "lastqty",
            "lastsize",
            "tradeqty",
            "tradesize",
            "tradequantity",
            "tradevolume",
            "tradeamount",
        ],
    ),
    (Role::Qty, 1, &["baseqty", "basequantity", "basevolume", "baseamount", "homenotional"]),
    (
        Role::Quote,
        0,
        &[
            "quoteqty",
            "quotequantity",
            "quoteamount",
            "quotevolume",
            "cost",
            "notional",
            "funds",
            "value",
            "turnover",
            "foreignnotional",
        ],
    ),
    (
        Role::Id,
        0,
        &[
            "tradeid",
            "aggtradeid",
            "aggid",
            "tid",
            "trdmatchid",
            "matchid",
            "execid",
            "aggregatetradeid",
        ],
    ),
    (Role::Id, 1, &["id", "a"]),
    (Role::FirstId, 0, &["firsttradeid", "firstid", "f"]),
    (Role::LastId, 0, &["lasttradeid", "lastid", "l"]),
    (
        Role::Side,
        0,
        &[
            "side",
            "takerside",
            "aggressor",
            "aggressorside",
            "aggressingside",
            "tradeside",
            "takerordersside",
            "takerorderside",
            "direction",
            "buysell",
            "bs",
            "sign",
        ],
    ),
    (
        Role::BuyerIsMaker,
        0,
        &["isbuyermaker", "buyermaker", "buyerismaker", "wasbuyermaker", "isbuyerthemaker", "m"],
    ),
    (Role::BestMatch, 0, &["isbestmatch", "bestmatch", "wasbestmatch"]),
    (Role::Exchange, 0, &["exchange", "venue"]),
    (Role::Base, 0, &["base", "basecurrency", "baseasset", "basesymbol", "baseccy", "basecoin"]),
    (
        Role::Counter,
        0,
        &[
            "quote",
            "quotecurrency",
            "quoteasset",
            "quotesymbol",
            "quoteccy",
            "quotecoin",
            "counter",
        ],
    ),
    (
        Role::Symbol,
        0,
        &[
            "symbol",
            "pair",
            "instrument",
            "instrumentname",
            "instid",
            "market",
            "ticker",
            "productid",
        ],
    ),
    (
        Role::Symbol,
        1,
        &[
            "coin",
            "currencypair",
            "tradingpair",
            "contractcode",
            "contract",
            "instrumentid",
            "marketid",
            "sym",
            "symbolid",
            "asset",
            "code",
            "secid",
            "securityid",
            "s",
        ],
    ),
];

/// Endings of names of times, and their units in ns. The longer one first.
const UNITS: [(&str, i64); 14] = [
    ("nanoseconds", 1),
    ("nanos", 1),
    ("ns", 1),
    ("microseconds", 1_000),
    ("micros", 1_000),
    ("us", 1_000),
    ("milliseconds", 1_000_000),
    ("millis", 1_000_000),
    ("ms", 1_000_000),
    ("seconds", 1_000_000_000),
    ("secs", 1_000_000_000),
    ("sec", 1_000_000_000),
    ("utc", 0),
    ("s", 1_000_000_000),
];

/// A name without case, blanks and punctuation.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether two spellings mean one symbol. Kraken's and BitMEX's XBT is BTC to all others.
pub fn is_same_symbol(a: &str, b: &str) -> bool {
    let key = |symbol: &str| plain(symbol).replace("xbt", "btc");
    key(a) == key(b)
}

/// What a column of this name holds; none if nobody known calls one so.
pub fn known(name: &str) -> Option<Known> {
    let name = plain(name);
    if let Some((role, rank)) = exactly(&name) {
        return Some(Known { role, rank, unit: None });
    }
    UNITS.iter().find_map(|(ending, unit)| {
        let (role, rank) = exactly(name.strip_suffix(ending)?)?;
        let unit = Some(*unit).filter(|unit| *unit > 0);
        (role == Role::Time).then_some(Known { role, rank, unit })
    })
}

fn exactly(name: &str) -> Option<(Role, u8)> {
    let found = NAMES.iter().find(|(_, _, names)| names.contains(&name));
    found.map(|(role, rank, _)| (*role, *rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Option<Role> {
        known(name).map(|known| known.role)
    }

    #[test]
    fn spelling_does_not_matter_and_units_are_read() {
        for name in ["isBuyerMaker", "is_buyer_maker", "IS BUYER MAKER", " isBuyerMaker"] {
            assert_eq!(role(name), Some(Role::BuyerIsMaker), "{name}");
        }
        assert_eq!(known("timestamp_ms").and_then(|known| known.unit), Some(1_000_000));
        assert_eq!(known("ts_ns").and_then(|known| known.unit), Some(1));
        assert_eq!(known("Time (s)").and_then(|known| known.unit), Some(1_000_000_000));
        assert_eq!(
            known("time_utc").map(|known| (known.role, known.unit)),
            Some((Role::Time, None))
        );
        assert_eq!(role("local_timestamp"), None);
        assert_eq!(role("receipt_timestamp"), None);
        assert_eq!(role("prices"), None);
        assert_eq!(role("order"), None);
    }
}
