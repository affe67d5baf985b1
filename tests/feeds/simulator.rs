//! `barflow simulator`: what it sends and lists is what is on the tape.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use barflow_operators::trade::Trade;
use barflow_simulator::exchange::{Running, SimulatorOptions, Speed, Tally};
use serde_json::Value;

use crate::support::protocols::{BEGIN, FIRST_ID, PROTOCOLS, Protocol, protocol, trades};
use crate::support::rows::{bare, rows, said, told};
use crate::support::simulator::{Client, get, listed, options, start};

fn played(tally: &Tally) -> u64 {
    tally.played.load(Ordering::Relaxed)
}

/// Rows of pushes until the trade of that id has come, oldest first.
fn pushed(client: &mut Client, protocol: Protocol, many: usize) -> Vec<Value> {
    let mut heard: Vec<Value> = Vec::new();
    while heard.len() < many {
        let mut rows = rows(protocol.push, &client.text());
        if protocol.name == "coinbase" {
            rows.reverse();
        }
        heard.extend(rows);
    }
    heard
}

#[test]
fn what_is_sent_and_what_rest_lists_is_the_tape_bit_by_bit() {
    for protocol in PROTOCOLS {
        let tape = trades(protocol, 60);
        let simulator = start(protocol, tape.clone(), options(""));
        assert!(listed(simulator.address, protocol, "").is_empty(), "{}", protocol.name);
        let mut client = Client::subscribed(simulator.address, protocol);
        let pushed = pushed(&mut client, protocol, tape.len());
        let mut listed = listed(simulator.address, protocol, "");
        if protocol.newest_first {
            listed.reverse();
        }
        assert_eq!((pushed.len(), listed.len()), (tape.len(), tape.len()), "{}", protocol.name);
        let mut names = BTreeSet::new();
        for ((trade, pushed), listed) in tape.iter().zip(&pushed).zip(&listed) {
            let id = bare(pushed, protocol.push.id);
            let wanted = told(protocol, protocol.push, trade, &id);
            assert_eq!(said(protocol.push, pushed), wanted, "{}: {pushed}", protocol.name);
            let wanted = told(protocol, protocol.listed, trade, &id);
            assert_eq!(said(protocol.listed, listed), wanted, "{}: {listed}", protocol.name);
            names.insert(id);
        }
        assert_eq!(names.len(), tape.len(), "{}: ids repeat", protocol.name);
    }
}

#[test]
fn who_subscribes_late_is_told_what_the_venue_tells_him() {
    // How many trades a snapshot has, and what it is called.
    for (name, most, word) in [
        ("coinbase", 100, r#""type":"snapshot""#),
        ("coinbase-exchange", 1, "last_match"),
        ("kraken", 50, r#""type":"snapshot""#),
    ] {
        let protocol = protocol(name);
        let tape = trades(protocol, 130);
        let simulator = start(protocol, tape.clone(), options(""));
        pushed(&mut Client::subscribed(simulator.address, protocol), protocol, tape.len());
        let mut client = Client::subscribed(simulator.address, protocol);
        let heard = client.until(word);
        let mut rows = rows(protocol.push, &heard[heard.len() - 1]);
        if name == "coinbase" {
            rows.reverse();
        }
        assert_eq!(rows.len(), most, "{name}");
        for (row, trade) in rows.iter().zip(&tape[tape.len() - most..]) {
            let id = bare(row, protocol.push.id);
            assert_eq!(said(protocol.push, row), told(protocol, protocol.push, trade, &id));
        }
    }
}

/// 130 trades that happen, and 5 that do so a day later.
fn day_after(protocol: Protocol) -> (Vec<Trade>, Running) {
    let mut tape = trades(protocol, 135);
    for (at, trade) in tape.iter_mut().enumerate() {
        trade.event_time =
            BEGIN + if at < 130 { at as i64 * 1_000_000 } else { 86_400_000_000_000 };
    }
    let options = SimulatorOptions { speed: Speed::Times(1.0), ..options("") };
    let simulator = start(protocol, tape.clone(), options);
    (tape, simulator)
}

#[test]
fn rest_lists_what_has_been_played_and_no_more_page_by_page() {
    for protocol in PROTOCOLS {
        let (tape, simulator) = day_after(protocol);
        let mut client = Client::subscribed(simulator.address, protocol);
        pushed(&mut client, protocol, 130);
        assert_eq!(played(&simulator.tally), 130);
        let ids = |more: &str| -> Vec<u64> {
            let rows = listed(simulator.address, protocol, more);
            // Bybit's names are no numbers; times differ here.
            let place = |row: &Value| {
                let said = said(protocol.listed, row).3;
                let is = |trade: &&Trade| told(protocol, protocol.listed, trade, "").3 == said;
                tape.iter().find(is).unwrap().trade_id - FIRST_ID
            };
            rows.iter().map(place).collect()
        };
        let rising = |range: std::ops::Range<u64>| range.collect::<Vec<_>>();
        let falling = |range: std::ops::Range<u64>| range.rev().collect::<Vec<_>>();
        let id = |place: u64| FIRST_ID + place;
        match protocol.name {
            name if name.starts_with("binance") => {
                assert_eq!(ids(""), rising(0..130), "{name}");
                assert_eq!(ids("&limit=7"), rising(123..130), "{name}");
                assert_eq!(ids(&format!("&limit=7&fromId={}", id(20))), rising(20..27), "{name}");
                assert_eq!(ids(&format!("&fromId={}", id(128))), rising(128..130), "{name}");
            }
            "coinbase" | "coinbase-exchange" => {
                assert_eq!(ids(""), falling(0..130));
                let page = protocol.rest.replace("limit=1000", "limit=7");
                let (_, _, body) =
                    get(simulator.address, &format!("{page}&after={}", id(20)), ("A", "b"));
                assert_eq!(rows(protocol.listed, &body)[0]["trade_id"], id(19));
                assert_eq!(ids(&format!("&after={}", id(20))), falling(0..20));
            }
            "kraken" => {
                let since = BEGIN + 20 * 1_000_000;
                assert_eq!(ids(&format!("&since={since}")), rising(21..130));
                assert_eq!(ids(&format!("&since={since}&count=7")), rising(21..28));
                let (_, _, body) =
                    get(simulator.address, &format!("{}&count=7", protocol.rest), ("A", "b"));
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["result"]["last"], (BEGIN + 6_000_000).to_string());
            }
            "bybit-spot" => assert_eq!(ids("&limit=1000"), falling(70..130)),
            "bybit-linear" | "bybit-inverse" => {
                assert_eq!(ids(""), falling(0..130));
                assert_eq!(ids("&limit=7"), falling(123..130));
            }
            _ => {
                assert_eq!(ids(""), falling(30..130));
                assert_eq!(ids(&format!("&after={}", id(20))), falling(0..20));
                assert_eq!(ids(&format!("&after={}&limit=7", id(20))), falling(13..20));
            }
        }
    }
}

#[test]
fn binance_says_microseconds_to_those_who_ask() {
    let protocol = Protocol { unit: 1_000, ..protocol("binance-spot") };
    let tape = trades(protocol, 6);
    let simulator = start(protocol, tape.clone(), options(""));
    let asked = Protocol { path: "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND", ..protocol };
    let mut fine = Client::open(simulator.address, asked.path);
    let mut coarse = Client::subscribed(simulator.address, protocol);
    let (fine, coarse) = (pushed(&mut fine, protocol, 6), pushed(&mut coarse, protocol, 6));
    for ((trade, fine), coarse) in tape.iter().zip(fine).zip(coarse) {
        assert_eq!(fine["T"], trade.event_time / 1_000);
        assert_eq!(coarse["T"], trade.event_time / 1_000_000);
    }
    let time = |header| {
        let rows = rows(protocol.listed, &get(simulator.address, protocol.rest, header).2);
        rows[1]["time"].as_i64().unwrap()
    };
    assert_eq!(time(("X-MBX-TIME-UNIT", "MICROSECOND")), tape[1].event_time / 1_000);
    assert_eq!(time(("Accept", "*/*")), tape[1].event_time / 1_000_000);
}

/// What venues refuse: protocol, path, subscription, and what the answer contains.
const REFUSED: [(&str, &str, &str, &str); 11] = [
    (
        "coinbase",
        "/",
        r#"{"type":"subscribe","channel":"market_trades","product_ids":["NO-USD"]}"#,
        "NO-USD is not a valid product",
    ),
    ("coinbase", "/", r#"{"type":"subscribe","channel":"level9"}"#, r#""type":"error""#),
    (
        "coinbase-exchange",
        "/",
        r#"{"type":"subscribe","channels":["matches"],"product_ids":["NO-USD"]}"#,
        "NO-USD is not a valid product",
    ),
    (
        "kraken",
        "/v2",
        r#"{"method":"subscribe","params":{"channel":"trade","symbol":["NO/USD"]}}"#,
        r#""success":false,"symbol":"NO/USD""#,
    ),
    (
        "kraken",
        "/v2",
        r#"{"method":"subscribe","params":{"channel":"level9"}}"#,
        r#""success":false"#,
    ),
    (
        "bybit-spot",
        "/v5/public/spot",
        r#"{"op":"subscribe","args":["publicTrade.NO"]}"#,
        r#""success":false"#,
    ),
    (
        "bybit-spot",
        "/v5/public/spot",
        r#"{"op":"subscribe","args":["1","2","3","4","5","6","7","8","9","10","11"]}"#,
        "args size >10",
    ),
    (
        "bybit-linear",
        "/v5/public/linear",
        r#"{"op":"subscribe","args":["level9.BTCUSDT"]}"#,
        r#""success":false"#,
    ),
    (
        "okx",
        "/ws/v5/public",
        r#"{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}"#,
        r#""code":"60018""#,
    ),
    (
        "okx",
        "/ws/v5/business",
        r#"{"op":"subscribe","args":[{"channel":"trades-all","instId":"NO-USDT"}]}"#,
        r#""code":"60018""#,
    ),
    (
        "binance-spot",
        "/stream",
        r#"{"method":"SUBSCRIBE","params":["nothing"],"id":3}"#,
        r#""id":3"#,
    ),
];

#[test]
fn what_there_is_not_is_refused_in_the_venues_words() {
    for (name, path, ask, wanted) in REFUSED {
        let protocol = protocol(name);
        let simulator = start(protocol, trades(protocol, 3), options(""));
        let mut client = Client::open(simulator.address, path);
        client.say(ask);
        let heard = client.until(wanted);
        assert!(heard.iter().all(|text| rows(protocol.push, text).is_empty()), "{heard:?}");
        assert_eq!(played(&simulator.tally), 0, "{name}");
        assert_eq!(Client::try_open(simulator.address, "/nowhere").err(), Some(404), "{name}");
    }
    // Binance takes any symbol and then has nothing to say of it; REST does not.
    let protocol = protocol("binance-spot");
    let simulator = start(protocol, trades(protocol, 3), options(""));
    let mut client = Client::open(simulator.address, "/stream");
    client.say(r#"{"method":"SUBSCRIBE","params":["nousdt@trade"],"id":1}"#);
    assert_eq!(client.text(), r#"{"result":null,"id":1}"#);
    let (status, _, body) = get(simulator.address, "/api/v3/aggTrades?symbol=NOUSDT", ("A", "b"));
    assert_eq!((status, body.as_str()), (400, r#"{"code":-1121,"msg":"Invalid symbol."}"#));
}
