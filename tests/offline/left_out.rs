//! Valid rows that are not trades by rule: left out, counted by reason, no gap, the same everywhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::process::barflow;

const MARCH: i64 = 1_709_251_200_000;

/// What a run printed, on both ways out, and its exit code.
fn run(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let ran = barflow().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout), text(&ran.stderr), ran.status.code())
}

/// Quantity of a row: 0 for some, alone and in runs.
fn qty(id: u64) -> &'static str {
    match id {
        7 | 30..=33 | 60 => "0",
        id if id % 2 == 0 => "0.250",
        _ => "0.125",
    }
}

#[test]
fn rows_of_quantity_zero_are_left_out_of_archives_and_recordings_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (mut csv, mut recording) = (String::new(), String::new());
    for id in 1..=60u64 {
        let (qty, time) = (qty(id), MARCH + id as i64 * 100);
        let price = if qty == "0" && id % 2 == 1 { "0" } else { "60000.5" };
        let quote = price.parse::<f64>().unwrap() * qty.parse::<f64>().unwrap();
        writeln!(csv, "{id},{price},{qty},{quote},{time},{}", id % 3 == 0).unwrap();
        writeln!(
            recording,
            "{time}000000 {{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time},\
             \"T\":{time},\"s\":\"BTCUSDT\",\"t\":{id},\"p\":\"{price}\",\"q\":\"{qty}\",\
             \"X\":\"MARKET\",\"m\":{}}}}}",
            id % 3 == 0
        )
        .unwrap();
    }
    fs::write(folder.path().join("BTCUSDT-trades-2024-03-01.csv"), csv).unwrap();
    fs::write(folder.path().join("recording"), recording).unwrap();
    let bar = ["--bar", "t=tick,size=9"];
    let archive = "BTCUSDT-trades-2024-03-01.csv";
    let one = run(folder.path(), &[&["replay", archive][..], &bar].concat());
    let live = run(
        folder.path(),
        &[&["replay", "--protocol", "binance-um", "recording"][..], &bar].concat(),
    );
    for (bars, log, code) in [&one, &live] {
        assert_eq!((bars.lines().count(), code), (6, &Some(0)), "{log}");
        assert!(log.contains("left out 6 (quantity 0)"), "{log}");
        assert!(log.contains("gaps 0 (0 ids missing)"), "{log}");
    }
    let threads = [&["replay", archive, "--parallel", "3"][..], &bar].concat();
    assert_eq!(run(folder.path(), &threads).0, one.0);
    let (table, log, code) = run(folder.path(), &["quality", archive]);
    assert_eq!(code, Some(0), "{table}{log}");
    let judged = table.lines().find(|line| line.trim_start().starts_with("no_id_gaps")).unwrap();
    let judged: Vec<&str> = judged.split_whitespace().take(5).collect();
    assert_eq!(judged, ["no_id_gaps", "warn", "1", "54", "0"], "{table}");
    // A store remembers their ids.
    let (_, log, code) = run(folder.path(), &["convert", "--store", "store", archive]);
    assert_eq!(code, Some(0), "{log}");
    let stored = run(folder.path(), &[&["replay", "--store", "store"][..], &bar].concat());
    assert_eq!(stored.0, one.0, "{}", stored.1);
    assert!(stored.1.contains("gaps 0 (0 ids missing)"), "{}", stored.1);
    assert!(stored.1.contains("left out 6 (quantity 0)"), "{}", stored.1);
    // A price of 0 with a quantity is a bad row, and so is a quantity of 0 on spot.
    for (name, row) in [
        ("ETHUSDT-trades-2024-03-01.csv", "1,0,2,0,1709251200000,true"),
        ("SOLUSDT-trades-2024-03-01.csv", "1,100.5,0,0,1709251200000,true,true"),
    ] {
        fs::write(folder.path().join(name), format!("{row}\n")).unwrap();
        let (bars, log, code) = run(folder.path(), &["replay", name, "--bar", "t=tick,size=1"]);
        assert_eq!((bars.as_str(), code), ("", Some(1)), "{log}");
    }
}

/// Spot has no rows that are not trades: a quantity of 0 is damage, in recordings as in archives.
#[test]
fn a_quantity_of_zero_on_spot_is_a_bad_row_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (mut csv, mut recording) = (String::new(), String::new());
    for id in 1..=30u64 {
        let qty = if id == 7 { "0.000" } else { "1.500" };
        let (time, maker) = (MARCH + id as i64, id % 3 == 0);
        writeln!(csv, "{id},100.5,{qty},150.75,{time},{maker},true").unwrap();
        writeln!(
            recording,
            "{time}000000 {{\"stream\":\"solusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time},\
             \"s\":\"SOLUSDT\",\"t\":{id},\"p\":\"100.5\",\"q\":\"{qty}\",\"T\":{time},\
             \"m\":{maker},\"M\":true}}}}"
        )
        .unwrap();
    }
    fs::write(folder.path().join("SOLUSDT-trades-2024-03-01.csv"), csv).unwrap();
    fs::write(folder.path().join("recording"), recording).unwrap();
    let more = ["--bar", "t=tick,size=10", "--quarantine", "bad"];
    let archive =
        run(folder.path(), &[&["replay", "SOLUSDT-trades-2024-03-01.csv"][..], &more].concat());
    let read = ["replay", "--protocol", "binance-spot", "recording"];
    let recorded = run(folder.path(), &[&read[..], &more].concat());
    for (bars, log, code) in [&archive, &recorded] {
        assert_eq!((bars.lines().count(), code), (2, &Some(1)), "{log}");
        assert!(bars.contains("\"missing_ids\":1"), "{bars}");
        assert!(!log.contains("left out"), "{log}");
    }
    assert_eq!(recorded.0, archive.0);
}

#[test]
fn suspicious_ticks_of_lean_are_left_out_unless_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let lean = folder.path().join("equity/usa/tick/spy");
    fs::create_dir_all(&lean).unwrap();
    let rows: String = (0..40)
        .map(|n| {
            let flag = u8::from(n % 10 == 3);
            let price = if flag == 1 { 9_000_000 } else { 5_000_000 };
            format!("{},{price},5,P,0,{flag}\n", 34_200_000 + n * 10)
        })
        .collect();
    fs::write(lean.join("20240305_trade.csv"), rows).unwrap();
    let bar = ["--bar", "t=tick,size=12"];
    let (bars, log, code) = run(folder.path(), &[&["replay", "equity"][..], &bar].concat());
    assert_eq!((bars.lines().count(), code), (3, Some(0)), "{log}");
    assert!(!bars.contains("\"high\":900"), "{bars}");
    assert!(log.contains("left out 4 (flagged as suspicious)"), "{log}");
    let kept = [&["replay", "equity", "--keep-suspicious"][..], &bar].concat();
    let (bars, log, _) = run(folder.path(), &kept);
    assert!(bars.contains("\"high\":900"), "{bars}");
    assert!(!log.contains("left out"), "{log}");
}
