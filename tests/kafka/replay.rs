//! From real day files into a real Kafka and back, as a user would.

use std::process::Output;

use crate::support::days::{real_days, synth};
use crate::support::kafka::{broker, read, unique};
use crate::support::live::words;
use crate::support::process::output;

fn barflow(arguments: &[&str]) -> Output {
    output(arguments, None)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The real days if they are there, else made-up ones.
fn days() -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let days = real_days().unwrap_or_else(|| {
        synth(folder.path(), "--trades 50000");
        folder.path().to_owned()
    });
    (days.display().to_string(), folder)
}

#[test]
fn a_history_arrives_in_kafka_byte_for_byte() {
    let Some(kafka) = broker() else { return };
    let (days, _folder) = days();
    let spec = unique("dib");
    let bar = format!("{spec}=imbalance,measure=dollar,target=1000");
    let lines = barflow(&["replay", &days, "--bar", &bar]);
    assert!(lines.status.success(), "{}", stderr(&lines));
    let mut arguments = words("replay --sink kafka --create-topics --workers 2");
    arguments.extend(["--bar", &bar, "--brokers", &kafka.plain, &days]);
    let output = barflow(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("bars.{spec} at {}", kafka.plain)));
    let topic = read(&kafka.plain, &format!("bars.{spec}"));
    let mut values = Vec::new();
    for message in &topic {
        values.extend_from_slice(&message.value);
        values.push(b'\n');
    }
    assert!(!topic.is_empty());
    assert!(values == lines.stdout, "the topic's values are the lines of the jsonl sink");
    for message in &topic {
        let bar: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(bar["instrument"], message.key.as_str());
        assert_eq!(bar["state_digest"], message.headers["state_digest"].as_str());
        assert_eq!(bar["close_time"].as_i64().unwrap().div_euclid(1_000_000), message.timestamp);
    }
}

#[test]
fn kafka_trouble_ends_with_code_3_and_the_cause() {
    let Some(kafka) = broker() else { return };
    let (days, _folder) = days();
    let start = std::time::Instant::now();
    let nobody = barflow(&["replay", &days, "--sink", "kafka", "--brokers", "127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(3), "{}", stderr(&nobody));
    assert!(stderr(&nobody).contains("127.0.0.1:9"), "{}", stderr(&nobody));
    // The promise is fifteen seconds to a message; a busy test machine gets four times that.
    assert!(start.elapsed().as_secs() < 60);
    let topic = unique("absent");
    let arguments =
        ["replay", &days, "--sink", "kafka", "--brokers", &kafka.plain, "--topic", &topic];
    let unknown = barflow(&arguments);
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains(&topic), "{}", stderr(&unknown));
}
