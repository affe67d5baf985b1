use proptest::prelude::*;

use super::*;
use crate::feeds::print::{Acknowledged, FrameKind};

fn listings() -> Arc<[Listing]> {
    ["BTC-USD", "ETH-USD"]
        .map(|symbol| Listing { symbol: symbol.to_owned(), contract: Contract::Base })
        .into()
}

fn read(venue: Coinbase, frame: &str) -> (Result<FrameKind, BadFrame>, Prints) {
    let mut prints = Prints::default();
    let heard = venue.decoder(Channel::Trades, listings()).decode(frame.as_bytes(), &mut prints);
    (heard, prints)
}

const ADVANCED: &str = r#"{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.228568804Z","sequence_num":0,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"12","price":"65083.67","size":"0.002","time":"2026-08-09T21:05:42.514318Z","side":"SELL"},{"product_id":"BTC-USD","trade_id":"11","price":"65083.6","size":"1","time":"2026-08-09T21:05:41.139922Z","side":"BUY"}]}]}"#;
const EXCHANGE: &str = r#"{"type":"match","trade_id":216544,"maker_order_id":"4c","taker_order_id":"24","side":"buy","size":"0.97133855","price":"4.97800000","product_id":"ETH-USD","sequence":253395153,"time":"2019-08-01T00:00:03.816000Z"}"#;

#[test]
fn trades_come_oldest_first_with_the_taker_as_aggressor() {
    let (heard, prints) = read(Coinbase::Advanced, ADVANCED);
    assert_eq!(heard, Ok(FrameKind::Trades));
    let ids: Vec<u64> = prints.rows.iter().map(|print| print.trade.trade_id).collect();
    assert_eq!(ids, [11, 12]);
    let sides: Vec<Aggressor> = prints.rows.iter().map(|print| print.trade.aggressor).collect();
    assert_eq!(sides, [Aggressor::Seller, Aggressor::Buyer]);
    assert_eq!(prints.rows[0].trade.event_time, 1_786_309_541_139_922_000);
    let (heard, prints) = read(Coinbase::Exchange, EXCHANGE);
    assert_eq!(heard, Ok(FrameKind::Trades));
    assert_eq!((prints.rows[0].slot, prints.rows[0].trade.aggressor), (1, Aggressor::Seller));
    let last = EXCHANGE.replace("\"match\"", "\"last_match\"");
    assert_eq!(read(Coinbase::Exchange, &last).1, prints);
}

#[test]
fn acknowledgements_count_products_and_refusals_say_why() {
    let ack = r#"{"channel":"subscriptions","sequence_num":2,"events":[{"subscriptions":{"market_trades":["BTC-USD","ETH-USD"]}}]}"#;
    let two = FrameKind::Acknowledged(Acknowledged::All(vec![
        "BTC-USD".to_owned(),
        "ETH-USD".to_owned(),
    ]));
    assert_eq!(read(Coinbase::Advanced, ack).0, Ok(two.clone()));
    let ack = r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD","ETH-USD"]},{"name":"heartbeat","product_ids":["BTC-USD"]}]}"#;
    assert_eq!(read(Coinbase::Exchange, ack).0, Ok(two));
    let no = r#"{"type":"error","message":"Failed to subscribe","reason":"XX is not a product"}"#;
    for venue in [Coinbase::Exchange, Coinbase::Advanced] {
        assert!(
            matches!(read(venue, no).0, Ok(FrameKind::Refused(said)) if said.said.contains("Failed"))
        );
    }
    assert_eq!(
        read(Coinbase::Exchange, r#"{"type":"heartbeat","last_trade_id":1}"#).0,
        Ok(FrameKind::Alive)
    );
    assert_eq!(read(Coinbase::Exchange, r#"{"type":"novelty"}"#).0, Ok(FrameKind::Unknown));
    assert!(read(Coinbase::Exchange, r#"["match",1]"#).0.is_err());
}

#[test]
fn a_wrong_field_is_named_and_other_rows_stand() {
    for (from, to, field) in [
        ("\"65083.67\"", "65083.67", "price"),
        ("\"0.002\"", "\"-0.002\"", "qty"),
        ("\"12\"", "12", "trade_id"),
        ("SELL", "NEITHER", "side"),
        ("T21:05:42.514318Z", "T25:05:42Z", "time"),
        ("2026-08-09T21:05:42.514318Z", "1786309542", "time"),
    ] {
        let (heard, prints) = read(Coinbase::Advanced, &ADVANCED.replacen(from, to, 1));
        assert_eq!(heard, Ok(FrameKind::Trades));
        assert_eq!((prints.bad[0].field, prints.rows.len()), (field, 1), "{to}");
    }
}

#[test]
fn rest_pages_begin_with_what_is_missing_and_are_read_oldest_first() {
    assert_eq!(rest::request("BTC-USD", 5).path, "/products/BTC-USD/trades?limit=1000&after=1005");
    let body = r#"[{"time":"2014-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00","size":"0.01","side":"buy"},{"time":"2014-11-07T01:08:43.642366Z","trade_id":73,"price":"100.0","size":"0.02","side":"sell"}]"#;
    let mut prints = Prints::default();
    Coinbase::Advanced
        .read_backfill(Channel::Trades, 3, &listings()[0], body.as_bytes(), &mut prints)
        .unwrap();
    assert_eq!((prints.rows[0].trade.trade_id, prints.rows[1].trade.trade_id), (73, 74));
    assert_eq!(prints.rows[0].trade.aggressor, Aggressor::Buyer);
    let no = br#"{"message":"NotFound"}"#;
    let read =
        Coinbase::Exchange.read_backfill(Channel::Trades, 0, &listings()[0], no, &mut prints);
    assert!(read.unwrap_err().to_string().contains("NotFound"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        for (venue, whole) in [(Coinbase::Advanced, ADVANCED), (Coinbase::Exchange, EXCHANGE)] {
            let mut decoder = venue.decoder(Channel::Trades, listings());
            let _ = decoder.decode(&bytes, &mut Prints::default());
            let _ = decoder.decode(&whole.as_bytes()[..cut.min(whole.len())], &mut Prints::default());
        }
    }
}
