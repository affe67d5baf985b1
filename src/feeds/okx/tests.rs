use barflow_operators::trade::Aggressor;
use proptest::prelude::*;

use super::*;
use crate::feeds::venue::MissingTrades;

fn listings() -> Arc<[Listing]> {
    ["BTC-USDT", "BTC-USDT-SWAP"]
        .map(|symbol| {
            let size = (symbol != "BTC-USDT").then_some(0.01);
            Listing { symbol: symbol.to_owned(), contract: Okx.contract(symbol, size).unwrap() }
        })
        .into()
}

fn read(channel: Channel, frame: &str) -> (Result<FrameKind, BadFrame>, Prints) {
    let mut prints = Prints::default();
    let heard = Okx.decoder(channel, listings()).decode(frame.as_bytes(), &mut prints);
    (heard, prints)
}

const AGGREGATE: &str = r#"{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"130639474","px":"42219.9","sz":"12","side":"buy","ts":"1630048897897","count":"3"}]}"#;
const SINGLE: &str = r#"{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"84834539","px":"42.52","sz":"3.75","side":"sell","ts":"1697760012017"}]}"#;

#[test]
fn both_channels_are_read() {
    let (heard, prints) = read(Channel::Aggregates, AGGREGATE);
    assert_eq!(heard, Ok(FrameKind::Trades));
    let trade = prints.rows[0].trade;
    assert_eq!((trade.trade_id, trade.count, trade.qty), (130639474, 3, 0.12));
    assert_eq!((trade.event_time, trade.aggressor), (1_630_048_897_897_000_000, Aggressor::Buyer));
    let (heard, prints) = read(Channel::Trades, SINGLE);
    assert_eq!(heard, Ok(FrameKind::Trades));
    let trade = prints.rows[0].trade;
    assert_eq!((trade.count, trade.qty, trade.aggressor), (1, 3.75, Aggressor::Seller));
    assert_eq!(read(Channel::Trades, AGGREGATE).0, Ok(FrameKind::Other("trades")));
}

#[test]
fn contracts_are_told_by_their_names() {
    assert_eq!(Okx.instrument("BTC-USDT-SWAP").unwrap().as_str(), "okx:swap:BTC-USDT-SWAP");
    assert_eq!(Okx.instrument("BTC-USD-240329").unwrap().market(), "futures");
    assert_eq!(Okx.contract("BTC-USD-SWAP", None), Ok(Contract::Inverse { size: 100.0 }));
    assert_eq!(Okx.contract("ETH-USD-SWAP", None), Ok(Contract::Inverse { size: 10.0 }));
    assert!(Okx.contract("ETH-USDT-SWAP", None).unwrap_err().contains("contract_size"));
    assert!(Okx.instrument("BTC-USD-220304-32000-P").unwrap_err().contains("options"));
    assert!(Okx.instrument("BTCUSDT").is_err());
}

#[test]
fn everything_else_is_known_by_kind() {
    let one = Acknowledged::Symbol("BTC-USDT".to_owned());
    for (frame, expected) in [
        ("pong", FrameKind::Alive),
        (
            r#"{"event":"subscribe","arg":{"channel":"trades-all","instId":"BTC-USDT"},"connId":"a"}"#,
            FrameKind::Acknowledged(one),
        ),
        (
            r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}"#,
            FrameKind::Other("subscribe"),
        ),
        (
            r#"{"event":"error","code":"60018","msg":"doesn't exist","connId":"a"}"#,
            FrameKind::Refused(Refusal::new("\"60018\" \"doesn't exist\"")),
        ),
        (r#"{"event":"notice","code":"64008","msg":"upgrade"}"#, FrameKind::Other("notice")),
        (r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}"#, FrameKind::Other("books")),
        (r#"{"table":"spot/trade","data":[{"instrument_id":"BCH-USDT"}]}"#, FrameKind::Unknown),
    ] {
        assert_eq!(read(Channel::Trades, frame).0, Ok(expected), "{frame}");
    }
}

#[test]
fn a_wrong_field_is_named() {
    for (from, to, field) in [
        ("\"42.52\"", "42.52", "px"),
        ("\"3.75\"", "\"-3.75\"", "qty"),
        ("\"84834539\"", "84834539", "tradeId"),
        ("\"sell\"", "\"SELL\"", "side"),
        ("\"1697760012017\"", "1697760012017", "ts"),
        ("\"1697760012017\"", "\"1697760012017000000\"", "ts"),
        ("\"1697760012017\"", "\"1697760012\"", "time"),
        ("}]}", ",\"count\":\"0\"}]}", "count"),
    ] {
        let (heard, prints) = read(Channel::Trades, &SINGLE.replacen(from, to, 1));
        assert_eq!(heard, Ok(FrameKind::Trades));
        assert_eq!(prints.bad[0].field, field, "{to}");
    }
}

#[test]
fn rest_pages_begin_with_what_is_missing() {
    let trades = MissingTrades::Ids { first: 5, last: 9 };
    let missing = Missing { trades, after: None };
    let path = Okx.backfill(Channel::Trades, &listings()[0], &missing).unwrap().path;
    assert_eq!(path, "/api/v5/market/history-trades?instId=BTC-USDT&type=1&after=105&limit=100");
    let body = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.1","px":"102537.9","tradeId":"734864333","ts":"1747087163557"},{"instId":"BTC-USDT","side":"buy","sz":"0.2","px":"102537.9","tradeId":"734864332","ts":"1747087161666"}]}"#;
    let mut prints = Prints::default();
    Okx.read_backfill(Channel::Trades, 0, &listings()[0], body.as_bytes(), &mut prints).unwrap();
    assert_eq!(
        prints.rows.iter().map(|p| p.trade.trade_id).collect::<Vec<_>>(),
        [734864332, 734864333]
    );
    let other = body.replacen("BTC-USDT", "BTC-USDC", 1);
    let mut prints = Prints::default();
    Okx.read_backfill(Channel::Trades, 0, &listings()[0], other.as_bytes(), &mut prints).unwrap();
    assert_eq!((prints.rows.len(), prints.bad.len(), prints.bad[0].field), (1, 1, "instId"));
    let no = br#"{"code":"51001","data":[],"msg":"Instrument ID doesn't exist"}"#;
    let read = Okx.read_backfill(Channel::Trades, 0, &listings()[0], no, &mut prints);
    assert!(read.unwrap_err().to_string().contains("doesn't exist"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..500) {
        for (channel, whole) in [(Channel::Trades, SINGLE), (Channel::Aggregates, AGGREGATE)] {
            let mut decoder = Okx.decoder(channel, listings());
            let _ = decoder.decode(&bytes, &mut Prints::default());
            let _ = decoder.decode(&whole.as_bytes()[..cut.min(whole.len())], &mut Prints::default());
            let _ = Okx.read_backfill(channel, 0, &listings()[0], &bytes, &mut Prints::default());
        }
    }
}
