//! Recordings are held against the protocol that they are to be read by.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::barflow;

/// Frames of a recording by cryptofeed, behind the URL of its connection, if it has one.
pub(super) fn cryptofeed(folder: &Path, name: &str, url: &str, frames: &[String]) -> PathBuf {
    let mut text = String::new();
    if !url.is_empty() {
        text += &format!("{url} <-> 1709251199.5\n");
    }
    for (at, frame) in frames.iter().enumerate() {
        text += &format!("{}.25: {frame}\n", 1_709_251_200 + at);
    }
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A trade of Binance; `more` is what only one market has.
fn trade(symbol: &str, id: u64, more: &str) -> String {
    let (stream, time) = (symbol.to_lowercase(), 1_709_251_200_000 + id * 1_000);
    format!(
        r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{time},"s":"{symbol}","t":{id},"p":"100.5","q":"2","T":{time},"m":true{more}}}}}"#
    )
}

pub(super) fn trades(symbol: &str, more: &str) -> Vec<String> {
    (1..5).map(|id| trade(symbol, id, more)).collect()
}

pub(super) const SPOT: &str = r#","M":true"#;
const FUTURES: &str = r#","X":"MARKET""#;

/// Replays these; the exit code, the bars, and what was said.
pub(super) fn replay(
    protocol: &str,
    files: &[&Path],
    more: &[&str],
) -> (Option<i32>, String, String) {
    let mut command = barflow();
    command.arg("replay");
    if !protocol.is_empty() {
        command.args(["--protocol", protocol]);
    }
    let output = command.args(files).args(["--bar", "t=tick,size=1"]).args(more).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_recording_of_another_exchange_or_market_is_refused_with_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (spot, futures) = (trades("ETHUSDT", SPOT), trades("ETHUSDT", FUTURES));
    let coin = trades("ETHUSD_PERP", FUTURES);
    let quarterly = trades("BTCUSD_240628", FUTURES);
    for (name, url, frames, protocol, wanted) in [
        (
            "us",
            "wss://stream.binance.us:9443/stream?streams=x",
            &spot,
            "binance-spot",
            &["stream.binance.us", "not a host of binance-spot", "--any-host"][..],
        ),
        (
            "um",
            "wss://fstream.binance.com/stream?streams=x",
            &futures,
            "binance-spot",
            &["fstream.binance.com", "--protocol binance-um"],
        ),
        ("bare-um", "", &futures, "binance-spot", &["line 1", "field M", "--protocol binance-um"]),
        ("bare-spot", "", &spot, "binance-um", &["line 1", "field M", "--protocol binance-spot"]),
        ("bare-cm", "", &coin, "binance-spot", &["--protocol binance-cm"]),
        ("cm", "", &coin, "binance-um", &["ETHUSD_PERP", "COIN-M", "binance-cm"]),
        ("quarterly", "", &quarterly, "binance-um", &["BTCUSD_240628", "COIN-M", "binance-cm"]),
        ("um-as-cm", "", &futures, "binance-cm", &["ETHUSDT", "not a symbol of COIN-M"]),
    ] {
        let file = cryptofeed(folder, name, url, frames);
        let (code, bars, said) = replay(protocol, &[&file], &[]);
        assert_eq!((code, bars.as_str()), (Some(2), ""), "{name}: {said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{name}: {wanted} in {said}");
        }
    }
    // By the right protocol, or on request, they are read.
    for (name, protocol, more) in [
        ("us", "binance-spot", &["--any-host"][..]),
        ("um", "binance-um", &[]),
        ("bare-um", "binance-um", &[]),
        ("bare-spot", "binance-spot", &[]),
        ("cm", "binance-cm", &[]),
        ("quarterly", "binance-cm", &[]),
    ] {
        let (code, bars, said) = replay(protocol, &[&folder.join(name)], more);
        assert_eq!((code, bars.lines().count()), (Some(0), 4), "{name}: {said}");
    }
}

#[test]
fn files_without_trades_and_symbols_without_bars_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = "wss://stream.binance.com:9443/stream?streams=ethusdt@trade";
    let good = cryptofeed(folder, "good", own, &trades("ETHUSDT", SPOT));
    let bitmex =
        [r#"{"table":"trade","action":"insert","data":[{"symbol":"XBTUSD","side":"Buy"}]}"#];
    let other =
        cryptofeed(folder, "other", "wss://www.bitmex.com/realtime", &bitmex.map(str::to_owned));
    let quiet = [r#"{"result":null,"id":1}"#.to_owned()];
    let quiet = cryptofeed(folder, "quiet", own, &quiet);
    let (code, bars, said) = replay("binance-spot", &[&good, &other, &quiet], &[]);
    assert_eq!((code, bars.lines().count()), (Some(0), 4), "{said}");
    assert!(
        said.contains("other: no trades of binance-spot; recorded from www.bitmex.com"),
        "{said}"
    );
    assert!(
        said.contains("quiet: no trades of binance-spot; recorded from stream.binance.com"),
        "{said}"
    );
    assert!(!said.contains("good: no trades"), "{said}");

    let okx = |symbol: &str, id: u64| {
        format!(
            r#"{{"arg":{{"channel":"trades-all","instId":"{symbol}"}},"data":[{{"instId":"{symbol}","tradeId":"{id}","px":"100.5","sz":"2","side":"buy","ts":"1709251200000"}}]}}"#
        )
    };
    let options =
        ["30000-P", "40000-C", "50000-P", "60000-C"].map(|o| format!("BTC-USD-240628-{o}"));
    let mut frames: Vec<String> = (1..4).map(|id| okx("BTC-USDT", id)).collect();
    frames.extend(options.iter().map(|symbol| okx(symbol, 9)));
    let mixed = cryptofeed(folder, "mixed", "wss://ws.okx.com:8443/ws/v5/business", &frames);
    let (code, bars, said) = replay("okx", &[&mixed], &[]);
    assert_eq!((code, bars.lines().count()), (Some(0), 3), "{said}");
    let wanted = "left out 4 symbols (BTC-USD-240628-30000-P, BTC-USD-240628-40000-C, \
                  BTC-USD-240628-50000-P, …): options make no bars here; 4 rows";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_recording_without_its_protocol_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = "wss://stream.binance.com:9443/stream?streams=ethusdt@trade";
    for (name, url, frames, protocol) in [
        ("spot.capture", own, trades("ETHUSDT", SPOT), "binance-spot"),
        ("um.txt", "", trades("ETHUSDT", FUTURES), "binance-um"),
        ("cm.csv", "", trades("ETHUSD_PERP", FUTURES), "binance-cm"),
    ] {
        let file = cryptofeed(folder, name, url, &frames);
        let (code, _, said) = replay("", &[&file], &[]);
        assert_eq!(code, Some(2), "{name}: {said}");
        let wanted = format!("looks like a recording: `barflow replay --protocol {protocol}`");
        assert!(said.contains(&wanted), "{name}: {said}");
    }
}

/// Where trades have no ids, nothing shows what a recorder missed between two connections.
#[test]
fn reconnects_of_a_venue_without_ids_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let bybit = |id: u64| {
        let time = 1_709_251_200_000 + id * 1_000;
        format!(
            r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{time},"data":[{{"i":"{id}","T":{time},"p":"100.5","v":"1","S":"Buy","s":"BTCUSDT","BT":false,"seq":{id}}}]}}"#
        )
    };
    let frames = |ids: std::ops::Range<u64>| ids.map(bybit).collect::<Vec<_>>();
    let url = "wss://stream.bybit.com/v5/public/spot";
    let one = cryptofeed(folder.path(), "a", url, &frames(1..5));
    let two = cryptofeed(folder.path(), "b", url, &frames(9..13));
    let told = "reconnect in the recordings: bybit-spot does not number trades";
    let (code, bars, said) = replay("bybit-spot", &[&one, &two], &[]);
    assert_eq!((code, bars.lines().count()), (Some(0), 8), "{said}");
    assert!(said.contains(&format!("1 {told}")), "{said}");
    let (_, _, said) = replay("bybit-spot", &[&one], &[]);
    assert!(!said.contains(told), "{said}");
}
