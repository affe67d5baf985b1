//! Sums of the bars by day: differential views, so corrections move them as well.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::archives;
use crate::support::process::barflow;
use serde_json::Value;

type Sums = BTreeMap<(String, String), (i64, i64, i64, i64)>;

/// Replays; returns the sums of the standing bars, and those of `--daily` with the weeks beside them.
fn replay(folder: &Path, files: &[PathBuf], more: &[&str]) -> (Sums, Vec<Value>) {
    let daily = folder.join("daily.jsonl");
    let output = barflow()
        .args(["replay", "--bar", "a=imbalance,target=60,alpha=0.01,warmup=100"])
        .args(["--bar", "b=tick,size=70"])
        .arg("--daily")
        .arg(&daily)
        .args(more)
        .args(files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut sums = Sums::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let bar: Value = serde_json::from_str(line).unwrap();
        let day = bar["close_time"].as_i64().unwrap().div_euclid(86_400_000_000_000) - 19_782;
        let key = (bar["spec"].as_str().unwrap().to_owned(), format!("2024-03-{day:02}"));
        let diff = if bar["retracts"].as_bool().unwrap() { -1 } else { 1 };
        let sum = sums.entry(key).or_default();
        let of = |name: &str| bar[name].as_i64().unwrap() * diff;
        *sum =
            (sum.0 + diff, sum.1 + of("ticks"), sum.2 + of("buy_ticks"), sum.3 + of("trade_count"));
    }
    let lines = fs::read_to_string(daily).unwrap();
    (sums, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn agree((sums, told): &(Sums, Vec<Value>)) {
    let of = |line: &Value| {
        let number = |name: &str| line[name].as_i64().unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let sums = (number("bars"), number("ticks"), number("buy_ticks"), number("trades"));
        ((text("spec"), text("day")), sums)
    };
    assert_eq!(told.iter().map(of).collect::<Sums>(), *sums);
    for line in told {
        let (spec, day) = (line["spec"].as_str().unwrap(), line["day"].as_str().unwrap());
        let week = sums.iter().filter(|((s, d), _)| s == spec && d.as_str() <= day);
        let mut week: Vec<_> = week.collect();
        // Made days have no holes.
        week.drain(..week.len().saturating_sub(7));
        let (bars, ticks) = week.iter().fold((0, 0), |(b, t), (_, sum)| (b + sum.0, t + sum.1));
        assert_eq!(line["week_bars"], bars);
        assert_eq!(line["week_ticks_per_bar"].as_f64().unwrap(), ticks as f64 / bars as f64);
    }
}

#[test]
fn sums_by_day_follow_corrections() {
    let folder = tempfile::tempdir().unwrap();
    let files = archives::days(folder.path(), 1..=9, 3000);
    let plain = replay(folder.path(), &files, &[]);
    assert_eq!(plain.1.len(), 18);
    agree(&plain);
    agree(&replay(folder.path(), &files, &["--workers", "2"]));

    let mut struck = "action,trade_id,time,price,qty,side\n".to_owned();
    for id in (1500..25_000u64).step_by(977) {
        writeln!(struck, "remove,{id},,,,").unwrap();
    }
    let corrections = folder.path().join("struck.csv");
    fs::write(&corrections, struck).unwrap();
    let corrected =
        replay(folder.path(), &files, &["--corrections", corrections.to_str().unwrap()]);
    agree(&corrected);
    assert_ne!(plain.0, corrected.0, "the corrections change the days");
}
