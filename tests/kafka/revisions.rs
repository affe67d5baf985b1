//! Wrong histories, corrected as a user would.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::kafka::{broker, read, unique};
use crate::support::live::words;
use crate::support::mangled::{Mangled, mangle, rows};
use crate::support::process::barflow;
use barflow::thousands::grouped;

/// Bars that forget within a thousand trades or so, and some that need no forgetting.
const BARS: [&str; 4] = [
    "dib=imbalance,measure=dollar,alpha=0.02,target=100,warmup=200",
    "trb=runs,measure=tick,alpha=0.02,target=50,warmup=200",
    "vol=volume,size=5",
    "minute=time,every=1m",
];

fn replay(file: &Path, more: &[&str]) -> Output {
    let bars = BARS.iter().flat_map(|bar| ["--bar", bar]);
    barflow().arg("replay").arg(file).args(bars).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn same(a: &Path, b: &Path) {
    let output = barflow().arg("diff").args([a, b]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    assert!(output.status.success() && text.contains("the same: "), "{text}");
}

fn corrected(mangled: &Mangled, out: &str, more: &[&str]) -> String {
    let corrections = mangled.corrections.display().to_string();
    let mut all = vec!["--corrections", &corrections, "--out", out];
    all.extend(more);
    let output = replay(&mangled.delivered, &all);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn what_stands_after_corrections_is_a_fresh_run_on_the_corrected_files() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(folder.path(), 60_000);
    let path = |name: &str| folder.path().join(name);
    for (seed, every, lag) in [(1, 2000, 1), (2, 1000, 20_000), (3, 50, 300)] {
        let mangled = mangle(folder.path(), &rows, every, lag, seed);
        let fresh = path("fresh.jsonl");
        let fresh_out = fresh.display().to_string();
        let output = replay(&mangled.right, &["--out", &fresh_out]);
        assert!(output.status.success(), "{}", said(&output));
        for batch in ["97", "8192"] {
            let out = path("mended.jsonl").display().to_string();
            let text = corrected(&mangled, &out, &["--batch-rows", batch]);
            let applied = format!(
                "corrections: {} applied, 0 without effect, 0 refused",
                grouped(mangled.count as u64)
            );
            assert!(text.contains(&applied), "{text}");
            assert!(text.contains("trades recomputed per correction: p50 "), "{text}");
            same(&fresh, Path::new(&out));
            // The counts of the summary follow what stands.
            let lines = |text: &str| -> Vec<String> {
                let is_count = |line: &&str| line.contains(" ticks per bar ");
                text.lines().filter(is_count).map(str::to_owned).collect()
            };
            assert_eq!(lines(&text), lines(&said(&output)));
        }
        let parquet = path(&format!("mended-{seed}"));
        corrected(&mangled, &parquet.display().to_string(), &["--sink", "parquet"]);
        same(&fresh, &parquet);
        let verified = barflow()
            .args(["verify", "--against"])
            .args([&parquet, &mangled.right])
            .args(BARS.iter().flat_map(|bar| ["--bar", bar]))
            .output()
            .unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

#[test]
fn a_correction_costs_as_much_as_the_stretch_that_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mangled = mangle(folder.path(), &rows(folder.path(), 60_000), 2000, 30_000, 4);
    let corrections = mangled.corrections.display().to_string();
    let output = barflow()
        .arg("replay")
        .arg(&mangled.delivered)
        .args(["--bar", BARS[0], "--sink", "none", "--batch-rows", "1024"])
        .args(["--corrections", &corrections])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    let words = "trades recomputed per correction: ";
    let line = text.lines().find_map(|line| line.strip_prefix(words)).unwrap();
    let numbers: Vec<u64> = line
        .split(", p99 ")
        .map(|part| part.trim_start_matches("p50 ").replace(',', "").parse().unwrap())
        .collect();
    // Measured: 2,089 and 3,703; a walk that always runs to the end: 5,119 and 29,583.
    assert!(numbers[0] < 4000 && numbers[1] < 8000, "{line}");
}

#[test]
fn topics_tell_what_changed_and_what_stands() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mangled = mangle(folder.path(), &rows(folder.path(), 20_000), 400, 2000, 7);
    let topic = unique("revised");
    let corrections = mangled.corrections.display().to_string();
    for encoding in ["json", "avro"] {
        let topic = format!("{topic}-{encoding}");
        let mut more = words("--sink kafka --create-topics --current --commit-interval 50ms");
        more.extend(["--corrections", &corrections, "--brokers", &kafka.plain]);
        more.extend(["--topic", &topic, "--encoding", encoding]);
        let output = replay(&mangled.delivered, &more);
        assert!(output.status.success(), "{}", said(&output));
        // The job leaves its last minute open: no name of a file says that it is over.
        let nameless = folder.path().join("right.csv");
        fs::copy(&mangled.right, &nameless).unwrap();
        let fresh = replay(&nameless, &["--instrument", "binance:spot:BTCUSDT"]);
        let lines = folder.path().join("fresh.jsonl");
        fs::write(&lines, &fresh.stdout).unwrap();
        same(&lines, Path::new(&format!("kafka://{}/{topic}", kafka.plain)));

        // A reader that keeps the last value of each key, as upsert tables and compaction do.
        let mut table = BTreeMap::new();
        let mut tombstones = 0;
        for message in read(&kafka.plain, &format!("{topic}.current")) {
            if message.value.is_empty() {
                // Compaction may have removed the bar before it, where the run took long enough.
                tombstones += 1;
                table.remove(&message.key);
            } else {
                table.insert(message.key, message.value);
            }
        }
        assert!(tombstones > 0);
        assert_eq!(table.len(), fresh.stdout.split(|byte| *byte == b'\n').count() - 1);
        if encoding == "json" {
            let text: Vec<String> =
                table.into_values().map(|value| String::from_utf8(value).unwrap()).collect();
            let current = folder.path().join("current.jsonl");
            fs::write(&current, text.join("\n")).unwrap();
            same(&lines, &current);
        }
    }
}

#[test]
fn a_row_that_comes_too_late_is_set_in_its_place_where_the_past_is_retained() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = rows(folder.path(), 20_000);
    let right = folder.path().join("BTCUSDT-trades-2018-01-01.csv");
    fs::write(&right, rows.join("\n") + "\n").unwrap();
    let fresh = folder.path().join("fresh.jsonl");
    let output = replay(&right, &["--out", &fresh.display().to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    // Twice, and once more: a copy is a duplicate, or a correction without effect.
    let late = rows.remove(3000);
    for at in [9000, 15_000, 15_001] {
        rows.insert(at, late.clone());
    }
    // Of the same day by its name, which closes the same intervals.
    fs::create_dir(folder.path().join("late")).unwrap();
    let path = folder.path().join("late/BTCUSDT-trades-2018-01-01.csv");
    fs::write(&path, rows.join("\n") + "\n").unwrap();
    let refused = replay(&path, &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("arrives more than 1024 trades after its position"));
    let mended = folder.path().join("mended.jsonl");
    let out = mended.display().to_string();
    let output = replay(&path, &["--revision-window", "1h,20000", "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("corrections: 1 applied,") && told.contains(" 0 refused"), "{told}");
    assert!(said(&output).contains("gaps 0 (0 ids missing)"), "{}", said(&output));
    same(&fresh, &mended);
    // Beyond what is retained: on the ledger, and nothing else changes.
    let set_aside = folder.path().join("set-aside.jsonl");
    let aside = set_aside.display().to_string();
    let mut more = words("--revision-window 2000 --batch-rows 1000");
    more.extend(["--out", &out, "--quarantine", &aside]);
    let output = replay(&path, &more);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("corrections: 0 applied, 0 without effect,"), "{told}");
    assert!(!told.contains(" 0 refused"), "{told}");
    let ledger = fs::read_to_string(&set_aside).unwrap();
    assert!(ledger.contains("its position is before the retained trades"), "{ledger}");
}

#[test]
fn corrections_that_make_no_sense_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mangled = mangle(folder.path(), &rows(folder.path(), 3000), 300, 10, 1);
    let path = folder.path().join("wrong.csv");
    for (text, words) in [
        ("action,trade_id\nremove,x\n", vec!["wrong.csv: line 2: field \"trade_id\"", "\"x\""]),
        ("action,trade_id,instrument\nremove,1,a:b:C\n", vec!["no file of this run contains it"]),
    ] {
        fs::write(&path, text).unwrap();
        let output = replay(&mangled.delivered, &["--corrections", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(said(&output).contains(word), "{}", said(&output));
        }
    }
    // No such trade: the run continues, and its summary reports it.
    fs::write(&path, "action,trade_id\nremove,900000000\nremove,1\n").unwrap();
    let output = replay(&mangled.delivered, &["--corrections", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the input ended before its position"), "{}", said(&output));
}
