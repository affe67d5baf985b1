//! Grids of configurations, as a user would.

use crate::support::days::a_day;
use crate::support::process::{Process, barflow, wait_until};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const GRID: [&str; 8] = [
    "--grid",
    "kind=imbalance",
    "--grid",
    "measure=tick,dollar",
    "--grid",
    "alpha=1e-3..1e-2 log 3",
    "--grid",
    "target=200,500,1000",
];

fn sweep(day: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = barflow();
    command.arg("sweep").arg(day).args(GRID).arg("--out").arg(out).args(more);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The columns of a Parquet file as text, row by row.
fn rows(path: &Path) -> Vec<String> {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            rows.push(format!("{:?}", batch.slice(row, 1).columns()));
        }
    }
    rows
}

#[test]
fn a_sweep_makes_the_bars_of_replay_and_writes_what_they_are_like() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 200_000);
    let out = folder.path().join("out");
    let output = sweep(&day, &out, &["--by", "variance_ratio", "--bars", "2"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 11, "{table}");
    assert!(lines[0].contains("alpha") && !lines[0].contains("kind"), "{table}");
    assert_eq!(rows(&out.join("summary.parquet")).len(), 18);
    let svg = fs::read_to_string(out.join("map.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("alpha") && svg.contains("target"), "{svg}");
    let png = fs::read(out.join("map.png")).unwrap();
    assert_eq!(&png[12..24], b"IHDR\x00\x00\x03\x84\x00\x00\x02\x80", "900 by 640");
    assert!(!out.join("sweep.state").exists());

    // The best, made by a replay: as many bars as the sweep counted.
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    let head: Vec<&str> = lines[0].split_whitespace().collect();
    let value = |key: &str| words[head.iter().position(|word| *word == key).unwrap()];
    let bar = format!(
        "{}=imbalance,measure={},alpha={},target={}",
        words[0],
        value("measure"),
        value("alpha"),
        value("target")
    );
    let lone = folder.path().join("lone");
    let replayed = barflow()
        .arg("replay")
        .arg(&day)
        .args(["--bar", &bar, "--sink", "parquet", "--out"])
        .arg(&lone)
        .output()
        .unwrap();
    assert!(replayed.status.success(), "{}", said(&replayed));
    let bars = fs::read_dir(&lone).unwrap().next().unwrap().unwrap().path();
    assert_eq!(rows(&bars).len().to_string(), value("bars"), "{table}");
    let best = out.join("bars").join(bars.file_name().unwrap());
    assert_eq!(rows(&best), rows(&bars));
}

#[test]
fn threads_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 200_000);
    let summaries: Vec<_> = ["1", "3"]
        .map(|threads| {
            let out = folder.path().join(threads);
            let output = sweep(&day, &out, &["--threads", threads]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            rows(&out.join("summary.parquet"))
        })
        .into();
    assert_eq!(summaries[0], summaries[1]);
    assert!(summaries[0].iter().any(|row| row.contains("wald") || !row.contains("null")));
}

/// The same days and a grid of four times as many, which takes a while.
fn long_sweep(day: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = barflow();
    command.arg("sweep").arg(day).args(["--grid", "kind=imbalance"]);
    command.args(["--grid", "measure=tick,dollar", "--grid", "alpha=1e-3..1e-2 log 6"]);
    command.args(["--grid", "target=200..1000 step 160", "--out"]).arg(out).args(more);
    command
}

/// When a file was written last.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|facts| facts.modified()).ok()
}

#[test]
fn a_sweep_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 200_000);
    let config = folder.path().join("often.toml");
    fs::write(&config, "[sweep]\nwrite_every = \"0s\"\n").unwrap();
    let config = config.display().to_string();
    let whole = folder.path().join("whole");
    assert!(long_sweep(&day, &whole, &[]).output().unwrap().status.success());
    let out = folder.path().join("killed");
    let state = out.join("sweep.state");
    let (mut killed, mut went_on) = (0, 0);
    for life in 0..20 {
        let before = written(&state);
        let mut running = Process::start(long_sweep(&day, &out, &["--config", &config]));
        // At another place each time, once it has written something; after four kills it lives.
        if killed < 4 {
            wait_until("something is written", || {
                !running.runs() || written(&state).is_some_and(|now| Some(now) != before)
            });
            std::thread::sleep(Duration::from_millis(7 * life));
        }
        let end = if killed < 4 { running.kill() } else { running.end() };
        went_on += u32::from(end.said.contains("resuming after"));
        if end.killed {
            killed += 1;
            continue;
        }
        assert_eq!(end.code, Some(0), "{}", end.said);
        if killed > 0 {
            break;
        }
        // It was done before it could be killed: that proves nothing.
        fs::remove_dir_all(&out).unwrap();
    }
    assert!(went_on > 0, "{killed} kills");
    assert_eq!(rows(&out.join("summary.parquet")), rows(&whole.join("summary.parquet")));
}

#[test]
fn a_sweep_that_is_told_to_stop_says_so_and_goes_on_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 200_000);
    let config = folder.path().join("often.toml");
    fs::write(&config, "[sweep]\nwrite_every = \"0s\"\n[replay]\nparallel = 2\n").unwrap();
    let config = config.display().to_string();
    let whole = folder.path().join("whole");
    assert!(sweep(&day, &whole, &[]).output().unwrap().status.success());
    let out = folder.path().join("stopped");
    let state = out.join("sweep.state");
    let running = Process::start(sweep(&day, &out, &["--config", &config, "--bars", "1"]));
    wait_until("the state is written", || state.exists());
    running.signal("INT");
    let end = running.end();
    assert_eq!(end.code, Some(130), "{}", end.said);
    assert!(end.said.contains("run the same command to resume"), "{}", end.said);
    assert!(end.bars.is_empty() && !out.join("summary.parquet").exists());
    assert!(state.exists() && !out.join("bars").exists());

    let output = sweep(&day, &out, &["--config", &config]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("resuming after"), "{}", said(&output));
    assert!(!state.exists());
    assert_eq!(rows(&out.join("summary.parquet")), rows(&whole.join("summary.parquet")));
}

#[test]
fn grids_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 200_000);
    for (grid, words) in [
        ("alhpa=1e-3", "unknown key \"alhpa\""),
        ("alpha=1e-3..1e-5 log 4", "the range must increase"),
        ("target=1..20000 step 1", "more than 10000 values"),
        ("alpha", "must be KEY=VALUES"),
    ] {
        let output = barflow()
            .arg("sweep")
            .arg(&day)
            .args(["--grid", "kind=imbalance", "--grid", grid, "--out"])
            .arg(folder.path().join("out"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

/// Bars of an earlier run are replaced, but what a link leads to is somebody else's.
#[test]
fn a_link_in_the_place_of_the_bars_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path(), 20_000);
    let others = folder.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("kept.parquet"), "theirs").unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink(&others, out.join(".bars")).unwrap();
    let output = sweep(&day, &out, &["--bars", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains(".bars"), "{}", said(&output));
    assert!(said(&output).contains("it is a link or a file, not a folder"), "{}", said(&output));
    assert_eq!(fs::read(others.join("kept.parquet")).unwrap(), b"theirs");
}
