//! Checkpoints that cannot be used, and what stands in the way of reading them.

use std::time::Duration;

use crate::support::jobs::{BAR, Job};
use crate::support::kafka::{broker, create_topic, exists, unique};
use crate::support::process::output;
use barflow::graph::sink::SinkError;
use barflow::sinks::kafka::{CheckpointTopic, KafkaSettings};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use xxhash_rust::xxh3::xxh3_64;

const CHECKPOINTS: &str = "barflow.checkpoints";
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(broker: &str, topic: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: broker.to_owned(),
        checkpoint_topic: topic.to_owned(),
        ..KafkaSettings::default()
    }
}

fn producer(broker: &str, id: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    if let Some(id) = id {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().unwrap();
    if id.is_some() {
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
    }
    producer
}

fn put(producer: &BaseProducer, topic: &str, key: &str, value: &[u8], timestamp: Option<i64>) {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    record.timestamp = timestamp;
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

fn value(broker: &str, key: &str) -> Vec<u8> {
    let topic = CheckpointTopic::open(&settings(broker, CHECKPOINTS)).unwrap();
    topic.read(|other| other == key).unwrap().remove(key).unwrap()
}

/// As a later barflow would write it: whole, but of a version that this one does not know.
fn of_version(mut sealed: Vec<u8>, version: u16) -> Vec<u8> {
    sealed.truncate(sealed.len() - 8);
    sealed[4..6].copy_from_slice(&version.to_le_bytes());
    let checksum = xxh3_64(&sealed);
    sealed.extend_from_slice(&checksum.to_le_bytes());
    sealed
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_a_reset_helps() {
    let Some(kafka) = broker() else { return };
    let mut job = Job::new(&kafka.plain, "damaged").quick();
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let record = format!("{}/binance:spot:BTCUSDT/0", job.name);
    let setting = format!("{}/@settings", job.name);
    let whole = value(&kafka.plain, &record);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (key, bad, reason, hint) in [
        (&record, b"garbage".to_vec(), "not a barflow checkpoint", "--reset-state"),
        (&record, flipped, "it is damaged: its checksum does not match", "--reset-state"),
        (
            &record,
            of_version(whole, 9),
            "it has version 9; this barflow reads version 8",
            "use the barflow version that wrote it",
        ),
        (&setting, b"{}".to_vec(), "not a barflow checkpoint", "--reset-state"),
    ] {
        put(&producer(&kafka.plain, None), CHECKPOINTS, key, &bad, None);
        let (code, said) = job.run(&[]);
        assert_eq!(code, Some(2), "{said}");
        let message = format!("the checkpoint of job \"{}\", record \"{key}\": {reason}", job.name);
        assert!(said.contains(&message) && said.contains(hint), "{said}\nwithout: {message}");
        job.topic = unique("anew");
        let (code, said) = job.run(&["--reset-state"]);
        assert_eq!(code, Some(0), "{said}");
        job.assert_once();
    }
}

#[test]
fn other_bars_under_the_same_job_are_refused_with_what_has_changed() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "changed").quick();
    assert_eq!(job.run(&[]).0, Some(0));
    let other = BAR.replace("alpha=0.01", "alpha=0.02");
    let (code, said) = job.start_with(&["--bar", &other]).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("alpha changed from 0.01 to 0.02"), "{said}");
    assert!(said.contains("another --job NAME"), "{said}");
    job.assert_once();
    let (code, said) = job.start_with(&["--bar", &other, "--reset-state"]).finish();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_checkpoint_topic_that_forgets_is_refused_with_what_mends_it() {
    let Some(kafka) = broker() else { return };
    for policy in ["delete", "compact,delete"] {
        let topic = unique("forgets");
        create_topic(&kafka.plain, &topic, 1, &[("cleanup.policy", policy)]);
        let refused = CheckpointTopic::open(&settings(&kafka.plain, &topic)).err().unwrap();
        assert!(matches!(refused, SinkError::Settings(_)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(&format!("\"{topic}\"")), "{text}");
        assert!(text.contains(&format!("cleanup.policy={policy}")), "{text}");
        assert!(text.contains("--add-config cleanup.policy=compact"), "{text}");
    }
    let topic = unique("keeps");
    CheckpointTopic::open(&settings(&kafka.plain, &topic)).unwrap();
    assert!(exists(&kafka.plain, &topic));
    // The second time it is there already, and as it should be.
    CheckpointTopic::open(&settings(&kafka.plain, &topic)).unwrap();
}

#[test]
fn what_is_committed_behind_the_open_transaction_of_another_job_is_read() {
    let Some(kafka) = broker() else { return };
    for commits in [true, false] {
        let name = unique("behind");
        let topic = CheckpointTopic::open(&settings(&kafka.plain, &name)).unwrap();
        let other = producer(&kafka.plain, Some(&unique("other")));
        put(&other, &name, "other/a", b"1", None);
        let ours = producer(&kafka.plain, Some(&unique("ours")));
        put(&ours, &name, "ours/a", b"2", None);
        ours.commit_transaction(PATIENCE).unwrap();
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            match commits {
                true => other.commit_transaction(PATIENCE).unwrap(),
                false => other.abort_transaction(PATIENCE).unwrap(),
            }
        });
        let found = topic.read(|_| true).unwrap();
        end.join().unwrap();
        assert_eq!(found.get("ours/a").map(Vec::as_slice), Some(&b"2"[..]), "{found:?}");
        assert_eq!(found.contains_key("other/a"), commits, "{found:?}");
    }
}

#[test]
fn a_clock_that_is_years_ahead_is_no_reason_to_refuse_a_checkpoint() {
    let Some(kafka) = broker() else { return };
    let name = unique("clock");
    let topic = CheckpointTopic::open(&settings(&kafka.plain, &name)).unwrap();
    let ours = producer(&kafka.plain, Some(&unique("ours")));
    put(&ours, &name, "ours/a", b"2", Some(4_000_000_000_000));
    ours.commit_transaction(PATIENCE).unwrap();
    assert!(topic.read(|_| true).unwrap().contains_key("ours/a"));
}

#[test]
fn jobs_are_listed_and_one_that_is_deleted_begins_again() {
    let Some(kafka) = broker() else { return };
    let mut job = Job::new(&kafka.plain, "listed").quick();
    assert_eq!(job.run(&[]).0, Some(0));
    let listed = || {
        let list = output(&["checkpoints", "list", "--brokers", &kafka.plain], None);
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
        let text = String::from_utf8(list.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{}:", job.name)));
        line.map(str::to_owned)
    };
    let line = listed().unwrap();
    assert!(line.contains("1 instrument,") && line.contains("settings"), "{line}");
    let delete = ["checkpoints", "delete", &job.name, "--brokers", &kafka.plain];
    let deleted = output(&delete, None);
    let said = String::from_utf8_lossy(&deleted.stderr);
    assert!(deleted.status.success() && said.contains("starts from the beginning"), "{said}");
    assert!(listed().is_none_or(|line| !line.contains("instrument")), "{:?}", listed());
    job.topic = unique("anew");
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
    let nobody = output(&["checkpoints", "delete", "nobody", "--brokers", &kafka.plain], None);
    assert_eq!(nobody.status.code(), Some(2));
}
