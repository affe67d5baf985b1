//! `barflow sync-report`: what it measures is what a builder that joins late does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::days::synth;
use crate::support::process::barflow;
use serde_json::Value;

fn report(files: &[PathBuf], more: &[&str]) -> String {
    let output = barflow().arg("sync-report").args(files).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn rows_of(archive: &Path) -> String {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    std::io::read_to_string(archive.by_index(0).unwrap()).unwrap()
}

/// Last trades and digests of all bars.
fn closes(rows: &str, first: usize, bar: &str) -> Vec<(u64, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    let rows: Vec<&str> = rows.lines().skip(first).collect();
    fs::write(&part, rows.join("\n") + "\n").unwrap();
    let output = barflow().arg("replay").arg(&part).args(["--bar", bar]).output().unwrap();
    let bars = String::from_utf8(output.stdout).unwrap();
    let close = |line: &str| {
        let bar: Value = serde_json::from_str(line).unwrap();
        (bar["last_trade_id"].as_u64().unwrap(), bar["state_digest"].clone())
    };
    bars.lines().map(close).collect()
}

#[test]
fn arrivals_are_those_of_runs_that_began_there() {
    let folder = tempfile::tempdir().unwrap();
    let files = synth(folder.path(), "--days 2 --trades 60000");
    let rows: String = files.iter().map(|file| rows_of(file)).collect();
    let bar = "dib=imbalance,target=50,alpha=0.02,warmup=100";
    let text = report(&files, &["--json", "--points", "4", "--bar", bar]);
    let said: Value = serde_json::from_str(text.trim()).unwrap();
    let long = closes(&rows, 0, bar);
    let arrivals = said["arrivals"].as_array().unwrap();
    assert!((4..=9).contains(&arrivals.len()), "{said}");
    assert_eq!(said["never"], 0);
    let mut trades = Vec::new();
    for arrival in arrivals {
        let [began, after, bars] = [0, 1, 2].map(|place| arrival[place].as_u64().unwrap());
        let late = closes(&rows, began as usize, bar);
        let met = late.iter().position(|close| long.contains(close)).unwrap();
        let first: u64 = rows.lines().next().unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(late[met].0, first + began + after - 1);
        assert_eq!(met as u64 + 1, bars);
        // And it stays so.
        let here = long.iter().position(|close| *close == late[met]).unwrap();
        assert_eq!(long[here..], late[met..]);
        trades.push(after);
    }
    assert_eq!(said["identical_after_trades"]["max"], *trades.iter().max().unwrap());
    assert_eq!(said["identical_after_trades"]["min"], *trades.iter().min().unwrap());
}

#[test]
fn bars_that_depend_on_their_beginning_are_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = synth(folder.path(), "--days 2 --trades 60000");
    let plot = folder.path().join("plot.svg");
    let text = report(
        &files,
        &[
            "--bar",
            "dib=imbalance,target=50,alpha=0.02",
            "--bar",
            "n=tick,size=1000",
            "--plot",
            plot.to_str().unwrap(),
        ],
    );
    let (synchronises, depends) = text.split_once("BTCUSDT n:").unwrap();
    assert!(synchronises.contains("sufficient for 95 % of all starts"), "{text}");
    assert!(
        depends.contains("depend on where they start") && !depends.contains("warm-up"),
        "{text}"
    );
    assert!(fs::read_to_string(&plot).unwrap().starts_with("<svg"));
}

#[test]
fn bad_rows_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let files = synth(folder.path(), "--days 1 --trades 20000");
    let text = rows_of(&files[0]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[100] = lines[100].replacen(',', ",x", 1);
    let rows = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&rows, lines.join("\n") + "\n").unwrap();
    let output = barflow().arg("sync-report").arg(&rows).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("binance:spot:BTCUSDT: 1 bad row left out"), "{said}");
}

#[test]
fn a_replay_that_begins_late_says_what_that_means() {
    let folder = tempfile::tempdir().unwrap();
    let files = synth(folder.path(), "--days 2 --trades 60000");
    let output = barflow()
        .arg("replay")
        .args(&files)
        .args(["--sink", "none", "--from", "2024-03-01T12:00", "--bar", "dib=imbalance"])
        .args(["--bar", "compat=mlfinlab-ema-imbalance"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("dib: started at --from; expected to equal the bars"), "{told}");
    assert!(told.contains("compat: started at --from and does not converge"), "{told}");
    assert!(told.contains("barflow sync-report"), "{told}");
}
