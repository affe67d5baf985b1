//! What a venue refuses costs nobody else anything: symbols that it does not list, added feeds that do
//! not come up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::live::{Simulator, listen, words};
use crate::support::members::free_addresses;
use crate::support::process::{Process, barflow, until};
use crate::support::scripted::{ScriptedVenue, binance, rows};
use crate::support::servers::answering;
use crate::support::simulator::get;

/// Every protocol that answers subscriptions, and two instruments of it.
const PROTOCOLS: [(&str, &str, [&str; 2]); 6] = [
    ("kraken", "kraken:spot:BTC-USD", ["BTC-USD", "BTC-USD2"]),
    ("coinbase", "coinbase:spot:BTC-USD", ["BTC-USD", "BTC-USD2"]),
    ("coinbase-exchange", "coinbase:spot:BTC-USD", ["BTC-USD", "BTC-USD2"]),
    ("bybit-spot", "bybit:spot:BTCUSDT", ["BTCUSDT", "BTCUSDT2"]),
    ("bybit-linear", "bybit:linear:BTCUSDT", ["BTCUSDT", "BTCUSDT2"]),
    ("okx", "okx:spot:BTC-USDT", ["BTC-USDT", "BTC-USDT2"]),
];

/// A day of synthetic trades.
fn day(folder: &Path, trades: u32) -> PathBuf {
    let mut command = barflow();
    command.args(["synth", "--out"]).arg(folder).args(["--date", "2024-03-01"]);
    let made = command.args(["--trades", &trades.to_string()]).output().unwrap();
    assert!(made.status.success());
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|e| e == "zip")).unwrap()
}

fn made(bars: &[String], symbol: &str) -> usize {
    bars.iter().filter(|bar| bar.contains(&format!("\"symbol\":\"{symbol}\""))).count()
}

fn configuration(path: &Path, feeds: &[(&str, &str, &[&str], &str)]) {
    let mut text = "[bars.t]\nkind = \"tick\"\nsize = 5\n".to_owned();
    for (name, protocol, instruments, more) in feeds {
        text += &format!(
            "[feeds.{name}]\nvenue = {protocol:?}\ninstruments = {instruments:?}\n{more}\n"
        );
    }
    fs::write(path, text).unwrap();
}

/// Kraken with one instrument, and the settings of a feed that listens to it.
fn kraken(folder: &Path) -> (Simulator, String) {
    let arguments = words("--protocol kraken --instrument kraken:spot:BTC-USD --rate 200");
    let simulator = Simulator::start(&arguments, &[&day(folder, 30_000)]);
    let here = format!("websocket = \"ws://{0}\"\nrest = \"http://{0}\"", simulator.address);
    (simulator, here)
}

#[test]
fn a_symbol_that_is_delisted_is_set_aside_and_asked_for_until_it_is_listed_again() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 40_000);
    std::thread::scope(|scope| {
        for (protocol, instrument, symbols) in PROTOCOLS {
            let day = day.as_path();
            scope.spawn(move || {
                // Ten seconds: the first attempt, and the one 5 s later.
                let faults = "--rate 300 --copies 2 --faults delist=600:3000";
                let mut arguments = vec!["--protocol", protocol, "--instrument", instrument];
                arguments.extend(words(faults));
                let simulator = Simulator::start(&arguments, &[day]);
                let both = symbols.join(",");
                let mut live = listen(&[
                    "--venue",
                    protocol,
                    "--instrument",
                    &both,
                    "--at",
                    &simulator.address,
                    "--bar",
                    "t=tick,size=5",
                ]);
                live.wait_until_it_says("the venue refuses this instrument");
                let (before, other) =
                    (made(live.bars(), symbols[0]), made(live.bars(), symbols[1]));
                live.wait_until("the other continues meanwhile", |live| {
                    made(live.bars(), symbols[0]) > before + 20
                });
                live.wait_until_it_says("the venue takes an instrument that it had refused");
                live.wait_until("it makes bars again", |live| {
                    made(live.bars(), symbols[1]) > other + 5
                });
                let (code, _, said) = live.stop();
                assert_eq!(code, Some(0), "{said}");
                // On the standing connection: the one that was closed is the only one that was lost.
                assert!(
                    said.contains("2 connections, 0 failed attempts, 1 lost"),
                    "{protocol}: {said}"
                );
            });
        }
    });
}

#[test]
fn a_job_begins_with_the_symbols_that_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 20_000);
    for (protocol, instrument, [listed, _]) in PROTOCOLS {
        let arguments = ["--protocol", protocol, "--instrument", instrument, "--rate", "300"];
        let simulator = Simulator::start(&arguments, &[&day]);
        // More than one message of most venues, refused symbols at its beginning, middle and end.
        let dash = if listed.contains('-') { "-USDX" } else { "USDX" };
        let wrong: Vec<String> = (0..13).map(|n| format!("NONE{n}{dash}")).collect();
        let mut symbols: Vec<&str> = wrong.iter().map(String::as_str).collect();
        symbols.insert(5, listed);
        let metrics = free_addresses(1).remove(0);
        let mut live = listen(&[
            "--venue",
            protocol,
            "--instrument",
            &symbols.join(","),
            "--at",
            &simulator.address,
            "--bar",
            "t=tick,size=5",
            "--metrics",
            &metrics,
        ]);
        live.wait_until("bars of the one that is listed", |live| made(live.bars(), listed) > 5);
        let shown = until(Duration::from_secs(60), || {
            let (_, _, body) = get(metrics.parse().unwrap(), "/metrics", ("Accept", "*/*"));
            let named = |symbol: &&String| {
                let named =
                    |line: &&str| line.contains(&format!(":{symbol}\"")) && line.ends_with(" 1");
                body.lines()
                    .filter(|line| line.starts_with("barflow_feed_refused{"))
                    .any(|l| named(&l))
            };
            wrong.iter().all(|symbol| named(&symbol)).then_some(())
        });
        let (code, _, said) = live.stop();
        assert!(shown.is_some(), "{protocol}: {said}");
        assert_eq!(code, Some(0), "{said}");
        for symbol in &wrong {
            assert!(said.contains(&format!(":{symbol}: ")), "{protocol} {symbol}: {said}");
        }
    }
}

#[test]
fn what_is_added_and_does_not_come_up_is_named_and_what_ran_continues() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("live.toml");
    let (_simulator, kraken) = kraken(folder.path());
    let here = format!("{kraken}\nconnect_timeout = \"300ms\"");
    configuration(&config, &[("k", "kraken", &["BTC-USD"], &here)]);
    let mut live = listen(&["--config", config.to_str().unwrap()]);
    live.wait_for(5);
    // A symbol that is not listed, a feed whose host is away, one whose host refuses us, one whose key is
    // not there.
    let forbidding = answering(b"HTTP/1.1 451 No\r\ncontent-length: 0\r\n\r\n");
    let away = "websocket = \"ws://127.0.0.1:9\"\nconnect_timeout = \"300ms\"";
    let forbidden = format!("websocket = \"ws://{forbidding}\"\nconnect_timeout = \"300ms\"");
    let keyless = format!("{here}\napi_key = \"${{NO_SUCH_KEY_AT_ALL}}\"");
    configuration(
        &config,
        &[
            ("k", "kraken", &["BTC-USD", "ETH-USD"], &here),
            ("away", "binance-spot", &["BTCUSDT"], away),
            ("forbidden", "binance-um", &["BTCUSDT"], &forbidden),
            ("keyless", "binance-spot", &["ETHUSDT"], &keyless),
        ],
    );
    live.signal("HUP");
    for said in
        ["feed=away", "HTTP 451", "NO_SUCH_KEY_AT_ALL", "Currency pair not supported ETH/USD"]
    {
        live.wait_until_it_says(said);
    }
    // Longer than the patience of a first start.
    let before = live.bars().len();
    live.wait_for(before + 60);
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("feed away") && said.contains("never connected: could not connect"),
        "{said}"
    );
    assert!(said.contains("refused: kraken:spot:ETH-USD: "), "{said}");
    assert_eq!(made(&bars, "BTC-USD"), bars.len());
}

#[test]
fn a_start_fails_only_if_no_feed_comes_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("live.toml");
    let (_simulator, here) = kraken(folder.path());
    let away = "websocket = \"ws://127.0.0.1:9\"\nconnect_timeout = \"100ms\"";
    let good: (&str, &str, &[&str], &str) = ("good", "kraken", &["BTC-USD"], &here);
    let refused: (&str, &str, &[&str], &str) =
        ("refused", "kraken", &["ETH-USD", "LTC-USD"], &here);
    let away: (&str, &str, &[&str], &str) = ("away", "binance-spot", &["BTCUSDT"], away);
    configuration(&config, &[good, refused, away]);
    let start = || listen(&["--config", config.to_str().unwrap()]);
    let mut live = start();
    live.wait_for(20);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("refused: kraken:spot:LTC-USD: "), "{said}");
    for (feeds, code) in [(&[refused][..], 2), (&[away][..], 3)] {
        configuration(&config, feeds);
        let (found, said) = start().finish();
        assert_eq!(found, Some(code), "{said}");
    }
    configuration(&config, &[refused, away]);
    let (found, said) = start().finish();
    assert!(matches!(found, Some(2 | 3)), "{said}");
}

#[test]
fn a_run_for_a_time_that_never_connected_fails() {
    let run = |address: &str| -> (Option<i32>, String) {
        let mut command = barflow();
        command.args(["live", "--venue", "binance-spot", "--instrument", "BTCUSDT", "--for", "5s"]);
        Process::start({
            command.args(["--at", address]);
            command
        })
        .finish()
    };
    let (code, said) = run("127.0.0.1:9");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no feed connected within 5s") && said.contains("127.0.0.1:9"), "{said}");
}

/// Binance takes subscriptions to anything, so that only its REST says what there is.
#[test]
fn a_symbol_that_binance_does_not_list_is_set_aside_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 20_000);
    for protocol in ["binance-spot", "binance-um"] {
        let instrument = format!("{}:BTCUSDT", protocol.replace('-', ":"));
        let arguments = ["--protocol", protocol, "--instrument", &instrument, "--rate", "300"];
        let simulator = Simulator::start(&arguments, &[&day]);
        let live = |symbols: &str, more: &[&str]| {
            let at = ["--venue", protocol, "--instrument", symbols, "--at", &simulator.address];
            listen(&[&at[..], &["--bar", "t=tick,size=5"], more].concat())
        };
        let mut both = live("BTCUSDT,BTCUSTD", &[]);
        both.wait_until_it_says("the venue does not list this instrument");
        both.wait_for(20);
        let (code, _, said) = both.stop();
        assert_eq!(code, Some(0), "{said}");
        let refused = format!("refused: {}:BTCUSTD: not among", protocol.replace('-', ":"));
        assert!(said.contains(&refused), "{said}");
        assert_eq!(said.matches("does not list").count(), 1, "{said}");
        // Nothing would ever come.
        let (code, said) = live("BTCUSTD", &[]).finish();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("the venue lists none of its symbols: BTCUSTD"), "{said}");
    }
}

/// A symbol that is not listed may come to trade later.
#[test]
fn an_unlisted_symbol_that_trades_counts() {
    let venue = ScriptedVenue::listing("ETHUSDT", vec![binance(&rows(1..=20))]);
    let symbols = ["--venue", "binance-spot", "--instrument", "BTCUSDT,ETHUSDT"];
    let mut live =
        listen(&[&symbols[..], &["--at", &venue.address, "--bar", "t=tick,size=1"]].concat());
    live.wait_for(20);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("refused: "), "{said}");
}
