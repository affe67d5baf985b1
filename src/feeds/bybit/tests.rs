use barflow_operators::trade::Aggressor;
use proptest::prelude::*;

use super::*;
use crate::feeds::print::Standing;

fn listings() -> Arc<[Listing]> {
    ["BTCUSDT", "ETHUSDT"]
        .map(|symbol| Listing { symbol: symbol.to_owned(), contract: Contract::Base })
        .into()
}

fn read(frame: &str) -> (Result<FrameKind, BadFrame>, Prints) {
    let mut prints = Prints::default();
    let mut decoder = Bybit::Linear.decoder(Channel::Trades, listings());
    let heard = decoder.decode(frame.as_bytes(), &mut prints);
    (heard, prints)
}

const PUSH: &str = r#"{"topic":"publicTrade.ETHUSDT","type":"snapshot","ts":1786310820347,"data":[{"T":1786310820346,"s":"ETHUSDT","S":"Buy","v":"0.01","p":"1922.50","L":"PlusTick","i":"19d7df56-4f10-5290-a969-d9d9f2c74cc3","BT":false,"RPI":false,"seq":430879434439},{"T":1786310820346,"s":"ETHUSDT","S":"Sell","v":"1.30","p":"1922.50","L":"ZeroPlusTick","i":"4d4ad26c-901f-5146-adc0-1db29b6b9ab6","BT":true,"RPI":false,"seq":430879434439}]}"#;

#[test]
fn trades_are_named_and_block_trades_left_out() {
    let (heard, prints) = read(PUSH);
    assert_eq!(heard, Ok(FrameKind::Trades));
    let first = prints.rows[0];
    assert_eq!((first.slot, first.trade.trade_id, first.trade.price), (1, 0, 1922.5));
    assert_eq!(first.trade.event_time, 1_786_310_820_346_000_000);
    assert_eq!(first.trade.aggressor, Aggressor::Buyer);
    assert_eq!(prints.rows[1].standing, Standing::Excluded(BLOCK_TRADE));
    assert_ne!(prints.rows[0].key, prints.rows[1].key);
}

#[test]
fn rest_brings_the_same_trade_by_the_same_name() {
    let rest = r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"execId":"4d4ad26c-901f-5146-adc0-1db29b6b9ab6","symbol":"ETHUSDT","price":"1922.50","size":"1.30","side":"Sell","time":"1786310820346","isBlockTrade":true},{"execId":"19d7df56-4f10-5290-a969-d9d9f2c74cc3","symbol":"ETHUSDT","price":"1922.50","size":"0.01","side":"Buy","time":"1786310820346","isBlockTrade":false}]},"time":1709891679050}"#;
    let mut prints = Prints::default();
    let listing = &listings()[1];
    Bybit::Linear.read_backfill(Channel::Trades, 1, listing, rest.as_bytes(), &mut prints).unwrap();
    assert_eq!(prints, read(PUSH).1);
    let other = rest.replacen("ETHUSDT", "ETHUSDC", 1);
    let mut prints = Prints::default();
    Bybit::Linear
        .read_backfill(Channel::Trades, 1, listing, other.as_bytes(), &mut prints)
        .unwrap();
    assert_eq!((prints.rows.len(), prints.bad.len(), prints.bad[0].field), (1, 1, "symbol"));
    let no = br#"{"retCode":10001,"retMsg":"params error: symbol invalid","result":{}}"#;
    let error =
        Bybit::Spot.read_backfill(Channel::Trades, 1, listing, no, &mut prints).unwrap_err();
    assert!(error.to_string().contains("symbol invalid"));
}

#[test]
fn everything_else_is_known_by_kind() {
    for (frame, expected) in [
        (
            r#"{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}"#,
            FrameKind::Acknowledged(Acknowledged::Request(None)),
        ),
        (
            r#"{"success":false,"ret_msg":"Invalid topic","conn_id":"x","op":"subscribe"}"#,
            FrameKind::Refused(Refusal::new("\"Invalid topic\"")),
        ),
        (r#"{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}"#, FrameKind::Alive),
        (r#"{"req_id":"1","op":"pong","args":["1"],"conn_id":"x"}"#, FrameKind::Alive),
        (r#"{"topic":"orderbook.200.BTCUSDT","data":{}}"#, FrameKind::Other("orderbook")),
        // Version 2.
        (
            r#"{"topic":"trade.BTCUSD","data":[{"symbol":"BTCUSD","price":9366}]}"#,
            FrameKind::Unknown,
        ),
        (
            r#"{"topic":"trade","params":{},"data":{"v":"1","p":"1","q":"1","m":true}}"#,
            FrameKind::Unknown,
        ),
    ] {
        assert_eq!(read(frame).0, Ok(expected), "{frame}");
    }
}

#[test]
fn a_wrong_field_is_named() {
    for (from, to, field) in [
        ("\"1922.50\"", "1922.50", "p"),
        ("\"0.01\"", "\"-0.01\"", "qty"),
        ("1786310820346,\"s\"", "\"1786310820346\",\"s\"", "T"),
        ("\"Buy\"", "\"buy\"", "S"),
        ("\"i\":\"19d7df56-4f10-5290-a969-d9d9f2c74cc3\",", "", "i"),
    ] {
        let (heard, prints) = read(&PUSH.replacen(from, to, 1));
        assert_eq!((heard, prints.rows.len()), (Ok(FrameKind::Trades), 1));
        assert_eq!((prints.bad[0].field, prints.bad[0].slot), (field, Some(1)));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..500) {
        let _ = read(&String::from_utf8_lossy(&bytes));
        let mut decoder = Bybit::Spot.decoder(Channel::Trades, listings());
        let _ = decoder.decode(&bytes, &mut Prints::default());
        let _ = decoder.decode(&PUSH.as_bytes()[..cut.min(PUSH.len())], &mut Prints::default());
        let _ = Bybit::Spot.read_backfill(Channel::Trades, 0, &listings()[0], &bytes, &mut Prints::default());
    }
}
