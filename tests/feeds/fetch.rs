//! `barflow fetch` against an archive of ours, over real sockets, whatever goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::archives::{self, DAY, MARCH, day_rows, days};
use crate::support::kills::Kill;
use crate::support::process::{PATIENCE, Process, barflow, wait_until};
use barflow_simulator::archive::faults::KINDS;
use barflow_simulator::archive::tree::Tree;
use barflow_simulator::archive::{Running, ServerOptions, start};

/// An archive of these files.
fn serve(folder: &Path, faults: &str, seed: u64) -> Running {
    serve_pages(folder, faults, seed, Some(1000))
}

fn serve_pages(folder: &Path, faults: &str, seed: u64, page: Option<usize>) -> Running {
    let tree = Tree::of(&[folder.display().to_string()], None).unwrap();
    let options = ServerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        faults: faults.parse().unwrap(),
        seed,
        page,
    };
    start(tree, options).unwrap()
}

/// A fetch of days of March 2024, on a day in April.
fn fetch(server: &Running, store: &Path, more: &[&str]) -> Command {
    let mut command = barflow();
    command.args(["fetch", "--symbol", "BTCUSDT", "--today", "2024-04-20", "--store"]).arg(store);
    command.args(["--base-url", &format!("http://{}", server.address)]).args(more);
    if !more.contains(&"--from") {
        command.args(["--from", "2024-03-01", "--to", "2024-03-03"]);
    }
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs, expects this exit code, returns standard output and error.
fn expect(code: i32, command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    (String::from_utf8(output.stdout).unwrap(), told)
}

/// Every file below a folder, by its path from there on.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// What a store should hold of these archives, checksums besides.
fn as_published(archives: &[PathBuf], daily: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in archives {
        for path in [path.clone(), barflow_replay::checksum::checksum_file(path)] {
            let name = path.file_name().unwrap().to_str().unwrap();
            let key = format!("data/spot/{daily}/trades/BTCUSDT/{name}");
            all.insert(key, fs::read(&path).unwrap());
        }
    }
    all
}

fn archives_asked(server: &Running) -> u64 {
    server.tally.archives.load(Ordering::Relaxed)
}

/// Lines of the manifest, without the times.
fn manifest(store: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(store.join("manifest.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = line.as_object_mut().unwrap().remove("at").unwrap();
            assert!(at.as_str().unwrap().ends_with('Z'));
            line
        })
        .collect();
    lines.sort_by_key(|line| line["path"].to_string());
    lines
}

#[test]
fn what_is_published_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    let archives = days(&published, 1..=3, 5_000);
    let server = serve_pages(&published, "", 1, Some(3));
    let (listed, said) = expect(0, &mut fetch(&server, &store, &["--dry-run"]));
    let bytes = fs::metadata(&archives[0]).unwrap().len();
    let key = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip";
    assert_eq!(listed.lines().next().unwrap(), format!("{bytes}\tfetch\t{key}"));
    assert!(said.contains("3 files") && said.contains("0 (0 B) already present"), "{said}");
    assert!(!store.exists(), "a dry run leaves nothing");

    let (named, said) = expect(0, &mut fetch(&server, &store, &[]));
    assert_eq!(named.lines().count(), 3);
    assert!(named.lines().all(|path| Path::new(path).exists()), "{named}");
    assert!(said.contains("3 files") && said.contains("0 refused"), "{said}");
    assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"));
    let entries = manifest(&store);
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0]["path"], format!("archive/{key}"));
    assert_eq!((&entries[0]["state"], &entries[0]["bytes"]), (&"verified".into(), &bytes.into()));
    assert_eq!(entries[0]["sha256"], barflow_replay::checksum::sha256(&archives[0]).unwrap());

    // Again: nothing comes. Also when the manifest was lost, and is found out anew.
    let before = archives_asked(&server);
    let (_, said) = expect(0, &mut fetch(&server, &store, &[]));
    assert!(said.contains("0 files") && said.contains("3 already present"), "{said}");
    fs::remove_file(store.join("manifest.jsonl")).unwrap();
    let (_, said) = expect(0, &mut fetch(&server, &store, &[]));
    assert!(said.contains("0 files") && said.contains("3 already present"), "{said}");
    assert_eq!(archives_asked(&server), before);
    assert_eq!(manifest(&store), entries);

    // The venue replaces a file: it comes again, and only it.
    drop(server);
    let second = archives::write(&published, "BTCUSDT-trades-2024-03-02", &day_rows(2, 5_001));
    let server = serve(&published, "", 1);
    expect(0, &mut fetch(&server, &store, &[]));
    assert_eq!(archives_asked(&server), 1);
    let archives = [archives[0].clone(), second, archives[2].clone()];
    assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"));
}

#[test]
fn whatever_the_archive_does_the_store_ends_equal() {
    let folder = tempfile::tempdir().unwrap();
    let published = folder.path().join("in");
    let archives = days(&published, 1..=3, 30_000);
    let faults = "cut=0.5,429=0.15,5xx=0.15,redirect=0.3,no-range=0.3,stall=0.1:3s";
    let (mut seen, mut parts) = ([0; KINDS.len()], 0);
    for seed in 1..=4 {
        let store = folder.path().join(format!("store-{seed}"));
        let page = if seed % 2 == 0 { Some(2) } else { None };
        let server = serve_pages(&published, faults, seed, page);
        let patience = ["--tries", "60", "--timeout", "1s", "--jobs", "3"];
        let (_, said) = expect(0, &mut fetch(&server, &store, &patience));
        assert!(page.is_some() || said.contains("has no listing"), "{said}");
        assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"), "seed {seed}");
        for (sum, count) in seen.iter_mut().zip(&server.tally.faults) {
            *sum += count.load(Ordering::Relaxed);
        }
        parts += server.tally.parts.load(Ordering::Relaxed);
    }
    assert!(parts > 0, "interrupted transfers resume");
    for (name, count) in KINDS.iter().zip(seen) {
        let others = ["missing", "wrong-sum", "corrupt"].contains(name);
        assert!(others || count > 0, "{name} never happened");
    }
}

#[test]
fn what_comes_damaged_is_asked_for_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let published = folder.path().join("in");
    let archives = days(&published, 1..=1, 2_000);
    let day = ["--from", "2024-03-01", "--to", "2024-03-01"];
    let mut mended = 0;
    for seed in 1..=8 {
        let store = folder.path().join(format!("store-{seed}"));
        let server = serve(&published, "corrupt=0.5", seed);
        let output = fetch(&server, &store, &day).output().unwrap();
        let damaged = server.tally.faults[2].load(Ordering::Relaxed);
        assert_eq!(KINDS[2], "corrupt");
        let (code, said) = (output.status.code(), told(&output));
        assert_eq!(code, Some(if damaged < 2 { 0 } else { 1 }), "{said}");
        let expected = if damaged < 2 { as_published(&archives, "daily") } else { BTreeMap::new() };
        assert_eq!(files(&store.join("archive")), expected, "seed {seed}");
        assert!(damaged < 2 || said.contains("SHA-256 differs"), "{said}");
        mended += u32::from(damaged == 1);
    }
    assert!(mended > 0, "it never came right the second time");
}

#[test]
fn nothing_of_a_bad_archive_gets_in_and_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    let archives = days(&published, 1..=3, 2_000);
    let sum = barflow_replay::checksum::checksum_file(&archives[1]);
    let good = fs::read(&sum).unwrap();
    fs::copy(barflow_replay::checksum::checksum_file(&archives[0]), &sum).unwrap();
    let third = barflow_replay::checksum::checksum_file(&archives[2]);
    fs::write(&third, "<html>not found</html>").unwrap();
    let server = serve(&published, "", 1);
    let (_, said) = expect(1, &mut fetch(&server, &store, &[]));
    for (day, why) in [(2, "SHA-256 differs"), (3, "not a checksum file")] {
        let name = format!("refused: BTCUSDT-trades-2024-03-0{day}.zip");
        let line = said.lines().find(|line| line.starts_with(&name)).unwrap();
        assert!(line.contains(why), "{line}");
    }
    assert!(said.contains("1 file ") && said.contains("2 refused"), "{said}");
    assert_eq!(files(&store.join("archive")), as_published(&archives[..1], "daily"));
    let entries = manifest(&store);
    assert_eq!(entries.iter().filter(|entry| entry["state"] == "refused").count(), 2);
    assert!(entries[1]["why"].as_str().unwrap().contains("SHA-256"), "{}", entries[1]);

    // Published right, they come.
    drop(server);
    fs::write(&sum, good).unwrap();
    archives::publish_sum(&archives[2]);
    let server = serve(&published, "", 1);
    expect(0, &mut fetch(&server, &store, &[]));
    assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"));

    // Listed, and not there: named as well.
    let server = serve(&published, "missing=1", 1);
    let other = folder.path().join("other");
    let (_, said) = expect(1, &mut fetch(&server, &other, &[]));
    assert!(said.matches("HTTP 404").count() == 3 && said.contains("3 refused"), "{said}");
    assert!(files(&other.join("archive")).is_empty());
}

#[test]
fn days_that_do_not_come_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    days(&published, 5..=6, 10);
    days(&published, 8..=10, 10);
    let server = serve(&published, "", 1);
    let range = |from, to, today| {
        let mut command = barflow();
        let base = format!("http://{}", server.address);
        command.args(["fetch", "--symbol", "btcusdt", "--base-url", &base, "--store"]);
        command.arg(&store).args(["--from", from, "--to", to, "--today", today]);
        command
    };
    // A hole is worth an exit code.
    let (_, said) = expect(1, &mut range("2024-03", "2024-03-12", "2024-03-12"));
    let of = "binance:spot:BTCUSDT trades: ";
    for line in [
        "2024-03-01 to 2024-03-04: before the first day in the archive, 2024-03-05",
        "2024-03-07: missing in the archive, which has days before and after",
        "2024-03-11 to 2024-03-12: not published yet",
    ] {
        assert!(said.contains(&format!("{of}{line}\n")), "{said}");
    }
    // The others are not.
    let (_, said) = expect(0, &mut range("2024-03-10", "2024-03-15", "2024-05-01"));
    assert!(said.contains("2024-03-11 to 2024-03-15: after the last day in the archive"), "{said}");
    let mut unknown = range("2024-03-01", "2024-03-02", "2024-05-01");
    let (_, said) = expect(2, unknown.args(["--symbol", "BTCUSDR"]));
    assert!(said.contains("nothing of binance:spot:BTCUSDR trades"), "{said}");
    assert!(said.contains("hint: symbols are written"), "{said}");
    let (_, said) = expect(2, &mut range("2024-03-05", "2024-03-01", "2024-05-01"));
    assert!(said.contains("--from 2024-03-05 is later than --to 2024-03-01"), "{said}");
}

#[test]
fn whole_months_come_as_months_and_what_was_begun_in_days_goes_on_in_days() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    days(&published, 1..=31, 10);
    let march: Vec<String> = (1..=31).flat_map(|day| day_rows(day, 10)).collect();
    archives::write(&published, "BTCUSDT-trades-2024-03", &march);
    let april = archives::rows(1000 + 310, 10, MARCH + 31 * DAY, DAY / 10);
    archives::write(&published, "BTCUSDT-trades-2024-04-01", &april);
    let server = serve(&published, "", 1);
    let range = ["--from", "2024-03-01", "--to", "2024-04-01"];
    let names = |store: &Path| -> Vec<String> {
        let all = files(&store.join("archive"));
        all.into_keys().filter(|key| key.ends_with(".zip")).collect()
    };
    expect(0, &mut fetch(&server, &store, &range));
    let folder_of = "data/spot";
    assert_eq!(
        names(&store),
        [
            format!("{folder_of}/daily/trades/BTCUSDT/BTCUSDT-trades-2024-04-01.zip"),
            format!("{folder_of}/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-03.zip"),
        ]
    );
    let other = folder.path().join("other");
    expect(0, &mut fetch(&server, &other, &["--from", "2024-03-02", "--to", "2024-03-03"]));
    expect(0, &mut fetch(&server, &other, &range));
    let all = names(&other);
    assert_eq!((all.len(), all.iter().any(|key| key.contains("monthly"))), (32, false));
    // Both make the same store, and the same bars.
    let bars = |store: &Path| {
        expect(0, barflow().args(["convert", "--store"]).arg(store));
        let mut replay = barflow();
        replay.args(["replay", "--bar", "t=tick,size=7", "--store"]).arg(store);
        expect(0, &mut replay).0
    };
    let by_month = bars(&store);
    assert_eq!(by_month.lines().count(), 320 / 7);
    assert!(by_month == bars(&other));
}

#[test]
fn troubles_with_the_outside_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    days(&published, 1..=3, 10);
    let server = serve(&published, "", 1);
    // Somebody else is at it.
    fs::create_dir_all(&store).unwrap();
    let held = fs::File::create(store.join("fetch.lock")).unwrap();
    held.lock().unwrap();
    let (_, said) = expect(3, &mut fetch(&server, &store, &[]));
    assert!(said.contains("another fetch is running in this store"), "{said}");
    drop(held);
    // Always busy.
    let busy = serve(&published, "5xx=1", 1);
    let (_, said) = expect(3, &mut fetch(&busy, &store, &["--tries", "2"]));
    assert!(said.contains("gave up after 2 attempts") && said.contains("HTTP 503"), "{said}");
    assert!(said.contains("hint: run the same command to resume"), "{said}");
    // Nobody there.
    let nobody = ["--base-url", "http://127.0.0.1:9", "--tries", "1"];
    let mut command = barflow();
    command.args(["fetch", "--symbol", "A", "--from", "2024-03-01", "--store"]).arg(&store);
    let (_, said) = expect(3, command.args(nobody));
    assert!(said.contains("http://127.0.0.1:9"), "{said}");
    // A manifest that is none.
    fs::write(store.join("manifest.jsonl"), "nonsense\n").unwrap();
    let (_, said) = expect(3, &mut fetch(&server, &store, &[]));
    assert!(said.contains("manifest.jsonl") && said.contains("line 1"), "{said}");
}

/// Whether it was killed before its end.
fn kill_within(command: Command, pause: Duration) -> bool {
    Process::start(command).be_killed(Kill::After(pause), PATIENCE).1.killed
}

#[test]
fn killed_again_and_again_the_store_ends_equal() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    let archives = days(&published, 1..=3, 30_000);
    // Slow enough to be killed within files.
    let server = serve(&published, "rate=400000,cut=0.1", 7);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut kills = 0;
    while kills < 7 {
        let command = fetch(&server, &store, &["--jobs", "2"]);
        if !kill_within(command, Duration::from_millis(rng.u64(50..700))) {
            break;
        }
        kills += 1;
        for name in files(&store.join("archive")).keys() {
            let whole = name.ends_with(".zip") || name.ends_with(".CHECKSUM");
            assert!(whole || name.contains("/."), "{name}");
        }
    }
    assert!(kills > 2, "only {kills} kills hit");
    expect(0, &mut fetch(&server, &store, &[]));
    assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"));
    let once = folder.path().join("once");
    drop(server);
    let server = serve(&published, "", 1);
    expect(0, &mut fetch(&server, &once, &[]));
    let convert = |store: &Path| {
        let mut command = barflow();
        command.args(["convert", "--store"]).arg(store);
        command
    };
    for _ in 0..4 {
        kill_within(convert(&store), Duration::from_millis(rng.u64(10..250)));
    }
    expect(0, &mut convert(&store));
    expect(0, &mut convert(&once));
    assert_eq!(files(&store.join("trades")), files(&once.join("trades")));
    expect(0, barflow().args(["store", "verify", "--store"]).arg(&store));
}

#[test]
fn an_interrupted_fetch_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (published, store) = (folder.path().join("in"), folder.path().join("store"));
    let archives = days(&published, 1..=3, 30_000);
    let server = serve(&published, "rate=100000", 1);
    let fetching = Process::start(fetch(&server, &store, &[]));
    let partial = || {
        let all = files(&store.join("archive"));
        all.into_iter().any(|(name, bytes)| name.ends_with(".partial") && !bytes.is_empty())
    };
    wait_until("a part of a file is there", partial);
    fetching.signal("INT");
    let (code, said) = fetching.finish();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopped; run the same command to resume"), "{said}");
    drop(server);
    let server = serve(&published, "", 1);
    expect(0, &mut fetch(&server, &store, &[]));
    assert!(server.tally.parts.load(Ordering::Relaxed) > 0, "it resumes within a file");
    assert_eq!(files(&store.join("archive")), as_published(&archives, "daily"));
}

#[test]
fn a_folder_of_the_store_that_is_a_link_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    days(&at("in"), 1..=2, 500);
    let server = serve(&at("in"), "", 1);
    fs::create_dir(at("outside")).unwrap();
    for (store, link) in [("all", "archive"), ("part", "archive/data/spot")] {
        let link = at(store).join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(at("outside"), &link).unwrap();
        let (_, said) = expect(3, &mut fetch(&server, &at(store), &[]));
        assert!(said.contains("it is a symbolic link"), "{said}");
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0, "{said}");
    }
    // The store itself may be reached through one.
    std::os::unix::fs::symlink(at("outside"), at("store")).unwrap();
    expect(0, &mut fetch(&server, &at("store"), &[]));
    assert!(at("outside/archive").exists());
}
