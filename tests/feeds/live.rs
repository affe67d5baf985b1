//! Live against the exchange simulator, over real sockets, as processes.
//!
//! Parity plays 12,000 rows of a real day behind as many of history. Whole days, some 270,000 trades
//! through every protocol with three seeds (docs/RELIABILITY.md):
//!
//! ```sh
//! BARFLOW_WHOLE_DAYS=1 cargo test --features fault-points --test feeds every_venue -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::live::{
    DIB, Net, Simulator, assert_same, in_contracts, joining, listen, renamed, replayed, two_days,
    whole_days, words,
};
use crate::support::process::Process;

/// Every protocol, an instrument of it, and the symbol that a user writes.
const PROTOCOLS: [(&str, &str, &str); 9] = [
    ("binance-spot", "binance:spot:XBTUSD", "XBTUSD"),
    ("binance-um", "binance:um:XBTUSD", "XBTUSD"),
    ("binance-cm", "binance:cm:BTCUSD_PERP", "BTCUSD_PERP"),
    ("coinbase", "coinbase:spot:BTC-USD", "BTC-USD"),
    ("coinbase-exchange", "coinbase:spot:BTC-USD", "BTC-USD"),
    ("kraken", "kraken:spot:BTC-USD", "BTC-USD"),
    ("bybit-spot", "bybit:spot:BTCUSDT", "BTCUSDT"),
    ("bybit-linear", "bybit:linear:BTCUSDT", "BTCUSDT"),
    ("okx", "okx:spot:BTC-USDT", "BTC-USDT"),
];

/// What can go wrong on the way without a trade being lost for good.
const FAULTS: &str = "drop=0.002,duplicate=0.02,reorder=0.01,disconnect=4000,garbage=0.002,\
                      unknown=0.002,rest-429=0.1,rest-5xx=0.1";

/// Where prints have no numbers, what a standing connection drops is not seen by anybody.
const FAULTS_WITHOUT_NUMBERS: &str =
    "duplicate=0.02,disconnect=4000,garbage=0.002,unknown=0.002,rest-429=0.1,rest-5xx=0.1";

fn parity(protocol: &str, instrument: &str, symbol: &str, seed: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let days = match std::env::var_os("BARFLOW_WHOLE_DAYS") {
        Some(_) => whole_days(),
        None => two_days(folder.path(), 12_000),
    };
    let Some((mut history, mut day)) = days else { return String::new() };
    if protocol == "binance-cm" {
        history = in_contracts(&history, folder.path());
        day = in_contracts(&day, folder.path());
    }
    let expected = replayed(&[&history, &day], instrument, DIB);
    assert!(expected.len() > 40, "{}", expected.len());
    let faults = if protocol.starts_with("bybit") { FAULTS_WITHOUT_NUMBERS } else { FAULTS };
    let mut arguments = vec!["--protocol", protocol, "--instrument", instrument, "--speed", "max"];
    arguments.extend(["--faults", faults, "--seed", seed]);
    let simulator = Simulator::start(&arguments, &[&day]);
    let history = history.to_str().unwrap();
    let mut arguments =
        vec!["--venue", protocol, "--instrument", symbol, "--at", &simulator.address];
    let renamed = renamed(instrument);
    arguments.extend(["--history", history, "--history-instrument", &renamed, "--bar", DIB]);
    arguments.extend(more);
    let mut live = listen(&arguments);
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let simulator_said = simulator.stop();
    assert_same(&bars, &expected, &format!("{protocol}, seed {seed}\n{said}\n{simulator_said}"));
    println!("{protocol}, seed {seed}: {} bars equal", bars.len());
    format!("{said}\n{simulator_said}")
}

#[test]
fn every_venue_makes_the_bars_of_replay_whatever_goes_wrong_on_the_way() {
    // Most of the time is spent waiting for what the venues' limits allow.
    std::thread::scope(|scope| {
        for (protocol, instrument, symbol) in PROTOCOLS {
            scope.spawn(move || {
                for seed in ["1", "2", "3"] {
                    parity(protocol, instrument, symbol, seed, &[]);
                }
            });
        }
    });
}

#[test]
fn a_run_with_a_history_says_from_which_trade_on_it_is_equal_to_a_late_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let Some((history, day)) = two_days(folder.path(), 12_000) else { return };
    let instrument = "binance:spot:XBTUSD";
    let digests = |files: &[&Path]| -> BTreeSet<(u64, String)> {
        let bars = replayed(files, instrument, DIB);
        let bars = bars.iter().map(|bar| serde_json::from_str::<serde_json::Value>(bar).unwrap());
        bars.map(|bar| (bar["last_trade_id"].as_u64().unwrap(), bar["state_digest"].to_string()))
            .collect()
    };
    let (long, late) = (digests(&[&history, &day]), digests(&[&day]));
    let (first, _) = long.intersection(&late).next().unwrap();
    let rows = fs::read_to_string(&day).unwrap();
    let began: u64 = rows.split(',').next().unwrap().parse().unwrap();
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--speed", "max"], &[&day]);
    let mut live = simulator
        .listen(&format!("--history {} --bar {DIB} --bar t=tick,size=100", history.display()));
    live.wait_for(long.len() + 240);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let words = format!(
        "a builder started at the first live trade has converged with the history from trade \
         {first} on"
    );
    let told: Vec<&str> = said.lines().filter(|line| line.contains(&words)).collect();
    // In the log as it happens, and in the summary.
    assert_eq!(told.len(), 2, "{words}\n{said}");
    let after = format!("after {} trades", first - began + 1);
    assert!(told.iter().all(|line| line.contains(&after)), "{after}\n{said}");
    // Bars of a fixed size meet by chance only: nothing is said of them.
    assert_eq!(said.matches("has converged with the history").count(), 2, "{said}");
}

#[test]
fn two_workers_make_the_same_bars() {
    let (protocol, instrument, symbol) = PROTOCOLS[0];
    parity(protocol, instrument, symbol, "4", &["--workers", "2"]);
}

#[test]
fn a_history_that_waits_for_more_rows_comes_before_live_trades_without_ids() {
    // Of so few rows all wait for a smaller id that might come; live prints have no ids to compare.
    let folder = tempfile::tempdir().unwrap();
    let Some((history, day)) = two_days(folder.path(), 600) else { return };
    let (instrument, bar) = ("bybit:linear:BTCUSDT", "t=tick,size=50");
    let expected = replayed(&[&history, &day], instrument, bar);
    let simulator = ["--protocol", "bybit-linear", "--instrument", instrument, "--speed", "max"];
    let simulator = Simulator::start(&simulator, &[&day]);
    let mut arguments = vec!["--venue", "bybit-linear", "--instrument", "BTCUSDT", "--bar", bar];
    arguments.extend(["--at", &simulator.address, "--history", history.to_str().unwrap()]);
    let renamed = renamed(instrument);
    arguments.extend(["--history-instrument", &renamed]);
    let mut live = listen(&arguments);
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_same(&bars, &expected, &said);
}

#[test]
fn the_bars_of_a_history_do_not_wait_for_the_first_live_trade() {
    let folder = tempfile::tempdir().unwrap();
    let Some((history, _)) = two_days(folder.path(), 600) else { return };
    let bar = "t=tick,size=50";
    let expected = replayed(&[&history], "binance:spot:XBTUSD", bar);
    // Nobody listens there, and the feed tries again for a minute.
    let mut arguments = vec!["--venue", "binance-spot", "--instrument", "XBTUSD", "--bar", bar];
    arguments.extend(["--at", "127.0.0.1:9", "--history", history.to_str().unwrap()]);
    let mut live = listen(&arguments);
    live.wait_for(expected.len());
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_same(&bars, &expected, &said);
}

#[test]
fn what_no_rest_has_is_a_gap_on_the_ledger_and_on_the_bar() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 12_000) else { return };
    let simulator = Simulator::start(
        &words("--protocol binance-spot --speed max --faults gap=0.0003:7 --seed 5"),
        &[&day],
    );
    let gaps = folder.path().join("gaps.jsonl");
    let mut live = simulator.listen(&format!("--gaps {} --bar t=tick,size=100", gaps.display()));
    live.wait_for(110);
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let missing = |line: &String| {
        let bar: serde_json::Value = serde_json::from_str(line).unwrap();
        bar["missing_ids"].as_u64().unwrap()
    };
    let on_bars: u64 = bars.iter().map(missing).sum();
    let ledger = fs::read_to_string(&gaps).unwrap();
    let lines: Vec<serde_json::Value> =
        ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let noted = |line: &serde_json::Value| {
        line["last_missing"].as_u64().unwrap() - line["first_missing"].as_u64().unwrap() + 1
    };
    let on_ledger: u64 = lines.iter().map(noted).sum();
    assert!(on_bars > 0 && lines.iter().all(|line| line["instrument"] == "binance:spot:XBTUSD"));
    assert!(on_ledger >= on_bars, "{on_ledger} on the ledger, {on_bars} on bars\n{said}");
    assert!(said.contains("trades are missing"), "{said}");
}

#[test]
fn bars_that_do_not_wait_for_missing_trades_are_corrected_to_those_of_replay() {
    // Rows that are no trades between market participants are among what REST brings.
    for (protocol, instrument, symbol) in [PROTOCOLS[0], PROTOCOLS[1], PROTOCOLS[8]] {
        let folder = tempfile::tempdir().unwrap();
        let Some((history, day)) = two_days(folder.path(), 12_000) else { return };
        let wanted = replayed(&[&history, &day], instrument, DIB);
        let mut arguments = vec!["--protocol", protocol, "--instrument", instrument];
        let faults = "--faults drop=0.003,duplicate=0.02,reorder=0.01,rest-5xx=0.1 --seed 9";
        arguments.extend(words(faults).into_iter().chain(["--speed", "max"]));
        let simulator = Simulator::start(&arguments, &[&day]);
        let venue_of = ["--venue", protocol, "--instrument", symbol, "--at", &simulator.address];
        let revising = ["--on-gap", "revise", "--revision-window", "100000"];
        let renamed = renamed(instrument);
        let history = joining(&history, &renamed);
        let mut live = listen(&[&venue_of[..], &history, &revising].concat());
        let digest = |line: &String| {
            let bar: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {} {}", bar["last_trade_id"], bar["state_digest"], bar["missing_ids"])
        };
        let wanted: Vec<String> = wanted.iter().map(digest).collect();
        let mut net = Net::default();
        live.wait_until("the bars of a replay stand", |live| {
            net.take(live.bars());
            net.standing.iter().map(digest).eq(wanted.iter().cloned())
        });
        let (code, bars, said) = live.stop();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("corrections: ") && said.contains("0 refused"), "{said}");
        assert!(net.retracted > 0, "{said}");
        // Nothing that came after those bars stood was another correction.
        net.take(&bars);
        let net: Vec<String> = net.standing.iter().map(digest).collect();
        assert_eq!(net, wanted, "{protocol}\n{said}");
    }
}

#[test]
fn sigterm_ends_within_ten_seconds_even_while_the_tape_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 12_000) else { return };
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--speed", "1x"], &[&day]);
    let mut live = simulator.listen("--bar t=tick,size=1");
    live.wait_for(1);
    let asked = Instant::now();
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    // The promise is ten seconds; a busy test machine gets twice that.
    assert!(asked.elapsed() < Duration::from_secs(20));
    assert!(said.contains("stopped by SIGTERM"), "{said}");
}

#[test]
fn a_venue_that_cannot_be_reached_or_refuses_is_named_with_advice() {
    for (arguments, code, wanted) in [
        (
            &["--venue", "binance-spot", "--instrument", "BTCUSDT", "--at", "nowhere.invalid:80"][..],
            3,
            &["nowhere.invalid", "hint: check `websocket`"][..],
        ),
        (
            &["--venue", "nobody", "--instrument", "X"],
            2,
            &["\"nobody\" is not one of", "binance-spot"],
        ),
        (&["--venue", "kraken", "--instrument", "BTC/USD"], 2, &["BTC/USD"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("live.toml");
        let mut arguments = arguments.to_vec();
        // The feed's patience is a setting of files only.
        let text = format!(
            "[feeds.f]\nvenue = \"{}\"\ninstruments = [\"{}\"]\nconnect_timeout = \"300ms\"\n",
            arguments[1], arguments[3]
        );
        fs::write(&config, text).unwrap();
        arguments.drain(..4);
        let config = config.to_str().unwrap().to_owned();
        arguments.extend(["--config", &config]);
        let (found, said) = listen(&arguments).finish();
        assert_eq!(found, Some(code), "{said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{wanted:?} in {said}");
        }
    }
}

#[test]
fn instruments_and_bars_come_and_go_while_the_others_run() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 12_000) else { return };
    let arguments = ["--protocol", "binance-spot", "--rate", "250", "--copies", "2"];
    let simulator = Simulator::start(&arguments, &[&day]);
    let config = folder.path().join("live.toml");
    let text = |instruments: &str, bars: &str| {
        format!("[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [{instruments}]\n{bars}")
    };
    let tick = "[bars.t]\nkind = \"tick\"\nsize = 100\n";
    let both = "[bars.t]\nkind = \"tick\"\nsize = 100\n[bars.u]\nkind = \"tick\"\nsize = 50\n";
    fs::write(&config, text("\"XBTUSD\"", tick)).unwrap();
    let config = config.to_str().unwrap();
    let mut live = listen(&["--config", config, "--at", &simulator.address]);
    live.wait_for(5);
    fs::write(config, text("\"XBTUSD\", \"XBTUSD2\"", both)).unwrap();
    live.signal("HUP");
    let came = |bars: &[String], signs: &[&str]| {
        bars.iter().any(|bar| signs.iter().all(|sign| bar.contains(sign)))
    };
    live.wait_until("a bar of the new instrument and one of the new kind", |live| {
        let bars = live.bars();
        came(bars, &["\"XBTUSD2\"", "\"spec\":\"t\""]) && came(bars, &["\"spec\":\"u\""])
    });
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let of = |instrument: &str, spec: &str| -> Vec<u64> {
        let bars = bars.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mine = bars.filter(|bar| bar["symbol"] == instrument && bar["spec"] == spec);
        mine.map(|bar| bar["seq"].as_u64().unwrap()).collect()
    };
    let undisturbed = of("XBTUSD", "t");
    assert!(
        undisturbed.len() > 5 && undisturbed.iter().enumerate().all(|(at, seq)| at as u64 == *seq)
    );
    assert!(!of("XBTUSD", "u").is_empty() && !of("XBTUSD2", "t").is_empty(), "{said}");
}

#[test]
fn an_instrument_that_is_taken_off_the_list_ends_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_, day)) = two_days(folder.path(), 12_000) else { return };
    let arguments = ["--protocol", "binance-spot", "--rate", "250", "--copies", "2"];
    let simulator = Simulator::start(&arguments, &[&day]);
    let config = folder.path().join("live.toml");
    let bars = "[bars.t]\nkind = \"tick\"\nsize = 20\n";
    let write = |instruments: &str| {
        let feed = format!("[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [{instruments}]\n");
        fs::write(&config, feed + bars).unwrap();
    };
    write("\"XBTUSD\", \"XBTUSD2\"");
    let mut live = listen(&["--config", config.to_str().unwrap(), "--at", &simulator.address]);
    let is = |bar: &String, symbol: &str| bar.contains(&format!("\"symbol\":\"{symbol}\""));
    live.wait_until("a bar of each", |live| {
        let bars = live.bars();
        ["XBTUSD", "XBTUSD2"].iter().all(|symbol| bars.iter().any(|bar| is(bar, symbol)))
    });
    write("\"XBTUSD2\"");
    live.signal("HUP");
    live.wait_until("many bars of the other alone", |live| {
        live.bars().iter().rev().take_while(|bar| is(bar, "XBTUSD2")).count() >= 30
    });
    let (code, bars, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("instrument removed"), "{said}");
    let seq = |bar: &String| {
        serde_json::from_str::<serde_json::Value>(bar).unwrap()["seq"].as_u64().unwrap()
    };
    let other: Vec<u64> = bars.iter().filter(|bar| is(bar, "XBTUSD2")).map(seq).collect();
    assert!(other.iter().enumerate().all(|(at, seq)| at as u64 == *seq), "{other:?}");
}

/// A live run of two copies of a simulated instrument, and the file that configures it.
struct Reloaded {
    _folder: tempfile::TempDir,
    _simulator: Simulator,
    config: std::path::PathBuf,
    live: Process,
}

impl Reloaded {
    fn start(text: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (_, day) = two_days(folder.path(), 12_000)?;
        let arguments = ["--protocol", "binance-spot", "--rate", "250", "--copies", "2"];
        let simulator = Simulator::start(&arguments, &[&day]);
        let config = folder.path().join("live.toml");
        fs::write(&config, text).unwrap();
        let live = listen(&["--config", config.to_str().unwrap(), "--at", &simulator.address]);
        Some(Self { _folder: folder, _simulator: simulator, config, live })
    }

    fn save(&mut self, text: &str) {
        let new = self.config.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.config).unwrap();
        self.live.signal("HUP");
    }

    /// Waits until there are so many bars of a symbol and specification.
    fn wait_for(&mut self, symbol: &str, spec: &str, bars: usize) {
        self.live.wait_until(&format!("{bars} bars {spec} of {symbol}"), |live| {
            let is = |bar: &&String| {
                bar.contains(&format!("\"symbol\":\"{symbol}\""))
                    && bar.contains(&format!("\"spec\":\"{spec}\""))
            };
            live.bars().iter().filter(is).count() >= bars
        });
    }
}

#[test]
fn an_instrument_that_is_added_again_makes_the_bars_of_that_moment() {
    let text = |instruments: &str, bars: &str| {
        format!("[feeds.f]\nvenue = \"binance-spot\"\ninstruments = [{instruments}]\n{bars}")
    };
    let bars = |changed: u32, other: &str| {
        format!(
            "[bars.changed]\nkind = \"tick\"\nsize = {changed}\n[bars.{other}]\nkind = \"tick\"\nsize = 5\n"
        )
    };
    let both = "\"XBTUSD\", \"XBTUSD2\"";
    let Some(mut run) = Reloaded::start(&text(both, &bars(4, "gone"))) else { return };
    run.wait_for("XBTUSD2", "gone", 3);
    run.save(&text("\"XBTUSD\"", &bars(4, "gone")));
    run.live.wait_until_it_says("instrument removed");
    run.save(&text("\"XBTUSD\"", &bars(7, "new")));
    run.wait_for("XBTUSD", "new", 3);
    run.save(&text(both, &bars(7, "new")));
    run.wait_for("XBTUSD2", "new", 3);
    run.wait_for("XBTUSD2", "changed", 3);
    let (code, bars, said) = run.live.stop();
    assert_eq!(code, Some(0), "{said}");
    let bars = bars.iter().map(|bar| serde_json::from_str::<serde_json::Value>(bar).unwrap());
    let mine: Vec<_> = bars.filter(|bar| bar["symbol"] == "XBTUSD2").collect();
    let of = |bar: &&serde_json::Value, spec: &str| bar["spec"] == spec;
    let first_new = mine.iter().position(|bar| of(&bar, "new")).unwrap();
    assert!(mine[first_new..].iter().all(|bar| !of(&bar, "gone")), "{said}");
    let sizes = mine[first_new..].iter().filter(|bar| of(bar, "changed"));
    assert!(sizes.map(|bar| bar["ticks"].as_u64()).all(|size| size == Some(7)), "{said}");
}

#[test]
fn a_reload_changes_neither_the_venue_of_a_feed_nor_the_rows_of_an_instrument() {
    let text = |name: &str, feed: &str| {
        format!(
            "[feeds.{name}]\n{feed}\ninstruments = [\"XBTUSD\"]\n[bars.t]\nkind = \"tick\"\nsize = 5\n"
        )
    };
    let Some(mut run) = Reloaded::start(&text("f", "venue = \"binance-spot\"")) else { return };
    run.wait_for("XBTUSD", "t", 3);
    run.save(&text("f", "venue = \"binance-um\""));
    run.live.wait_until_it_says("another venue or channel takes effect at the next start");
    run.save(&text("g", "venue = \"binance-spot\"\nchannel = \"aggregates\""));
    run.live.wait_until_it_says("the instrument has had trades in this job");
    let before = run.live.bars().len();
    run.wait_for("XBTUSD", "t", before + 3);
    let (code, bars, said) = run.live.stop();
    assert_eq!(code, Some(0), "{said}");
    let is_same = |bar: &String| {
        bar.contains("\"instrument\":\"binance:spot:XBTUSD\"")
            && bar.contains("\"input\":\"trades\"")
    };
    assert!(bars.iter().all(is_same), "{said}");
}
