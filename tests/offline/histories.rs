//! Files of one instrument that overlap, stand in the wrong order, or are there twice: the bars of
//! the one sorted file, or exit 2 with their names.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;

use crate::support::process::barflow;

/// The result of a command: exit code, standard output, standard error.
struct Ran {
    code: Option<i32>,
    bars: String,
    said: String,
}

fn run(command: &str, inputs: &[&Path], more: &[&str]) -> Ran {
    let output = barflow().arg(command).args(inputs).args(more).output().unwrap();
    // Bars of several specifications come batch by batch.
    let mut lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    if command == "replay" {
        lines.sort_unstable();
    }
    Ran {
        code: output.status.code(),
        bars: lines.join("\n"),
        said: String::from_utf8(output.stderr).unwrap(),
    }
}

const BARS: [&str; 6] = [
    "--reorder-window",
    "16",
    "--bar",
    "t=tick,size=7",
    "--bar",
    "d=imbalance,target=9,alpha=0.1,warmup=20",
];

fn replay(inputs: &[&Path], more: &[&str]) -> Ran {
    run("replay", inputs, &[&BARS[..], more].concat())
}

/// The bars of an undisturbed run.
fn bars_of(inputs: &[&Path]) -> String {
    let Ran { code, bars, said } = replay(inputs, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(bars.lines().count() > 10, "{said}");
    bars
}

/// Trades of the first days of March 2024, 60 a day.
fn with_ids(days: std::ops::Range<usize>) -> Vec<String> {
    let row = |id: usize| {
        let time = 1_709_251_200_000 + (id / 60) * 86_400_000 + (id % 60) * 700_000;
        let (price, qty) = (100 + (id * 7) % 13, 1 + (id * 5) % 11);
        format!(
            "{},{price},{qty},{},{time},{},True",
            5000 + id,
            price * qty,
            ["True", "False"][id * 7 % 5 % 2]
        )
    };
    (days.start * 60..days.end * 60).map(row).collect()
}

fn without_ids(rows: std::ops::Range<usize>) -> Vec<String> {
    let row = |row: usize| {
        format!("{},{},{}", 1_709_251_200 + row * 3, 100 + (row * 7) % 13, 1 + (row * 5) % 11)
    };
    rows.map(row).collect()
}

fn write(path: &Path, rows: &[String]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, rows.join("\n") + "\n").unwrap();
    path.to_owned()
}

fn zipped(path: &Path, members: &[(&str, &[String])]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, rows) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all((rows.join("\n") + "\n").as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    path.to_owned()
}

/// Whether an expectation of the quality report is met.
fn is_ok(table: &str, expectation: &str) -> bool {
    let line = table.lines().find(|line| line.trim_start().starts_with(expectation));
    line.is_some_and(|line| line.trim_end().ends_with("  ok"))
}

/// An archive whose rows stand in an odd order: its replay, its store's replay and its quality are
/// those of the sorted one.
fn is_put_in_order(folder: &Path, odd: &Path) {
    let days = "BTCUSDT-trades-2024-03.csv";
    let sorted = write(&folder.join("sorted").join(days), &with_ids(0..3));
    let expected = bars_of(&[&sorted]);
    assert!(bars_of(&[odd]) == expected);
    let parallel = replay(&[odd], &["--parallel", "4"]);
    assert!((parallel.code, &parallel.bars) == (Some(0), &expected), "{}", parallel.said);
    let store = folder.join("store");
    let at = store.to_str().unwrap();
    let converted = run("convert", &[odd], &["--store", at]);
    assert_eq!(converted.code, Some(0), "{}", converted.said);
    assert!(replay(&[], &["--store", at]).bars == expected);
    let table = run("quality", &[odd], &[]).bars;
    assert!(is_ok(&table, "ids_in_order") && is_ok(&table, "no_id_gaps"), "{table}");
}

#[test]
fn a_file_with_its_newest_trade_first_is_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = with_ids(0..3);
    rows.reverse();
    let odd = write(&folder.path().join("odd/BTCUSDT-trades-2024-03.csv"), &rows);
    is_put_in_order(folder.path(), &odd);
    let said = replay(&[&odd], &[]).said;
    assert!(said.contains("BTCUSDT-trades-2024-03.csv has its newest trade first"), "{said}");
}

#[test]
fn members_of_an_archive_are_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, mut three) = (with_ids(0..1), with_ids(1..2), with_ids(2..3));
    three.reverse();
    let members = [("c.csv", &three[..]), ("b.csv", &one[..]), ("a.csv", &two[..])];
    let odd = zipped(&folder.path().join("odd/BTCUSDT-trades-2024-03.zip"), &members);
    is_put_in_order(folder.path(), &odd);
    let said = replay(&[&odd], &[]).said;
    assert!(said.contains("1 file, 180 trades"), "{said}");
}

#[test]
fn archives_that_overlap_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let all = with_ids(0..4);
    let sorted = write(&folder.path().join("sorted/BTCUSDT-trades-2024-03.csv"), &all);
    // A month that lacks its second day and more, two days, one of them twice.
    let month = [&all[..60], &all[150..]].concat();
    let month = write(&folder.path().join("odd/m/BTCUSDT-trades-2024-03.csv"), &month);
    let day = |name: &str, number: usize, rows: &[String]| {
        let name = format!("odd/{name}/BTCUSDT-trades-2024-03-0{number}.zip");
        zipped(&folder.path().join(name), &[("x.csv", rows)])
    };
    day("d", 2, &all[60..120]);
    day("again", 2, &all[60..120]);
    day("d", 3, &all[120..180]);
    let expected = bars_of(&[&sorted]);
    let odd = folder.path().join("odd");
    let merged = replay(&[&odd], &[]);
    assert!((merged.code, &merged.bars) == (Some(0), &expected), "{}", merged.said);
    // The second day once more, and what the month has of the third.
    assert!(merged.said.contains("duplicates 90, gaps 0"), "{}", merged.said);
    for threads in ["2", "4"] {
        let parallel = replay(&[&odd], &["--parallel", threads]);
        assert!((parallel.code, &parallel.bars) == (Some(0), &expected), "{}", parallel.said);
    }
    let without_days = replay(&[&month], &[]);
    assert!(without_days.said.contains("gaps 1 (90 ids missing)"), "{}", without_days.said);
    let quality = run("quality", &[&odd], &[]);
    assert!(
        is_ok(&quality.bars, "no_id_gaps") && is_ok(&quality.bars, "ids_in_order"),
        "{}",
        quality.bars
    );
}

#[test]
fn files_that_overlap_unseen_are_not_read_in_parallel() {
    let folder = tempfile::tempdir().unwrap();
    let all = with_ids(0..2);
    // Neither their names nor their ends tell.
    zipped(&folder.path().join("odd/a/BTCUSDT-trades-x.zip"), &[("x.csv", &all[..80])]);
    zipped(&folder.path().join("odd/b/BTCUSDT-trades-x.zip"), &[("x.csv", &all[40..])]);
    let sorted = write(&folder.path().join("sorted/BTCUSDT-trades-x.csv"), &all);
    let odd = folder.path().join("odd");
    let expected = bars_of(&[&sorted]);
    assert!(bars_of(&[&odd]) == expected);
    let parallel = replay(&[&odd], &["--parallel", "8"]);
    match parallel.code {
        Some(0) => assert!(parallel.bars == expected),
        code => {
            assert_eq!(code, Some(2), "{}", parallel.said);
            assert!(parallel.said.contains("leave out --parallel"), "{}", parallel.said);
        }
    }
}

#[test]
fn copies_without_ids_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let one = write(&folder.path().join("a/XBTUSD.csv"), &without_ids(0..120));
    let expected = bars_of(&[&one]);
    let copies = folder.path().join("copies");
    write(&copies.join("a/XBTUSD.csv"), &without_ids(0..120));
    write(&copies.join("b/XBTUSD.csv"), &without_ids(0..120));
    zipped(&copies.join("c/XBTUSD.zip"), &[("XBTUSD.csv", &without_ids(0..120))]);
    // A part of it, and the same from its end.
    write(&copies.join("d/XBTUSD.csv"), &without_ids(40..70));
    let mut back = without_ids(0..120);
    back.reverse();
    write(&copies.join("e/XBTUSD.csv"), &back);
    let copied = replay(&[&copies], &[]);
    assert!((copied.code, &copied.bars) == (Some(0), &expected), "{}", copied.said);
    assert_eq!(copied.said.matches("they count once").count(), 4, "{}", copied.said);
    let dotted = folder.path().join("./a/../a/XBTUSD.csv");
    let twice = replay(&[&one, &dotted], &[]);
    assert!((twice.code, &twice.bars) == (Some(0), &expected), "{}", twice.said);
    let linked = folder.path().join("linked.csv");
    fs::hard_link(&one, &linked).unwrap();
    let name = ["--instrument", "kraken:spot:XBTUSD"];
    let linked = replay(&[&one, &linked], &name);
    assert!((linked.code, &linked.bars) == (Some(0), &expected), "{}", linked.said);
    let parallel = replay(&[&copies], &["--parallel", "4"]);
    assert!((parallel.code, &parallel.bars) == (Some(0), &expected), "{}", parallel.said);
}

#[test]
fn exports_without_ids_that_overlap_are_joined_at_their_seam_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = write(&folder.path().join("one/XBTUSD.csv"), &without_ids(0..120));
    let seam = folder.path().join("seam");
    write(&seam.join("q1/XBTUSD.csv"), &without_ids(0..70));
    write(&seam.join("q2/XBTUSD.csv"), &without_ids(61..120));
    let joined = replay(&[&seam], &[]);
    assert!((joined.code, joined.bars) == (Some(0), bars_of(&[&one])), "{}", joined.said);
    assert!(joined.said.contains("begins with the last 9 rows of"), "{}", joined.said);
    let member = without_ids(61..120);
    zipped(&seam.join("q2/XBTUSD.zip"), &[("XBTUSD.csv", &member)]);
    fs::remove_file(seam.join("q2/XBTUSD.csv")).unwrap();
    let joined = replay(&[&seam], &[]);
    assert!((joined.code, joined.bars) == (Some(0), bars_of(&[&one])), "{}", joined.said);
    fs::remove_file(seam.join("q2/XBTUSD.zip")).unwrap();
    let mut other = without_ids(61..120);
    other.remove(3);
    write(&seam.join("q2/XBTUSD.csv"), &other);
    for command in ["replay", "quality"] {
        let more: &[&str] = if command == "replay" { &BARS } else { &[] };
        let refused = run(command, &[&seam], more);
        assert_eq!((refused.code, refused.bars.as_str()), (Some(2), ""), "{}", refused.said);
        for part in
            ["q1/XBTUSD.csv", "q2/XBTUSD.csv", "2024-03-01T00:03:03Z to 2024-03-01T00:03:27Z"]
        {
            assert!(refused.said.contains(part), "{part}: {}", refused.said);
        }
    }
}

/// Rows of a source that tells whole seconds: so many of one second, then one each second.
fn of_one_second(rows: std::ops::Range<usize>, same: usize) -> Vec<String> {
    let second = |row: usize| 1_709_251_200 + row.saturating_sub(same);
    rows.map(|row| format!("{},{}.5,0.{}", second(row), 60_000 + row, row % 9 + 1)).collect()
}

#[test]
fn what_two_exports_without_ids_share_is_found_among_many_rows_of_one_second() {
    let folder = tempfile::tempdir().unwrap();
    let all = of_one_second(0..900, 700);
    let one = write(&folder.path().join("one/XBTUSD.csv"), &all);
    let seam = folder.path().join("seam");
    // All of the seam lies within the second; or it ends after it.
    for end in [650, 800] {
        write(&seam.join("q1/XBTUSD.csv"), &all[..end]);
        write(&seam.join("q2/XBTUSD.csv"), &all[600..]);
        let joined = replay(&[&seam], &[]);
        if end == 800 {
            assert!((joined.code, joined.bars) == (Some(0), bars_of(&[&one])), "{}", joined.said);
        } else {
            assert_eq!(joined.code, Some(2), "{}", joined.said);
        }
    }
}

#[test]
fn days_without_ids_that_overlap_against_their_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let midnight = 1_709_337_600;
    let rows = |seconds: std::ops::Range<i64>| -> Vec<String> {
        seconds.map(|s| format!("{},{},0.5", midnight + s, 60_000 + s)).collect()
    };
    for (shared, code) in [(0, 0), (1, 2), (4, 2)] {
        for ending in ["csv", "zip"] {
            let days = folder.path().join(format!("{shared}{ending}"));
            let names = ["XBTUSD-trades-2024-03-01", "XBTUSD-trades-2024-03-02"];
            for (name, rows) in names.iter().zip([rows(-40..shared), rows(0..40)]) {
                let path = days.join(format!("{name}.{ending}"));
                match ending {
                    "csv" => write(&path, &rows),
                    _ => zipped(&path, &[("x.csv", &rows)]),
                };
            }
            let ran = replay(&[&days], &["--instrument", "kraken:spot:XBTUSD"]);
            assert_eq!(ran.code, Some(code), "{shared} {ending} {}", ran.said);
            assert!(code == 0 || ran.said.contains("line 41: the next file begins with"));
        }
    }
}

#[test]
fn a_seam_among_rows_in_disorder_is_found_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |seconds: &[i64]| -> Vec<String> {
        let row = |s: &i64| format!("{},{},0.5", 1_709_251_200 + s, 60_000 + s);
        seconds.iter().map(row).collect()
    };
    for (name, before, after, refused) in [
        ("end", [1, 2, 3, 5, 4].as_slice(), [5, 4, 6, 7, 8].as_slice(), true),
        ("amid", &[1, 2, 3, 5, 4, 6], &[5, 4, 6, 7, 8], false),
    ] {
        let seam = folder.path().join(name);
        write(&seam.join("q1/XBTUSD.csv"), &rows(before));
        zipped(&seam.join("q2/XBTUSD.zip"), &[("x.csv", &rows(after))]);
        let ran = replay(&[&seam], &["--instrument", "kraken:spot:XBTUSD"]);
        if refused {
            assert_eq!(ran.code, Some(2), "{}", ran.said);
        } else {
            assert_eq!(ran.code, Some(0), "{}", ran.said);
            assert!(ran.said.contains("begins with the last 3 rows of"), "{}", ran.said);
        }
    }
}

#[test]
fn rows_without_ids_never_make_bars_that_run_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let rows = without_ids(0..120);
    let one = write(&folder.path().join("one/XBTUSD.csv"), &rows);
    let back: Vec<String> = rows.iter().rev().cloned().collect();
    let back = write(&folder.path().join("back/XBTUSD.csv"), &back);
    let turned = replay(&[&back], &[]);
    assert!((turned.code, turned.bars) == (Some(0), bars_of(&[&one])), "{}", turned.said);
    assert!(turned.said.contains("newest trade first"), "{}", turned.said);
    // Two halves, each in order; and a file that falls at first only.
    let halves = [&rows[60..], &rows[..60]].concat();
    let mut falls = rows.clone();
    falls[..30].reverse();
    for odd in [halves, falls] {
        let odd = write(&folder.path().join("odd/XBTUSD.csv"), &odd);
        let refused = replay(&[&odd], &[]);
        assert_eq!(refused.code, Some(2), "{}", refused.said);
        assert!(refused.said.contains("XBTUSD.csv: line "), "{}", refused.said);
        assert!(refused.said.contains("sort the file by time"), "{}", refused.said);
    }
}
