//! Times that users give, and made-up days whose ids continue.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::archives::{MARCH, rows};
use crate::support::process::barflow;

/// Sixty trades, one every ten seconds from 2024-03-01 on.
fn ten_minutes(folder: &Path) -> PathBuf {
    let path = folder.join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&path, rows(1, 60, MARCH, 10_000_000).join("\n") + "\n").unwrap();
    path
}

/// Exit code, lines of standard output, standard error.
fn ran(arguments: &[&str]) -> (i32, usize, String) {
    let output = barflow().args(arguments).output().unwrap();
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    (output.status.code().unwrap(), lines, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_time_means_the_same_in_every_form_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = ten_minutes(folder.path());
    let file = file.to_str().unwrap();
    let bars =
        |option: &str, time: &str| ran(&["replay", file, "--bar", "t=tick,size=1", option, time]);
    for time in [
        "2024-03-01T00:05:00Z",
        "2024-03-01T00:05",
        "1709251500",
        "1709251500000",
        "1709251500000000",
        "1709251500000000000",
        "2024-03-01T01:05:00[Europe/Berlin]",
        "2024-02-29T16:05:00-08:00[America/Los_Angeles]",
    ] {
        for option in ["--from", "--to"] {
            let (code, lines, told) = bars(option, time);
            assert_eq!((code, lines), (0, 30), "{option} {time}: {told}");
        }
    }
    for time in ["20240302", "2024-03-01T12:00Z", "1709300000"] {
        let (code, lines, told) = bars("--from", time);
        assert_eq!((code, lines), (0, 0), "{time}: {told}");
        assert!(told.contains("no trade lies between --from and --to"), "{told}");
    }
    for time in
        ["5", "-1", "2024", "2024-03", "yesterday", "20240231", "2024-03-01T01:05[Mars/Base]"]
    {
        let (code, lines, told) = bars("--from", time);
        assert_eq!((code, lines), (2, 0), "{time}: {told}");
    }
    let config = folder.path().join("replay.toml");
    for time in ["1709251500", "2024-03-01T00:05:00Z", "\"2024-03-01T01:05[Europe/Berlin]\""] {
        let bars = "[bars.t]\nkind = \"tick\"\nsize = 1\n";
        fs::write(&config, format!("[replay]\nfrom = {time}\n{bars}")).unwrap();
        let (code, lines, told) = ran(&["replay", file, "--config", config.to_str().unwrap()]);
        assert_eq!((code, lines), (0, 30), "{time}: {told}");
    }
}

#[test]
fn every_command_understands_the_same_times_and_days() {
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (ten_minutes(folder.path()), folder.path().join("store"));
    let (file, store) = (file.to_str().unwrap(), store.to_str().unwrap());
    let (code, _, told) = ran(&["quality", file, "--from", "1709300000"]);
    assert!(code < 2 && told.contains("no trade lies between"), "{told}");
    assert_eq!(ran(&["quality", file, "--from", "2024-03-01T01:05[Nowhere]"]).0, 2);
    assert_eq!(ran(&["convert", "--store", store, file]).0, 0);
    let prune = |before| ran(&["store", "prune", "--store", store, "--before", before]);
    assert_eq!(prune("20240302").1, 1, "listed");
    assert_eq!(prune("20240301").1, 0);
    for day in ["2024-03-02T12:00:00Z", "1709300000", "2024-03-02[Asia/Tokyo]", "2024-03"] {
        assert_eq!(prune(day).0, 2, "{day}");
        let out = folder.path().join("made");
        assert_eq!(ran(&["synth", "--out", out.to_str().unwrap(), "--date", day]).0, 2, "{day}");
    }
    for day in ["1709300000", "2024-03-02T12:00:00Z", "2024-13"] {
        let fetch = ["fetch", "--symbol", "BTCUSDT", "--store", store, "--dry-run", "--from", day];
        assert_eq!(ran(&fetch).0, 2, "{day}");
    }
}

#[test]
fn made_up_days_of_two_runs_are_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let synth = |date, days| {
        ran(&["synth", "--out", out, "--trades", "500", "--date", date, "--days", days])
    };
    assert_eq!(synth("2024-02-28", "2").1, 2);
    assert_eq!(synth("2024-03-01", "3").1, 3);
    let (code, bars, told) = ran(&["replay", out, "--bar", "t=tick,size=100"]);
    assert_eq!((code, bars), (0, 25), "{told}");
    assert!(told.contains("duplicates 0, gaps 0"), "{told}");
    // What was not made up stays.
    let real = folder.path().join("BTCUSDT-trades-2024-03-09.zip");
    fs::write(&real, "of the venue").unwrap();
    assert_eq!(synth("2024-03-09", "1").0, 2);
    assert_eq!(fs::read_to_string(&real).unwrap(), "of the venue");
}

/// Left out, it would be no more than a missing id.
#[test]
fn a_wrong_time_outside_the_range_is_named_between_ids_inside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    let all = rows(1, 4_000, MARCH, 10_000_000);
    // Inside 01:00 to 09:00 are trades 361 to 3,240.
    let range = ["--from", "2024-03-01T01:00Z", "--to", "2024-03-01T09:00Z"];
    let at = |hour: i64| MARCH.saturating_add_signed(hour * 3_600_000_000);
    for (row, hour) in [(1_000, 20), (1_000, -30), (1_000, 0), (3_000, 10)] {
        for more in [&[][..], &["--parallel", "2"], &["--batch-rows", "7"]] {
            let mut all = all.clone();
            let time = all[row].split(',').nth(4).unwrap().to_owned();
            all[row] = all[row].replace(&time, &at(hour).to_string());
            fs::write(&path, all.join("\n") + "\n").unwrap();
            let arguments = ["replay", path.to_str().unwrap(), "--bar", "t=tick,size=1"];
            let (code, lines, told) = ran(&[&arguments[..], &range, more].concat());
            assert_eq!((code, lines), (1, row - 360), "{row} {hour} {more:?}: {told}");
            let place = format!("2024-03-01.csv:{}: field \"time\"", row + 1);
            assert!(told.contains(&place), "{place}: {told}");
        }
    }
    // Nothing is wrong with rows before and behind it.
    fs::write(&path, all.join("\n") + "\n").unwrap();
    let arguments = ["replay", path.to_str().unwrap(), "--bar", "t=tick,size=1"];
    let (code, lines, told) = ran(&[&arguments[..], &range].concat());
    assert_eq!((code, lines), (0, 2_880), "{told}");
}
