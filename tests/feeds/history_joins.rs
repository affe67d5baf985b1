//! Where a history and the trades of its feed meet: each trade once, and what is missing is said.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::live::listen;
use crate::support::process::{Process, told};
use crate::support::scripted::{
    BEGIN, Row, ScriptedVenue, binance, binance_page, bybit, bybit_list, rows,
};

/// A history with ids, in a folder.
fn write(folder: &Path, rows: &[Row]) {
    let row =
        |row: &Row| format!("{},{},1,{},buy\n", row.id, row.price, (BEGIN + row.seconds) * 1_000);
    let text = rows.iter().map(row).collect::<String>();
    fs::write(folder.join("history.csv"), format!("id,price,qty,time,side\n{text}")).unwrap();
}

/// Keeps these columns of the history only.
fn keep(folder: &Path, columns: &[usize]) {
    let text = fs::read_to_string(folder.join("history.csv")).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        columns.iter().map(|at| fields[*at]).collect::<Vec<_>>().join(",") + "\n"
    };
    fs::write(folder.join("history.csv"), text.lines().map(row).collect::<String>()).unwrap();
}

fn join(folder: &Path, venue: &ScriptedVenue, protocol: &str, instrument: &str) -> Process {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut arguments =
        vec!["--venue", protocol, "--instrument", "BTCUSDT", "--at", &venue.address];
    let (history, gaps, quarantine) = (file("history.csv"), file("gaps"), file("quarantine"));
    arguments.extend(["--history", &history, "--history-instrument", instrument]);
    arguments.extend(["--bar", "t=tick,size=1", "--gaps", &gaps, "--quarantine", &quarantine]);
    listen(&arguments)
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Prices of single-trade bars, less 100.
fn prices(bars: &[String]) -> Vec<u64> {
    let price = |bar: &String| {
        let bar: Value = serde_json::from_str(bar).unwrap();
        bar["open"].as_f64().unwrap() as u64 - 100
    };
    bars.iter().map(price).collect()
}

#[test]
fn a_history_that_replay_would_not_join_to_the_feed_is_refused_before_anything_is_asked() {
    let refused = [
        (&[1, 2, 3, 4][..], "without ids, the feed brings it with ids"),
        (&[0, 1, 2, 3], "without aggressor side, the feed brings it with aggressor side"),
    ];
    for (columns, why) in refused {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &rows(1..=20));
        keep(folder.path(), columns);
        let venue = ScriptedVenue::start(Vec::new(), |path, _| binance_page(path, &rows(1..=30)));
        let mut arguments = vec!["live", "--venue", "binance-spot", "--instrument", "BTCUSDT"];
        arguments.extend(["--at", &venue.address, "--bar", "t=tick,size=1"]);
        arguments.extend([
            "--history",
            "history.csv",
            "--history-instrument",
            "binance:spot:BTCUSDT",
        ]);
        let said = told(folder.path(), 2, &arguments);
        assert!(said.contains(why) && said.contains("history.csv"), "{said}");
        assert!(said.contains("or none"), "{said}");
        assert_eq!(venue.progress.requests(), 0);
    }
}

/// Without ids, only what they say distinguishes trades of the moment in which a history ends.
#[test]
fn without_ids_trades_of_the_moment_in_which_a_history_ends_count_once_each() {
    let mut all = rows(1..=20);
    all[10..14].iter_mut().for_each(|row| row.seconds = 11);
    // One that the history has says the same as one that it has not.
    all[12].price = all[11].price;
    let expected: Vec<u64> = all.iter().map(|row| row.price - 100).collect();
    for columns in [&[0, 1, 2, 3, 4][..], &[1, 2, 3, 4]] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &all[..12]);
        keep(folder.path(), columns);
        let listed = all[4..16].to_vec();
        let venue = ScriptedVenue::start(vec![bybit(&all[14..])], move |_, _| bybit_list(&listed));
        let mut live = join(folder.path(), &venue, "bybit-spot", "bybit:spot:BTCUSDT");
        live.wait_until("all trades", |live| {
            live.bars().last().is_some_and(|bar| bar.contains("\"open\":120"))
        });
        let (code, bars, said) = live.stop();
        assert_eq!((code, prices(&bars)), (Some(0), expected.clone()), "{said}");
        assert!(lines(folder.path(), "gaps").is_empty(), "{said}");
        assert!(!said.contains("trades may be missing"), "{said}");
    }
}

#[test]
fn without_ids_a_run_that_ends_before_it_knows_says_that_trades_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &rows(1..=10));
    // REST has trades that the history has not, and the market is quiet.
    let venue = ScriptedVenue::start(Vec::new(), |_, _| bybit_list(&rows(30..=40)));
    let mut live = join(folder.path(), &venue, "bybit-spot", "bybit:spot:BTCUSDT");
    // It is asked again when the first list is read.
    live.wait_until("the second request", |_| venue.progress.requests() >= 2);
    let (code, bars, said) = live.stop();
    assert_eq!((code, bars.len()), (Some(0), 10), "{said}");
    let gaps = lines(folder.path(), "gaps");
    assert_eq!(gaps.len(), 1, "{said}");
    assert_eq!(gaps[0]["after_time"], (BEGIN + 10) * 1_000_000_000);
    assert!(gaps[0]["before_time"].as_i64().unwrap() > (BEGIN + 40) * 1_000_000_000);
    assert!(said.contains("trades may be missing"), "{said}");
    assert!(said.contains("gaps: 1 opened, 0 filled, 1 given up"), "{said}");
}

#[test]
fn what_lies_in_a_hole_of_a_history_is_late_and_the_hole_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &rows((1..=4).chain(7..=10)));
    let sent = rows([5, 8].into_iter().chain(11..=20));
    let venue =
        ScriptedVenue::start(vec![binance(&sent)], |path, _| binance_page(path, &rows(1..=20)));
    let mut live = join(folder.path(), &venue, "binance-spot", "binance:spot:BTCUSDT");
    live.wait_for(18);
    let (code, bars, said) = live.stop();
    let expected: Vec<u64> = (1..=4).chain(7..=20).collect();
    assert_eq!((code, prices(&bars)), (Some(0), expected), "{said}");
    let gaps = lines(folder.path(), "gaps");
    assert_eq!(gaps.len(), 1, "{said}");
    assert_eq!((&gaps[0]["first_missing"], &gaps[0]["last_missing"]), (&5.into(), &6.into()));
    assert_eq!(gaps[0]["after_time"], (BEGIN + 4) * 1_000_000_000);
    assert_eq!(gaps[0]["reason"], "the history does not have them");
    let late = lines(folder.path(), "quarantine");
    assert_eq!((late.len(), &late[0]["value"]), (1, &"5".into()), "{late:?}");
    assert!(said.contains("late 1: they came after"), "{said}");
    assert!(!said.contains("by its id alone"), "{said}");
}

/// More holes than are kept: those that are pushed out are in the ledger as well, each once.
#[test]
fn every_hole_of_a_history_with_many_is_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let last = 4 * 5_000 + 3;
    write(folder.path(), &rows((1..=last).filter(|id| id % 4 > 0)));
    let sent = rows(last + 1..=last + 2);
    let venue = ScriptedVenue::start(vec![binance(&sent)], move |path, _| {
        binance_page(path, &rows(last + 1..=last + 2))
    });
    let mut live = join(folder.path(), &venue, "binance-spot", "binance:spot:BTCUSDT");
    live.wait_for(15_005);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let gaps = lines(folder.path(), "gaps");
    let first = |gap: &Value| gap["first_missing"].as_u64().unwrap();
    let found: Vec<u64> = gaps.iter().map(first).collect();
    assert!(found.iter().copied().eq((4..last).step_by(4)), "{} gaps", found.len());
    assert!(said.contains("gaps=5000") && said.contains("ids=5000"), "{said}");
}

/// The end may be asked for while holes are pushed out: each that is written down is one, and is there once.
#[test]
fn a_signal_ends_the_reading_of_a_history_with_many_holes() {
    let folder = tempfile::tempdir().unwrap();
    let last = 4 * 50_000 + 3;
    write(folder.path(), &rows((1..=last).filter(|id| id % 4 > 0)));
    let venue = ScriptedVenue::start(Vec::new(), |path, _| binance_page(path, &[]));
    let mut live = join(folder.path(), &venue, "binance-spot", "binance:spot:BTCUSDT");
    let ledger = folder.path().join("gaps");
    let is_written = || fs::metadata(&ledger).is_ok_and(|found| found.len() > 0);
    live.wait_until("the first hole", |_| is_written());
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(0), "{said}");
    let gaps = lines(folder.path(), "gaps");
    for (gap, missing) in gaps.iter().zip((4..last).step_by(4)) {
        assert_eq!(
            (&gap["first_missing"], &gap["last_missing"]),
            (&missing.into(), &missing.into())
        );
    }
    assert!((4_097..=50_000).contains(&gaps.len()), "{} gaps", gaps.len());
    assert!(said.contains(&format!("gaps={}", gaps.len())), "{said}");
}

#[test]
fn a_bad_row_of_a_history_ends_the_run_with_1() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &rows(1..=10));
    let text = fs::read_to_string(folder.path().join("history.csv")).unwrap();
    fs::write(folder.path().join("history.csv"), text.replace("5,105,", "5,x,")).unwrap();
    let venue = ScriptedVenue::start(vec![binance(&rows(11..=20))], |path, _| {
        binance_page(path, &rows(1..=20))
    });
    let mut live = join(folder.path(), &venue, "binance-spot", "binance:spot:BTCUSDT");
    live.wait_for(19);
    let (code, _, said) = live.stop();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("quarantined 1"), "{said}");
    assert_eq!(lines(folder.path(), "quarantine").len(), 1);
}
