//! A full disk under files that count exactly once, and two copies that write the same file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::jobs::{BAR, days};
use crate::support::process::{Process, barflow, output, wait_until};

/// What a run into files looks like.
fn arguments(sink: &str, out: &Path) -> Vec<String> {
    arguments_in_batches(sink, out, "500")
}

/// The same with batches of so many rows: the fewer, the slower.
fn arguments_in_batches(sink: &str, out: &Path, rows: &str) -> Vec<String> {
    let (days, out) = (days().folder.display().to_string(), out.display().to_string());
    ["replay", &days, "--bar", BAR, "--sink", sink, "--out", &out]
        .into_iter()
        .chain(["--delivery", "exactly-once", "--commit-interval", "1ms", "--batch-rows", rows])
        .map(str::to_owned)
        .collect()
}

fn run(sink: &str, out: &Path) -> (Option<i32>, String) {
    run_with(sink, out, &[])
}

fn run_with(sink: &str, out: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = barflow();
    command.args(arguments(sink, out)).args(more);
    Process::start(command).finish()
}

/// The same where no file may be larger than this: the system's answer is an error of the same kind
/// as that of a full disk, and needs no rights.
fn run_limited(sink: &str, out: &Path, kilobytes: u64) -> (Option<i32>, String) {
    let mut command = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_barflow")]).args(arguments(sink, out));
    Process::start(command).finish()
}

/// Compares with an uninterrupted run, whatever the format.
fn assert_same(folder: &Path, out: &Path) {
    let expected = folder.join("expected.jsonl");
    fs::write(&expected, &days().bars).unwrap();
    let same = output(&["diff", expected.to_str().unwrap(), out.to_str().unwrap()], None);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_full_disk_stops_the_run_and_room_lets_it_go_on() {
    let folder = tempfile::tempdir().unwrap();
    for (sink, out, journal) in [
        ("jsonl", folder.path().join("bars.jsonl"), folder.path().join("bars.jsonl.journal")),
        ("parquet", folder.path().join("bars"), folder.path().join("bars/barflow.journal")),
    ] {
        let (code, said) = run_limited(sink, &out, 300);
        assert_eq!(code, Some(3), "{said}");
        let message = format!("error: could not write \"{}\": File too large", journal.display());
        assert!(said.contains(&message), "{said}");
        let before = size(&journal);
        assert!(before > 0, "it stopped before it had begun");
        let (code, said) = run(sink, &out);
        assert_eq!(code, Some(0), "{said}");
        assert_same(folder.path(), &out);
    }
}

#[test]
fn a_disk_that_is_full_at_the_very_end_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bars.jsonl");
    // Room for the journal, not for the lines made of it.
    let whole = folder.path().join("whole.jsonl");
    assert_eq!(run("jsonl", &whole).0, Some(0));
    let journal = size(&folder.path().join("whole.jsonl.journal"));
    assert!(journal + 200_000 < size(&whole));
    let (code, said) = run_limited("jsonl", &out, journal / 1024 + 100);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("could not write \"{}\"", out.display())), "{said}");
    assert!(!out.exists());
    let left: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("unfinished")), "{left:?}");
    assert_eq!(run("jsonl", &out).0, Some(0));
    assert_same(folder.path(), &out);
}

/// A file system of a megabyte.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("SKIPPED: a file system of its own needs the right to mount");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_that_is_really_full_is_no_different() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(&folder.path().join("small")) else { return };
    let out = small.0.join("bars.jsonl");
    let (code, said) = run("jsonl", &out);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains(&format!("\"{}", out.display())), "{said}");
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&small.0).status();
    assert!(larger.unwrap().success());
    let (code, said) = run("jsonl", &out);
    assert_eq!(code, Some(0), "{said}");
    assert_same(folder.path(), &out);
}

/// A copy that was stopped amid its work; none if it had come to its end before.
fn stopped_amid(out: &Path, journal: &Path) -> Option<Process> {
    let mut command = barflow();
    command.args(arguments_in_batches("jsonl", out, "50"));
    let mut first = Process::start(command);
    wait_until("something is written", || {
        !first.runs() || fs::metadata(journal).is_ok_and(|journal| journal.len() > 10_000)
    });
    first.signal("STOP");
    first.runs().then_some(first)
}

#[test]
fn a_second_copy_on_the_same_file_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let names = (0..5).map(|attempt| format!("bars-{attempt}.jsonl"));
    let (first, out, journal) = names
        .map(|name| (folder.path().join(&name), folder.path().join(format!("{name}.journal"))))
        .find_map(|(out, journal)| Some((stopped_amid(&out, &journal)?, out, journal)))
        .expect("it always ends before it can be stopped");
    let (code, said) = run("jsonl", &out);
    first.signal("CONT");
    assert_eq!(code, Some(4), "{said}");
    let message = format!("is writing \"{}\"", journal.display());
    assert!(said.contains("another copy of job") && said.contains(&message), "{said}");
    let (code, said) = first.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_same(folder.path(), &out);
}

/// A checkpoint beside a file as barflow wrote it before its format had version 4.
const VERSION_3: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/version-3.checkpoint"));

#[test]
fn a_checkpoint_of_an_older_version_is_refused_until_the_state_is_reset() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bars.jsonl");
    let checkpoint = folder.path().join("bars.jsonl.checkpoint");
    fs::write(&checkpoint, VERSION_3).unwrap();
    let (code, said) = run("jsonl", &out);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("it has version 3; this barflow reads version 8"), "{said}");
    assert!(said.contains("--reset-state"), "{said}");
    assert_eq!(fs::read(&checkpoint).unwrap(), VERSION_3, "it was left as it was");
    let (code, said) = run_with("jsonl", &out, &["--reset-state"]);
    assert_eq!(code, Some(0), "{said}");
    assert_same(folder.path(), &out);
}
