//! The venue of our own, beside what real venues were recorded to send.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barflow::capture::{Direction, read};
use barflow::feeds::print::Contract;
use barflow::venue::exchange::exchange;
use barflow::venue::faults::Faults;
use barflow::venue::tape::{Series, Tape};
use barflow::venue::{Running, Speed, VenueOptions, start};
use barflow_operators::trade::{Aggressor, Trade};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use support::live::{Venue, output, two_days};
use tokio_tungstenite::tungstenite::Message;

fn data(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    None
}

fn trades() -> Vec<Trade> {
    (1..=200u64)
        .map(|id| {
            let (price, qty) = (100.0 + id as f64 * 0.25, 0.5 + id as f64 * 0.001);
            let aggressor = if id % 3 == 0 { Aggressor::Seller } else { Aggressor::Buyer };
            let event_time = 1_700_000_000_000_000_000 + id as i64 * 1_000_000;
            Trade { trade_id: id, event_time, price, qty, quote: price * qty, aggressor, count: 1 }
        })
        .collect()
}

fn running(protocol: &str, symbol: &str, faults: &str, seed: u64) -> Running {
    let exchange = exchange(protocol).unwrap();
    let series =
        Series::new(symbol.to_owned(), Contract::Base, trades(), exchange.time_unit()).unwrap();
    let options = VenueOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        speed: Speed::Max,
        faults: faults.parse::<Faults>().unwrap(),
        seed,
        start_now: false,
        once: false,
    };
    start(Arc::clone(&exchange), Tape::new(vec![series]), options).unwrap()
}

/// What a client hears that says these things, until the last trade or the end of the connection.
fn heard(venue: &Running, path: &str, says: &[&str]) -> Vec<String> {
    let url = format!("ws://{}{path}", venue.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for said in says {
            socket.send(Message::text(*said)).await.unwrap();
        }
        let mut frames = Vec::new();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
            let Some(Ok(message)) = next.expect("the venue fell silent") else { return frames };
            let Message::Text(text) = message else { continue };
            // The price of the 150th.
            let last = text.contains("137.5\"") || text.contains("137.5,");
            frames.push(text.as_str().to_owned());
            if last {
                return frames;
            }
        }
    })
}

fn get(venue: &Running, path: &str) -> Value {
    let body = ureq::get(format!("http://{}{path}", venue.address)).call().unwrap();
    serde_json::from_str(&body.into_body().read_to_string().unwrap()).unwrap()
}

/// How a protocol is asked: its name, our symbol, where, and what is said.
const ASKED: [(&str, &str, &str, &[&str]); 10] = [
    ("binance-spot", "BTCUSDT", "/stream?streams=btcusdt@trade/btcusdt@aggTrade", &[]),
    ("binance-um", "BTCUSDT", "/stream?streams=btcusdt@trade", &[]),
    ("binance-um", "SANDUSDT", "/market/stream?streams=sandusdt@aggTrade", &[]),
    ("binance-cm", "BTCUSD_PERP", "/stream?streams=btcusd_perp@trade", &[]),
    (
        "coinbase",
        "BTC-USD",
        "/",
        &[
            r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"market_trades"}"#,
            r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"heartbeats"}"#,
        ],
    ),
    (
        "coinbase-exchange",
        "SKL-USD",
        "/",
        &[r#"{"type":"subscribe","product_ids":["SKL-USD"],"channels":["matches"]}"#],
    ),
    (
        "kraken",
        "BTC/USD",
        "/v2",
        &[r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]},"req_id":1}"#],
    ),
    (
        "bybit-spot",
        "BTCUSDT",
        "/v5/public/spot",
        &[r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#],
    ),
    (
        "bybit-linear",
        "BTCUSDT",
        "/v5/public/linear",
        &[r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#],
    ),
    (
        "okx",
        "BTC-USDT",
        "/ws/v5/public",
        &[r#"{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}"#],
    ),
];

/// Where each protocol was recorded, and which of its connections.
const RECORDED: [(&str, &str, &str); 9] = [
    ("binance-spot", "hftbacktest/spot/btcusdt_20240808.gz", ""),
    ("binance-spot", "cryptofeed/BINANCE-ee25be.0.zst", ""),
    ("binance-um", "hftbacktest/usdm/btcusdt_20240808.gz", ""),
    ("binance-um", "cryptofeed/BINANCE_FUTURES-1125a2.0.zst", ""),
    ("binance-cm", "hftbacktest/cm/btcusd_perp_20240808.gz", ""),
    ("coinbase", "cryptofeed/COINBASE.jsonl.zst", ""),
    ("coinbase-exchange", "captures/COINBASE.ws.28.capture", ""),
    ("bybit-spot", "cryptofeed/BYBIT.jsonl.zst", "spot"),
    ("bybit-linear", "cryptofeed/BYBIT.jsonl.zst", "linear"),
];

/// The shape of a message: its keys in their order, with the type of each value. Lists are as their
/// first element. Numbers in texts and times are told from other texts.
fn shape(text: &str) -> String {
    let mut keys = Vec::new();
    describe(&serde_json::from_str::<Ordered>(text).unwrap().0, "", &mut keys);
    keys.join(" ")
}

/// A JSON value that keeps the order of its keys.
struct Ordered(Node);

enum Node {
    Leaf(Value),
    List(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(v.into())))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(v.into())))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(v.into())))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(v.into())))
            }
            fn visit_str<E>(self, v: &str) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(v.into())))
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered(Node::Leaf(Value::Null)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Ordered, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Ordered(Node::List(list)))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Ordered, A::Error> {
                let mut object = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    object.push(entry);
                }
                Ok(Ordered(Node::Object(object)))
            }
        }
        from.deserialize_any(Visitor)
    }
}

fn describe(node: &Node, path: &str, keys: &mut Vec<String>) {
    match node {
        Node::Object(object) => {
            for (key, value) in object {
                describe(&value.0, &format!("{path}.{key}"), keys);
            }
        }
        Node::List(list) => {
            if let Some(first) = list.first() {
                describe(&first.0, &format!("{path}[]"), keys);
            }
        }
        Node::Leaf(Value::String(text)) => {
            let kind = match text.as_str() {
                text if text.parse::<f64>().is_ok() => "number in a text",
                text if text.ends_with('Z') && text.contains('T') => "time",
                _ => "text",
            };
            keys.push(format!("{path}:{kind}"));
        }
        Node::Leaf(value) => {
            let kind = match value {
                Value::Number(_) => "number",
                Value::Bool(_) => "bool",
                _ => "null",
            };
            keys.push(format!("{path}:{kind}"));
        }
    }
}

/// What tells the kinds of messages apart that we send.
fn kind(text: &str) -> Option<&'static str> {
    let marks = [
        ("\"e\":\"trade\"", "trade"),
        ("\"e\":\"aggTrade\"", "aggregate"),
        ("\"channel\":\"market_trades\"", "market_trades"),
        ("\"channel\":\"heartbeats\"", "heartbeats"),
        ("\"type\":\"match\"", "match"),
        ("\"topic\":\"publicTrade", "publicTrade"),
        ("\"op\":\"subscribe\"", "subscribed"),
    ];
    marks.iter().find(|(mark, _)| text.contains(mark)).map(|(_, kind)| *kind)
}

#[test]
fn messages_have_the_shapes_of_recorded_ones() {
    let mut compared = std::collections::BTreeSet::new();
    for (protocol, file, url) in RECORDED {
        let Some(path) = data(file) else { continue };
        // One example of each kind, and its shape.
        let mut real: Vec<(&str, String)> = Vec::new();
        let mut ours = std::collections::BTreeSet::new();
        for recorded in read::open(&path).unwrap().map(Result::unwrap) {
            let text = String::from_utf8_lossy(&recorded.frame).into_owned();
            if recorded.direction == Direction::Connect && text.contains(url) {
                ours.insert(recorded.connection);
            }
            let elsewhere = !url.is_empty() && !ours.contains(&recorded.connection);
            if recorded.direction != Direction::Received || elsewhere {
                continue;
            }
            if let Some(kind) = kind(&text) {
                let shape = shape(&text);
                if !real.iter().any(|(_, known)| *known == shape) {
                    real.push((kind, shape));
                }
            }
        }
        for (name, symbol, path, says) in ASKED.iter().filter(|asked| asked.0 == protocol) {
            let venue = running(name, symbol, "", 1);
            for frame in heard(&venue, path, says) {
                let Some(kind) = kind(&frame) else { continue };
                // An empty snapshot has no rows to compare.
                let mut alike = real.iter().filter(|(real, _)| *real == kind).peekable();
                if frame.contains("\"trades\":[]") || alike.peek().is_none() {
                    continue;
                }
                let ours = shape(&frame);
                let real: Vec<_> = alike.collect();
                // Requests are numbered or not by the client; some recorded ones had no number.
                let matches =
                    |shape: &str| shape == ours || shape == ours.replace(" .req_id:text", "");
                assert!(
                    real.iter().any(|(_, real)| matches(real)),
                    "{protocol}: {frame}\n{real:#?}"
                );
                compared.insert((protocol, kind));
            }
        }
    }
    assert!(compared.is_empty() || compared.len() >= 10, "{compared:?}");
}

#[test]
fn what_is_sent_is_what_is_on_the_tape() {
    for (protocol, symbol, path, says) in ASKED {
        if path.contains("aggTrade") {
            continue;
        }
        let venue = running(protocol, symbol, "", 1);
        let frames = heard(&venue, path, says).join("\n");
        // The 149th trade, as every protocol writes it.
        assert!(frames.contains("137.25"), "{protocol}");
        assert!(frames.contains("0.649"), "{protocol}");
        // The 150th is a sale; Coinbase names the maker.
        let (before, behind) = frames.rsplit_once("137.5").unwrap();
        let row = before.rsplit('{').next().unwrap().to_owned() + behind;
        let side = match protocol {
            "binance-spot" | "binance-um" | "binance-cm" => "\"m\":true",
            "coinbase" => "\"side\":\"BUY\"",
            "coinbase-exchange" => "\"side\":\"buy\"",
            "bybit-spot" | "bybit-linear" => "\"S\":\"Sell\"",
            _ => "\"side\":\"sell\"",
        };
        assert!(row.contains(side), "{protocol}: {row}");
    }
}

#[test]
fn rest_pages_as_each_venue_does() {
    let played = |protocol: &str| {
        let (name, symbol, path, says) = ASKED.iter().find(|asked| asked.0 == protocol).unwrap();
        let venue = running(name, symbol, "", 1);
        heard(&venue, path, says);
        venue
    };
    let venue = played("binance-spot");
    let rows = get(&venue, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=10&limit=3");
    let ids: Vec<u64> =
        rows.as_array().unwrap().iter().map(|r| r["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [10, 11, 12]);
    let venue = played("coinbase-exchange");
    let rows = get(&venue, "/products/SKL-USD/trades?limit=3&after=10");
    let ids: Vec<u64> =
        rows.as_array().unwrap().iter().map(|r| r["trade_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [9, 8, 7]);
    let venue = played("kraken");
    let rows = get(&venue, "/0/public/Trades?pair=BTCUSD&since=1700000000010000000&count=2");
    let rows = rows["result"]["XBTCUSD"].as_array().unwrap().clone();
    assert_eq!((rows.len(), rows[0][6].as_u64()), (2, Some(11)));
    let venue = played("okx");
    let rows = get(&venue, "/api/v5/market/history-trades?instId=BTC-USDT&type=1&after=10&limit=2");
    assert_eq!(rows["data"][0]["tradeId"], "9");
    let venue = played("bybit-spot");
    let rows = get(&venue, "/v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=60");
    assert_eq!(rows["result"]["list"].as_array().unwrap().len(), 60);
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let faults = "drop=0.1,duplicate=0.1,reorder=0.1,garbage=0.05,unknown=0.05,disconnect=60";
    let (_, symbol, path, says) = ASKED[1];
    let listen = |seed| heard(&running("binance-um", symbol, faults, seed), path, says);
    let first = listen(5);
    assert_eq!(first, listen(5));
    assert_ne!(first, listen(6));
    assert!(first.iter().any(|frame| frame.contains("novelty")) || first.len() < 40);
}

#[test]
fn options_that_cannot_be_are_named_and_once_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 50) else { return };
    let day = day.to_str().unwrap();
    for (arguments, wanted) in [
        (&["--protocol", "nasdaq", day][..], "nasdaq"),
        (&["--protocol", "coinbase", day][..], "--instrument"),
        (&["--protocol", "binance-spot", "--speed", "fast", day][..], "fast"),
        (&["--protocol", "binance-spot", "--faults", "drop=2", day][..], "probability"),
        (&["--protocol", "binance-spot", "nothing-here.zip"][..], "nothing-here.zip"),
        (
            &["--protocol", "bybit-inverse", "--instrument", "bybit:inverse:BTCUSD", day][..],
            "no number of contracts",
        ),
    ] {
        let mut all = vec!["venue", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let output = output(&all, None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let micros = folder.path().join("XBTUSD-trades-2025-03-01.csv");
    fs::write(&micros, "1,100.5,2.0,201.0,1740787200000001,True,True\n").unwrap();
    let arguments = ["venue", "--protocol", "okx", "--instrument", "okx:spot:BTC-USDT"];
    let finer = output(&[&arguments[..], &[micros.to_str().unwrap()]].concat(), None);
    assert_eq!(finer.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&finer.stderr).contains("finer than the protocol"));
    let arguments =
        ["venue", "--protocol", "binance-spot", "--listen", "127.0.0.1:0", "--start-now", "--once"];
    let once = output(&[&arguments[..], &["--speed", "max", day]].concat(), None);
    assert_eq!(once.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&once.stderr).contains(" trades played, "));
    let venue = Venue::start(&["--protocol", "binance-spot"], &[Path::new(day)]);
    assert!(venue.stop().contains("0 trades played"));
}
