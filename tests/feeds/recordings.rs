//! Every decoder over everything that was ever recorded of its venue.

use crate::support::days::real as data;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use barflow::feeds::print::{
    Acknowledged, Contract, FrameKind, Ids, Listing, Print, Prints, Standing,
};
use barflow::feeds::venue;
use barflow::feeds::venue::Channel;
use barflow::recording::{Direction, reader};
use barflow_operators::trade::Aggressor;
use serde_json::Value;

fn listings(symbols: &[&str]) -> Arc<[Listing]> {
    let listing =
        |symbol: &&str| Listing { symbol: (*symbol).to_owned(), contract: Contract::Base };
    symbols.iter().map(listing).collect::<Vec<_>>().into()
}

/// What all frames of a recording came to.
#[derive(Default)]
struct Sum {
    rows: Vec<Print>,
    excluded: BTreeMap<&'static str, u64>,
    other: BTreeMap<&'static str, u64>,
    unknown: Vec<String>,
    bad: Vec<String>,
    alive: u64,
    acknowledged: u32,
    requests: u32,
}

/// Reads the connections of a recording whose URL contains `url`; frames without a URL belong to
/// any.
fn sum(path: &Path, protocol: &str, channel: Channel, symbols: &[&str], url: &str) -> Sum {
    let venue = venue(protocol).unwrap();
    let mut decoder = venue.decoder(channel, listings(symbols));
    let mut ours: HashSet<u32> = HashSet::new();
    let mut others: HashSet<u32> = HashSet::new();
    let (mut sum, mut prints) = (Sum::default(), Prints::default());
    for recorded in reader::open(path).unwrap() {
        let recorded = recorded.unwrap();
        match recorded.direction {
            Direction::Connect => {
                let at = String::from_utf8(recorded.frame).unwrap();
                if at.contains(url) { &mut ours } else { &mut others }.insert(recorded.connection);
                continue;
            }
            Direction::Received if !others.contains(&recorded.connection) => {}
            _ => continue,
        }
        prints.clear();
        let shown = || String::from_utf8_lossy(&recorded.frame).chars().take(200).collect();
        match decoder.decode(&recorded.frame, &mut prints) {
            Ok(FrameKind::Unknown) => sum.unknown.push(shown()),
            Ok(FrameKind::Other(kind)) => *sum.other.entry(kind).or_insert(0) += 1,
            Ok(FrameKind::Alive) => sum.alive += 1,
            Ok(FrameKind::Acknowledged(Acknowledged::Request(_))) => sum.requests += 1,
            Ok(FrameKind::Acknowledged(Acknowledged::Symbol(_))) => sum.acknowledged += 1,
            Ok(FrameKind::Acknowledged(Acknowledged::All(all))) => {
                sum.acknowledged = all.len() as u32;
            }
            Ok(FrameKind::Trades) => {}
            Ok(FrameKind::Refused(said)) => panic!("refused: {said:?}"),
            Err(error) => sum.bad.push(format!("{error}: {}", shown())),
        }
        sum.bad.extend(prints.bad.drain(..).map(|bad| bad.to_string()));
        for print in prints.rows.drain(..) {
            match print.standing {
                Standing::Trade => {}
                Standing::Excluded(why) => *sum.excluded.entry(why).or_insert(0) += 1,
            }
            sum.rows.push(print);
        }
    }
    sum
}

/// Ids of each symbol follow each other without a hole; repeats (as of a snapshot) are allowed.
fn assert_consecutive(rows: &[Print]) {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for print in rows {
        let id = print.trade.trade_id;
        if let Some(last) = last.insert(print.slot, id) {
            assert_eq!(id, last + 1, "slot {}", print.slot);
        }
    }
}

fn assert_all_known(sum: &Sum) {
    assert!(sum.unknown.is_empty(), "{:?}", &sum.unknown[..sum.unknown.len().min(3)]);
    assert!(sum.bad.is_empty(), "{:?}", &sum.bad[..sum.bad.len().min(3)]);
}

/// Counts as measured on the files by their keepers.
#[test]
fn binance_trades_are_all_there_and_nothing_is_unknown() {
    for (file, protocol, symbol, trades) in [
        ("hftbacktest/spot/btcusdt_20240808.gz", "binance-spot", "BTCUSDT", 9_757),
        ("hftbacktest/spot/btcusdt_20240809.gz", "binance-spot", "BTCUSDT", 10_147),
        ("hftbacktest/usdm/btcusdt_20230404.dat.gz", "binance-um", "BTCUSDT", 2_197),
        ("hftbacktest/usdm/btcusdt_20230405.dat.gz", "binance-um", "BTCUSDT", 10_738),
        ("hftbacktest/usdm/btcusdt_20240718.gz", "binance-um", "BTCUSDT", 974),
        ("hftbacktest/usdm/ethusdt_20240719.gz", "binance-um", "ETHUSDT", 12_015),
        ("hftbacktest/usdm/btcusdt_20240808.gz", "binance-um", "BTCUSDT", 21_313),
        ("hftbacktest/cm/btcusd_perp_20240808.gz", "binance-cm", "BTCUSD_PERP", 2_286),
        ("hftbacktest/cm/btcusd_perp_20240809.gz", "binance-cm", "BTCUSD_PERP", 2_949),
    ] {
        let Some(path) = data(file) else { continue };
        let sum = sum(&path, protocol, Channel::Trades, &[symbol], "");
        assert_all_known(&sum);
        assert_eq!(sum.rows.len(), trades, "{file}");
        assert_consecutive(&sum.rows);
        let insurance = u64::from(file.contains("20230405"));
        assert_eq!(sum.excluded.values().sum::<u64>(), insurance, "{file}");
        assert!(insurance == 0 || sum.excluded.contains_key("insurance fund"));
    }
}

#[test]
fn binance_days_join_across_the_cut_of_the_files() {
    for (first, second, protocol, symbol) in [
        ("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz", "binance-spot", "BTCUSDT"),
        ("usdm/btcusdt_20240718.gz", "usdm/btcusdt_20240719.gz", "binance-um", "BTCUSDT"),
        ("cm/btcusd_perp_20240808.gz", "cm/btcusd_perp_20240809.gz", "binance-cm", "BTCUSD_PERP"),
    ] {
        let paths = [first, second].map(|file| data(&format!("hftbacktest/{file}")));
        let [Some(first), Some(second)] = paths else { continue };
        let mut rows = sum(&first, protocol, Channel::Trades, &[symbol], "").rows;
        rows.extend(sum(&second, protocol, Channel::Trades, &[symbol], "").rows);
        assert_consecutive(&rows);
    }
}

#[test]
fn binance_aggregates_are_consecutive_among_other_channels() {
    for (file, protocol, symbols, trades) in [
        ("BINANCE-ee25be.0.zst", "binance-spot", &["DOTUSDT", "BTCUSDT", "ETHUSDT"][..], 1_910),
        (
            "BINANCE_FUTURES-1125a2.0.zst",
            "binance-um",
            &["SANDUSDT", "CHRUSDT", "NEOUSDT", "CTKUSDT", "BATUSDT"],
            574,
        ),
    ] {
        let Some(path) = data(&format!("cryptofeed/{file}")) else { continue };
        let sum = sum(&path, protocol, Channel::Aggregates, symbols, "");
        assert_all_known(&sum);
        assert_eq!(sum.rows.len(), trades);
        assert_consecutive(&sum.rows);
        assert!(sum.other.contains_key("depthUpdate"));
    }
    for (file, protocol) in
        [("BINANCE.ws.1", "binance-spot"), ("BINANCE_FUTURES.ws.1", "binance-um")]
    {
        let Some(path) = data(&format!("captures/{file}.capture")) else { continue };
        let symbols = ["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR", "SUSHIUSDT", "AKROUSDT"];
        assert_all_known(&sum(&path, protocol, Channel::Aggregates, &symbols, ""));
    }
}

#[test]
fn coinbase_snapshot_and_updates_touch() {
    let Some(path) = data("cryptofeed/COINBASE.jsonl.zst") else { return };
    let sum = sum(&path, "coinbase", Channel::Trades, &["BTC-USD", "ETH-USD"], "advanced-trade");
    assert_all_known(&sum);
    assert_eq!((sum.rows.len(), sum.alive, sum.acknowledged), (279, 25, 2));
    assert_consecutive(&sum.rows);
    let Some(path) = data("captures/COINBASE.ws.28.capture") else { return };
    let symbols = ["SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC", "YFI-BTC", "SKL-GBP"];
    let sum = exchange_sum(&path, &symbols);
    assert_all_known(&sum);
    assert!(!sum.rows.is_empty() && sum.acknowledged == 10);
    assert_consecutive(&sum.rows);
}

fn exchange_sum(path: &Path, symbols: &[&str]) -> Sum {
    sum(path, "coinbase-exchange", Channel::Trades, symbols, "")
}

#[test]
fn bybit_markets_are_told_apart_by_their_connections() {
    let Some(path) = data("cryptofeed/BYBIT.jsonl.zst") else { return };
    let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"];
    let linear = sum(&path, "bybit-linear", Channel::Trades, &symbols, "public/linear");
    let spot = sum(&path, "bybit-spot", Channel::Trades, &symbols, "public/spot");
    for sum in [&linear, &spot] {
        assert_all_known(sum);
        let names: HashSet<u64> = sum.rows.iter().map(|print| print.key).collect();
        assert_eq!(names.len(), sum.rows.len());
    }
    assert_eq!((linear.rows.len(), spot.rows.len()), (327, 20));
    assert_eq!(linear.requests + spot.requests, 24);
}

#[test]
fn okx_trades_are_consecutive() {
    let Some(path) = data("captures/OKX.ws.1.capture") else { return };
    let symbols = ["BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT"];
    let sum = sum(&path, "okx", Channel::Aggregates, &symbols, "");
    assert_all_known(&sum);
    assert_eq!((sum.rows.len(), sum.acknowledged), (74, 6));
    assert_consecutive(&sum.rows);
}

#[test]
fn another_protocol_of_the_same_venue_makes_no_trades() {
    for (file, protocol) in [
        ("captures/BYBIT.ws.25.capture", "bybit-linear"),
        ("captures/KRAKEN.ws.48.capture", "kraken"),
        ("captures/KRAKEN.ws.50.capture", "kraken"),
    ] {
        let Some(path) = data(file) else { continue };
        let symbols = ["BCHUSDT", "ETHUSDT", "XMR/USD", "WAVES/EUR", "XBT/CHF"];
        let sum = sum(&path, protocol, Channel::Trades, &symbols, "");
        assert!(sum.rows.is_empty() && !sum.unknown.is_empty(), "{file}");
    }
}

/// A trade as another program read it.
fn expected(trade: &Value) -> (Option<u64>, f64, f64, Aggressor, i64) {
    let time: jiff::Timestamp = trade["timestamp"].as_str().unwrap().parse().unwrap();
    let side = match trade["side"].as_str().unwrap() {
        "buy" => Aggressor::Buyer,
        _ => Aggressor::Seller,
    };
    let id = trade["id"].as_str().and_then(|id| id.parse().ok());
    let number = |field: &str| trade[field].as_f64().unwrap();
    (id, number("price"), number("amount"), side, time.as_nanosecond() as i64)
}

#[test]
fn trades_are_those_that_another_program_reads() {
    let mut compared = 0;
    for (file, protocol, channel) in [
        ("binance", "binance-spot", Channel::Trades),
        ("binance-futures", "binance-um", Channel::Trades),
        ("coinbase", "coinbase-exchange", Channel::Trades),
        ("kraken-v2", "kraken", Channel::Trades),
        ("bybit", "bybit-linear", Channel::Trades),
        ("bybit-spot", "bybit-spot", Channel::Trades),
        ("okx", "okx", Channel::Aggregates),
        ("okx", "okx", Channel::Trades),
        ("okx-swap", "okx", Channel::Aggregates),
    ] {
        let Some(path) = data(&format!("tardis-node/{file}.jsonl")) else { continue };
        let venue = venue(protocol).unwrap();
        for line in fs::read_to_string(path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let theirs = case["trades"].as_array().unwrap();
            let message = case["message"].to_string();
            // Only the last decimals of `f64` are lost by their re-serialising, not the value.
            let symbols: Vec<&str> =
                theirs.iter().map(|trade| trade["symbol"].as_str().unwrap()).collect();
            let symbols = if symbols.is_empty() { vec!["BTC/USD"] } else { symbols };
            let mut prints = Prints::default();
            let heard = venue
                .decoder(channel, listings(&symbols[..1]))
                .decode(message.as_bytes(), &mut prints);
            if prints.rows.is_empty() {
                // Protocols that their venues have given up, and the channel not asked for.
                let left = ["\"trade.", "\"topic\":\"trade\"", "/trade\"", "\"channel\":\"trades"];
                let known = theirs.is_empty() || left.iter().any(|old| message.contains(old));
                assert!(known, "{file}: {heard:?}: {message}");
                continue;
            }
            // Snapshots of Kraken are real trades; that program's policy is to pass them over.
            if theirs.is_empty() && message.contains("\"snapshot\"") {
                continue;
            }
            assert_eq!(prints.rows.len(), theirs.len(), "{message}");
            for (ours, theirs) in prints.rows.iter().zip(theirs) {
                let (id, price, qty, side, time) = expected(theirs);
                let trade = ours.trade;
                if venue.ids(channel) != Ids::Names {
                    assert_eq!(Some(trade.trade_id), id, "{message}");
                }
                assert_eq!((trade.price, trade.qty), (price, qty));
                assert_eq!((trade.aggressor, trade.event_time), (side, time));
                compared += 1;
            }
        }
    }
    assert!(compared == 0 || compared >= 15, "{compared}");
}

#[test]
fn sides_and_counts_are_those_of_a_second_program() {
    for (file, channel) in [
        ("binance", Channel::Aggregates),
        ("coinbase_pro", Channel::Trades),
        ("okx", Channel::Aggregates),
    ] {
        let Some(path) = data(&format!("crypto-msg-parser/{file}.jsonl")) else { continue };
        for line in fs::read_to_string(path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let protocol = match (file, case["market"].as_str().unwrap()) {
                ("binance", "Spot") => "binance-spot",
                ("binance", _) => "binance-um",
                ("coinbase_pro", _) => "coinbase-exchange",
                _ => "okx",
            };
            let raw = case["raw"].as_str().unwrap();
            let symbol = symbol_of(raw);
            let mut prints = Prints::default();
            let mut decoder = venue(protocol).unwrap().decoder(channel, listings(&[&symbol]));
            decoder.decode(raw.as_bytes(), &mut prints).unwrap();
            if let (Some(count), false) = (case["n_trades"].as_u64(), prints.rows.is_empty()) {
                assert_eq!(prints.rows.len() as u64, count);
            }
            let Some(side) = case["first_trade"]["side"].as_str() else { continue };
            let Some(first) = prints.rows.first() else { continue };
            let theirs = match (side, file) {
                // Its Coinbase side is the wire's, the maker's.
                ("Buy", "coinbase_pro") | ("Sell", "binance" | "okx") => Aggressor::Seller,
                _ => Aggressor::Buyer,
            };
            assert_eq!(first.trade.aggressor, theirs, "{raw}");
        }
    }
}

fn symbol_of(raw: &str) -> String {
    let keys = ["\"s\":\"", "\"product_id\":\"", "\"instId\":\""];
    let found = keys.iter().find_map(|key| raw.split_once(key));
    found.map_or("", |(_, rest)| rest.split('"').next().unwrap()).to_owned()
}

#[test]
fn single_messages_of_the_documents_are_read() {
    let read = |file: &str, protocol: &str, channel, symbols: &[&str]| {
        let path = data(&format!("fixtures/{file}"))?;
        let mut prints = Prints::default();
        let mut decoder = venue(protocol).unwrap().decoder(channel, listings(symbols));
        let heard = decoder.decode(&fs::read(path).unwrap(), &mut prints).unwrap();
        Some((heard, prints))
    };
    let trades = Channel::Trades;
    // The documents' invented times (1970, a topic without its prefix) make bad rows, not trades.
    if let Some((_, prints)) =
        read("binance/trade_stream.json", "binance-spot", trades, &["BTCUSDT"])
    {
        assert_eq!((prints.bad[0].field, prints.bad[0].id), ("time", Some(5933014)));
    }
    let aggregates = Channel::Aggregates;
    let file = "binance/agg_trade_stream.json";
    if let Some((_, prints)) = read(file, "binance-um", aggregates, &["BTCUSDT"]) {
        assert_eq!((prints.bad[0].field, prints.bad[0].id), ("time", Some(5933014)));
    }
    if let Some((_, prints)) =
        read("coinbase/ws_market_trades.json", "coinbase", trades, &["BTC-USD"])
    {
        assert_eq!(prints.rows.len(), 2);
        assert_eq!(prints.rows[0].trade.aggressor, Aggressor::Seller);
    }
    if let Some((heard, _)) = read("coinbase/ws_heartbeats.json", "coinbase", trades, &["BTC-USD"])
    {
        assert_eq!(heard, FrameKind::Alive);
    }
    if let Some((_, prints)) = read("kraken/ws_trade_update.json", "kraken", trades, &["BTC/USD"]) {
        assert_eq!(prints.rows.len(), 2);
        assert_eq!(prints.rows[0].trade.price, 105944.2);
    }
    if let Some((heard, _)) = read("kraken/ws_pong.json", "kraken", trades, &["BTC/USD"]) {
        assert_eq!(heard, FrameKind::Alive);
    }
    if let Some((heard, _)) =
        read("bybit/ws_subscription_failure.json", "bybit-linear", trades, &["BTCUSDT"])
    {
        assert!(matches!(heard, FrameKind::Refused(said) if said.said.contains("Invalid topic")));
    }
    if let Some((_, prints)) = read("okx/ws_trades.json", "okx", aggregates, &["BTC-USD"]) {
        assert_eq!((prints.rows[0].trade.trade_id, prints.rows[0].trade.count), (130639474, 3));
    }
}

#[test]
fn rest_pages_of_the_documents_are_read() {
    for (file, protocol, symbol, rows) in [
        ("binance/trades_response.json", "binance-spot", "BTCUSDT", 1),
        ("bybit/http_get_trades_recent.json", "bybit-linear", "BTCUSDT", 1),
        ("kraken/http_trades.json", "kraken", "XBT/USDT", 1_000),
        ("okx/http_get_trades.json", "okx", "BTC-USDT", 2),
    ] {
        let Some(path) = data(&format!("fixtures/{file}")) else { continue };
        let mut prints = Prints::default();
        let listing = &listings(&[symbol])[0];
        venue(protocol)
            .unwrap()
            .read_backfill(Channel::Trades, 0, listing, &fs::read(path).unwrap(), &mut prints)
            .unwrap();
        assert_eq!((prints.rows.len(), prints.bad.len()), (rows, 0), "{file}");
        if protocol != "bybit-linear" {
            assert_consecutive(&prints.rows);
        }
    }
}
