//! Topics that are new, that forget, or that take small batches only; and the end of a run whose broker
//! is away. Against a real Kafka.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::kafka::{broker, committed, create_topic, read, unique};
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

/// A replay into Kafka; its exit code and what it said.
fn replay(day: &str, brokers: &str, topic: &str, more: &[&str]) -> (Option<i32>, String) {
    let sink = ["--sink", "kafka", "--brokers", brokers, "--topic", topic, "--job", topic];
    let output = output(&[&["replay", day][..], &sink, more].concat(), None);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const TICKS: [&str; 2] = ["--bar", "t=tick,size=10"];

#[test]
fn many_topics_at_once_are_used_as_soon_as_they_have_leaders() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 200, PAST);
    let name = unique("many");
    let bars: Vec<String> = (1..=40).map(|size| format!("t{size}=tick,size={size}")).collect();
    let mut more = vec!["--create-topics"];
    bars.iter().for_each(|bar| more.extend(["--bar", bar]));
    let sink = ["--sink", "kafka", "--brokers", &kafka.plain, "--job", &name];
    let topic = format!("{name}.{{spec}}");
    let arguments = [&["replay", &day, "--topic", &topic][..], &sink, &more].concat();
    let done = output(&arguments, None);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    for size in 1..=40 {
        assert_eq!(committed(&kafka.plain, &format!("{name}.t{size}")), 200 / size, "{said}");
    }
}

#[test]
fn a_compacted_topic_is_refused_for_bars_with_the_command_that_mends_it() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 100, PAST);
    for policy in ["compact", "compact,delete"] {
        let topic = unique("compacted");
        create_topic(
            &kafka.plain,
            &topic,
            1,
            &[("cleanup.policy", policy), ("retention.ms", "-1")],
        );
        for delivery in ["exactly-once", "at-least-once"] {
            let more = [&TICKS[..], &["--delivery", delivery, "--create-topics"]].concat();
            let (code, said) = replay(&day, &kafka.plain, &topic, &more);
            assert_eq!(code, Some(3), "{said}");
            assert!(said.contains("only the newest bar of each instrument"), "{said}");
            assert!(said.contains("--add-config cleanup.policy=delete,retention.ms=-1"), "{said}");
            assert_eq!(committed(&kafka.plain, &topic), 0);
        }
    }
}

#[test]
fn a_topic_that_would_delete_old_bars_at_once_is_refused_and_one_with_a_retention_is_told() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let old = day(folder.path(), 100, PAST);
    for delivery in ["exactly-once", "at-least-once"] {
        let topic = unique("week");
        create_topic(&kafka.plain, &topic, 1, &[("retention.ms", "604800000")]);
        let more = [&TICKS[..], &["--delivery", delivery]].concat();
        let (code, said) = replay(&old, &kafka.plain, &topic, &more);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("and it keeps bars for 7 days"), "{said}");
        assert!(said.contains("--add-config retention.ms=-1"), "{said}");
        assert_eq!(committed(&kafka.plain, &topic), 0);
    }
    // By the time of the append, they are new.
    let topic = unique("appended");
    let settings = [("retention.ms", "604800000"), ("message.timestamp.type", "LogAppendTime")];
    create_topic(&kafka.plain, &topic, 1, &settings);
    let (code, said) = replay(&old, &kafka.plain, &topic, &TICKS);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("deletes bars that closed more than 7 days ago"), "{said}");
    assert_eq!(committed(&kafka.plain, &topic), 10);
}

#[test]
fn batches_fit_into_a_topic_that_takes_small_ones() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 20_000, PAST);
    for delivery in ["exactly-once", "at-least-once"] {
        let topic = unique("small");
        let settings = [("max.message.bytes", "20000"), ("retention.ms", "-1")];
        create_topic(&kafka.plain, &topic, 1, &settings);
        let more =
            ["--bar", "t=tick,size=2", "--delivery", delivery, "--current", "--create-topics"];
        let config = folder.path().join("kafka.toml");
        // Uncompressed, so that a batch is as large as its messages.
        fs::write(&config, "[kafka.properties]\n\"compression.type\" = \"none\"\n").unwrap();
        let config = ["--config", config.to_str().unwrap()];
        let (code, said) = replay(&day, &kafka.plain, &topic, &[&more[..], &config].concat());
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(committed(&kafka.plain, &topic), 10_000);
    }
}

#[test]
fn topics_of_ours_take_bars_of_any_time() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path(), 100, FUTURE);
    let topic = unique("future");
    let more = [&TICKS[..], &["--create-topics"]].concat();
    let (code, said) = replay(&day, &kafka.plain, &topic, &more);
    assert_eq!(code, Some(0), "{said}");
    let times: Vec<i64> = read(&kafka.plain, &topic).iter().map(|bar| bar.timestamp).collect();
    assert_eq!(times.len(), 10);
    assert_eq!(times[0], FUTURE as i64 + 10);
}

#[test]
fn a_run_that_is_asked_to_end_while_its_broker_is_away_ends_in_time_and_loses_nothing() {
    with_own_broker(|own| {
        let folder = tempfile::tempdir().unwrap();
        let topic = unique("away");
        let day = day(folder.path(), 100_000, PAST);
        let mut command = barflow();
        command.args(["replay", &day, "--sink", "kafka", "--brokers", &own.plain]);
        command.args(["--topic", &topic, "--job", &topic, "--create-topics", "--bar"]);
        command.args(["t=tick,size=2", "--commit-interval", "20ms", "--shutdown-timeout", "1s"]);
        let mut running = Process::start(command);
        running.wait_until("bars", |_| committed(&own.plain, &topic) > 0);
        own.signal("STOP");
        running.wait_until_it_says("retrying the transaction");
        running.signal("TERM");
        let (code, said) = running.finish();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("--shutdown-timeout"), "{said}");
        assert!(said.contains("the next start of job"), "{said}");
        own.signal("CONT");
        let (code, said) =
            replay(&day, &own.plain, &topic, &["--bar", "t=tick,size=2", "--create-topics"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(committed(&own.plain, &topic), 50_000, "{said}");
    });
}
