//! The end of the input: the bar that is open is counted, closed if its time is over, and written if
//! asked for; a specification that made no bar has its line too.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::process::output;

/// A day of trades every `step` seconds, the last one well before midnight; ids run on.
fn day(folder: &Path, date: u64, step: u64, first_id: u64) -> (PathBuf, u64) {
    let path = folder.join(format!("BTCUSDT-trades-2024-03-{date:02}.csv"));
    let start = 1_709_251_200 + (date - 1) * 86_400;
    let times = (start..start + 86_400 - 600).step_by(step as usize);
    let rows: Vec<String> = times
        .zip(first_id..)
        .map(|(time, id)| {
            let (price, maker) = (100 + id % 7, if id % 3 == 0 { "True" } else { "False" });
            format!("{id},{price}.5,2.0,1.0,{},{maker},True\n", time * 1000)
        })
        .collect();
    fs::write(&path, rows.concat()).unwrap();
    (path, rows.len() as u64)
}

fn replay(files: &[&Path], more: &[&str]) -> (Vec<Value>, String) {
    let mut arguments = vec!["replay"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    arguments.extend(["--instrument", "binance:spot:BTCUSDT"]);
    arguments.extend(more);
    let made = output(&arguments, None);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    let lines = String::from_utf8(made.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

/// 2024-03-01T12:00:00Z.
const NOON: i64 = 1_709_294_400_000_000_000;

fn ticks(bars: &[Value]) -> u64 {
    bars.iter().map(|bar| bar["ticks"].as_u64().unwrap()).sum()
}

#[test]
fn the_open_bar_is_counted_and_written_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (day, trades) = day(folder.path(), 1, 7, 1);
    let bars = ["--bar", "t=tick,size=5000", "--bar", "far=imbalance,target=500000"];
    for threads in ["1", "3"] {
        let more = [&bars[..], &["--parallel", threads, "--batch-rows", "100"]].concat();
        let (made, said) = replay(&[&day], &more);
        let open = trades - ticks(&made);
        assert!(open > 0);
        let comma = |n: u64| format!("{},{:03}", n / 1000, n % 1000);
        let line = format!("binance:spot:BTCUSDT t: {} bars, median ", made.len());
        assert!(said.contains(&line), "{said}");
        assert!(said.contains(&format!("; 1 bar still open, {} trades", comma(open))), "{said}");
        let left =
            format!("far: no bars; the warm-up needs {} more trades", comma(500_000 - trades));
        assert!(said.contains(&left), "{said}");

        let (flushed, said) = replay(&[&day], &[&more[..], &["--flush"]].concat());
        assert_eq!(ticks(&flushed), trades, "{said}");
        assert!(!said.contains("still open"), "{said}");
        assert_eq!(flushed[..made.len()], made);
        assert_eq!(flushed.last().unwrap()["close_reason"], "end");
        assert_eq!(flushed.last().unwrap()["ticks"], open);
    }
}

#[test]
fn an_interval_that_is_over_by_the_end_of_the_day_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, trades) = day(folder.path(), 1, 7, 1);
    let (second, _) = day(folder.path(), 2, 7, trades + 1);
    let bars = ["--bar", "h=time,every=1h", "--bar", "long=time,every=7d"];
    let (both, _) = replay(&[&first, &second], &bars);
    for threads in ["1", "2"] {
        let more = [&bars[..], &["--parallel", threads, "--batch-rows", "100"]].concat();
        let (one, said) = replay(&[&first], &more);
        assert_eq!(one.len(), 24, "{said}");
        assert_eq!(ticks(&one), trades);
        assert_eq!(one[..], both[..24], "the bars that a longer history has");
        assert!(said.contains("long: no bars; 1 bar still open"), "{said}");
    }
    // Half a day is known up to its end, a file without a date in its name only up to its last trade.
    let half = [&bars[..], &["--to", "2024-03-01T12:00"]].concat();
    // Its last bar is known at the end of the input, not with a trade that never came.
    let mut expected = both[..12].to_vec();
    assert!(expected[11]["known_time"].as_i64().unwrap() > NOON);
    expected[11]["known_time"] = NOON.into();
    assert_eq!(replay(&[&first], &half).0, expected);
    let nameless = folder.path().join("trades.csv");
    fs::copy(&first, &nameless).unwrap();
    assert_eq!(replay(&[&nameless], &bars).0[..], both[..23]);
}

#[test]
fn a_job_day_by_day_makes_the_bars_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (first, trades) = day(folder.path(), 1, 60, 1);
    let (second, _) = day(folder.path(), 2, 60, trades + 1);
    let whole = fs::read_to_string(&first).unwrap();
    let bars = ["--bar", "h=time,every=1h", "--bar", "d=time,every=1d", "--bar", "t=tick,size=7"];
    let job = |out: &str, files: &[&Path]| {
        let out = folder.path().join(out);
        let to = ["--delivery", "exactly-once", "--out", out.to_str().unwrap()];
        replay(files, &[&bars[..], &to].concat());
        // Where a run ends, bars of one specification come before those of another.
        let spec = |line: &String| serde_json::from_str::<Value>(line).unwrap()["spec"].to_string();
        let lines = fs::read_to_string(out).unwrap();
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort_by_key(spec);
        lines
    };
    let at_once = job("once.jsonl", &[&first, &second]);
    // The file of today is read in the middle of an hour, and has grown when it is read again.
    let half: Vec<&str> = whole.split_inclusive('\n').take(700).collect();
    fs::write(&first, half.concat()).unwrap();
    job("days.jsonl", &[&first]);
    fs::write(&first, whole).unwrap();
    job("days.jsonl", &[&first]);
    assert_eq!(job("days.jsonl", &[&first, &second]), at_once);
    // Without a job there is no later run: the day that the name says is over then.
    let (made, _) = replay(&[&first, &second], &bars);
    assert_eq!(made.len(), at_once.len() + 2);
}

#[test]
fn a_job_that_continues_after_a_flush_has_every_trade_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, trades) = day(folder.path(), 1, 60, 1);
    let (second, more_trades) = day(folder.path(), 2, 60, trades + 1);
    let out = folder.path().join("bars.jsonl");
    let out = out.to_str().unwrap();
    let more = ["--bar", "t=tick,size=1000", "--delivery", "exactly-once", "--out", out, "--flush"];
    let read = || -> Vec<Value> {
        let lines = fs::read_to_string(out).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    replay(&[&first], &more);
    assert_eq!(ticks(&read()), trades);
    let before = read();
    // The same again changes nothing.
    replay(&[&first], &more);
    assert_eq!(read(), before);
    replay(&[&first, &second], &more);
    let bars = read();
    assert_eq!(bars[..before.len()], before);
    assert_eq!(ticks(&bars), trades + more_trades);
    let last_of = |bar: &Value| bar["last_trade_id"].as_u64().unwrap();
    for pair in bars.windows(2) {
        assert_eq!(last_of(&pair[0]) + 1, pair[1]["first_trade_id"].as_u64().unwrap());
    }
}

#[test]
fn bars_that_are_not_what_their_target_says_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (day, _) = day(folder.path(), 1, 7, 1);
    let (_, said) = replay(&[&day], &["--bar", "p=imbalance,threshold=product,target=100"]);
    assert!(said.contains("p: threshold = product has no stable bar length"), "{said}");
    let (_, said) = replay(&[&day], &["--bar", "a=imbalance,target=100,alpha=0.0001"]);
    assert!(said.contains("a: alpha × target = 0.010"), "{said}");
    let (_, said) = replay(&[&day], &["--bar", "w=imbalance,warmup=100000"]);
    assert!(said.contains("shorter than the warm-up of 100000 trades by 87742"), "{said}");
    let (_, said) = replay(&[&day], &["--bar", "one=runs,target=4000"]);
    assert!(said.contains("one: one bar has") && said.contains("of a day's trades"), "{said}");

    let config = folder.path().join("bars.toml");
    fs::write(&config, "[bars.a]\nkind = \"imbalance\"\ntarget = 100\nalpha = 0.0001\n").unwrap();
    let checked = output(&["check", config.to_str().unwrap()], None);
    assert!(checked.status.success());
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("warning: a: alpha × target = 0.010"), "{said}");
}

#[test]
fn an_interval_without_trades_has_a_bar_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (day, trades) = day(folder.path(), 1, 150, 1);
    let bars = ["--bar", "m=time,every=1m", "--empty-bars"];
    let (one_pass, said) = replay(&[&day], &bars);
    // From the first trade to midnight, which the name of the file promises.
    assert_eq!(one_pass.len(), 24 * 60, "{said}");
    assert_eq!(ticks(&one_pass), trades);
    for (pair, seq) in one_pass.windows(2).zip(1..) {
        assert_eq!(pair[1]["seq"], seq);
        if pair[1]["ticks"] == 0 {
            for price in ["open", "high", "low", "close", "vwap"] {
                assert_eq!(pair[1][price], pair[0]["close"]);
            }
            assert_eq!(pair[1]["volume"], 0.0);
            assert_eq!(pair[1]["last_trade_id"], pair[0]["last_trade_id"]);
        }
    }
    let more = [&bars[..], &["--parallel", "3", "--batch-rows", "20"]].concat();
    assert_eq!(replay(&[&day], &more).0, one_pass);
    let config = folder.path().join("bars.toml");
    fs::write(&config, "[bars.m]\nkind = \"time\"\nevery = \"1m\"\nempty_bars = true\n").unwrap();
    let by_key = replay(&[&day], &["--config", config.to_str().unwrap()]).0;
    assert_eq!(by_key, one_pass);
    let (without, _) = replay(&[&day], &bars[..2]);
    assert_eq!(without.len() as u64, trades);

    let day = day.to_str().unwrap();
    let refused = output(&["replay", day, "--bar", "t=tick,size=5", "--empty-bars"], None);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only time bars can be empty"));
}
