//! Holdouts and baselines of a sweep, as a user would look at them.

use crate::support::days::a_day;
use crate::support::process::{Process, barflow, wait_until};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn summary(out: &Path) -> RecordBatch {
    let file = fs::File::open(out.join("summary.parquet")).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.next().unwrap().unwrap()
}

fn whole(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<f64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// A day of trades at these prices, a second apart.
fn day_of(folder: &Path, prices: &[f64]) -> PathBuf {
    let mut rows = String::new();
    for (at, price) in prices.iter().enumerate() {
        let time = 1_709_251_200_000 + 1000 * at;
        writeln!(rows, "{},{price},1,{price},{time},false,true", at + 1).unwrap();
    }
    let path = folder.join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&path, rows).unwrap();
    path
}

/// Correlation of successive returns, straight from its definition.
fn serial_correlation(closes: &[f64]) -> f64 {
    let returns: Vec<f64> = closes.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let spread: f64 = returns.iter().map(|r| (r - mean) * (r - mean)).sum();
    let pairs: f64 = returns.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    pairs / spread
}

#[test]
fn a_holdout_counts_the_bars_that_close_after_its_border() {
    let folder = tempfile::tempdir().unwrap();
    let prices: Vec<f64> = (1..=101u32).map(|k| 100.0 + f64::from(k * k % 17)).collect();
    let day = day_of(folder.path(), &prices);
    let out = folder.path().join("out");
    let output = barflow()
        .arg("sweep")
        .arg(&day)
        .args(["--grid", "kind=tick", "--grid", "size=4,7", "--holdout", "0.4"])
        .args(["--by", "serial_correlation", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // 40 of the 101 trades are kept out: the border is after trade 61.
    let text = said(&output);
    let border = "ranked by 61 trades; the holdout, 40 trades, begins at 2024-03-01T00:01:01Z";
    assert!(text.contains(border), "{text}");
    let rows = summary(&out);
    let mut scores = Vec::new();
    for (row, size) in [4usize, 7].into_iter().enumerate() {
        let closes: Vec<f64> = prices.chunks_exact(size).map(|bar| bar[size - 1]).collect();
        // The bar that is open at the border closes after it.
        let (before, after) = closes.split_at(61 / size);
        assert_eq!(whole(&rows, "bars", row), Some(before.len() as i64));
        assert_eq!(whole(&rows, "holdout_bars", row), Some(after.len() as i64));
        for (column, closes) in
            [("serial_correlation", before), ("holdout_serial_correlation", after)]
        {
            let found = number(&rows, column, row).unwrap();
            let expected = serial_correlation(closes);
            assert!((found - expected).abs() < 1e-9, "{column} {size}: {found} {expected}");
        }
        scores.push(serial_correlation(before).abs());
        assert_eq!(
            number(&rows, "score", row).unwrap(),
            number(&rows, "serial_correlation", row).unwrap().abs()
        );
    }
    // Two lines for each; what they made before the border ranks them.
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    let best = if scores[0] < scores[1] { "c00000" } else { "c00001" };
    assert!(lines[1].starts_with(best) && lines[1].contains(" in "), "{table}");
    assert!(lines[2].trim_start().starts_with("holdout"), "{table}");
}

#[test]
fn a_holdout_that_leaves_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let day = day_of(folder.path(), &[100.0, 101.0]);
    for (share, words) in [
        ("0.01", "of 2 trades nothing would be left on one side"),
        ("1.5", "between 0 and 1"),
        ("half", "between 0 and 1"),
    ] {
        let output = barflow()
            .arg("sweep")
            .arg(&day)
            .args(["--grid", "kind=tick", "--grid", "size=1", "--holdout", share, "--out"])
            .arg(folder.path().join("out"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

fn compared(day: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = barflow();
    command.arg("sweep").arg(day).args([
        "--grid",
        "kind=imbalance",
        "--grid",
        "measure=tick,dollar",
    ]);
    command.args(["--grid", "alpha=1e-3..1e-2 log 3", "--grid", "target=200,500,1000"]);
    command.args(["--by", "variance_ratio_z", "--holdout", "0.5", "--baselines", "--out"]);
    command.arg(out).args(more);
    command
}

#[test]
fn baselines_make_about_as_many_bars_as_the_best_of_each_family() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 100_000);
    let out = folder.path().join("out");
    let output = compared(&day, &out, &["--top", "3"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.matches("baselines: about as many bars as c").count(), 2, "{table}");
    let rows = summary(&out);
    // 18 configurations, then four kinds for dollar and for tick imbalance.
    assert_eq!(rows.num_rows(), 18 + 2 * 4);
    for row in 0..18 {
        assert_eq!(text(&rows, "baseline", row), None);
    }
    for row in 18..rows.num_rows() {
        let definition = text(&rows, "baseline", row).unwrap();
        assert!(table.contains(&definition), "{table}");
        assert_eq!(whole(&rows, "config", row), None);
        let of: usize = text(&rows, "baseline_of", row).unwrap()[1..].parse().unwrap();
        let (bars, wanted) =
            (whole(&rows, "bars", row).unwrap(), whole(&rows, "bars", of).unwrap());
        assert!((bars - wanted).abs() <= (wanted / 20).max(1), "{definition}: {bars} for {wanted}");
        assert!(
            number(&rows, "score", row).is_some() && number(&rows, "holdout_score", row).is_some()
        );
        // What is written can be typed: a replay makes these bars.
        let bars_of = folder.path().join(format!("bars{row}"));
        let replayed = barflow()
            .arg("replay")
            .arg(&day)
            .args(["--bar", &format!("b={definition}"), "--out"])
            .arg(&bars_of)
            .output()
            .unwrap();
        assert!(replayed.status.success(), "{}", said(&replayed));
        let made = fs::read_to_string(&bars_of).unwrap().lines().count() as i64;
        assert_eq!(made, bars + whole(&rows, "holdout_bars", row).unwrap(), "{definition}");
    }
}

#[test]
fn threads_change_no_byte_of_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 60_000);
    let results: Vec<_> = [["--threads", "1"], ["--threads", "3"]]
        .into_iter()
        .map(|more| {
            let out = folder.path().join(more[1]);
            let output = compared(&day, &out, &more).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            let file = |name| fs::read(out.join(name)).unwrap();
            (output.stdout, file("summary.parquet"), file("map.svg"), file("map.png"))
        })
        .collect();
    assert!(results[0] == results[1]);
}

#[test]
fn a_comparison_that_is_stopped_resumes_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 100_000);
    let config = folder.path().join("often.toml");
    fs::write(&config, "[sweep]\nwrite_every = \"0s\"\n").unwrap();
    let config = config.display().to_string();
    let whole = folder.path().join("whole");
    let uninterrupted = compared(&day, &whole, &[]).output().unwrap();
    assert!(uninterrupted.status.success(), "{}", said(&uninterrupted));
    let out = folder.path().join("stopped");
    let state = out.join("sweep.state");
    let running = Process::start(compared(&day, &out, &["--config", &config]));
    wait_until("the state is written", || state.exists());
    running.signal("INT");
    let end = running.end();
    assert_eq!(end.code, Some(130), "{}", end.said);
    assert!(!out.join("summary.parquet").exists());
    let output = compared(&day, &out, &["--config", &config]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("resuming after"), "{}", said(&output));
    assert_eq!(output.stdout, uninterrupted.stdout);
    let file = |folder: &Path| fs::read(folder.join("summary.parquet")).unwrap();
    assert!(file(&out) == file(&whole));
}
