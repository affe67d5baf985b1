//! The trade store: archives in, the same trades out, whatever happens on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::support::archives::{self, DAY, MARCH, day_rows, days, publish_sum};
use crate::support::kills::Kill;
use crate::support::process::{PATIENCE, Process, barflow};

fn run(args: &[&str], files: &[PathBuf]) -> Output {
    barflow().args(args).args(files).env_remove("BARFLOW_STORE").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs, expects this exit code, returns standard output and error.
fn expect(code: i32, args: &[&str], files: &[PathBuf]) -> (String, String) {
    let output = run(args, files);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
    (text(&output.stdout), told)
}

/// Every file of a store's trades, with its bytes.
fn trades(store: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&store.join("trades"), &mut found);
    found
}

const BAR: [&str; 2] = ["--bar", "dib=imbalance,target=50,alpha=0.01,warmup=100"];

fn bars_of_store(store: &Path, more: &[&str]) -> String {
    let args = [&["replay", "--store", store.to_str().unwrap()], &BAR[..], more].concat();
    expect(0, &args, &[]).0
}

fn bars_of_files(files: &[PathBuf], more: &[&str]) -> String {
    expect(0, &[&["replay"], &BAR[..], more].concat(), files).0
}

#[test]
fn a_store_gives_the_bars_of_its_archives() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let archives = days(folder.path(), 1..=3, 20_000);
    let (_, told) = expect(0, &["convert", "--store", at], &archives);
    assert!(told.contains("3 of 3 archives") && told.contains("60,000 trades"), "{told}");
    let bars = bars_of_files(&archives, &[]);
    assert!(bars.lines().count() > 500);
    assert!(bars == bars_of_store(&store, &[]));
    let range = ["--from", "2024-03-02", "--to", "2024-03-03"];
    assert!(bars_of_files(&archives, &range) == bars_of_store(&store, &range));

    // Again: nothing to do, nothing changed.
    let before = trades(&store);
    assert_eq!(before.len(), 3);
    let (_, told) = expect(0, &["convert", "--store", at], &archives);
    assert!(told.contains("0 of 3") && told.contains("3 already converted"), "{told}");
    expect(0, &["convert", "--store", at, "--again"], &archives);
    assert!(trades(&store) == before, "the same archives make the same bytes");

    let (listed, _) = expect(0, &["store", "ls", "--store", at, "--json"], &[]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["instrument"], "binance:spot:BTCUSDT");
    assert_eq!((&listed["days"], &listed["trades"]), (&3.into(), &60_000.into()));
    let (info, _) = expect(0, &["store", "info", "--store", at], &[]);
    let first: serde_json::Value = serde_json::from_str(info.lines().next().unwrap()).unwrap();
    assert_eq!(first["sources"][0]["name"], "BTCUSDT-trades-2024-03-01.zip");
    assert_eq!((&first["rows"], &first["source_rows"]), (&20_000.into(), &20_000.into()));
    let (_, told) = expect(0, &["store", "verify", "--store", at], &[]);
    assert!(told.contains("3 files (60,000 trades)") && told.contains("0 damaged"), "{told}");
}

#[test]
fn a_month_is_cut_into_the_days_that_daily_archives_make() {
    let folder = tempfile::tempdir().unwrap();
    let archives = days(folder.path(), 1..=31, 700);
    let rows: Vec<String> = (1..=31).flat_map(|day| day_rows(day, 700)).collect();
    let month = archives::write(folder.path(), "BTCUSDT-trades-2024-03", &rows);
    let (by_day, by_month) = (folder.path().join("a"), folder.path().join("b"));
    expect(0, &["convert", "--store", by_day.to_str().unwrap()], &archives);
    expect(0, &["convert", "--store", by_month.to_str().unwrap()], &[month]);
    let digests = |store: &Path| -> Vec<(String, String, String)> {
        let (info, _) = expect(0, &["store", "info", "--store", store.to_str().unwrap()], &[]);
        info.lines()
            .map(|line| {
                let facts: serde_json::Value = serde_json::from_str(line).unwrap();
                let name = facts["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                let of = |key: &str| facts[key].to_string();
                (name, of("digest"), of("rows"))
            })
            .collect()
    };
    assert_eq!(digests(&by_day).len(), 31);
    assert_eq!(digests(&by_day), digests(&by_month));
}

#[test]
fn nothing_of_a_bad_archive_gets_in_and_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let mut archives = days(folder.path(), 1..=5, 2000);
    // Another day's checksum.
    fs::copy(
        folder.path().join("BTCUSDT-trades-2024-03-02.zip.CHECKSUM"),
        folder.path().join("BTCUSDT-trades-2024-03-01.zip.CHECKSUM"),
    )
    .unwrap();
    // Cut short, as its own checksum says.
    let bytes = fs::read(&archives[1]).unwrap();
    fs::write(&archives[1], &bytes[..bytes.len() / 2]).unwrap();
    publish_sum(&archives[1]);
    // A row that no trade can be, far behind the beginning.
    let mut rows = day_rows(3, 2000);
    rows[1900] = "6900,-1,2,3,4,True,True".to_owned();
    archives[2] = archives::write(folder.path(), "BTCUSDT-trades-2024-03-03", &rows);
    // One byte of the compressed rows is another: only the CRC knows.
    let mut bytes = fs::read(&archives[3]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archives[3], bytes).unwrap();
    publish_sum(&archives[3]);
    let (_, told) = expect(1, &["convert", "--store", at], &archives);
    assert!(told.contains("1 of 5") && told.contains("4 refused"), "{told}");
    for (day, why) in [(1, "SHA-256"), (2, "zip"), (3, "line 1901, field \"price\""), (4, "CRC")] {
        let name = format!("BTCUSDT-trades-2024-03-0{day}.zip");
        let line = told.lines().find(|l| l.starts_with("refused") && l.contains(&name)).unwrap();
        assert!(line.contains(why), "{line}");
    }
    let kept = trades(&store);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["BTCUSDT-trades-2024-03-05.parquet"]);

    // A month with one bad row at its end: nothing of all its days.
    let other = folder.path().join("other");
    let mut rows: Vec<String> = (1..=31).flat_map(|day| day_rows(day, 50)).collect();
    rows.push("x".to_owned());
    let month = archives::write(folder.path(), "BTCUSDT-trades-2024-03", &rows);
    expect(1, &["convert", "--store", other.to_str().unwrap()], &[month]);
    assert!(trades(&other).is_empty());
}

#[test]
fn days_become_months_and_give_the_same_bars() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let mut archives = days(&folder.path().join("in"), 1..=31, 900);
    for day in [1u64, 2] {
        let rows =
            archives::rows(1000 + 31 * 900 + (day - 1) * 900, 900, MARCH + (30 + day) * DAY, 900);
        let name = format!("BTCUSDT-trades-2024-04-{day:02}");
        archives.push(archives::write(&folder.path().join("in"), &name, &rows));
    }
    expect(0, &["convert", "--store", at], &archives);
    let bars = bars_of_store(&store, &[]);
    let (planned, told) = expect(0, &["compact", "--store", at, "--dry-run"], &[]);
    assert!(
        planned.contains("31 files") && told.contains("2024-04 has missing days"),
        "{planned}{told}"
    );
    let march = trades(&store).remove("BTCUSDT-trades-2024-03-09.parquet").unwrap();
    expect(0, &["compact", "--store", at], &[]);
    let files: Vec<String> = trades(&store).into_keys().collect();
    let expected =
        ["BTCUSDT-trades-2024-03", "BTCUSDT-trades-2024-04-01", "BTCUSDT-trades-2024-04-02"];
    assert_eq!(files, expected.map(|name| format!("{name}.parquet")));
    assert!(bars == bars_of_store(&store, &[]));
    expect(0, &["store", "verify", "--store", at], &[]);
    // What was merged is not converted again, and nothing is merged twice.
    let (_, told) = expect(0, &["convert", "--store", at], &archives);
    assert!(told.contains("33 already converted"), "{told}");
    let (made, _) = expect(0, &["compact", "--store", at], &[]);
    assert_eq!(made, "");

    // Cut short after the new file has its name: an old one is still there.
    let place = store.join("trades/binance/spot/trades/BTCUSDT");
    fs::write(place.join("BTCUSDT-trades-2024-03-09.parquet"), march).unwrap();
    assert!(bars == bars_of_store(&store, &[]));
    let (_, told) = expect(0, &["compact", "--store", at], &[]);
    assert!(told.contains("1 file of an earlier merge removed"), "{told}");
    assert_eq!(trades(&store).len(), 3);

    // Too small a target merges nothing.
    let other = folder.path().join("other");
    let there = other.to_str().unwrap();
    expect(0, &["convert", "--store", there], &archives);
    expect(0, &["compact", "--store", there, "--target-size", "10KiB"], &[]);
    assert_eq!(trades(&other).len(), 33);

    // The venue publishes a day once more, with another row: the month cannot silently hide it.
    let mut rows = day_rows(9, 900);
    rows.pop();
    let again = archives::write(folder.path(), "BTCUSDT-trades-2024-03-09", &rows);
    let (_, told) = expect(1, &["convert", "--store", at], &[again]);
    assert!(told.contains("BTCUSDT-trades-2024-03.parquet already covers 2024-03-09"), "{told}");
}

#[test]
fn killed_at_any_time_the_store_ends_equal() {
    let folder = tempfile::tempdir().unwrap();
    let mut archives = days(&folder.path().join("in"), 1..=31, 12_000);
    let rows: Vec<String> =
        archives::rows(1000 + 31 * 12_000, 60_000, MARCH + 31 * DAY, 30 * 1_440_000);
    archives.push(archives::write(&folder.path().join("in"), "BTCUSDT-trades-2024-04", &rows));
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    for command in [&["convert"][..], &["compact"]] {
        let files: &[PathBuf] = if command == ["convert"] { &archives } else { &[] };
        let at =
            |store: &Path| [command, &["--store", store.to_str().unwrap()]].concat().join("\n");
        let (whole_args, args) = (at(&whole), at(&killed));
        expect(0, &whole_args.lines().collect::<Vec<_>>(), files);
        let mut cut_short = 0;
        for kill in 0..10u64 {
            let mut command = barflow();
            command.args(args.lines()).args(files);
            let kill = Kill::After(Duration::from_millis(3 + kill * kill * 7 % 41));
            let (_, end) = Process::start(command).be_killed(kill, PATIENCE);
            cut_short += u64::from(end.killed);
            // Whatever has a name is whole.
            if killed.join("trades").exists() {
                expect(0, &["store", "verify", "--store", killed.to_str().unwrap()], &[]);
            }
        }
        println!("{command:?}: cut short {cut_short} times of 10");
        expect(0, &args.lines().collect::<Vec<_>>(), files);
        assert!(trades(&whole) == trades(&killed), "{command:?}");
        assert!(cut_short > 0);
    }
    assert_eq!(trades(&whole).len(), 2);
}

#[test]
fn what_a_store_lacks_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let mut archives = days(folder.path(), 1..=5, 3000);
    archives.remove(2);
    expect(0, &["convert", "--store", at], &archives);
    let args = ["replay", "--store", at, "--from", "2024-02-28", "--sink", "none"];
    let (_, told) = expect(0, &[&args[..], &BAR[..]].concat(), &[]);
    assert!(told.contains("the store has no 2024-03-03"), "{told}");
    assert!(told.contains("the store has no 2024-02-28 to 2024-02-29"), "{told}");
    let (listed, _) = expect(0, &["store", "ls", "--store", at], &[]);
    assert!(listed.contains("missing 2024-03-03"), "{listed}");

    let wrong = ["replay", "--store", at, "--instrument", "binance:spot:ETHUSDT"];
    let (_, told) = expect(2, &wrong, &[]);
    assert!(told.contains("no binance:spot:ETHUSDT") && told.contains("BTCUSDT trades"), "{told}");
    let (_, told) = expect(2, &["replay", "--store", at], &archives);
    assert!(told.contains("store and files cannot be combined"), "{told}");
    let (_, told) =
        expect(2, &["replay", "--store", folder.path().join("x").to_str().unwrap()], &[]);
    assert!(told.contains("not a trade store"), "{told}");

    // Aggregates of the same instrument beside trades.
    let rows: Vec<String> = (0..500u64)
        .map(|n| {
            format!("{},60000.5,0.01,{},{},{},True,True", n + 1, n + 1, n + 1, MARCH + n * 1000)
        })
        .collect();
    let aggregates = archives::write(folder.path(), "BTCUSDT-aggTrades-2024-03-01", &rows);
    expect(0, &["convert", "--store", at], &[aggregates]);
    let (_, told) = expect(2, &["replay", "--store", at], &[]);
    assert!(told.contains("choose one with --kind"), "{told}");
    let kind = ["replay", "--store", at, "--kind", "aggTrades", "--bar", "t=tick,size=100"];
    assert_eq!(expect(0, &kind, &[]).0.lines().count(), 5);
}

#[test]
fn damage_is_found_and_what_is_kept_twice_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let inside = store.join("archive/data/spot/daily/trades/BTCUSDT");
    days(&inside, 1..=3, 5000);
    expect(0, &["convert", "--store", at], &[]);
    // Nothing is removed without --yes.
    let (listed, told) = expect(0, &["store", "prune", "--store", at, "--archives"], &[]);
    assert_eq!(listed.lines().count(), 3);
    assert!(told.contains("would be removed"), "{told}");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 6);

    let (_, told) = expect(0, &["store", "verify", "--store", at], &[]);
    assert!(told.contains("3 files") && told.contains("3 archives read, 0 damaged"), "{told}");
    // An archive rots; so does a file of trades.
    let archive = inside.join("BTCUSDT-trades-2024-03-02.zip");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[1000] ^= 4;
    fs::write(&archive, bytes).unwrap();
    let file = store.join("trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-03.parquet");
    let other = store.join("trades/binance/spot/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.parquet");
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (found, told) = expect(1, &["store", "verify", "--store", at], &[]);
    assert!(told.contains("2 damaged"), "{told}");
    assert!(found.contains("2024-03-02.zip") && found.contains("2024-03-03.parquet"), "{found}");
    fs::write(&file, whole).unwrap();

    // The rotten archive is nobody's source any more, and stays.
    let (removed, _) = expect(0, &["store", "prune", "--store", at, "--archives", "--yes"], &[]);
    assert_eq!(removed.lines().count(), 2);
    assert!(archive.exists());
    let args = ["store", "prune", "--store", at, "--before", "2024-03-02", "--yes"];
    assert_eq!(expect(0, &args, &[]).0.lines().count(), 1);
    assert!(!other.exists() && file.exists());
    let (_, told) = expect(2, &["store", "prune", "--store", at], &[]);
    assert!(told.contains("or both are required"), "{told}");
}

#[test]
fn repeated_and_disordered_rows_are_put_right_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let at = store.to_str().unwrap();
    let mut rows = day_rows(1, 4000);
    rows.swap(100, 140);
    rows.insert(2000, rows[1990].clone());
    let spoiled = archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &rows);
    let (_, told) = expect(0, &["convert", "--store", at], &[spoiled]);
    assert!(told.contains("1 duplicate trade dropped"), "{told}");
    let (info, _) = expect(0, &["store", "info", "--store", at], &[]);
    let facts: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&facts["rows"], &facts["source_rows"]), (&4000.into(), &4001.into()));
    expect(0, &["store", "verify", "--store", at], &[]);
    // Rows without ids of their own cannot be kept by the day.
    let lean = folder.path().join("20131007_trade.csv");
    fs::write(&lean, "34200000,1000000,5,P,0,0\n34200010,1000100,7,P,0,0\n").unwrap();
    let args = ["convert", "--store", at, "--instrument", "lean:equity:SPY"];
    let (_, told) = expect(1, &args, &[lean]);
    assert!(told.contains("its rows have no ids"), "{told}");
}
