//! `kill -9` at every step of a commit into files: what the file of progress says is complete is never ahead
//! of the bars beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barflow::compare::source::read as read_bars;
use barflow::sinks::kafka::KafkaSettings;
use serde_json::Value;

use crate::support::days::{bars, rows, synth};
use crate::support::kills::{Kill, plan, share};
use crate::support::live::Simulator;
use crate::support::process::{PATIENCE, Process, barflow};
use crate::support::progress::{assert_at, number};

/// The steps around a commit and around the file of progress.
const STEPS: [&str; 4] =
    ["journal-written", "journal-synced", "checkpoint-written", "progress-written"];

/// The steps at which files get their names.
const NAMES: [&str; 2] = ["before-publish", "after-publish"];

/// Last trades of the bars that are there, by the keys of progress.
fn last_trades(out: &Path) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut add = |(instrument, spec): (String, String), last: u64| {
        found.entry(format!("{instrument}/{spec}")).or_default().push(last);
    };
    if out.is_dir() {
        for row in read_bars(out.to_str().unwrap(), &KafkaSettings::default()).unwrap() {
            add(row.key(), u64::try_from(row.whole("last_trade_id")).unwrap());
        }
    } else {
        let text = fs::read_to_string(out).unwrap_or_default();
        // A line that is being written is none yet.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let bar: Value = serde_json::from_str(line).unwrap();
            let name = |field: &str| bar[field].as_str().unwrap().to_owned();
            add((name("instrument"), name("spec")), number(&bar, "last_trade_id"));
        }
    }
    found.values_mut().for_each(|last| last.sort_unstable());
    found
}

/// The file beside the bars, by key; nothing if it is not there.
fn said(out: &Path) -> BTreeMap<String, Value> {
    let path = match out.extension() {
        Some(_) => out.with_extension("progress.jsonl"),
        None => out.join("_progress.jsonl"),
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let name = |field: &str| record[field].as_str().unwrap().to_owned();
        (format!("{}/{}", name("instrument"), name("spec")), record)
    };
    text.lines().map(record).collect()
}

/// Looks at the files as they are; how many series have progress.
fn look(out: &Path, about: &str) -> usize {
    let said = said(out);
    let bars = last_trades(out);
    assert_at(&said, about, |key| bars.get(key).map_or(&[][..], Vec::as_slice));
    said.len()
}

/// The id of the last trade of a day.
fn last_id(day: &Path) -> u64 {
    rows(day).last().unwrap().split(',').next().unwrap().parse().unwrap()
}

/// What is said of a run that has come to its end, which is this trade.
fn assert_complete(out: &Path, last: u64) {
    let (said, bars) = (said(out), last_trades(out));
    assert_eq!(said.len(), self::bars().count() / 2, "{said:?}");
    for (key, record) in &said {
        assert_eq!(number(record, "bars"), bars.get(key).map_or(0, |b| b.len() as u64), "{record}");
        assert_eq!(number(record, "complete_trade_id"), last, "{record}");
    }
}

#[test]
fn progress_of_a_replay_that_is_killed_is_there_with_its_bars_or_not_at_all() {
    for (sink, name, seed) in [("jsonl", "bars.jsonl", 11), ("parquet", "bars", 12)] {
        let folder = tempfile::tempdir().unwrap();
        let files = synth(folder.path(), "--trades 60000");
        let last_id = last_id(&files[0]);
        let out = folder.path().join(name);
        let start = |files: &[PathBuf], kill| {
            let mut command = barflow();
            command.arg("replay").args(files).args(bars()).args(["--sink", sink, "--out"]);
            command.arg(&out).args(["--delivery", "exactly-once", "--progress"]);
            command.args(["--commit-interval", "10ms", "--batch-rows", "256"]);
            Process::start_to_be_killed(command, kill)
        };
        let mut kills = plan(seed, &STEPS[..3], share(5, 3), 6, Duration::from_millis(500));
        kills.retain(|kill| matches!(kill, Kill::At(..)));
        kills.extend(NAMES.map(|name| Kill::At(name, 1)));
        let mut killed = 0;
        for kill in kills {
            let (_, ended) = start(&files, Some(kill)).be_killed(kill, PATIENCE);
            killed += usize::from(ended.killed);
            assert_eq!(look(&out, &format!("{sink}, {kill}")), 0, "{kill}: before its bars");
        }
        assert!(killed >= NAMES.len(), "{killed} kills prove nothing");
        let (code, told) = start(&files, None).finish();
        assert_eq!(code, Some(0), "{told}");
        look(&out, sink);
        assert_complete(&out, last_id);
        // Over what is there: first the old file goes, and then its bars.
        let kill = Kill::At("after-publish", 1);
        let (_, ended) = start(&files, Some(kill)).be_killed(kill, PATIENCE);
        assert!(ended.killed, "{}", ended.said);
        assert_eq!(look(&out, sink), 0, "{sink}");
    }
}

#[test]
fn progress_of_a_live_run_that_is_killed_is_never_ahead_of_the_bars_that_can_be_read() {
    for (sink, name, seed) in [("jsonl", "bars.jsonl", 21), ("parquet", "bars", 22)] {
        let folder = tempfile::tempdir().unwrap();
        let days = synth(&folder.path().join("days"), "--trades 4000");
        let last_id = last_id(&days[0]);
        let out = folder.path().join(name);
        let simulator = Simulator::start(
            &[
                "--protocol",
                "binance-spot",
                "--instrument",
                "binance:spot:BTCUSDT",
                "--rate",
                "400",
            ],
            &[&days[0]],
        );
        let start = |kill| {
            let mut command = barflow();
            command.args(["live", "--report-every", "0", "--venue", "binance-spot"]);
            command.args(["--instrument", "BTCUSDT", "--at", &simulator.address]).args(bars());
            command.args(["--sink", sink, "--out"]).arg(&out).arg("--progress");
            command.args(["--commit-interval", "20ms", "--roll", "8KB", "--log", "info"]);
            Process::start_to_be_killed(command, kill)
        };
        let places = [&STEPS[..], if sink == "parquet" { &NAMES } else { &[] }].concat();
        let mut kills = plan(seed, &places, share(5, places.len()), 4, Duration::from_secs(2));
        kills.truncate(8);
        let mut said_something = 0;
        for kill in kills {
            let (kill, ended) = start(Some(kill)).be_killed(kill, Duration::from_secs(8));
            assert!(ended.killed, "{kill}: {}", ended.said);
            said_something += look(&out, &format!("{sink}, {kill}"));
        }
        assert!(said_something > 0, "{sink}: nothing was ever said");
        let mut last = start(None);
        // What it found is read by then: a signal before that leaves the end to the next run.
        last.wait_until_it_says("connected and subscribed");
        let tick = "binance:spot:BTCUSDT/tick";
        if sink == "jsonl" {
            last.wait_until("all trades", |_| {
                let said = said(&out);
                said.get(tick).is_some_and(|tick| number(tick, "complete_trade_id") == last_id)
            });
        } else {
            let simulated = |_: &mut Process| {
                let at = ["checkpoints", "show", "--json", "--at", out.to_str().unwrap()];
                let shown = barflow().args(at).output().unwrap().stdout;
                String::from_utf8(shown).unwrap().contains(&format!("\"trade_id\":{last_id}"))
            };
            last.wait_until("all trades", simulated);
        }
        let (code, _, told) = last.stop();
        assert_eq!(code, Some(0), "{told}");
        look(&out, sink);
        assert_complete(&out, last_id);
    }
}
