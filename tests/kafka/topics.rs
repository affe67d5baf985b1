//! Topics that are new, that forget, or that take small batches only; and the end of a run whose broker
//! is away. Against a real Kafka.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::kafka::{broker, create_topic, exists, read, unique, wait_until};
use crate::support::process::{Process, barflow, output};
use crate::support::transactions::with_own_broker;

/// 2024-03-01 and 2093-01-01, in ms.
const PAST: u64 = 1_709_251_200_000;
const FUTURE: u64 = 3_881_520_000_000;

/// A day of spot trades, one each ms from this time on.
fn day(folder: &Path, trades: u64, from: u64) -> String {
    let mut rows = String::new();
    for id in 1..=trades {
        let (price, qty) = (60_000 + id % 7, 1 + id % 3);
        let (quote, time, maker) = (price * qty, from + id, id % 2 == 0);
        writeln!(rows, "{id},{price},{qty},{quote},{time},{maker},true").unwrap();
    }
    let path = folder.join("BTCUSDT-trades-2024-03-01.csv");
    fs::write(&path, rows).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A day of trades in a folder of its own, and a broker for its bars.
struct Stage {
    brokers: String,
    folder: TempDir,
    day: String,
}

impl Stage {
    /// None without a broker.
    fn new(trades: u64, from: u64) -> Option<Self> {
        Some(Self::at(&broker()?.plain, trades, from))
    }

    fn at(brokers: &str, trades: u64, from: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let day = day(folder.path(), trades, from);
        Self { brokers: brokers.to_owned(), folder, day }
    }

    /// A new topic with these settings.
    fn topic(&self, name: &str, settings: &[(&str, &str)]) -> String {
        let topic = unique(name);
        create_topic(&self.brokers, &topic, 1, settings);
        topic
    }

    /// Replays the day into a topic, as a job of the same name; exit code and what was said.
    fn replay(&self, topic: &str, more: &[&str]) -> (Option<i32>, String) {
        self.replay_as(topic, topic, more)
    }

    fn replay_as(&self, job: &str, topic: &str, more: &[&str]) -> (Option<i32>, String) {
        let to = ["--brokers", &self.brokers, "--topic", topic, "--job", job];
        let replay = ["replay", &self.day, "--sink", "kafka"];
        let output = output(&[&replay[..], &to, more].concat(), None);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Bars that a topic holds.
    fn committed(&self, topic: &str) -> usize {
        if exists(&self.brokers, topic) { read(&self.brokers, topic).len() } else { 0 }
    }
}

const TICKS: [&str; 2] = ["--bar", "t=tick,size=10"];

#[test]
fn many_topics_at_once_are_used_as_soon_as_they_have_leaders() {
    let Some(stage) = Stage::new(200, PAST) else { return };
    let name = unique("many");
    let bars: Vec<String> = (1..=40).map(|size| format!("t{size}=tick,size={size}")).collect();
    let mut more = vec!["--create-topics"];
    bars.iter().for_each(|bar| more.extend(["--bar", bar]));
    let (code, said) = stage.replay_as(&name, &format!("{name}.{{spec}}"), &more);
    assert_eq!(code, Some(0), "{said}");
    for size in 1..=40 {
        assert_eq!(stage.committed(&format!("{name}.t{size}")), 200 / size, "{said}");
    }
}

#[test]
fn a_compacted_topic_is_refused_for_bars_with_the_command_that_mends_it() {
    let Some(stage) = Stage::new(100, PAST) else { return };
    for policy in ["compact", "compact,delete"] {
        let settings = [("cleanup.policy", policy), ("retention.ms", "-1")];
        let topic = stage.topic("compacted", &settings);
        for delivery in ["exactly-once", "at-least-once"] {
            let more = [&TICKS[..], &["--delivery", delivery, "--create-topics"]].concat();
            let (code, said) = stage.replay(&topic, &more);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("only the newest bar of each instrument"), "{said}");
            assert!(said.contains("--add-config cleanup.policy=delete,retention.ms=-1"), "{said}");
            assert_eq!(stage.committed(&topic), 0);
        }
    }
}

#[test]
fn a_topic_that_would_delete_old_bars_at_once_is_refused_and_one_with_a_retention_is_told() {
    let Some(stage) = Stage::new(100, PAST) else { return };
    for delivery in ["exactly-once", "at-least-once"] {
        let topic = stage.topic("week", &[("retention.ms", "604800000")]);
        let more = [&TICKS[..], &["--delivery", delivery]].concat();
        let (code, said) = stage.replay(&topic, &more);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("and it keeps bars for 7 days"), "{said}");
        assert!(said.contains("--add-config retention.ms=-1"), "{said}");
        assert_eq!(stage.committed(&topic), 0);
    }
    // By the time of the append, they are new.
    let settings = [("retention.ms", "604800000"), ("message.timestamp.type", "LogAppendTime")];
    let topic = stage.topic("appended", &settings);
    let (code, said) = stage.replay(&topic, &TICKS);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("deletes bars that closed more than 7 days ago"), "{said}");
    assert_eq!(stage.committed(&topic), 10);
}

#[test]
fn batches_fit_into_a_topic_that_takes_small_ones() {
    let Some(stage) = Stage::new(20_000, PAST) else { return };
    for delivery in ["exactly-once", "at-least-once"] {
        let settings = [("max.message.bytes", "20000"), ("retention.ms", "-1")];
        let topic = stage.topic("small", &settings);
        let more =
            ["--bar", "t=tick,size=2", "--delivery", delivery, "--current", "--create-topics"];
        let config = stage.folder.path().join("kafka.toml");
        // Uncompressed, so that a batch is as large as its messages.
        fs::write(&config, "[kafka.properties]\n\"compression.type\" = \"none\"\n").unwrap();
        let config = ["--config", config.to_str().unwrap()];
        let (code, said) = stage.replay(&topic, &[&more[..], &config].concat());
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(stage.committed(&topic), 10_000);
    }
}

#[test]
fn topics_of_ours_take_bars_of_any_time() {
    let Some(stage) = Stage::new(100, FUTURE) else { return };
    let topic = unique("future");
    let more = [&TICKS[..], &["--create-topics"]].concat();
    let (code, said) = stage.replay(&topic, &more);
    assert_eq!(code, Some(0), "{said}");
    let times: Vec<i64> = read(&stage.brokers, &topic).iter().map(|bar| bar.timestamp).collect();
    assert_eq!(times.len(), 10);
    assert_eq!(times[0], FUTURE as i64 + 10);
}

#[test]
fn a_run_that_is_asked_to_end_while_its_broker_is_away_ends_in_time_and_loses_nothing() {
    with_own_broker(|own| {
        // More than is sent before the broker is seen to have some of it.
        let stage = Stage::at(&own.plain, 300_000, PAST);
        let topic = unique("away");
        let mut command = barflow();
        command.args(["replay", &stage.day, "--sink", "kafka", "--brokers", &own.plain]);
        command.args(["--topic", &topic, "--job", &topic, "--create-topics", "--bar"]);
        command.args(["t=tick,size=2", "--commit-interval", "20ms", "--shutdown-timeout", "1s"]);
        let mut running = Process::start(command);
        running.wait_until("the topic", |_| exists(&own.plain, &topic));
        wait_until(&own.plain, &topic, 1);
        own.signal("STOP");
        running.wait_until_it_says("retrying the transaction");
        running.signal("TERM");
        let (code, said) = running.finish();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("--shutdown-timeout"), "{said}");
        assert!(said.contains("the next start of job"), "{said}");
        own.signal("CONT");
        let (code, said) = stage.replay(&topic, &["--bar", "t=tick,size=2", "--create-topics"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(stage.committed(&topic), 150_000, "{said}");
    });
}
