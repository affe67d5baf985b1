//! Messages of `barflow simulator` beside those that exchanges have sent: keys, their order, types, how
//! numbers and times are written. Recordings come first; examples stand in where none was found.

use std::sync::atomic::Ordering;

use crate::support::protocols::{protocol, trades};
use crate::support::real::{compare, data, documented, example, kept, recorded};
use crate::support::shapes::Grain;
use crate::support::simulator::{Client, Received, get, options, start};
use barflow_simulator::exchange::SimulatorOptions;

/// What the simulator sends to a client that says this: all of a run, and what a client hears that comes
/// late, until all of `parts` have come.
fn ours(name: &str, path: &str, asks: &[&str], parts: &[&str]) -> Vec<String> {
    let protocol = protocol(name);
    let open = |address| {
        let mut client = Client::open(address, path);
        asks.iter().for_each(|ask| client.say(ask));
        client
    };
    let mut tape = trades(protocol, 40);
    if asks.concat().contains(r#""channel":"trades""#) {
        tape.iter_mut().for_each(|trade| trade.count = 3);
    }
    let once = SimulatorOptions { once: true, ..options("") };
    let simulator = start(protocol, tape.clone(), once);
    let mut client = open(simulator.address);
    let mut heard = Vec::new();
    while let Received::Text(text) = client.hear() {
        heard.push(text);
    }
    let simulator = start(protocol, tape, SimulatorOptions { start_now: true, ..options("") });
    while !simulator.tally.ended.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let mut client = open(simulator.address);
    for part in parts {
        heard.extend(client.until(part));
    }
    heard
}

/// The same, without those that are not meant.
fn with<'a>(heard: &'a [String], part: &str) -> Vec<&'a String> {
    heard.iter().filter(|text| text.contains(part)).collect()
}

/// What the simulator's REST answers, when all has happened.
fn listed(name: &str, path: &str) -> Vec<String> {
    let protocol = protocol(name);
    let options = SimulatorOptions { start_now: true, ..options("") };
    let simulator = start(protocol, trades(protocol, 40), options);
    while !simulator.tally.ended.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    vec![get(simulator.address, path, ("Accept", "*/*")).2]
}

const FINE: Grain = Grain::Fine;
const COARSE: Grain = Grain::Coarse;

#[test]
fn binance_spot() {
    let Some(data) = data() else { return };
    let ask = r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@aggTrade"],"id":1}"#;
    let heard = ours("binance-spot", "/stream", &[ask], &["result"]);
    let real = recorded(&data, "hftbacktest/spot/btcusdt_20240808.gz", "", r#""e":"trade""#);
    compare("trade", &with(&heard, r#""e":"trade""#), &real, FINE, &[], &[]);
    let mut real =
        recorded(&data, "cryptofeed/BINANCE-ee25be.0.zst", "binance", "aggTrade\",\"data");
    real.extend(recorded(&data, "captures/BINANCE.ws.1.capture", "binance", "aggTrade\",\"data"));
    compare("aggTrade", &with(&heard, r#""e":"aggTrade""#), &real, FINE, &[], &[]);
    let real = documented(r#"{"result":null,"id":1}"#);
    compare("ack", &with(&heard, "result"), &real, FINE, &[], &[]);
    let list = listed("binance-spot", "/api/v3/historicalTrades?symbol=BTCUSDT");
    let real = example(&data, "binance/trades_response.json");
    compare("historicalTrades", &with(&list, ""), &real, FINE, &[], &[]);
    let list = listed("binance-spot", "/api/v3/aggTrades?symbol=BTCUSDT");
    let real = documented(
        r#"[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]"#,
    );
    compare("aggTrades", &with(&list, ""), &real, FINE, &[], &[]);
}

#[test]
fn binance_futures() {
    let Some(data) = data() else { return };
    let ask = r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@aggTrade"],"id":1}"#;
    let heard = ours("binance-um", "/market/stream", &[ask], &["result"]);
    let real = recorded(&data, "hftbacktest/usdm/btcusdt_20240808.gz", "", r#""e":"trade""#);
    compare("USD-M trade", &with(&heard, r#""e":"trade""#), &real, FINE, &[], &[]);
    let file = "cryptofeed/BINANCE_FUTURES-1125a2.0.zst";
    let real = recorded(&data, file, "binance", "aggTrade\",\"data");
    let aggregates = with(&heard, r#""e":"aggTrade""#);
    compare("USD-M aggTrade", &aggregates, &real, FINE, &[], &[]);
    let wrap = |text: String| format!(r#"{{"stream":"btcusdt@aggTrade","data":{text}}}"#);
    let real = example(&data, "binance/agg_trade_stream.json").into_iter().map(wrap);
    let st =
        ("st", "newer than every recording; says whether USD-M or COIN-M, and nobody needs it");
    compare("today's aggTrade", &aggregates, &real.collect::<Vec<_>>(), COARSE, &[st], &[]);

    let ask =
        r#"{"method":"SUBSCRIBE","params":["btcusd_perp@trade","btcusd_perp@aggTrade"],"id":1}"#;
    let heard = ours("binance-cm", "/stream", &[ask], &["result"]);
    let real = recorded(&data, "hftbacktest/cm/btcusd_perp_20240808.gz", "", r#""e":"trade""#);
    compare("COIN-M trade", &with(&heard, r#""e":"trade""#), &real, FINE, &[], &[]);
    let real = kept(&data, "crypto-msg-parser/binance.jsonl", "raw", "btcusd_perp@aggTrade");
    compare("COIN-M aggTrade", &with(&heard, r#""e":"aggTrade""#), &real, FINE, &[], &[]);
}

#[test]
fn coinbase_advanced_trade() {
    let Some(data) = data() else { return };
    let asks = [
        r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"market_trades"}"#,
        r#"{"type":"subscribe","channel":"heartbeats"}"#,
    ];
    let heard = ours("coinbase", "/", &asks, &["subscriptions", "heartbeat_counter"]);
    let file = "cryptofeed/COINBASE.jsonl.zst";
    let mut real = Vec::new();
    for channel in ["market_trades", "subscriptions", "heartbeats"] {
        let part = format!(r#"{{"channel":"{channel}""#);
        let others = [
            ("candles", "the recording asks for other channels too"),
            ("level2", "the recording asks for other channels too"),
            ("ticker", "the recording asks for other channels too"),
        ];
        let others = if channel == "subscriptions" { &others[..] } else { &[] };
        let found = recorded(&data, file, "advanced-trade", &part);
        compare(channel, &with(&heard, &part), &found, FINE, others, &[]);
        real.extend(found);
    }
    // Counted from one heartbeat to the next, in ours as in real ones.
    let counter = |text: &&String| -> u64 {
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        message["events"][0]["heartbeat_counter"].as_u64().unwrap()
    };
    let beats: Vec<u64> = with(&real, "heartbeat_counter").iter().map(counter).collect();
    assert!(beats.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    let client = ("client_id", "examples have it, the newer recording has not");
    for kind in ["market_trades", "subscriptions", "heartbeats"] {
        let example = example(&data, &format!("coinbase/ws_{kind}.json"));
        assert!(example[0].contains(client.0), "{kind}: {}", client.1);
    }
    assert!(!real.iter().chain(&heard).any(|text| text.contains(client.0)), "{}", client.1);
}

#[test]
fn coinbase_exchange() {
    let Some(data) = data() else { return };
    let ask =
        r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches","heartbeat"]}"#;
    let parts = ["subscriptions", r#""type":"heartbeat""#];
    let heard = ours("coinbase-exchange", "/", &[ask], &parts);
    let file = "captures/COINBASE.ws.28.capture";
    for kind in ["match", "last_match"] {
        let part = format!(r#"{{"type":"{kind}""#);
        let real = recorded(&data, file, "coinbase", &part);
        compare(kind, &with(&heard, &part), &real, FINE, &[], &[]);
    }
    let ask = r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#;
    let acks = ours("coinbase-exchange", "/", &[ask], &["subscriptions"]);
    let real = recorded(&data, file, "coinbase", r#"{"type":"subscriptions""#);
    compare("ack", &with(&acks, "subscriptions"), &real, FINE, &[], &[]);
    let real = documented(
        r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
    );
    compare("heartbeat", &with(&heard, r#"{"type":"heartbeat""#), &real, FINE, &[], &[]);
}

#[test]
fn kraken() {
    let Some(data) = data() else { return };
    let asks = [
        r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]},"req_id":1}"#,
        r#"{"method":"ping","req_id":42}"#,
        r#"{"method":"subscribe","params":{"channel":"trade","symbol":["NO/USD"]},"req_id":2}"#,
    ];
    let heard = ours("kraken", "/v2", &asks, &["snapshot\",", "pong", "error", "heartbeat"]);
    // No recording of v2 was found: these have the shapes, with values of their own.
    let real = example(&data, "kraken/ws_trade_update.json");
    compare("trade", &with(&heard, r#"{"channel":"trade","type""#), &real, COARSE, &[], &[]);
    let real = example(&data, "kraken/ws_subscribe_response.json");
    compare("ack", &with(&heard, r#""success":true"#), &real, COARSE, &[], &[]);
    let real = example(&data, "kraken/ws_pong.json");
    compare("pong", &with(&heard, "pong"), &real, COARSE, &[], &[]);
    let real = documented(
        r#"{"error":"Currency pair not supported NO/USD","method":"subscribe","success":false,"symbol":"NO/USD","time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z","req_id":2}"#,
    );
    compare("refusal", &with(&heard, r#""success":false"#), &real, FINE, &[], &[]);
    let real = documented(r#"{"channel":"heartbeat"}"#);
    compare("heartbeat", &with(&heard, "heartbeat"), &real, FINE, &[], &[]);
    let list = listed("kraken", "/0/public/Trades?pair=BTCUSD");
    let list = vec![list[0].replace("XBTCUSD", "XBTUSDT")];
    let real = example(&data, "kraken/http_trades.json");
    compare("Trades", &with(&list, ""), &real, FINE, &[], &[]);
}

#[test]
fn bybit() {
    let Some(data) = data() else { return };
    let file = "cryptofeed/BYBIT.jsonl.zst";
    for market in ["linear", "spot"] {
        let (name, path) = (format!("bybit-{market}"), format!("/v5/public/{market}"));
        let asks = [r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#, r#"{"op":"ping"}"#];
        let heard = ours(&name, &path, &asks, &["success", "pong"]);
        let real = recorded(&data, file, &path, "\"publicTrade.");
        compare(&name, &with(&heard, "\"publicTrade."), &real, FINE, &[], &[]);
        let real = recorded(&data, file, &path, r#"{"success":true"#);
        compare("ack", &with(&heard, r#""op":"subscribe""#), &real, FINE, &[], &[]);
        let request = if market == "linear" { r#""req_id":"","# } else { "" };
        let real = documented(&format!(
            r#"{{"success":true,"ret_msg":"pong","conn_id":"4d69c3a1-e4a7",{request}"op":"ping"}}"#
        ));
        compare("pong", &with(&heard, "pong"), &real, FINE, &[], &[]);
        let asks = [r#"{"op":"subscribe","args":["publicTrade.BTCUSDT","level9.BTCUSDT"]}"#];
        let refused = ours(&name, &path, &asks, &["success"]);
        let real = example(&data, "bybit/ws_subscription_failure.json");
        let request = ("req_id", "recorded acks of linear have it, empty; the example has not");
        let request = if market == "linear" { &[request][..] } else { &[] };
        compare("refusal", &with(&refused, "success"), &real, COARSE, &[], request);
    }
    let list = listed("bybit-linear", "/v5/market/recent-trade?category=linear&symbol=BTCUSDT");
    let real = example(&data, "bybit/http_get_trades_recent.json");
    let newer = [
        ("isRPITrade", "newer than the example, as RPI is in recorded messages"),
        ("seq", "newer than the example, as seq is in recorded messages"),
        ("retExtInfo", "documented for every answer; the example leaves it out"),
    ];
    compare("recent-trade", &with(&list, ""), &real, FINE, &[], &newer);
}

#[test]
fn okx() {
    let Some(data) = data() else { return };
    let ask = r#"{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}"#;
    let heard = ours("okx", "/ws/v5/public", &[ask, "ping"], &["event", "pong"]);
    assert!(heard.iter().any(|text| text == "pong"));
    let file = "captures/OKX.ws.1.capture";
    let part = r#"{"arg":{"channel":"trades""#;
    let real = recorded(&data, file, "okx", part);
    let count = ("count", "newer than the recording; the newer example has it");
    compare("trades", &with(&heard, part), &real, FINE, &[], &[count]);
    let real = example(&data, "okx/ws_trades.json");
    compare("today's trades", &with(&heard, part), &real, COARSE, &[], &[]);
    let real = recorded(&data, file, "okx", r#"{"event":"subscribe""#);
    let connection = ("connId", "newer than the recording");
    let acks = with(&heard, r#""event":"subscribe""#);
    compare("ack", &acks, &real, FINE, &[], &[connection]);

    let ask = r#"{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}"#;
    let wrong = r#"{"op":"subscribe","args":[{"channel":"trades-all","instId":"NO-USDT"}]}"#;
    let heard = ours("okx", "/ws/v5/business", &[ask, wrong], &["error"]);
    let part = r#"{"arg":{"channel":"trades-all""#;
    let real = kept(&data, "tardis-node/okx.jsonl", "message", part);
    compare("trades-all", &with(&heard, part), &real, FINE, &[], &[]);
    let real = documented(
        r#"{"event":"error","code":"60012","msg":"Illegal request: {}","connId":"a4d3ae55"}"#,
    );
    compare("refusal", &with(&heard, "error"), &real, FINE, &[], &[]);
    let list = listed("okx", "/api/v5/market/history-trades?instId=BTC-USDT");
    let real = example(&data, "okx/http_get_trades.json");
    compare("history-trades", &with(&list, ""), &real, FINE, &[], &[]);
}
