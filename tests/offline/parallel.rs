//! `barflow replay --parallel`: the bytes of one pass.

use crate::support::days::{self, rows, synth};
use crate::support::process::barflow;
use std::fs;
use std::path::{Path, PathBuf};

/// What a run gives: exit code, bars, what it set aside, counts of the summary.
#[derive(Debug, PartialEq)]
struct Run {
    code: Option<i32>,
    bars: String,
    rejects: String,
    counts: Vec<String>,
    notes: Vec<String>,
}

/// What a summary counts, or the error instead of one. How long a run took, how much memory, and how
/// often it reported progress differ from run to run.
fn counts(told: &str) -> Vec<String> {
    let of_instrument = |line: &str| {
        let name = line.split(' ').next().unwrap().trim_end_matches(':');
        name.split(':').filter(|part| !part.is_empty()).count() == 3
    };
    let counts = told.lines().filter_map(|line| match line.split_once(" trades in ") {
        Some((counts, _)) => Some(counts.to_owned()),
        None => {
            let known = ["duplicates ", "corrections: ", "quality: ", "error: "];
            let counts = known.iter().any(|known| line.starts_with(known)) || of_instrument(line);
            counts.then(|| line.to_owned())
        }
    });
    counts.collect()
}

fn replay(folder: &Path, files: &[PathBuf], more: &[&str]) -> Run {
    let rejects = folder.join("rejects.jsonl");
    // A quarantine is added to.
    let _ = fs::remove_file(&rejects);
    let quarantine: &[&str] = match more.contains(&"stops") {
        true => &[],
        false => &["--quarantine", rejects.to_str().unwrap()],
    };
    let more = more.iter().filter(|more| **more != "stops");
    let output = barflow()
        .arg("replay")
        .args(files)
        .args(quarantine)
        .args(more)
        .env_remove("BARFLOW_PARALLEL")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let notes = told.lines().filter(|line| line.starts_with("note: ")).map(str::to_owned).collect();
    Run {
        code: output.status.code(),
        bars: String::from_utf8(output.stdout).unwrap(),
        rejects: fs::read_to_string(&rejects).unwrap_or_default(),
        counts: counts(&told),
        notes,
    }
}

/// Bars that fall into step soon, some that never do, and some that close by the clock.
const BARS: [&str; 12] = [
    "--bar",
    "dib=imbalance,target=50,alpha=0.02,warmup=100",
    "--bar",
    "runs=runs,measure=volume,target=100,alpha=0.01,warmup=100",
    "--bar",
    "minute=time,every=1m",
    "--bar",
    "day=imbalance,target=100,alpha=0.02,reset=utc_day",
    "--bar",
    "ticks=tick,size=77",
    "--bar",
    "compat=mlfinlab-ema-imbalance",
];

/// Only bars that fall into step, so that chunks are let go.
const QUICK: [&str; 4] = [
    "--bar",
    "dib=imbalance,target=50,alpha=0.02,warmup=100",
    "--bar",
    "vib=imbalance,measure=volume,target=40,alpha=0.03,warmup=100",
];

fn check(folder: &Path, files: &[PathBuf], more: &[&str]) -> Run {
    let one = replay(folder, files, more);
    for threads in ["2", "3"] {
        let mut parallel = more.to_vec();
        parallel.extend(["--parallel", threads]);
        let several = replay(folder, files, &parallel);
        assert_eq!(several.code, one.code, "{several:?}");
        assert_eq!(several.counts, one.counts);
        assert!(several.bars == one.bars, "bars of {threads} threads differ");
        assert_eq!(several.rejects, one.rejects);
        if threads == "3" {
            return several;
        }
    }
    unreachable!()
}

fn made_up(folder: &Path, days: &str, trades: &str) -> Vec<PathBuf> {
    synth(folder, &format!("--days {days} --trades {trades}"))
}

/// The id of the first trade of a made-up day.
fn first_id(day: &Path) -> u64 {
    let mut zip = zip::ZipArchive::new(fs::File::open(day).unwrap()).unwrap();
    let text = std::io::read_to_string(zip.by_index(0).unwrap()).unwrap();
    let row = text.lines().find(|line| line.starts_with(|c: char| c.is_ascii_digit())).unwrap();
    row.split(',').next().unwrap().parse().unwrap()
}

fn real_days() -> Option<Vec<PathBuf>> {
    let folder = days::real_days()?;
    Some((1..=3).map(|day| folder.join(format!("XBTUSD-trades-2018-01-0{day}.zip"))).collect())
}

fn write(path: &Path, rows: &[String]) -> PathBuf {
    fs::write(path, rows.join("\n") + "\n").unwrap();
    path.to_owned()
}

#[test]
fn real_days_in_parallel_give_the_bytes_of_one_pass() {
    let Some(days) = real_days() else { return };
    let folder = tempfile::tempdir().unwrap();
    for bars in [&BARS[..], &QUICK[..]] {
        let run = check(folder.path(), &days, bars);
        assert!(run.bars.lines().count() > 10_000 && run.code == Some(0), "{run:?}");
    }
    // A day is missing: the gap lies between two chunks.
    let without = [days[0].clone(), days[2].clone()];
    let run = check(folder.path(), &without, &BARS);
    assert!(run.counts.iter().any(|line| line.contains("gaps 1")), "{:?}", run.counts);
    check(folder.path(), &without, &QUICK);
}

#[test]
fn rows_out_of_place_at_the_borders_are_judged_as_in_one_pass() {
    let Some(days) = real_days() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut of: Vec<Vec<String>> = days.iter().map(|day| rows(day)).collect();
    // The second day begins with rows of the first; one comes far too late.
    let moved: Vec<String> = {
        let kept = of[0].len() - 40;
        of[0].split_off(kept)
    };
    of[0].extend_from_slice(&moved[..15]);
    of[1].splice(0..0, moved[15..].iter().cloned());
    of[1].swap(3, 60);
    let late = of[1].remove(4000);
    of[1].insert(150_000, late);
    let again = of[1][80_000].clone();
    of[1].insert(90_000, again);
    // The third day lacks its beginning, and holds what is no trade.
    of[2].drain(..500);
    of[2].insert(3, "1,2,three,4,5,True,True".to_owned());
    of[2].insert(100_000, "nothing".to_owned());
    let files: Vec<PathBuf> = of
        .iter()
        .zip(1..)
        .map(|(rows, day)| {
            write(&folder.path().join(format!("XBTUSD-trades-2018-01-0{day}.csv")), rows)
        })
        .collect();
    for bars in [&BARS[..], &QUICK[..]] {
        let run = check(folder.path(), &files, bars);
        assert_eq!(run.code, Some(1));
        assert!(run.rejects.lines().count() >= 3, "{}", run.rejects);
    }
    // Without a quarantine everything ends at the first of them.
    for bars in [&BARS[..], &QUICK[..]] {
        let run = check(folder.path(), &files, &[bars, &["stops"]].concat());
        assert_eq!(run.code, Some(1));
        assert!(!run.bars.is_empty());
    }
    // A wider or no window judges otherwise, but equally.
    check(folder.path(), &files, &[&QUICK[..], &["--reorder-window", "0"]].concat());
    check(
        folder.path(),
        &files,
        &[&QUICK[..], &["--from", "2018-01-01T20:00", "--to", "2018-01-03T02:00"]].concat(),
    );
}

#[test]
fn our_parquet_is_cut_within_files() {
    let folder = tempfile::tempdir().unwrap();
    let days = made_up(folder.path(), "2", "700000");
    let store = folder.path().join("store");
    let kept = barflow()
        .args(["replay", "--sink", "none", "--sink-trades"])
        .arg(&store)
        .args(&days)
        .output()
        .unwrap();
    assert!(kept.status.success());
    let run = check(folder.path(), std::slice::from_ref(&store), &QUICK);
    let chunks = run.notes.iter().find(|note| note.contains("chunks")).unwrap();
    assert!(!chunks.contains(" 1 chunks") && !chunks.contains("read again"), "{chunks}");
    let converged = run.notes.iter().filter(|note| note.contains("chunks converged"));
    assert_eq!(converged.count(), 2, "{:?}", run.notes);
    // Rows per batch that row groups are no multiple of.
    check(
        folder.path(),
        std::slice::from_ref(&store),
        &[&QUICK[..], &["--batch-rows", "5000"]].concat(),
    );
    check(folder.path(), &[store], &BARS);
}

#[test]
fn rows_without_ids_are_numbered_over_all_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, instrument) in [("a", "one"), ("b", "two"), ("c", "three")] {
        // LEAN days: ms since midnight, price × 10,000, size, exchange, flags, suspicious.
        let rows: Vec<String> = (0..60_000u64)
            .map(|row| {
                let price = 1_000_000 + (row * 7919 + instrument.len() as u64 * 31) % 97 * 100;
                format!("{},{price},{},P,0,0", 34_200_000 + row * 300, 1 + row * row % 13)
            })
            .collect();
        let day = folder.path().join(format!("2013100{}_trade.csv", name.as_bytes()[0] - b'a' + 7));
        files.push(write(&day, &rows));
    }
    let bars = [&QUICK[..], &["--instrument", "lean:equity:SPY"]].concat();
    let run = check(folder.path(), &files, &bars);
    assert!(run.code == Some(0) && run.bars.lines().count() > 1000, "{run:?}");
    assert!(run.bars.lines().last().unwrap().contains("\"last_trade_id\":17"), "{run:?}");
}

#[test]
fn a_broken_file_ends_both_runs_alike() {
    let folder = tempfile::tempdir().unwrap();
    let days = made_up(folder.path(), "3", "60000");
    let bytes = fs::read(&days[1]).unwrap();
    let _ = fs::remove_file(days[1].with_extension("zip.CHECKSUM"));
    fs::write(
        &days[1],
        [&bytes[..bytes.len() / 2], &[0; 512], &bytes[bytes.len() / 2 + 512..]].concat(),
    )
    .unwrap();
    for more in [&["stops"][..], &["stops", "--no-verify"]] {
        let run = check(folder.path(), &days, &[&QUICK[..], more].concat());
        // Unverified, what is inflated from damage may be a bad row before it is known as damage.
        let codes = if more.len() == 1 { &[2][..] } else { &[1, 2] };
        assert!(run.code.is_some_and(|code| codes.contains(&code)), "{run:?}");
        assert!(run.bars.lines().count() > 500);
    }
}

/// What needs every trade in the graph: chunks are only read ahead.
/// Only the end of the file decides that a time near it is wrong; the day is not closed then.
#[test]
fn a_bad_row_that_the_end_decides_closes_no_day() {
    let folder = tempfile::tempdir().unwrap();
    let row = |n: i64| {
        let time = 1_709_251_200_000 + if n == 405 { 3 * 86_400_000 } else { n * 2_000 };
        format!("{n},60000.{},0.01,600,{time},true,true", 10 + n % 90)
    };
    let rows: Vec<String> = (1..=800).map(row).collect();
    let day = write(&folder.path().join("BTCUSDT-trades-2024-03-01.csv"), &rows);
    let bars =
        ["--bar", "m=time,every=10s,empty_bars=true", "--bar", "d=tick,size=99,reset=utc_day"];
    let run = check(folder.path(), &[day], &[&bars[..], &["stops"]].concat());
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.bars.lines().count(), 80 + 4, "{run:?}");
}

#[test]
fn nothing_else_changes_for_being_made_in_parallel() {
    let folder = tempfile::tempdir().unwrap();
    let days = made_up(folder.path(), "3", "40000");
    let mut struck = "action,trade_id,time,price,qty,side\n".to_owned();
    let first = first_id(&days[0]);
    let ids = (1000..100_000).step_by(7001).map(|id| first + id);
    ids.for_each(|id| struck += &format!("remove,{id},,,,\n"));
    let corrections = folder.path().join("struck.csv");
    fs::write(&corrections, struck).unwrap();
    let out = |kind: &str, parallel: bool| {
        let name = if parallel { "several" } else { "one" };
        folder.path().join(format!("{kind}.{name}")).to_str().unwrap().to_owned()
    };
    let corrections = corrections.to_str().unwrap();
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quality.toml");
    for (kind, more) in [
        ("daily", vec!["--daily", "OUT"]),
        ("quality", vec!["--quality", suite]),
        ("corrections", vec!["--corrections", corrections, "--daily", "OUT"]),
        ("once", vec!["--delivery", "exactly-once", "--out", "OUT"]),
        ("trades", vec!["--sink-trades", "OUT"]),
        ("workers", vec!["--workers", "2"]),
    ] {
        let run = |parallel: bool| {
            let out = out(kind, parallel);
            let mut more: Vec<&str> =
                more.iter().map(|more| if *more == "OUT" { &*out } else { *more }).collect();
            more.extend(if parallel { ["--parallel", "3"] } else { ["--parallel", "1"] });
            let run = replay(folder.path(), &days, &[&QUICK[..], &more].concat());
            (run, files(Path::new(&out)))
        };
        let ((one, written), (several, written_by_several)) = (run(false), run(true));
        assert_eq!(several.code, Some(0), "{kind}: {several:?}");
        assert!(
            several.notes.iter().any(|note| note.contains("3 threads, 3 chunks")),
            "{several:?}"
        );
        assert!(several.bars == one.bars && written_by_several == written, "{kind}");
        assert!(!one.bars.is_empty() || !written.is_empty(), "{kind}");
        assert_eq!((several.code, several.counts), (one.code, one.counts), "{kind}");
    }
}

/// The bytes of a file, or of all files in a folder.
fn files(path: &Path) -> Vec<Vec<u8>> {
    if path.is_file() {
        return vec![fs::read(path).unwrap()];
    }
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn recordings_are_not_read_in_parallel() {
    let more = ["--parallel", "2", "--protocol", "binance-spot"];
    let output = barflow().args(["replay", "x.zip"]).args(more).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("parallel") && told.contains("one pass"), "{told}");
}
