//! A trade store at its edges: archives that disagree, files that say they belong elsewhere, links,
//! and what a killed writer left.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::archives::{self, day_rows, days};
use crate::support::process::barflow;

/// Runs a command on a store, expects this exit code, returns standard output and error.
fn expect(code: i32, command: &[&str], store: &Path, more: &[&Path]) -> (String, String) {
    let output = barflow().args(command).arg("--store").arg(store).args(more).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?} {more:?}: {told}");
    (String::from_utf8(output.stdout).unwrap(), told)
}

fn day_file(store: &Path) -> PathBuf {
    store.join("trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet")
}

/// The trades of the only day, and the bytes of its file.
fn kept(store: &Path) -> (String, Vec<u8>) {
    let (listed, _) = expect(0, &["store", "ls", "--json"], store, &[]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    (listed["trades"].to_string(), fs::read(day_file(store)).unwrap())
}

#[test]
fn two_archives_of_one_day_give_one_result_in_any_order_and_at_once() {
    let rows = day_rows(1, 400);
    let mut other = rows.clone();
    other[7] = other[8].replacen("1008,", "1007,", 1);
    // The month's trades, the day's, what is said, and whether the month is used.
    let cases = [
        (&rows[..], &rows[..320], "400 and 320 trades; BTCUSDT-trades-2024-03.zip is used", true),
        (&rows[..320], &rows, "400 and 320 trades; BTCUSDT-trades-2024-03-01.zip is used", false),
        (&rows, &other, "400 trades each, but not the same; BTCUSDT-trades-2024-03.zip", true),
        (&rows, &rows, "", true),
    ];
    for (of_month, of_day, said, month_is_used) in cases {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let month = archives::write(folder.path(), "BTCUSDT-trades-2024-03", of_month);
        let day = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", of_day);
        let count = usize::from(!said.is_empty());
        let code = i32::try_from(count).unwrap();
        let mut results = Vec::new();
        for (first, second) in [(&month, &day), (&day, &month)] {
            expect(0, &["convert"], &store, &[first]);
            let (_, told) = expect(code, &["convert"], &store, &[second]);
            assert!(told.contains(said), "{told}");
            results.push(kept(&store));
            expect(0, &["store", "verify"], &store, &[]);
            // Said again when both are there already.
            let (_, told) = expect(code, &["convert"], &store, &[first, second]);
            assert_eq!(told.matches("disagree about 2024-03-01").count(), count, "{told}");
            fs::remove_dir_all(&store).unwrap();
        }
        for _ in 0..6 {
            expect(code, &["convert", "--jobs", "2"], &store, &[&day, &month]);
            results.push(kept(&store));
            fs::remove_dir_all(&store).unwrap();
        }
        assert!(results.iter().all(|result| *result == results[0] && result.0 == "400"));
        expect(0, &["convert"], &store, &[if month_is_used { &month } else { &day }]);
        assert!(results[0].1 == fs::read(day_file(&store)).unwrap(), "that archive's file: {said}");
    }
}

#[test]
fn a_file_that_says_it_belongs_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let archives = days(folder.path(), 1..=2, 100);
    expect(0, &["convert"], &store, &[&archives[0], &archives[1]]);
    let file = day_file(&store);
    let places = [
        "trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-05.parquet",
        "trades/binance/spot/trades/ETHUSDT/BTCUSDT-trades-2024-03-01.parquet",
        "trades/binance/um/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet",
    ];
    for place in places {
        let place = store.join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&file, &place).unwrap();
        for command in [
            &["store", "ls"][..],
            &["compact"],
            &["store", "prune", "--before", "2025-01-01", "--yes"],
        ] {
            let (_, told) = expect(2, command, &store, &[]);
            assert!(told.contains(place.to_str().unwrap()), "{told}");
        }
        fs::remove_file(&place).unwrap();
    }
    expect(0, &["store", "verify"], &store, &[]);
}

#[test]
fn a_store_neither_writes_nor_removes_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let (store, elsewhere) = (folder.path().join("store"), folder.path().join("elsewhere"));
    let archives = days(folder.path(), 1..=2, 100);
    expect(0, &["convert"], &store, &[&archives[0]]);
    fs::rename(store.join("trades/binance"), &elsewhere).unwrap();
    symlink(&elsewhere, store.join("trades/binance")).unwrap();
    let moved = elsewhere.join("spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet");
    let (_, told) = expect(2, &["store", "prune", "--before", "2025-01-01", "--yes"], &store, &[]);
    assert!(told.contains("symbolic link"), "{told}");
    let (_, told) = expect(1, &["convert"], &store, &[&archives[1]]);
    assert!(told.contains("symbolic link"), "{told}");
    assert!(moved.exists() && fs::read_dir(moved.parent().unwrap()).unwrap().count() == 1);
    for id in ["..:..:x", "a:..:x", "a:b:-x", ".a:b:c", "...:b:c"] {
        expect(2, &["convert", "--instrument", id], &store, &[&archives[1]]);
    }
    assert!(!folder.path().join("trades").exists());
}

#[test]
fn what_a_killed_writer_left_goes_and_a_link_of_that_name_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let precious = folder.path().join("precious.txt");
    fs::write(&precious, "precious").unwrap();
    let archive = days(folder.path(), 1..=1, 100).remove(0);
    let place = day_file(&store);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    for left in ["unfinished-4711", "unfinished-aB3dE"] {
        fs::write(format!("{}.{left}", place.display()), "PAR1").unwrap();
    }
    symlink(&precious, format!("{}.unfinished-x", place.display())).unwrap();
    expect(0, &["convert"], &store, &[&archive]);
    let left = fs::read_dir(place.parent().unwrap()).unwrap();
    let files = left.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file());
    assert_eq!(files.count(), 1);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn the_state_of_a_job_and_bad_rows_are_not_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = day_rows(1, 100);
    rows[50] = "1050,-1,1,1,1,True,True".to_owned();
    let archive = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &rows);
    let bars = folder.path().join("bars.jsonl");
    let command = ["replay", "--bar", "t=tick,size=10", "--delivery", "exactly-once", "--job", "j"];
    let output = barflow()
        .args(command)
        .arg("--out")
        .arg(&bars)
        .arg("--quarantine")
        .arg(folder.path().join("bad.jsonl"))
        .arg(&archive)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["bars.jsonl.journal", "bars.jsonl.checkpoint", "bad.jsonl"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{name}: {mode:o}");
    }
}

#[test]
fn a_day_that_was_damaged_is_converted_again_and_a_merged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let archives = days(folder.path(), 1..=31, 60);
    let paths: Vec<&Path> = archives.iter().map(PathBuf::as_path).collect();
    expect(0, &["convert"], &store, &paths);
    let file = |day: &str| day_file(&store).with_file_name(format!("BTCUSDT-trades-{day}.parquet"));
    let whole = ["2024-03-01", "2024-03-02"].map(|day| fs::read(file(day)).unwrap());
    fs::write(file("2024-03-01"), &whole[0][..whole[0].len() / 2]).unwrap();
    fs::write(file("2024-03-02"), "").unwrap();
    let (_, told) = expect(0, &["convert"], &store, &paths);
    assert!(told.contains("2 of 31 archives") && told.contains("29 already converted"), "{told}");
    assert!(told.contains("`barflow store verify` reads all of it"), "{told}");
    assert!(fs::read(file("2024-03-01")).unwrap() == whole[0]);
    assert!(fs::read(file("2024-03-02")).unwrap() == whole[1]);

    expect(0, &["compact"], &store, &[]);
    let month = file("2024-03");
    let merged = fs::read(&month).unwrap();
    fs::write(&month, &merged[..merged.len() / 2]).unwrap();
    let (_, told) = expect(1, &["convert"], &store, &paths);
    assert!(told.contains("31 refused") && told.contains("2024-03.parquet"), "{told}");
}

/// Event times of all trades in a range, from files or from a store of them.
fn times(input: &[&str], from: &str, to: &str) -> Vec<u64> {
    let range = ["--from", from, "--to", to, "--bar", "t=tick,size=1"];
    let made = barflow().arg("replay").args(input).args(range).output().unwrap();
    let lines = String::from_utf8(made.stdout).unwrap();
    let bars = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    bars.map(|bar: serde_json::Value| bar["open_time"].as_u64().unwrap() / 1000).collect()
}

/// Days of UTC+8, of UTC, and of UTC-8: an archive's rows lie partly outside its day.
#[test]
fn a_range_of_a_store_has_the_trades_of_the_files_whatever_days_they_are_cut_at() {
    const HOUR: u64 = 3_600_000_000;
    for offset in [-8, 0, 8] {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        for day in 1..=3 {
            let start = archives::MARCH + (day - 1) * archives::DAY;
            let start = start.checked_add_signed(-offset * HOUR as i64).unwrap();
            let rows = archives::rows(day * 24, 24, start, HOUR);
            archives::write(folder.path(), &format!("BTCUSDT-trades-2024-03-0{day}"), &rows);
        }
        expect(0, &["convert"], &store, &[folder.path()]);
        let files = folder.path().join("*.zip").display().to_string();
        let of_store = ["--store", store.to_str().unwrap()];
        for (from, to) in [
            ("2024-03-01", "2024-03-02"),
            ("2024-03-02", "2024-03-03"),
            ("2024-03-02T16:00:00Z", "2024-03-03"),
            ("2024-02-29T16:00:00Z", "2024-03-01"),
            ("2024-03-04", "2024-03-05"),
        ] {
            let expected = times(&[&files], from, to);
            assert_eq!(times(&of_store, from, to), expected, "{offset} h: {from} to {to}");
        }
        // Only what lies wholly before the day goes.
        let of_second = times(&of_store, "2024-03-02", "2024-03-03");
        assert_eq!(of_second.len(), 24);
        expect(0, &["store", "prune", "--before", "2024-03-02", "--yes"], &store, &[]);
        assert_eq!(times(&of_store, "2024-03-02", "2024-03-03"), of_second, "{offset} h: pruned");
    }
}

/// Exports named for the day on which they were made.
#[test]
fn files_that_are_left_out_by_the_dates_in_their_names_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let february = archives::MARCH - 29 * archives::DAY;
    for (name, start) in [("2024-03-01", february), ("2024-04-01", archives::MARCH)] {
        let rows = archives::rows(start / archives::DAY, 29, start, archives::DAY);
        archives::write(folder.path(), &format!("BTCUSDT-trades-{name}"), &rows);
    }
    let replay = barflow()
        .arg("replay")
        .arg(folder.path())
        .args(["--to", "2024-03-15", "--bar", "t=tick,size=1"])
        .output()
        .unwrap();
    let told = String::from_utf8(replay.stderr).unwrap();
    assert_eq!(replay.status.code(), Some(0), "{told}");
    let expected =
        "1 file is left out, because the date in its name lies outside --from and --to: ";
    assert!(told.contains(expected), "{told}");
    assert!(told.contains("BTCUSDT-trades-2024-04-01.zip"), "{told}");
}

#[test]
fn days_whose_ids_begin_again_are_named_as_a_replay_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let write = |day: u32, ids: std::ops::Range<u64>| {
        let begin = 1_709_251_200_000 + i64::from(day - 1) * 86_400_000;
        let row = |(at, id): (i64, u64)| {
            format!("{id},61000.5,0.01,610.005,{},true,true", begin + at * 60_000)
        };
        let rows: Vec<String> = (0..).zip(ids).map(row).collect();
        archives::write(folder.path(), &format!("BTCUSDT-trades-2024-03-{day:02}"), &rows)
    };
    let first = write(1, 5000..5100);
    let (second, third) = (write(3, 5..105), write(4, 105..205));
    expect(0, &["convert"], &store, &[&first]);
    let named = "BTCUSDT-trades-2024-03-03.parquet:1: field \"trade_id\": the id sequence was reset: \
                 it comes after trade 5099, at a later time; replay what begins here as a history of \
                 its own: \"5\"";
    // Said of what is converted now, of what was, and again when the days are those of another run.
    for archives in [&[&*second, &third][..], &[&second], &[&third]] {
        let (_, told) = expect(1, &["convert"], &store, archives);
        assert!(told.contains(named), "{told}");
        assert_eq!(told.matches("was reset").count(), 1, "{told}");
    }
    let replay = ["replay", "--bar", "t=tick,size=10", "--sink", "none"];
    let (_, told) = expect(1, &replay, &store, &[]);
    assert!(told.contains(named), "{told}");
    let (_, told) = expect(0, &["store", "verify"], &store, &[]);
    assert!(told.contains(named), "{told}");
    // Each sequence by itself is a history.
    for range in [["--to", "2024-03-02"], ["--from", "2024-03-03"]] {
        let (_, told) = expect(0, &[&replay[..], &range].concat(), &store, &[]);
        assert!(told.contains("duplicates 0, gaps 0"), "{told}");
    }
}
