//! Recordings are found as files of trades are: each once, and nothing passed over without a note.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use barflow::feeds::recorded::{RecordingOptions, Recordings, RecordingsError};
use barflow_replay::error::ReplayError;

use super::provenance::{SPOT, cryptofeed, replay, trades};
use crate::support::process::barflow;

const OWN: &str = "wss://stream.binance.com:9443/stream?streams=ethusdt@trade";

#[test]
fn folders_are_searched_to_the_bottom_and_what_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let frames = trades("ETHUSDT", SPOT);
    fs::create_dir_all(folder.join("a/b")).unwrap();
    cryptofeed(folder, "1.capture", OWN, &frames[..2]);
    let deep = cryptofeed(&folder.join("a/b"), "2.capture", OWN, &frames[2..]);
    symlink(folder, folder.join("a/loop")).unwrap();
    fs::hard_link(&deep, folder.join("a/again.capture")).unwrap();
    fs::write(folder.join("README.md"), "what these are\n").unwrap();
    fs::write(folder.join(".hidden"), "x").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    let (code, bars, said) = replay("binance-spot", &[folder], &[]);
    assert_eq!((code, bars.lines().count()), (Some(0), 4), "{said}");
    for wanted in [
        "4 files not taken",
        "README.md",
        "empty (not a recording)",
        ".hidden (hidden)",
        "loop (a link to a folder that is read already)",
        "1 file is named twice and read once",
    ] {
        assert!(said.contains(wanted), "{wanted:?} in {said}");
    }
    let (code, _, said) = replay("binance-spot", &[&folder.join("nothing")], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no file"), "{said}");
    let (code, _, said) = replay("binance-spot", &[&folder.join("README.md")], &[]);
    assert_eq!(code, Some(2), "what is named is taken: {said}");
}

#[test]
fn recordings_are_read_in_the_order_in_which_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let frames = trades("ETHUSDT", SPOT);
    for (name, frames) in [("x_9", &frames[..2]), ("x_10", &frames[2..])] {
        let from = if name == "x_9" { 0 } else { 2 };
        let mut text = format!("{OWN} <-> {}.5\n", 1_709_251_199 + from);
        for (at, frame) in frames.iter().enumerate() {
            text += &format!("{}.25: {frame}\n", 1_709_251_200 + from + at);
        }
        fs::write(folder.join(name), text).unwrap();
    }
    for files in [&[folder.to_owned()][..], &[folder.join("x_10"), folder.join("x_9")]] {
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let (code, bars, said) = replay("binance-spot", &files, &[]);
        assert_eq!((code, bars.lines().count()), (Some(0), 4), "{said}");
    }
}

/// The sequence begins with the first trade read: a lower id is not a duplicate.
#[test]
fn trades_that_come_after_a_later_one_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut frames = trades("ETHUSDT", SPOT);
    frames.reverse();
    let back = cryptofeed(folder.path(), "back.capture", OWN, &frames);
    let (code, _, said) = replay("binance-spot", &[&back], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("back.capture:") && said.contains("below the first id"), "{said}");
    let quarantine = folder.path().join("quarantine");
    let set_aside = ["--quarantine", quarantine.to_str().unwrap()];
    let (code, bars, said) = replay("binance-spot", &[&back], &set_aside);
    let rows = fs::read_to_string(&quarantine).unwrap().lines().count();
    assert_eq!((code, bars.lines().count() + rows), (Some(1), frames.len()), "{said}");
}

#[test]
fn a_checksum_beside_a_recording_counts_and_a_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = cryptofeed(folder, "x.capture", OWN, &trades("ETHUSDT", SPOT));
    let mut command = barflow();
    command.args(["replay", "--protocol", "binance-spot", "-", "--bar", "t=tick,size=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 4);
    fs::write(folder.join("x.capture.CHECKSUM"), format!("{}  x.capture\n", "0".repeat(64)))
        .unwrap();
    let (code, bars, said) = replay("binance-spot", &[folder], &[]);
    assert_eq!((code, bars.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("its SHA-256 differs"), "{said}");
}

#[test]
fn a_look_at_recordings_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = cryptofeed(folder.path(), "x.capture", OWN, &trades("ETHUSDT", SPOT));
    let flag = Arc::new(AtomicBool::new(true));
    let options = RecordingOptions { stop: flag.into(), ..RecordingOptions::default() };
    let found = Recordings::find(&[file.display().to_string()], "binance-spot", None, &options);
    assert!(matches!(found.err(), Some(RecordingsError::Search(ReplayError::Stopped))));
}

#[test]
fn a_trade_that_comes_after_its_id_was_given_up_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.txt");
    let (mut text, mut lines) = (String::new(), 0_u64);
    let mut add = |symbol: &str, id: u64| {
        let (time, received) = (1_709_251_200_000 + id, 1_709_251_300_000 + lines);
        let small = symbol.to_lowercase();
        text += &format!(
            "{received}000000 {{\"stream\":\"{small}@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time},\"s\":\
             \"{symbol}\",\"t\":{id},\"p\":\"60000.0\",\"q\":\"0.5\",\"T\":{time},\"m\":true,\"M\":true}}}}\n"
        );
        lines += 1;
        lines
    };
    // So many that it is given up, with lines of another symbol between them.
    for id in (1..=1_200).filter(|id| *id != 10) {
        add("BTCUSDT", id);
        add("ETHUSDT", id);
    }
    let late = add("BTCUSDT", 10);
    (1_201..1_300).for_each(|id| {
        add("BTCUSDT", id);
    });
    fs::write(&path, text).unwrap();
    let (code, _, said) = replay("binance-spot", &[&path], &["--any-host"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("late.txt:{late}: field \"trade_id\"")), "{said}");
}
