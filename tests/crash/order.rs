//! `kill -9` while bars of some instruments wait for others: what comes out is in the order of event time, as
//! if nothing had happened.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::days::{bars, of_all_symbols};
use crate::support::kafka::{broker, read, unique};
use crate::support::kills::{Kill, plan, share};
use crate::support::process::{PATIENCE, Process, barflow};

/// The steps of a cut into a file, in order.
const JOURNAL: [&str; 3] = ["journal-written", "journal-synced", "checkpoint-written"];

/// Those of a transaction at which something is half done.
const TRANSACTION: [&str; 4] = ["after-bars", "before-records", "before-commit", "after-commit"];

/// Two days of six instruments, with many short transactions.
fn replay(days: &PathBuf, job: &str, order: &str) -> Command {
    let mut command = barflow();
    command.arg("replay").arg(days).args(bars()).args(["--job", job, "--order", order]);
    command.args(["--batch-rows", "256", "--commit-interval", "10ms"]);
    command.args(["--delivery", "exactly-once"]);
    command
}

/// Starts again and again, killed on the way as long as there are kills; how often it was.
fn until_done(mut kills: Vec<Kill>, mut start: impl FnMut(usize) -> Command) -> usize {
    let mut killed = 0;
    loop {
        let kill = kills.pop();
        let process = Process::start_to_be_killed(start(killed), kill);
        let ended = match kill {
            Some(kill) => process.be_killed(kill, PATIENCE).1,
            None => process.end(),
        };
        if !ended.killed {
            assert_eq!(ended.code, Some(0), "{kill:?}: {}", ended.said);
            return killed;
        }
        killed += 1;
    }
}

#[test]
fn a_file_of_several_instruments_is_the_same_however_often_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let days = of_all_symbols(folder.path(), 10_000);
    let out = |name: &str| folder.path().join(format!("{name}.jsonl"));
    let whole = out("whole");
    let ran = replay(&days, "whole", "event-time").arg("--out").arg(&whole).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let whole = fs::read_to_string(whole).unwrap();
    let mut all = 0;
    for seed in 0..share(5, 2) as u64 {
        let job = format!("killed-{seed}");
        let kills = plan(seed, &JOURNAL, 7, 12, Duration::from_secs(2));
        all += until_done(kills, |_| {
            let mut command = replay(&days, &job, "event-time");
            command.arg("--out").arg(out(&job));
            command
        });
        assert!(
            fs::read_to_string(out(&job)).unwrap() == whole,
            "{job}: other bars, or another order"
        );
    }
    assert!(all > 2, "{all} kills prove nothing");
}

/// What waited in a run of one order leaves at the beginning of a run of the other.
#[test]
fn the_order_may_change_when_a_job_continues() {
    let folder = tempfile::tempdir().unwrap();
    let days = of_all_symbols(folder.path(), 10_000);
    let out = |name: &str| folder.path().join(format!("{name}.jsonl"));
    let ran = replay(&days, "w", "instrument").arg("--out").arg(out("w")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let kills = plan(5, &JOURNAL, 6, 12, Duration::from_secs(2));
    let killed = until_done(kills, |life| {
        let mut command = replay(&days, "k", ["event-time", "instrument"][life % 2]);
        command.arg("--out").arg(out("k"));
        command
    });
    assert!(killed > 1, "{killed} kills prove nothing");
    let lines = |name: &str| {
        let text = fs::read_to_string(out(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(lines("k") == lines("w"), "lost or repeated");
}

#[test]
fn a_topic_of_several_instruments_is_the_same_however_often_it_is_killed() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let days = of_all_symbols(folder.path(), 5_000);
    let start = |job: &str| {
        let mut command = replay(&days, job, "event-time");
        command.args(["--sink", "kafka", "--brokers", &kafka.plain, "--topic", job]);
        command.args(["--create-topics", "--progress-topic", "off"]);
        command
    };
    // Every record in the order of the one partition.
    let values = |job: &str| -> Vec<Vec<u8>> {
        read(&kafka.plain, job).into_iter().map(|record| record.value).collect()
    };
    let (whole, killed) = (unique("order"), unique("order"));
    let ran = start(&whole).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let kills = plan(3, &TRANSACTION, 6, 5, Duration::from_secs(2));
    let times = until_done(kills, |_| start(&killed));
    assert!(times > 1, "{times} kills prove nothing");
    assert!(values(&killed) == values(&whole), "other bars, or another order");
}
