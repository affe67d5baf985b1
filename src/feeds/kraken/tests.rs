use barflow_operators::trade::Aggressor;
use proptest::prelude::*;

use super::*;
use crate::feeds::venue::MissingTrades;

fn listings() -> Arc<[Listing]> {
    ["BTC/USD", "ETH/EUR"]
        .map(|symbol| Listing { symbol: symbol.to_owned(), contract: Contract::Base })
        .into()
}

fn read(frame: &str) -> (Result<FrameKind, BadFrame>, Prints) {
    let mut prints = Prints::default();
    let heard = Kraken.decoder(Channel::Trades, listings()).decode(frame.as_bytes(), &mut prints);
    (heard, prints)
}

const UPDATE: &str = r#"{"channel":"trade","type":"update","data":[{"symbol":"ETH/EUR","side":"buy","price":105944.20,"qty":2.7625e-4,"ord_type":"limit","trade_id":10218208,"timestamp":"2023-10-06T17:35:55.440295Z"},{"symbol":"BTC\/USD","side":"sell","price":0.1,"qty":1,"ord_type":"market","trade_id":10218209,"timestamp":"2023-10-06T17:35:56.123456Z"}]}"#;

#[test]
fn numbers_keep_their_digits_and_times_their_microseconds() {
    let (heard, prints) = read(UPDATE);
    assert_eq!(heard, Ok(FrameKind::Trades));
    let first = prints.rows[0];
    assert_eq!((first.slot, first.trade.price, first.trade.qty), (1, 105944.2, 0.00027625));
    assert_eq!(first.trade.event_time, 1_696_613_755_440_295_000);
    assert_eq!(first.trade.aggressor, Aggressor::Buyer);
    assert_eq!((prints.rows[1].slot, prints.rows[1].trade.aggressor), (0, Aggressor::Seller));
}

#[test]
fn rest_brings_the_same_bits() {
    let rest = r#"{"error":[],"result":{"XETHZEUR":[["105944.20000","0.00027625",1696613755.4402954,"b","l","",10218208]],"last":"1696613755440295400"}}"#;
    let mut prints = Prints::default();
    Kraken.read_backfill(Channel::Trades, 1, &listings()[1], rest.as_bytes(), &mut prints).unwrap();
    assert_eq!(prints.rows[0], read(UPDATE).1.rows[0]);
    let two = br#"{"error":[],"result":{"XETHZEUR":[],"XXBTZEUR":[],"last":"1"}}"#;
    let error =
        Kraken.read_backfill(Channel::Trades, 1, &listings()[1], two, &mut prints).unwrap_err();
    assert!(error.to_string().contains("XETHZEUR, XXBTZEUR"), "{error}");
    let no = br#"{"error":["EGeneral:Too many requests"]}"#;
    let error =
        Kraken.read_backfill(Channel::Trades, 1, &listings()[1], no, &mut prints).unwrap_err();
    assert!(error.to_string().contains("Too many requests"));
    let trades = MissingTrades::Ids { first: 1, last: 2 };
    let missing = Missing { trades, after: Some(1_696_613_755_440_295_000) };
    assert_eq!(
        rest::request("ETH/EUR", &missing).path,
        "/0/public/Trades?pair=ETHEUR&since=1696613755439295000&count=1000"
    );
}

#[test]
fn everything_else_is_known_by_kind() {
    let one = Acknowledged::Symbol("BTC/USD".to_owned());
    for (frame, expected) in [
        (
            r#"{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true}"#,
            FrameKind::Acknowledged(one),
        ),
        (
            r#"{"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD"},"success":true}"#,
            FrameKind::Other("subscribe"),
        ),
        (
            r#"{"error":"Currency pair not supported X","method":"subscribe","success":false}"#,
            FrameKind::Refused(Refusal::new("\"Currency pair not supported X\"")),
        ),
        (r#"{"channel":"heartbeat"}"#, FrameKind::Alive),
        (r#"{"method":"pong","req_id":42}"#, FrameKind::Alive),
        (r#"{"channel":"status","type":"update","data":[]}"#, FrameKind::Other("status")),
        (
            r#"[321,[["57126.7","0.02","1616333924.737428","b","m",""]],"trade","XBT/USD"]"#,
            FrameKind::Unknown,
        ),
        (r#"{"event":"systemStatus"}"#, FrameKind::Unknown),
    ] {
        assert_eq!(read(frame).0, Ok(expected), "{frame}");
    }
}

#[test]
fn a_wrong_field_is_named() {
    for (from, to, field) in [
        ("105944.20", "\"105944.20\"", "price"),
        ("2.7625e-4", "-1", "qty"),
        ("10218208", "1.5", "trade_id"),
        ("\"buy\"", "true", "side"),
        ("2023-10-06T17:35:55.440295Z", "yesterday", "timestamp"),
    ] {
        let (heard, prints) = read(&UPDATE.replacen(from, to, 1));
        assert_eq!((heard, prints.rows.len()), (Ok(FrameKind::Trades), 1));
        assert_eq!((prints.bad[0].field, prints.bad[0].slot), (field, Some(1)));
    }
    assert!(read(r#"{"channel":"trade","data":{}}"#).0.is_err());
    assert!(Kraken.instrument("BTC/USD").is_err());
    assert_eq!(Kraken.wire_symbol("BTC-USD"), "BTC/USD");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let mut decoder = Kraken.decoder(Channel::Trades, listings());
        let _ = decoder.decode(&bytes, &mut Prints::default());
        let _ = decoder.decode(&UPDATE.as_bytes()[..cut.min(UPDATE.len())], &mut Prints::default());
        let _ = Kraken.read_backfill(Channel::Trades, 0, &listings()[0], &bytes, &mut Prints::default());
    }
}
