//! The order of an instrument's rows as a user meets it: nothing is lost or doubled with exit code 0.

use std::fs;
use std::path::Path;

use super::support::process::output;

const SECOND: u64 = 1_000;
const BEGIN: u64 = 1_709_251_200_000;

fn row(id: u64, price: f64, at: u64) -> String {
    format!("{id},{price},0.5,{},{},true,true\n", price * 0.5, BEGIN + at)
}

/// Rows of these ids, a second apart from `from` on.
fn rows(ids: impl IntoIterator<Item = u64>, from: u64) -> Vec<String> {
    (0..).zip(ids).map(|(n, id)| row(id, 100.0 + (id % 7) as f64, from + n * SECOND)).collect()
}

fn write(folder: &Path, day: u32, rows: &[String]) -> String {
    let path = folder.join(format!("BTCUSDT-trades-2024-03-{day:02}.csv"));
    fs::write(&path, rows.concat()).unwrap();
    path.display().to_string()
}

struct Run {
    code: Option<i32>,
    bars: String,
    report: String,
}

fn replay(more: &[&str]) -> Run {
    let output = output(&[&["replay", "--bar", "t=tick,size=10"], more].concat(), None);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), bars: text(output.stdout), report: text(output.stderr) }
}

/// A run with a quarantine, and the lines of it.
fn set_aside(folder: &Path, more: &[&str]) -> (Run, Vec<serde_json::Value>) {
    let quarantine = folder.join("bad.jsonl");
    let _ = fs::remove_file(&quarantine);
    let run = replay(&[&["--quarantine", quarantine.to_str().unwrap()], more].concat());
    let bad = fs::read_to_string(&quarantine).unwrap();
    (run, bad.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn ticks(bars: &str) -> u64 {
    let bars = bars.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    bars.map(|bar| bar["ticks"].as_u64().unwrap()).sum()
}

#[test]
fn ids_that_begin_again_at_a_later_time_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400 * SECOND;
    for (ids, first) in [(60, 1), (1_500, 1), (1_500, 5_000)] {
        let one = write(folder.path(), 1, &rows(first..first + ids, 0));
        let two = write(folder.path(), 2, &rows(1..=ids, day));
        for parallel in ["1", "2"] {
            let run = replay(&[&one, &two, "--parallel", parallel]);
            assert_eq!(run.code, Some(1), "{}", run.report);
            let place = "2024-03-02.csv:1: field \"trade_id\": the id sequence was reset";
            assert!(run.report.contains(place), "{}", run.report);
            assert_eq!(ticks(&run.bars), ids, "the first day stands");
            let (run, bad) = set_aside(folder.path(), &[&one, &two, "--parallel", parallel]);
            assert_eq!((run.code, bad.len() as u64), (Some(1), ids), "{}", run.report);
            assert!(run.report.contains("duplicates 0"), "{}", run.report);
        }
    }
}

/// However few rows may wait for a missing id, and in one file as well as in two.
#[test]
fn ids_that_begin_again_are_named_as_such_with_any_window_and_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400 * SECOND;
    for ids in [60, 2_000] {
        let both = [rows(1..=ids, 0), rows(1..=ids, day)];
        let one_file = write(folder.path(), 3, &both.concat());
        let two_files = [0, 1].map(|n| write(folder.path(), n + 1, &both[n as usize]));
        for window in ["1", "16", "59", "1024"] {
            let window = ["--reorder-window", window];
            for (files, place) in [
                (vec![two_files[0].as_str(), &two_files[1]], "2024-03-02.csv:1: ".to_owned()),
                (vec![one_file.as_str()], format!("2024-03-03.csv:{}: ", ids + 1)),
            ] {
                let run = replay(&[&files[..], &window].concat());
                assert_eq!(run.code, Some(1), "{}", run.report);
                let named = format!("{place}field \"trade_id\": the id sequence was reset");
                assert!(run.report.contains(&named), "{window:?}: {}", run.report);
                assert_eq!(ticks(&run.bars), ids, "{window:?}");
            }
        }
    }
}

#[test]
fn of_two_rows_of_one_id_that_differ_neither_is_used() {
    let folder = tempfile::tempdir().unwrap();
    for apart in [1, 2, 17, 100] {
        let mut quarantined = Vec::new();
        let mut stopped = Vec::new();
        for wrong_first in [true, false] {
            let mut all = rows(1..=200, 0);
            let (right, wrong) = (row(45, 103.0, 44 * SECOND), row(45, 206.0, 44 * SECOND));
            let (first, second) = if wrong_first { (wrong, right) } else { (right, wrong) };
            all[44] = first;
            all.insert(44 + apart, second);
            let path = write(folder.path(), 1, &all);
            let run = replay(&[&path]);
            assert_eq!(run.code, Some(1), "{}", run.report);
            let (one, two) = (":45: field \"trade_id\"", format!(".csv:{}", 45 + apart));
            assert!(run.report.contains(one) && run.report.contains(&two), "{}", run.report);
            stopped.push(run.bars);
            let (run, bad) = set_aside(folder.path(), &[&path]);
            assert_eq!((run.code, bad.len()), (Some(1), 2), "{}", run.report);
            let lines: Vec<u64> = bad.iter().map(|bad| bad["line"].as_u64().unwrap()).collect();
            assert_eq!(lines, [45, 45 + apart as u64]);
            assert!(bad[0]["reason"].as_str().unwrap().contains("price"), "{bad:?}");
            let text = "same id with other content 1";
            assert!(run.report.contains(text), "{}", run.report);
            quarantined.push(run.bars);
            let store = folder.path().join("store");
            let convert = ["convert", "--store", store.to_str().unwrap(), &path];
            let refused = output(&convert, None);
            let report = String::from_utf8(refused.stderr).unwrap();
            assert!(!refused.status.success() && report.contains("line 45"), "{report}");
        }
        assert_eq!(stopped[0], stopped[1]);
        assert_eq!(quarantined[0], quarantined[1]);
    }
}

#[test]
fn equal_repeats_are_dropped_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let whole = replay(&[&write(folder.path(), 1, &rows(1..=200, 0))]);
    for apart in [1, 5, 150] {
        let mut all = rows(1..=200, 0);
        all.insert(30 + apart, all[30].clone());
        let run = replay(&[&write(folder.path(), 1, &all)]);
        assert_eq!((run.code, &run.bars), (Some(0), &whole.bars), "{}", run.report);
        assert!(run.report.contains("duplicates 1"), "{}", run.report);
    }
}

#[test]
fn ids_that_are_all_one_number_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for id in [0, 7] {
        let path = write(folder.path(), 1, &rows(std::iter::repeat_n(id, 60), 0));
        let run = replay(&[&path]);
        assert_eq!((run.code, run.bars.as_str()), (Some(1), ""), "{}", run.report);
        assert!(run.report.contains("same id and other content"), "{}", run.report);
    }
}

#[test]
fn a_wanted_range_hides_no_wrong_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("XBTUSD.csv");
    let write = |wrong: Option<(usize, i64)>| {
        let row = |n: usize| {
            let off = wrong.filter(|(at, _)| *at == n).map_or(0, |(_, off)| off);
            format!("{},{}.5,0.5\n", 1_709_251_200 + n as i64 * 10 + off, 100 + n % 7)
        };
        fs::write(&file, (0..400).map(row).collect::<String>()).unwrap();
    };
    let file = file.to_str().unwrap();
    let more = ["--instrument", "kraken:spot:XBTUSD", file, "--from", "2024-03-01T00:10"];
    let more = [&more[..], &["--to", "2024-03-01T00:50"]].concat();
    write(None);
    let whole = replay(&more);
    assert_eq!((whole.code, ticks(&whole.bars)), (Some(0), 240), "{}", whole.report);
    for off in [-86_400, 86_400] {
        write(Some((200, off)));
        let run = replay(&more);
        assert_eq!(run.code, Some(1), "{}", run.report);
        assert!(run.report.contains("XBTUSD.csv:201"), "{}", run.report);
        let (run, bad) = set_aside(folder.path(), &more);
        assert_eq!((run.code, bad.len()), (Some(1), 1), "{}", run.report);
        assert_eq!((&bad[0]["line"], &bad[0]["field"]), (&201.into(), &"time".into()));
        // Where it is not wanted either, nothing is missed.
        write(Some((390, off)));
        assert_eq!(replay(&more).bars, whole.bars);
    }
}

#[test]
fn a_time_that_the_next_rows_contradict_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let bars = ["--bar", "m=time,every=10s"];
    for at in [0, 1, 90, 195, 198] {
        for ahead in [3_600 * SECOND, 2 * 86_400 * SECOND] {
            let mut all = rows(1..=200, 0);
            all[at] = row(at as u64 + 1, 105.0, at as u64 * SECOND + ahead);
            let path = write(folder.path(), 1, &all);
            let run = replay(&[&path]);
            assert_eq!(run.code, Some(1), "{}", run.report);
            let place = format!("2024-03-01.csv:{}: field \"time\"", at + 1);
            assert!(run.report.contains(&place), "{}", run.report);
            assert!(run.report.contains("after its neighbours"), "{}", run.report);
            let (run, bad) = set_aside(folder.path(), &[&[path.as_str()], &bars[..]].concat());
            assert_eq!((run.code, bad.len()), (Some(1), 1), "{}", run.report);
            assert!(run.bars.lines().count() > 25, "time went on: {}", run.bars);
        }
    }
}

/// Times of these rows are shifted by so many minutes, and each of them is a bad row of that kind.
fn shifted_are_bad(shifted: std::ops::Range<usize>, minutes: i64, side: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1..=600, 0);
    for at in shifted.clone() {
        let time = at as i64 * SECOND as i64 + minutes * 60_000;
        let time = BEGIN.checked_add_signed(time).unwrap();
        all[at] = format!("{},101,0.5,50.5,{time},true,true\n", at + 1);
    }
    let path = write(folder.path(), 1, &all);
    for parallel in ["1", "2"] {
        let run = replay(&[&path, "--parallel", parallel]);
        assert_eq!(run.code, Some(1), "{}", run.report);
        let place = format!("2024-03-01.csv:{}: field \"time\"", shifted.start + 1);
        assert!(run.report.contains(&place), "{}", run.report);
        assert!(run.report.contains(&format!("{side} its neighbours")), "{}", run.report);
    }
    let (run, bad) = set_aside(folder.path(), &[&path, "--bar", "m=time,every=10s"]);
    assert_eq!((run.code, bad.len()), (Some(1), shifted.len()), "{}", run.report);
    assert!(run.report.contains("time running backwards 0"), "{}", run.report);
    let lines = bad.iter().map(|bad| bad["line"].as_u64().unwrap() as usize);
    assert!(lines.eq(shifted.map(|at| at + 1)), "{bad:?}");
}

#[test]
fn many_rows_ahead_in_a_row_are_bad_rows() {
    for (first, rows) in [(0, 4), (50, 4), (50, 64), (100, 250), (592, 4)] {
        shifted_are_bad(first..first + rows, 2_880, "after");
    }
}

#[test]
fn rows_behind_their_neighbours_are_bad_rows() {
    for (first, rows) in [(1, 1), (50, 1), (50, 5), (599, 1)] {
        shifted_are_bad(first..first + rows, -400 * 1_440, "before");
    }
}

#[test]
fn a_row_whose_id_stands_far_from_its_time_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut all: Vec<String> = (0..200).map(|n| row(1_000 + n, 100.0, n * 60 * SECOND)).collect();
    // At the end, where no row behind it says so.
    all[198] = row(1_199, 100.0, 50 * 60 * SECOND);
    let run = replay(&[&write(folder.path(), 1, &all[..199])]);
    assert_eq!(run.code, Some(1), "{}", run.report);
    assert!(run.report.contains("2024-03-01.csv:199: field \"time\""), "{}", run.report);
    assert!(run.report.contains("before its neighbours"), "{}", run.report);
    // Amid the file, those after it come too late for it.
    all[198] = row(1_198, 100.0, 198 * 60 * SECOND);
    all[50] = row(1_200, 100.0, 50 * 60 * SECOND);
    let run = replay(&[&write(folder.path(), 1, &all)]);
    assert_eq!(run.code, Some(1), "{}", run.report);
    assert!(run.report.contains("2024-03-01.csv:52: field \"trade_id\""), "{}", run.report);
}

#[test]
fn a_pause_and_a_clock_that_steps_back_a_little_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(1..=300, 0);
    all.extend(rows(301..=600, 3 * 86_400 * SECOND));
    // Two seconds back, and five minutes.
    all[100] = row(101, 100.0, 98 * SECOND);
    all[450] = row(451, 100.0, 3 * 86_400 * SECOND - 151 * SECOND);
    let one = write(folder.path(), 1, &all);
    let two = write(folder.path(), 20, &rows(601..=1_000, 20 * 86_400 * SECOND));
    for parallel in ["1", "2"] {
        let run = replay(&[&one, &two, "--parallel", parallel]);
        assert_eq!((run.code, ticks(&run.bars)), (Some(0), 1_000), "{}", run.report);
        assert!(run.report.contains("time running backwards 2"), "{}", run.report);
    }
}

#[test]
fn a_quiet_market_is_no_wrong_time() {
    let folder = tempfile::tempdir().unwrap();
    let hours: Vec<String> = (0..20).map(|n| row(n + 1, 100.0, n * 3_600 * SECOND)).collect();
    let run = replay(&[&write(folder.path(), 1, &hours)]);
    assert_eq!((run.code, ticks(&run.bars)), (Some(0), 20), "{}", run.report);
}
