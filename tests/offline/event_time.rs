//! Bars of several instruments leave in the order of event time, and are the same bars.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::days::{SYMBOLS, bars, of_all_symbols, synth};
use crate::support::process::{run, told};

/// Known time, instrument, specification.
type Place = (i64, String, String);

/// Lines of a file, and each bar's place.
fn read(folder: &Path, name: &str) -> Vec<(Place, String)> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let place = |line: &str| {
        let bar: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| bar[key].as_str().unwrap().to_owned();
        (bar["known_time"].as_i64().unwrap(), text("instrument"), text("spec"))
    };
    text.lines().map(|line| (place(line), line.to_owned())).collect()
}

fn replay(folder: &Path, out: &str, more: &[&str]) -> String {
    let mut all = vec!["replay", "--out", out];
    bars().for_each(|bar| all.push(bar));
    all.extend(more);
    told(folder, 0, &all)
}

/// Bars by instrument and specification, in their order.
fn by_series(bars: &[(Place, String)]) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut series: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for ((_, instrument, spec), line) in bars {
        series.entry((instrument, spec)).or_default().push(line);
    }
    series
}

fn is_in_order(bars: &[(Place, String)]) -> bool {
    bars.is_sorted_by(|a, b| a.0 <= b.0)
}

#[test]
fn bars_of_several_instruments_leave_in_the_order_of_event_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    of_all_symbols(at, 8_000);
    replay(at, "one-by-one.jsonl", &["days", "--order", "instrument"]);
    let before = read(at, "one-by-one.jsonl");
    assert!(!is_in_order(&before), "nothing to be put in order");
    assert_eq!(by_series(&before).len(), SYMBOLS.len() * 3);
    // It is the default into one file, whatever the batches and the delivery.
    for (name, more) in [
        ("usual.jsonl", &[][..]),
        ("small.jsonl", &["--batch-rows", "100"]),
        ("once.jsonl", &["--delivery", "exactly-once", "--commit-interval", "1ms"]),
        ("said.jsonl", &["--order", "event-time", "--workers", "1"]),
        ("from-parquet.jsonl", &["--order", "event-time"]),
    ] {
        if name == "from-parquet.jsonl" {
            let kept = [
                "replay",
                "days",
                "--sink",
                "none",
                "--sink-trades",
                "kept",
                "--bar",
                "t=tick,size=1000",
            ];
            told(at, 0, &kept);
            replay(at, name, &[&["kept"], more].concat());
        } else {
            replay(at, name, &[&["days"], more].concat());
        }
        let after = read(at, name);
        assert!(is_in_order(&after), "{name}");
        assert!(by_series(&after) == by_series(&before), "{name}: other bars");
    }
    assert!(read(at, "small.jsonl") == read(at, "usual.jsonl"), "another order by other batches");
    // Threads that share histories keep the former order, unless the other is asked for.
    replay(at, "parallel.jsonl", &["days", "--parallel", "2"]);
    let parallel = read(at, "parallel.jsonl");
    assert!(!is_in_order(&parallel) && by_series(&parallel) == by_series(&before));
    replay(at, "both.jsonl", &["days", "--parallel", "2", "--order", "event-time"]);
    assert!(is_in_order(&read(at, "both.jsonl")));
    // With several workers each puts its own instruments in order.
    replay(at, "workers.jsonl", &["days", "--workers", "2"]);
    assert!(by_series(&read(at, "workers.jsonl")) == by_series(&before));
}

#[test]
fn an_instrument_that_begins_late_ends_early_or_pauses_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let days = at.join("days");
    synth(&days, "--days 5 --trades 3000 --instrument binance:spot:BTCUSDT");
    synth(&days, "--days 1 --trades 3000 --instrument binance:spot:ETHUSDT");
    synth(&days, "--days 5 --trades 3000 --instrument binance:spot:SOLUSDT");
    synth(&days, "--days 5 --trades 3000 --instrument binance:spot:ADAUSDT");
    for day in 1..4 {
        fs::remove_file(days.join(format!("SOLUSDT-trades-2024-03-0{day}.zip"))).unwrap();
        let pause = days.join(format!("ADAUSDT-trades-2024-03-0{}.zip", day + 1));
        fs::remove_file(pause).unwrap();
    }
    replay(at, "one-by-one.jsonl", &["days", "--order", "instrument"]);
    replay(at, "in-order.jsonl", &["days"]);
    let (before, after) = (read(at, "one-by-one.jsonl"), read(at, "in-order.jsonl"));
    assert!(is_in_order(&after));
    assert!(by_series(&after) == by_series(&before));
    let range = ["days", "--from", "2024-03-01T12:00", "--to", "2024-03-04T12:00"];
    replay(at, "range.jsonl", &range);
    replay(at, "range-one-by-one.jsonl", &[&range[..], &["--order", "instrument"]].concat());
    let (before, after) = (read(at, "range-one-by-one.jsonl"), read(at, "range.jsonl"));
    assert!(is_in_order(&after) && !after.is_empty());
    assert!(by_series(&after) == by_series(&before));
}

/// A run that is to stop at a bad row has written all bars before it that it has made.
#[test]
fn a_bad_row_ends_the_run_with_all_bars_that_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |symbol: &str, bad: Option<u64>| {
        let row = |n: u64| {
            let price = if bad == Some(n) { "x".to_owned() } else { format!("{}", 100 + n % 7) };
            format!("{n},{price},1,{price},{},true,true\n", 1_709_251_200_000 + n * 1_000)
        };
        let rows: String = (1..=500).map(row).collect();
        fs::write(at.join(format!("{symbol}-trades-2024-03-01.csv")), rows).unwrap();
    };
    write("BTCUSDT", None);
    write("ETHUSDT", Some(300));
    let said = told(at, 1, &["replay", ".", "--bar", "t=tick,size=10", "--out", "bars.jsonl"]);
    assert!(said.contains("ETHUSDT-trades-2024-03-01.csv:300"), "{said}");
    let bars = read(at, "bars.jsonl");
    let of_eth = bars.iter().filter(|((_, instrument, _), _)| instrument.ends_with("ETHUSDT"));
    assert_eq!(of_eth.count(), 29, "{said}");
    assert!(is_in_order(&bars));
}

/// Files of few rows each, more instruments than may be open at a time, and few handles.
#[test]
fn many_instruments_need_few_file_handles() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let many = 150;
    fs::create_dir(at.join("days")).unwrap();
    for n in 0..many {
        for day in 1..=3u64 {
            let symbol = format!("S{n}USDT");
            let row = |k: u64| {
                let id = day * 1_000 + k;
                let time = 1_709_164_800_000 + day * 86_400_000 + k * 60_000 + n * 7;
                format!("{id},1.5,1,1.5,{time},true,true\n")
            };
            let rows: String = (0..300).map(row).collect();
            fs::write(at.join(format!("days/{symbol}-trades-2024-03-0{day}.csv")), rows).unwrap();
        }
    }
    let command = format!(
        "ulimit -n 200; exec {} replay days --bar t=tick,size=50 --bar h=time,every=1h --out bars.jsonl",
        env!("CARGO_BIN_EXE_barflow")
    );
    let ran =
        std::process::Command::new("bash").args(["-c", &command]).current_dir(at).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let after = read(at, "bars.jsonl");
    assert!(is_in_order(&after));
    let before = run(
        at,
        &[
            "replay",
            "days",
            "--bar",
            "t=tick,size=50",
            "--bar",
            "h=time,every=1h",
            "--order",
            "instrument",
            "--out",
            "b.jsonl",
        ],
    );
    assert!(before.status.success());
    assert!(by_series(&after) == by_series(&read(at, "b.jsonl")));
}
