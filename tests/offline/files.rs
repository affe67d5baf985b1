//! Files as people have them: pipes, odd archives, folders with other things in them, days without
//! trades, names that contradict each other. What is not read is named; nothing is read twice.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::process::barflow;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

const HEADER: &str = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n";
const DAY_MS: u64 = 86_400_000;

/// Rows of one day of March 2024, from this id on.
fn rows(day: u64, first: u64, n: u64) -> String {
    rows_at(60_000, day, first, n)
}

fn rows_at(price: u64, day: u64, first: u64, n: u64) -> String {
    let midnight = 1_709_251_200_000 + (day - 1) * DAY_MS;
    let row = |at: u64| {
        let (id, price, time) = (first + at, price + at % 7, midnight + at * 10);
        format!("{id},{price},0.5,{},{time},{},true\n", price as f64 * 0.5, at.is_multiple_of(3))
    };
    (0..n).map(row).collect()
}

fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn zipped(path: &Path, members: &[(&str, &str)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(text.as_bytes()).unwrap();
    to.finish().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    barflow().args(arguments).output().unwrap()
}

/// One bar per trade.
fn replay(inputs: &[&str]) -> Output {
    run(&[&["replay", "--bar", "t=tick,size=1"], inputs].concat())
}

fn lines(output: &Output) -> usize {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output, wanted: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    for text in wanted {
        assert!(said.contains(text), "{text:?} in {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs with this on standard input.
fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = barflow();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A reader that has seen enough closes its end.
        scope.spawn(move || to.write_all(input).is_ok());
        child.wait_with_output().unwrap()
    })
}

const GIVEN: [&str; 4] = ["--instrument", "binance:spot:BTCUSDT", "--bar", "t=tick,size=100"];

#[test]
fn what_can_be_read_only_once_gives_the_bars_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    // More than any look at its beginning reads.
    let rows = rows(1, 3_249_558_001, 24_000);
    let path = file(folder.path(), "BTCUSDT-trades-2024-03-01.csv", &rows);
    let wanted = run(&[&["replay", text(&path)], &GIVEN[..]].concat());
    assert_eq!(lines(&wanted), 240);
    for input in ["-", "/dev/stdin", "/dev/fd/0"] {
        for content in [rows.clone().into_bytes(), gzip(&rows)] {
            let output = piped(&[&["replay", input], &GIVEN[..]].concat(), &content);
            assert_eq!(lines(&output), 240, "{input}");
            assert!(output.stdout == wanted.stdout, "{input}");
        }
    }
    let fifo = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let output = std::thread::scope(|scope| {
        scope.spawn(|| fs::write(&fifo, &rows).unwrap());
        run(&[&["replay", text(&fifo), "--parallel", "2"], &GIVEN[..]].concat())
    });
    assert!(output.stdout == wanted.stdout, "{}", said(&output));
    let quality = ["quality", "-", "--instrument", "binance:spot:BTCUSDT"];
    let output = piped(&quality, rows.as_bytes());
    assert!(String::from_utf8_lossy(&output.stdout).contains("24,000 trades"), "{output:?}");
    let empty = piped(&["replay", "-", "--instrument", "binance:spot:BTCUSDT"], b"");
    refused(&empty, &["- is empty"]);
}

#[test]
fn zstd_is_read_however_it_is_framed() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |rows: &str| zstd::encode_all(rows.as_bytes(), 1).unwrap();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let frames = [&skippable[..], &frame(&rows(1, 1, 20)), &skippable, &frame(&rows(1, 21, 10))];
    let path = file(folder.path(), "BTCUSDT-trades-2024-03-01.csv.zst", frames.concat());
    assert_eq!(lines(&replay(&[text(&path)])), 30);
}

#[test]
fn what_is_packed_otherwise_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = vec![0; 1024];
    tar[..30].copy_from_slice(b"BTCUSDT-trades-2024-03-01.csv\0");
    tar[257..263].copy_from_slice(b"ustar\0");
    tar[512..600].copy_from_slice(&rows(1, 1, 30).as_bytes()[..88]);
    let packed = gzip(&String::from_utf8(tar.clone()).unwrap());
    let cases: [(&str, &[u8], &str); 4] = [
        ("BTCUSDT-trades-2024-03-01.tar.gz", &packed, "tar archive"),
        ("BTCUSDT-trades-2024-03-01.csv", &tar, "tar archive"),
        ("BTCUSDT-trades-2024-03-02.csv", b"BZh91AY&SY", "bzip2"),
        ("BTCUSDT-trades-2024-03-03.csv", b"\xfd7zXZ\0\0", "xz"),
    ];
    for (name, content, kind) in cases {
        let path = file(folder.path(), name, content);
        refused(&replay(&[text(&path)]), &[name, kind, "repack it"]);
    }
    // A member that says that it is compressed with bzip2, and one that says it is encrypted.
    let path = folder.path().join("BTCUSDT-trades-2024-03-04.zip");
    for (at, value, kind) in [((8, 10), 12, "Bzip2"), ((6, 8), 1, "encrypted")] {
        zipped(&path, &[("BTCUSDT-trades-2024-03-04.csv", &rows(4, 1, 30))]);
        let mut bytes = fs::read(&path).unwrap();
        let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        bytes[at.0] = value;
        bytes[directory + at.1] = value;
        fs::write(&path, bytes).unwrap();
        refused(&replay(&[text(&path)]), &["BTCUSDT-trades-2024-03-04.csv", kind, "repack it"]);
    }
}

#[test]
fn members_without_trades_are_passed_over_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.zip");
    let rows = rows(1, 1, 30);
    let data = ("BTCUSDT-trades-2024-03-01.CSV", rows.as_str());
    let junk =
        [("__MACOSX/._BTCUSDT.csv", "\0\x05\x16"), (".DS_Store", "x"), ("README.txt", "a,b")];
    zipped(&path, &[&junk[..], &[data]].concat());
    let output = replay(&[text(&path)]);
    assert_eq!(lines(&output), 30);
    assert!(said(&output).contains("3 members not taken: __MACOSX/._BTCUSDT.csv"), "{output:?}");
    zipped(&path, &junk);
    refused(&replay(&[text(&path)]), &["no member with trades"]);
    zipped(&path, &[data, ("more.csv.gz", "x")]);
    refused(&replay(&[text(&path)]), &["\"more.csv.gz\""]);
}

#[test]
fn members_that_share_bytes_or_a_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.zip");
    zipped(&path, &[("a.csv", &rows(1, 1, 30))]);
    let bytes = fs::read(&path).unwrap();
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let end = bytes.windows(4).position(|four| four == b"PK\x05\x06").unwrap();
    let entry = &bytes[directory..end];
    let mut other = entry.to_vec();
    other[46] = b'b';
    let mut last = bytes[end..].to_vec();
    (last[8], last[10]) = (2, 2);
    last[12..16].copy_from_slice(&(2 * entry.len() as u32).to_le_bytes());
    fs::write(&path, [&bytes[..end], &other, &last].concat()).unwrap();
    refused(&replay(&[text(&path)]), &["\"a.csv\" and \"b.csv\"", "bytes of its own"]);
    fs::write(&path, [&bytes[..end], entry, &last].concat()).unwrap();
    refused(&replay(&[text(&path)]), &["2 members with 1 names"]);
}

#[test]
fn what_a_folder_or_a_pattern_holds_is_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    file(&data, "BTCUSDT-trades-2024-03-01.csv", rows(1, 1, 10));
    file(&data, "BTCUSDT-trades-2024-03-02.CSV", rows(2, 11, 10));
    file(&data, "BTCUSDT-trades-2024-03-03.Csv.Gz", gzip(&rows(3, 21, 10)));
    zipped(&data.join("BTCUSDT-trades-2024-03-04.ZIP"), &[("x.csv", &rows(4, 31, 10))]);
    file(&data, "notes.txt", "hello");
    file(&data, "BTCUSDT-trades-2024-03-05.csv.bz2", "BZh9");
    file(&data, ".BTCUSDT-trades-2024-03-06.csv", rows(6, 51, 10));
    file(&data, "BTCUSDT-trades-2024-03-07.zip.CHECKSUM", "0");
    let strange = OsStr::from_bytes(b"BTCUSDT-trades-2024-03-08.\xff.csv");
    fs::write(data.join(strange), rows(8, 71, 10)).unwrap();
    let pattern = data.join("*");
    for input in [text(&data), text(&pattern)] {
        let output = replay(&[input]);
        assert_eq!(lines(&output), 50, "{input}: {}", said(&output));
        let said = said(&output);
        assert!(said.contains("4 files not taken: "), "{said}");
        let wanted =
            ["notes.txt (does", "05.csv.bz2 (this kind", "06.csv (hidden)", "CHECKSUM (a "];
        for wanted in wanted {
            assert!(said.contains(wanted), "{wanted} in {said}");
        }
    }
}

#[test]
fn a_file_that_is_reached_twice_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let day = file(&data, "sub/BTCUSDT-trades-2024-03-01.csv", rows(1, 1, 10));
    fs::hard_link(&day, data.join("BTCUSDT-trades-2024-03-02.csv")).unwrap();
    symlink(&day, data.join("latest.csv")).unwrap();
    symlink(&data, data.join("sub/loop")).unwrap();
    symlink(data.join("sub"), data.join("again")).unwrap();
    let output = replay(&[text(&data), text(&day)]);
    assert_eq!(lines(&output), 10, "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("named twice and read once") && said.contains("latest.csv"), "{said}");
    assert!(said.contains("a link to a folder that is read already"), "{said}");
    assert!(said.contains("duplicates 0"), "{said}");
}

#[test]
fn a_day_without_trades_is_known_as_such_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    file(&data, "BTCUSDT-trades-2024-03-01.csv", format!("{HEADER}{}", rows(1, 1, 10)));
    zipped(&data.join("BTCUSDT-trades-2024-03-02.zip"), &[("x.csv", HEADER)]);
    file(&data, "BTCUSDT-trades-2024-03-03.csv", format!("{HEADER}{}", rows(3, 11, 10)));
    let output = replay(&[text(&data)]);
    assert_eq!(lines(&output), 20);
    assert!(said(&output).contains("1 file has a header and no trades"), "{}", said(&output));
    let quality = |arguments: &[&str]| {
        let output = run(&[&["quality"], arguments].concat());
        let table = String::from_utf8(output.stdout.clone()).unwrap();
        let row = table.lines().find(|line| line.contains("no_missing_days"));
        assert!(row.is_some_and(|row| row.contains("ok")), "{table}\n{}", said(&output));
    };
    quality(&[text(&data)]);
    let store = folder.path().join("store");
    let converted = run(&["convert", "--store", text(&store), text(&data)]);
    assert_eq!(converted.status.code(), Some(0), "{}", said(&converted));
    let output = replay(&["--store", text(&store)]);
    assert_eq!(lines(&output), 20);
    assert!(!said(&output).contains("the store has no"), "{}", said(&output));
    quality(&["--store", text(&store)]);
    let only = replay(&[text(&data.join("BTCUSDT-trades-2024-03-02.zip"))]);
    refused(&only, &["1 file has a header and no trades"]);
}

#[test]
fn names_of_different_symbols_are_never_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    file(&data, "BTCUSDT-trades-2024-03-01.csv", rows(1, 1, 10));
    let other = file(&data, "ETHUSDT-trades-2024-03-01.csv", rows_at(3_000, 1, 1, 10));
    let given = ["--instrument", "binance:spot:BTCUSDT"];
    refused(&replay(&[&given[..], &[text(&data)]].concat()), &["ETHUSDT", "a pattern"]);
    let quality = run(&[&["quality", text(&data)], &given[..]].concat());
    assert_eq!(quality.status.code(), Some(2), "{}", said(&quality));
    let store = folder.path().join("store");
    let convert = ["convert", "--store", text(&store), text(&other)];
    let converted = run(&[&convert[..], &given[..]].concat());
    assert_eq!(converted.status.code(), Some(1), "{}", said(&converted));
    // Said to be the same by who knows it, it is renamed; nothing else is.
    let renamed = ["--instrument", "ETHUSDT=binance:spot:BTCUSDT"];
    let output = replay(&[&renamed[..], &[text(&other)]].concat());
    assert_eq!(lines(&output), 10);
    assert!(String::from_utf8_lossy(&output.stdout).contains("binance:spot:BTCUSDT"));
    let archive = folder.path().join("BTCUSDT-trades-2024-03-01.zip");
    let members = [("BTCUSDT-trades-2024-03-01.csv", rows(1, 1, 10)), ("x.csv", rows(1, 11, 10))];
    let of = |other: &str| {
        zipped(&archive, &[(members[0].0, &members[0].1), (other, &members[1].1)]);
        replay(&[text(&archive)])
    };
    assert_eq!(lines(&of("x.csv")), 20);
    refused(&of("ETHUSDT-trades-2024-03-01.csv"), &["member \"ETHUSDT-trades-2024-03-01.csv\""]);
    refused(&of("BTCUSDT-aggTrades-2024-03-01.csv"), &["aggTrades"]);
}
