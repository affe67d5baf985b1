//! Files made to harm: they end with words, or by a signal, and never by a panic.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barflow_replay::checksum::{sum_of, verify_published};
use barflow_replay::error::ReplayError;
use barflow_replay::progress::Progress;
use barflow_replay::sniff;
use barflow_replay::store::audit::audit;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::support::archives;
use crate::support::process::{Process, barflow};
use crate::support::spoiled;

/// An archive with one trade and then blank lines, 20 MB in each of many members that have bytes of
/// their own.
fn blank_lines(folder: &Path, members: usize) -> PathBuf {
    let piece = folder.join("piece.zip");
    let mut archive = ZipWriter::new(File::create(&piece).unwrap());
    archive.start_file("blank.csv", SimpleFileOptions::default()).unwrap();
    let lines = vec![b'\n'; 1 << 20];
    (0..20).for_each(|_| archive.write_all(&lines).unwrap());
    archive.finish().unwrap();
    let mut piece = ZipArchive::new(File::open(&piece).unwrap()).unwrap();

    let path = folder.join("BTCUSDT-trades-2024-03-01.zip");
    let mut archive = ZipWriter::new(File::create(&path).unwrap());
    archive.start_file("BTCUSDT-trades-2024-03-01.csv", SimpleFileOptions::default()).unwrap();
    writeln!(archive, "{}", archives::day_rows(1, 1)[0]).unwrap();
    for number in 0..members {
        let member = piece.by_index_raw(0).unwrap();
        archive.raw_copy_file_rename(member, format!("{number:06}.csv")).unwrap();
    }
    archive.finish().unwrap();
    path
}

#[test]
fn a_signal_ends_the_reading_of_blank_lines() {
    let folder = tempfile::tempdir().unwrap();
    // Some hours of reading; nothing but the signal ends it in time.
    let archive = blank_lines(folder.path(), 20_000);
    for more in [&["--no-verify"][..], &[], &["--no-verify", "--parallel", "2"]] {
        let mut command = barflow();
        command.arg("replay").arg(&archive).args(["--bar", "t=tick,size=1", "--sink", "none"]);
        command.args(more);
        let mut process = Process::start(command);
        process.wait_until("it reads", |process| reads(process.id(), &archive));
        let (code, _, said) = process.stop();
        assert!(matches!(code, Some(0 | 1)), "{more:?}: {code:?}: {said}");
        let shares = said.split(" % read").filter_map(|text| text.rsplit(['\r', '\n']).next());
        let shares = shares.filter_map(|text| text.trim().parse::<u64>().ok());
        assert!(shares.max().unwrap_or(0) <= 100, "{said}");
    }
}

/// Whether a process has the file open.
fn reads(process: u32, path: &Path) -> bool {
    let Ok(handles) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let path = path.canonicalize().unwrap();
    handles.flatten().any(|handle| fs::read_link(handle.path()).is_ok_and(|of| of == path))
}

#[test]
fn checks_that_read_a_whole_file_end_when_they_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let archive =
        archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &archives::day_rows(1, 50));
    let parquet = spoiled::as_parquet(std::slice::from_ref(&archive), &folder.path().join("kept"));
    let raised = Progress::until(Arc::new(AtomicBool::new(true)).into());
    assert!(matches!(audit(&parquet, &raised), Err(ReplayError::Stopped)));
    assert!(matches!(verify_published(&archive, &raised), Err(ReplayError::Stopped)));
    assert!(matches!(sum_of(&archive, &raised), Err(ReplayError::Stopped)));
    let free = Progress::default();
    audit(&parquet, &free).unwrap();
    verify_published(&archive, &free).unwrap();
}

#[test]
fn no_byte_of_a_parquet_file_makes_its_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let archive =
        archives::write(folder.path(), "BTCUSDT-trades-2024-03-01", &archives::day_rows(1, 200));
    let kept = spoiled::as_parquet(&[archive], &folder.path().join("kept"));
    let mut whole = fs::read(&kept).unwrap();
    // Without its seal every changed byte is read.
    let seal = memchr::memmem::find(&whole, b"barflow.seal").unwrap();
    whole[seal..seal + 12].copy_from_slice(b"barflow.none");
    let path = folder.path().join("changed.trades.parquet");
    let (mut refused, mut random) = (0, fastrand::Rng::with_seed(15));
    for at in (0..whole.len()).chain((0..whole.len()).rev().take(300)) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << random.u8(0..8);
        fs::write(&path, changed).unwrap();
        if let Err(error) = audit(&path, &Progress::default()) {
            refused += 1;
            assert!(error.to_string().contains("changed.trades.parquet"), "{error}");
        }
        let _ = sniff::table(&path, None);
    }
    assert!(refused > whole.len() / 2, "{refused} of {}", whole.len());
}
