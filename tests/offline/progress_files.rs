//! `--progress`: a file beside those of the bars that says how far they are complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::archives::day_rows;
use crate::support::process::{run, told};

const BAR: [&str; 4] = ["--bar", "t=tick,size=7", "--bar", "v=volume,size=3"];

/// Id of the last trade of the first day.
const LAST: u64 = 1_199;

/// A day of the symbol as CSV.
fn day(folder: &Path, symbol: &str, day: u64) -> String {
    let name = format!("{symbol}-trades-2024-03-{day:02}.csv");
    fs::write(folder.join(&name), day_rows(day, 200).join("\n") + "\n").unwrap();
    name
}

/// The records of a file by series.
fn records(path: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(path).unwrap();
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let name = |field: &str| record[field].as_str().unwrap().to_owned();
        (format!("{}/{}", name("instrument"), name("spec")), record)
    };
    let records: BTreeMap<String, Value> = text.lines().map(record).collect();
    assert_eq!(text.lines().count(), records.len(), "one line of each series: {text}");
    records
}

fn replay<'a>(files: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [&["replay"], files, &BAR[..], more].concat()
}

#[test]
fn a_replay_leaves_one_record_of_each_series_at_the_end_of_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (btc, eth) = (day(at, "BTCUSDT", 1), day(at, "ETHUSDT", 1));
    let bars = run(at, &replay(&[&btc, &eth], &[]));
    let bars = String::from_utf8(bars.stdout).unwrap();
    let count = |series: &str| {
        let (instrument, spec) = series.rsplit_once('/').unwrap();
        let begin = format!("{{\"spec\":\"{spec}\",\"instrument\":\"{instrument}\"");
        bars.lines().filter(|line| line.starts_with(&begin)).count() as u64
    };
    for (sink, out, file) in [
        ("jsonl", "bars.jsonl", "bars.progress.jsonl"),
        ("csv", "rows.csv", "rows.progress.jsonl"),
        ("parquet", "folder", "folder/_progress.jsonl"),
    ] {
        for delivery in ["at-least-once", "exactly-once"] {
            let more = ["--sink", sink, "--out", out, "--delivery", delivery, "--progress"];
            told(at, 0, &replay(&[&btc, &eth], &more));
            let records = records(&at.join(file));
            assert_eq!(records.len(), 4, "{records:?}");
            for (series, record) in &records {
                assert_eq!(record["bars"], count(series), "{series}, {sink}, {delivery}");
                assert_eq!(record["complete_trade_id"], LAST, "{series}");
                assert_eq!(record["gap_open"], false);
            }
            let open = &records["binance:spot:BTCUSDT/t"]["ticks"];
            assert_eq!(*open, 200 % 7, "the open bar");
            // At-least-once begins anew in the next round.
            let _ = fs::remove_dir_all(at.join("folder"));
        }
    }
}

#[test]
fn an_exactly_once_replay_continues_its_progress_and_keeps_that_of_other_instruments() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let days = [day(at, "BTCUSDT", 1), day(at, "BTCUSDT", 2), day(at, "ETHUSDT", 1)];
    let more = ["--out", "bars.jsonl", "--delivery", "exactly-once", "--job", "j"];
    let with = |files: &[&str]| told(at, 0, &replay(files, &[&more[..], &["--progress"]].concat()));
    with(&[&days[0]]);
    let through = |series: &str| {
        let records = records(&at.join("bars.progress.jsonl"));
        records.get(series).map(|record| record["complete_trade_id"].as_u64().unwrap())
    };
    let (btc, eth) = ("binance:spot:BTCUSDT/t", "binance:spot:ETHUSDT/t");
    assert_eq!((through(btc), through(eth)), (Some(LAST), None));
    with(&[&days[0], &days[1]]);
    assert_eq!(through(btc), Some(LAST + 200));
    with(&[&days[2]]);
    assert_eq!(
        (through(btc), through(eth)),
        (Some(LAST + 200), Some(LAST)),
        "its bars are in the file"
    );
    // Without the option it is left behind, which is said, and knows nothing later on.
    let without = told(at, 0, &replay(&[&days[2]], &more));
    assert!(without.contains("bars.progress.jsonl\" is of an earlier run"), "{without}");
    let reset = [&more[..], &["--progress", "--reset-state"]].concat();
    told(at, 0, &replay(&[&days[0]], &reset));
    assert_eq!((through(btc), through(eth)), (Some(LAST), None), "after a reset");
}

#[test]
fn the_file_can_be_named_and_destroys_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let day = day(at, "BTCUSDT", 1);
    let with = |code: i32, more: &[&str]| told(at, code, &replay(&[&day], more));
    // Bars on standard output, progress in a file.
    with(0, &["--progress=p.jsonl", "--int64", "string"]);
    let named = records(&at.join("p.jsonl"));
    assert_eq!(named["binance:spot:BTCUSDT/t"]["complete_trade_id"], "1199");
    let said = with(0, &["--progress=p.jsonl"]);
    assert!(said.contains("p.jsonl of an earlier run is replaced"), "{said}");
    with(0, &["--sink", "parquet", "--out", "bars", "--progress=bars/how-far.jsonl"]);
    with(0, &["--sink", "parquet", "--out", "bars", "--progress=bars/how-far.jsonl"]);
    assert_eq!(records(&at.join("bars/how-far.jsonl")).len(), 2);
    fs::write(at.join("thesis.tex"), "precious\n").unwrap();
    for (words, more) in [
        ("use --progress=FILE", &["--progress"][..]),
        ("use --progress=FILE", &["--progress", "--out", "-"]),
        ("progress needs a file", &["--progress=-", "--out", "b.jsonl"]),
        ("--progress-topic", &["--progress", "--sink", "kafka", "--brokers", "localhost:1"]),
        ("other than none", &["--progress", "--sink", "none"]),
        ("of another kind", &["--progress=thesis.tex"]),
        ("of a Parquet file", &["--sink", "parquet", "--out", "b", "--progress=b/x.parquet"]),
        ("writes the same file", &["--progress=b.jsonl", "--out", "b.jsonl"]),
        ("it is an input", &[&*format!("--progress={day}")]),
        ("--no-clobber", &["--progress=p.jsonl", "--no-clobber"]),
        ("int64", &["--int64", "string", "--sink", "csv"]),
    ] {
        let said = with(2, more);
        assert!(said.contains(words), "{more:?}: {words:?} in {said}");
    }
    assert_eq!(fs::read_to_string(at.join("thesis.tex")).unwrap(), "precious\n");
}

#[test]
fn a_folder_has_no_progress_of_bars_that_were_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let day = day(at, "BTCUSDT", 1);
    let more = ["--sink", "parquet", "--out", "bars"];
    told(at, 0, &replay(&[&day], &[&more[..], &["--progress"]].concat()));
    assert!(at.join("bars/_progress.jsonl").exists());
    told(at, 0, &replay(&[&day], &more));
    assert!(!at.join("bars/_progress.jsonl").exists());
    // Readers of whole folders pass over it.
    told(at, 0, &replay(&[&day], &[&more[..], &["--progress"]].concat()));
    told(at, 0, &["diff", "bars", "bars"]);
}
