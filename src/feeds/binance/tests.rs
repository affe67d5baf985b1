use barflow_operators::trade::Aggressor;
use proptest::prelude::*;

use super::*;
use crate::feeds::print::{Acknowledged, Print, Standing};

fn symbol_table(symbols: &[&str]) -> SymbolTable {
    let listing = |symbol: &&str| {
        let symbol = (*symbol).to_owned();
        Listing { symbol, contract: Contract::Base }
    };
    SymbolTable::new(symbols.iter().map(listing).collect::<Vec<_>>().into())
}

fn both(
    frame: &str,
    channel: Channel,
) -> (Option<()>, Prints, Result<FrameKind, BadFrame>, Prints) {
    let symbol_table = symbol_table(&["BTCUSDT", "ETHUSDT"]);
    let (mut quick, mut slow) = (Prints::default(), Prints::default());
    let taken = fast::read(frame.as_bytes(), channel, &symbol_table, &mut quick);
    let heard = careful::read(frame.as_bytes(), channel, &symbol_table, &mut slow);
    (taken, quick, heard, slow)
}

fn careful(frame: &str, channel: Channel) -> (Result<FrameKind, BadFrame>, Prints) {
    let (_, _, heard, prints) = both(frame, channel);
    (heard, prints)
}

const SPOT: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#;
const FUTURES: &str = r#"{"stream":"ethusdt@trade","data":{"e":"trade","E":1721347022708,"T":1721347022707,"s":"ETHUSDT","t":4217896584,"p":"3424.98","q":"0.007","X":"MARKET","m":false}}"#;

#[test]
fn a_trade_is_read_alike_by_both_paths() {
    let (taken, quick, heard, slow) = both(SPOT, Channel::Trades);
    assert_eq!((taken, heard), (Some(()), Ok(FrameKind::Trades)));
    assert_eq!(quick, slow);
    let print = quick.rows[0];
    assert_eq!((print.slot, print.key, print.trade.trade_id), (0, 3735683259, 3735683259));
    assert_eq!(print.trade.event_time, 1_723_161_255_342_000_000);
    assert_eq!((print.trade.price, print.trade.qty), (61837.63, 0.02));
    assert_eq!(print.trade.aggressor, Aggressor::Seller);
    let (taken, quick, _, slow) = both(FUTURES, Channel::Trades);
    assert_eq!((taken, &quick), (Some(()), &slow));
    assert_eq!((quick.rows[0].slot, quick.rows[0].trade.aggressor), (1, Aggressor::Buyer));
    // The other channel's decoder knows it and wants nothing of it.
    assert_eq!(careful(SPOT, Channel::Aggregates).0, Ok(FrameKind::Other("trade")));
}

#[test]
fn an_aggregate_counts_its_trades() {
    let spot = r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1616176861895,"s":"BTCUSDT","a":640283266,"p":"58942.01000000","q":"0.00035600","f":716849523,"l":716849525,"T":1616176861893,"m":false,"M":true}}"#;
    let (taken, quick, _, slow) = both(spot, Channel::Aggregates);
    assert_eq!((taken, &quick), (Some(()), &slow));
    assert_eq!((quick.rows[0].trade.trade_id, quick.rows[0].trade.count), (640283266, 3));
    let backwards = spot.replace("716849525", "716849522");
    let (_, prints) = careful(&backwards, Channel::Aggregates);
    assert_eq!((prints.bad[0].field, prints.bad[0].id), ("l", Some(640283266)));
}

#[test]
fn microseconds_are_told_by_magnitude() {
    let micro = SPOT.replace("\"T\":1723161255342", "\"T\":1723161255342123");
    let (_, quick, _, slow) = both(&micro, Channel::Trades);
    assert_eq!(quick, slow);
    assert_eq!(quick.rows[0].trade.event_time, 1_723_161_255_342_123_000);
    let seconds = SPOT.replace("\"T\":1723161255342", "\"T\":1723161255");
    let (_, quick, _, slow) = both(&seconds, Channel::Trades);
    assert_eq!(quick, slow);
    assert_eq!(quick.bad[0].field, "time");
}

#[test]
fn what_is_no_trade_between_participants_keeps_its_id() {
    for (from, to, reason) in [
        ("MARKET", "INSURANCE_FUND", INSURANCE_FUND),
        ("MARKET", "ADL", ADL),
        ("MARKET", "NA", NOT_MARKET),
        (
            "\"p\":\"3424.98\",\"q\":\"0.007\",\"X\":\"MARKET\"",
            "\"p\":\"0\",\"q\":\"0\",\"X\":\"\"",
            ZERO,
        ),
    ] {
        let (taken, quick, _, slow) = both(&FUTURES.replace(from, to), Channel::Trades);
        assert_eq!(slow.rows[0].standing, Standing::Excluded(reason));
        assert_eq!(slow.rows[0].trade.trade_id, 4217896584);
        assert!(taken.is_none() || quick == slow);
    }
}

#[test]
fn other_messages_are_known_by_kind() {
    let cases = [
        (
            r#"{"stream":"x","data":{"e":"depthUpdate","s":"BTCUSDT"}}"#,
            FrameKind::Other("depthUpdate"),
        ),
        (
            r#"{"stream":"x","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"1","A":"1"}}"#,
            FrameKind::Other("bookTicker"),
        ),
        (r#"{"lastUpdateId":1,"bids":[],"asks":[]}"#, FrameKind::Other("depth snapshot")),
        (r#"{"result":null,"id":1}"#, FrameKind::Acknowledged(Acknowledged::Request(Some(1)))),
        (r#"{"stream":"!ticker@arr","data":[]}"#, FrameKind::Other("array stream")),
        (r#"{"e":"something new"}"#, FrameKind::Unknown),
        (r#"{}"#, FrameKind::Unknown),
    ];
    for (frame, expected) in cases {
        assert_eq!(careful(frame, Channel::Trades).0, Ok(expected), "{frame}");
    }
    let refused = careful(r#"{"error":{"code":2,"msg":"Invalid"},"id":1}"#, Channel::Trades).0;
    assert!(
        matches!(refused, Ok(FrameKind::Refused(said)) if said.said.contains("Invalid") && said.request == Some(1))
    );
    assert!(careful("{\"stream\":", Channel::Trades).0.is_err());
}

#[test]
fn a_wrong_field_is_named() {
    for (from, to, field) in [
        ("\"61837.63000000\"", "61837.63", "p"),
        ("\"61837.63000000\"", "\"-1\"", "price"),
        ("\"0.02000000\"", "\"nan\"", "q"),
        ("3735683259", "\"3735683259\"", "t"),
        ("3735683259", "-5", "t"),
        ("true,", "1,", "m"),
        ("\"q\":\"0.02000000\",", "", "q"),
    ] {
        let (taken, quick, heard, slow) = both(&SPOT.replace(from, to), Channel::Trades);
        assert_eq!(heard, Ok(FrameKind::Trades));
        assert_eq!(slow.bad.first().map(|bad| bad.field), Some(field), "{to}");
        assert!(taken.is_none() || quick == slow);
    }
    let foreign = careful(&SPOT.replace("BTCUSDT", "DOGEUSDT"), Channel::Trades).1;
    assert_eq!((foreign.foreign, foreign.rows.len()), (1, 0));
}

#[test]
fn rest_pages_are_trades_and_skip_what_futures_do_not_list() {
    let row = |id: u64| {
        format!(
            r#"{{"id":{id},"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}}"#
        )
    };
    let body = format!("[{},{}]", row(28457), row(28460));
    let listing = Listing { symbol: "BTCUSDT".to_owned(), contract: Contract::Base };
    for (market, expected) in [(Binance::Spot, 2), (Binance::Um, 4)] {
        let mut prints = Prints::default();
        market.read_backfill(Channel::Trades, 0, &listing, body.as_bytes(), &mut prints).unwrap();
        let ids: Vec<u64> = prints.rows.iter().map(|print| print.trade.trade_id).collect();
        assert_eq!(ids.len(), expected);
        assert!(ids.is_sorted());
    }
    // Whatever the order of a page, what it lists is there.
    let body = format!("[{},{},{},{}]", row(5), row(7), row(6), row(9));
    let mut prints = Prints::default();
    Binance::Um.read_backfill(Channel::Trades, 0, &listing, body.as_bytes(), &mut prints).unwrap();
    let is_trade = |print: &Print| (print.trade.trade_id, print.standing == Standing::Trade);
    let read: Vec<(u64, bool)> = prints.rows.iter().map(is_trade).collect();
    assert_eq!(read, [(5, true), (6, true), (7, true), (8, false), (9, true)]);
    // There is no id behind the largest one, and none is made up.
    const LARGEST: u64 = i64::MAX as u64;
    for (largest, expected, bad) in [(LARGEST, vec![3, LARGEST], 0), (u64::MAX, vec![3], 1)] {
        let body = format!("[{},{}]", row(largest), row(3));
        let mut prints = Prints::default();
        let body = body.as_bytes();
        Binance::Um.read_backfill(Channel::Trades, 0, &listing, body, &mut prints).unwrap();
        let ids: Vec<u64> = prints.rows.iter().map(|print| print.trade.trade_id).collect();
        assert_eq!((ids, prints.bad.len()), (expected, bad));
    }
    let refusal = br#"{"code":-1121,"msg":"Invalid symbol."}"#;
    let error = Binance::Spot
        .read_backfill(Channel::Trades, 0, &listing, refusal, &mut Prints::default())
        .unwrap_err();
    assert!(error.to_string().contains("Invalid symbol"));
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,6}\\.[0-9]{1,8}",
        "[0-9]{1,12}",
        "[0-9.eE+-]{0,24}",
        Just("0.00000000".to_owned()),
        Just("17976931348623157081452742373170435679807".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_fast_path_takes_the_careful_one_reads_alike(
        price in number(),
        qty in number(),
        id in "0|[1-9][0-9]{0,21}|-1|1\\.5",
        time in prop_oneof!["17[0-9]{11}", "17[0-9]{14}", "[0-9]{1,20}"],
        maker in "true|false|null",
        symbol in "BTCUSDT|ETHUSDT|DOGE|B\\\\u0054C|",
        form in 0usize..7,
    ) {
        let head = format!(r#""E":1,"s":"{symbol}""#);
        let (frame, channel) = match form {
            0 => (format!(r#""e":"trade",{head},"t":{id},"p":"{price}","q":"{qty}","T":{time},"m":{maker},"M":true"#), Channel::Trades),
            1 => (format!(r#""e":"trade",{head},"t":{id},"p":"{price}","q":"{qty}","b":7,"a":8,"T":{time},"m":{maker},"M":true"#), Channel::Trades),
            2 => (format!(r#""e":"trade","E":1,"T":{time},"s":"{symbol}","t":{id},"p":"{price}","q":"{qty}","X":"MARKET","m":{maker}"#), Channel::Trades),
            3 => (format!(r#""e":"aggTrade",{head},"a":{id},"p":"{price}","q":"{qty}","f":3,"l":{id},"T":{time},"m":{maker},"M":false"#), Channel::Aggregates),
            4 => (format!(r#""e":"aggTrade","E":1,"a":{id},"s":"{symbol}","p":"{price}","q":"{qty}","f":3,"l":9,"T":{time},"m":{maker}"#), Channel::Aggregates),
            5 => (format!(r#""e":"aggTrade","E":1,"a":{id},"s":"{symbol}","p":"{price}","q":"{qty}","nq":"{qty}","f":3,"l":9,"T":{time},"m":{maker},"st":1"#), Channel::Aggregates),
            _ => (format!(r#""e":"trade","M":true,"m":{maker},{head},"q":"{qty}","p":"{price}","T":{time},"t":{id}"#), Channel::Trades),
        };
        let frame = format!(r#"{{"stream":"x@y","data":{{{frame}}}}}"#);
        let (taken, quick, heard, slow) = both(&frame, channel);
        if taken.is_some() {
            prop_assert_eq!(heard, Ok(FrameKind::Trades));
            // Compared by their bits: a price may be printed as NaN by nobody.
            prop_assert_eq!(quick, slow);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let symbol_table = symbol_table(&["BTCUSDT"]);
        for channel in [Channel::Trades, Channel::Aggregates] {
            let mut prints = Prints::default();
            fast::read(&bytes, channel, &symbol_table, &mut prints);
            let _ = careful::read(&bytes, channel, &symbol_table, &mut prints);
            let _ = careful::read(&SPOT.as_bytes()[..cut.min(SPOT.len())], channel, &symbol_table, &mut prints);
        }
    }
}
