//! Files of every kind with bytes changed at random: whatever is in them, the program ends by itself,
//! with an exit code and words of its own, and in little memory.
//!
//! `BARFLOW_MUTATIONS` says how many (`.ci/extended` runs 3,000), `BARFLOW_MUTATIONS_SEED` which. A
//! failure prints the seed and number of its run and keeps its files.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::measured::{Ended, end};
use crate::support::archives;
use crate::support::process::barflow;
use crate::support::spoiled;

/// Resident memory that no such file needs, KiB.
const MEMORY: i64 = 500 << 10;

/// A valid input, and how it is read.
struct Kind {
    name: &'static str,
    /// Its file's name.
    file: &'static str,
    bytes: Vec<u8>,
    /// What lies beside it.
    beside: Vec<(&'static str, Vec<u8>)>,
    /// Commands, of which each run takes one; the files are in the working directory.
    commands: Commands,
}

const DAY: &str = "BTCUSDT-trades-2024-03-01.csv";

/// A key of a Parquet footer of ours, and a value that it may have.
const LEFT_OUT: &str = "barflow.left_out";
const IDS: &str = r#"{"quantity 0":[[900,903],[2000,2000]],"suspicious":[[2001,2004]]}"#;

type Commands = &'static [&'static str];

const REPLAYS: Commands = &[
    "replay FILE --bar t=tick,size=50 --sink none",
    "replay FILE --bar t=tick,size=50 --sink none --no-verify",
    "replay FILE --bar t=tick,size=50 --sink none --quarantine bad.jsonl",
    "replay FILE --bar t=tick,size=50 --sink none --parallel 2 --no-verify",
    "replay FILE --bar t=tick,size=50 --sink none --sink-trades kept",
    "quality FILE",
    "check FILE",
    "convert FILE --store history",
];

const MAPPED: Commands = &[
    "replay FILE --bar t=tick,size=50 --sink none --instrument a:b:C",
    "replay FILE --bar t=tick,size=50 --sink none --instrument a:b:C --quarantine bad.jsonl",
    "check FILE",
];

const RECORDED: Commands = &[
    "replay --protocol binance-spot FILE --bar t=tick,size=1 --sink none",
    "replay --protocol binance-spot FILE --bar t=tick,size=1 --sink none --quarantine bad.jsonl",
];

const CHECK: Commands = &["check FILE"];

const SUITE: Commands = &["quality --suite FILE BTCUSDT-trades-2024-03-01.csv"];

const CORRECTED: Commands =
    &["replay --corrections FILE BTCUSDT-trades-2024-03-01.csv --bar t=tick,size=50 --sink none"];

const COLUMNS: Commands = &[
    "replay --columns TEXT BTCUSDT-trades-2024-03-01.csv --instrument a:b:C --bar t=tick,size=50 \
     --sink none",
];

const JOB: Commands = &[
    "replay BTCUSDT-trades-2024-03-01.csv --bar t=tick,size=50 --sink jsonl --out b.jsonl --delivery exactly-once --job j \
     --commit-interval 1ms",
];

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn kind(name: &'static str, file: &'static str, bytes: Vec<u8>, commands: Commands) -> Kind {
    Kind { name, file, bytes, beside: Vec::new(), commands }
}

fn kinds() -> Vec<Kind> {
    let folder = tempfile::tempdir().unwrap();
    let rows = archives::day_rows(1, 300);
    let csv = (rows.join("\n") + "\n").into_bytes();
    let mut kinds = texts(&csv);
    kinds.extend(tables(folder.path(), &rows));
    kinds.extend(recordings());
    kinds.extend(jobs(folder.path(), &csv));
    kinds.extend(settings(&csv));
    kinds
}

fn texts(csv: &[u8]) -> Vec<Kind> {
    let named: String = String::from_utf8_lossy(csv)
        .lines()
        .map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            format!("{},{},{},{},buy\n", cells[4], cells[1], cells[2], cells[0])
        })
        .collect();
    let named = format!("ts,price,qty,id,side\n{named}").into_bytes();
    let zip = zipped(&[(DAY, csv), ("note.txt", b"hello")]);
    vec![
        kind("csv", DAY, csv.to_vec(), REPLAYS),
        kind("gzip", "BTCUSDT-trades-2024-03-01.csv.gz", gzipped(csv), REPLAYS),
        kind("zstd", "BTCUSDT-trades-2024-03-01.csv.zst", zstandard(csv), REPLAYS),
        kind("zip", "BTCUSDT-trades-2024-03-01.zip", zip, REPLAYS),
        kind("mapped csv", "trades.csv", named, MAPPED),
    ]
}

/// Parquet of ours, with its seal and without, and of another program.
fn tables(folder: &Path, rows: &[String]) -> Vec<Kind> {
    let archive = archives::write(folder, "BTCUSDT-trades-2024-03-01", rows);
    let kept = spoiled::as_parquet(&[archive], &folder.join("kept"));
    let to = folder.join("other.parquet");
    spoiled::rewrite_as_another_program(&kept, &to, |batch| batch);
    let own = fs::read(&kept).unwrap();
    let seal = memchr::memmem::find(&own, b"barflow.seal").unwrap();
    let mut unsealed = own.clone();
    unsealed[seal..seal + 12].copy_from_slice(b"barflow.none");
    let noted = folder.join("noted.trades.parquet");
    spoiled::rewrite_with_note(&kept, &noted, LEFT_OUT, &|_| IDS.to_owned());
    vec![
        kind("own parquet", "own.trades.parquet", own, REPLAYS),
        kind("unsealed parquet", "own.trades.parquet", unsealed, REPLAYS),
        kind("parquet with ids left out", "own.trades.parquet", fs::read(&noted).unwrap(), REPLAYS),
        kind("other parquet", "other.parquet", fs::read(&to).unwrap(), MAPPED),
    ]
}

fn recordings() -> Vec<Kind> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/recording");
    let recording =
        |name, file, seed: &str| kind(name, file, fs::read(seeds.join(seed)).unwrap(), RECORDED);
    vec![
        recording("recording", "r.capture", "native.capture"),
        recording("recording gzip", "r.capture.gz", "native.capture.gz"),
        recording("recording zstd", "r.capture.zst", "native.capture.zst"),
        recording("cryptofeed", "r.jsonl", "cryptofeed.jsonl"),
        recording("hftbacktest", "r.txt", "hftbacktest.txt"),
    ]
}

/// Journal and checkpoint of a job that has read its file; the next run makes its output of them.
fn jobs(folder: &Path, csv: &[u8]) -> Vec<Kind> {
    fs::write(folder.join(DAY), csv).unwrap();
    let run = || {
        let ran = command(JOB[0], "", folder).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        let bars = fs::read(folder.join("b.jsonl")).unwrap();
        fs::remove_file(folder.join("b.jsonl")).unwrap();
        bars
    };
    let bars = run();
    let left = ["b.jsonl.journal", "b.jsonl.checkpoint"];
    let left = left.map(|name| (name, fs::read(folder.join(name)).unwrap()));
    assert_eq!(entries(&left[0].1).len(), 6, "a bar of 50 trades each");
    assert_eq!(run(), bars, "made of the journal");
    let again = |name, (file, bytes): &(&'static str, Vec<u8>)| Kind {
        beside: [&[(DAY, csv.to_vec())], &left[..]].concat(),
        ..kind(name, file, bytes.clone(), JOB)
    };
    vec![again("journal", &left[0]), again("checkpoint", &left[1])]
}

/// Where the entries of a journal are, without their heads of 4 bytes and checksums of 8.
fn entries(journal: &[u8]) -> Vec<Range<usize>> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some(&[a, b, c, 0xbf]) = journal.get(at..at + 4) {
        let entry = at + 4..at + 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        if entry.end + 8 > journal.len() {
            break;
        }
        at = entry.end + 8;
        entries.push(entry);
    }
    entries
}

/// Puts the right checksums into what was mutated, so that what lies behind them is read.
fn reseal(kind: &Kind, bytes: &mut [u8]) {
    let checksums: Vec<(usize, u64)> = match kind.name {
        "journal" => {
            let of_entry = |entry: Range<usize>| {
                let head = bytes[entry.start - 4..entry.start].try_into().unwrap();
                let seed = u32::from_le_bytes(head).into();
                (entry.end, xxh3_64_with_seed(&bytes[entry], seed))
            };
            entries(bytes).into_iter().map(of_entry).collect()
        }
        "checkpoint" => {
            let content = bytes.len().checked_sub(8).map(|end| (end, xxh3_64(&bytes[..end])));
            content.into_iter().collect()
        }
        _ => return,
    };
    for (at, checksum) in checksums {
        bytes[at..at + 8].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn settings(csv: &[u8]) -> Vec<Kind> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| fs::read(root.join(path)).unwrap();
    let with_day = |name, file, bytes, commands| Kind {
        beside: vec![(DAY, csv.to_vec())],
        ..kind(name, file, bytes, commands)
    };
    let corrections = b"action,trade_id,time,price,qty,side\nremove,1003,,,,\nreplace,1004,\
                        2024-03-01T00:19:12Z,61234.5,0.25,buy\n";
    let columns = b"id=1,price=2,qty=3,time=5,time_unit=us,side=6,side_buy=False";
    vec![
        kind("replay settings", "c.toml", text("configs/replay.toml"), CHECK),
        kind("live settings", "c.toml", text("configs/live.toml"), CHECK),
        kind("sweep settings", "c.toml", text("configs/sweep.toml"), CHECK),
        with_day("suite", "suite.toml", text("configs/quality.toml"), SUITE),
        with_day("corrections", "c.csv", corrections.to_vec(), CORRECTED),
        with_day("columns", "map.txt", columns.to_vec(), COLUMNS),
    ]
}

/// The command of a run. `TEXT` is the file's content, as far as an argument can be that.
fn command(text: &str, file: &str, folder: &Path) -> Command {
    let mut command = barflow();
    command.current_dir(folder);
    for word in text.split_whitespace() {
        match word {
            "FILE" => command.arg(file),
            "TEXT" => {
                let bytes = fs::read(folder.join(file)).unwrap();
                command.arg(String::from_utf8_lossy(&bytes).replace('\0', ""))
            }
            word => command.arg(word),
        };
    }
    command
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Rng) {
    const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX];
    for _ in 0..random.usize(1..=4) {
        let length = bytes.len();
        if length == 0 {
            bytes.push(random.u8(..));
            continue;
        }
        // Ends hold directories and footers, beginnings headers.
        let at = match random.u8(0..4) {
            0 => length - 1 - random.usize(0..length.min(200)),
            1 => random.usize(0..length.min(200)),
            _ => random.usize(0..length),
        };
        let end = (at + random.usize(1..=64)).min(length);
        match random.u8(0..9) {
            0 | 1 => bytes[at] ^= 1 << random.u8(0..8),
            2 => bytes[at] = random.u8(..),
            3 => {
                let number = NUMBERS[random.usize(0..NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.usize(0..4)].min(length - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let copy = bytes[at..end].to_vec();
                let times = random.usize(1..=200);
                bytes.splice(at..at, copy.repeat(times));
            }
            7 => {
                let other = random.usize(0..length);
                bytes.swap(at, other);
            }
            _ => {
                const WORDS: [&[u8]; 10] = [
                    b"\n",
                    b",",
                    b"\"",
                    b"-1",
                    b"1e999",
                    b"NaN",
                    b"\xff\xfe",
                    b"\x1b[2J",
                    b"[[",
                    b"../",
                ];
                let word = WORDS[random.usize(0..WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
}

/// A text of the footer of a Parquet is mutated, and the footer is whole.
fn mutate_note(kind: &Kind, random: &mut Rng) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, &kind.bytes).unwrap();
    let key = [LEFT_OUT, LEFT_OUT, "barflow.feed", "barflow.rows"][random.usize(0..4)];
    let random = RefCell::new(random);
    spoiled::rewrite_with_note(&from, &to, key, &|value| {
        const NUMBERS: [&str; 4] = ["18446744073709551615", "4611686018427387904", "5000000", "-1"];
        let (mut text, mut random) = (value.unwrap_or_default(), random.borrow_mut());
        let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
        let digits: Vec<String> = digits.map(str::to_owned).collect();
        if random.bool() && !digits.is_empty() {
            let number = NUMBERS[random.usize(0..NUMBERS.len())];
            text = text.replacen(&digits[random.usize(0..digits.len())], number, 1);
            return text;
        }
        let mut bytes = text.into_bytes();
        mutate(&mut bytes, &mut random);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    fs::read(to).unwrap()
}

/// Text that is mutated before it is packed, in place of the packed bytes.
fn mutate_inside(kind: &Kind, csv: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    if random.bool() {
        return None;
    }
    if kind.name == "parquet with ids left out" {
        return Some(mutate_note(kind, random));
    }
    let mut inside = csv.to_vec();
    mutate(&mut inside, random);
    match kind.name {
        "gzip" => Some(gzipped(&inside)),
        "zstd" => Some(zstandard(&inside)),
        "zip" => Some(zipped(&[(DAY, &inside)])),
        _ => None,
    }
}

/// What was wrong with the way in which a program ended.
fn judge(ended: Ended, printed: &Path) -> Result<(), String> {
    let Ended { status, said, hangs, peak } = ended;
    if hangs {
        return Err(format!("hangs: {said}"));
    }
    if !libc::WIFEXITED(status) || !matches!(libc::WEXITSTATUS(status), 0..=3) {
        return Err(format!("ended with status {status:#x}: {said}"));
    }
    if said.contains("panicked") {
        return Err(said);
    }
    let is_silent = said.trim().is_empty() && fs::metadata(printed).unwrap().len() == 0;
    if libc::WEXITSTATUS(status) != 0 && is_silent {
        return Err("failed without a word".to_owned());
    }
    if peak > MEMORY {
        return Err(format!("took {} MiB: {said}", peak >> 10));
    }
    Ok(())
}

fn run(kinds: &[Kind], seed: u64, number: usize) -> Result<(), String> {
    let mut random = Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kind = &kinds[number % kinds.len()];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &kind.beside {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let bytes = mutate_inside(kind, &kinds[0].bytes, &mut random).unwrap_or_else(|| {
        let mut bytes = kind.bytes.clone();
        mutate(&mut bytes, &mut random);
        if random.u8(0..4) > 0 {
            reseal(kind, &mut bytes);
        }
        bytes
    });
    fs::write(folder.path().join(kind.file), bytes).unwrap();
    let text = kind.commands[random.usize(0..kind.commands.len())];
    let command = command(text, kind.file, folder.path());
    let printed = folder.path().join("printed.txt");
    judge(end(&command, &printed), &printed).map_err(|why| {
        let kept: PathBuf = folder.keep();
        format!("run {number} ({}) in {}: {text}\n{why}", kind.name, kept.display())
    })
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_is_in_a_file_the_program_ends_by_itself() {
    let runs = number_of("BARFLOW_MUTATIONS").unwrap_or(88) as usize;
    let seed = number_of("BARFLOW_MUTATIONS_SEED").unwrap_or(15);
    println!("BARFLOW_MUTATIONS_SEED={seed} BARFLOW_MUTATIONS={runs}");
    let kinds = kinds();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        break;
                    }
                    if let Err(failure) = run(&kinds, seed, number) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown: Vec<&str> = failures.iter().take(20).map(String::as_str).collect();
    assert!(
        failures.is_empty(),
        "{} of {runs} runs with seed {seed}:\n{}",
        failures.len(),
        shown.join("\n---\n")
    );
}
