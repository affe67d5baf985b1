//! Others who write to our topics: tombstones on the checkpoint topic, a second job for the same bars.

use std::time::Duration;

use crate::support::jobs::{Job, days};
use crate::support::kafka::{Received, broker, committed, read};
use crate::support::process::{output, wait_until};
use barflow::checkpoints::job::JobName;
use barflow::sinks::kafka::{CheckpointTopic, KafkaSettings};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const CHECKPOINTS: &str = "barflow.checkpoints";

/// Keys of a job's checkpoint.
fn keys(job: &Job) -> Vec<String> {
    let settings = KafkaSettings { brokers: job.broker.clone(), ..KafkaSettings::default() };
    let name: JobName = job.name.parse().unwrap();
    let topic = CheckpointTopic::open(&settings).unwrap();
    topic.read(|key| JobName::of_key(key).as_ref() == Some(&name)).unwrap().into_keys().collect()
}

/// What any client may do that may write to the topic.
fn delete(job: &Job, keys: &[String]) {
    let config = [("bootstrap.servers", job.broker.as_str())];
    let config: ClientConfig =
        config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let producer: BaseProducer = config.create().unwrap();
    for key in keys {
        let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(CHECKPOINTS).key(key);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Waits until the topic has the bars of so many whole runs: marks of a transaction follow its commit.
fn await_runs(job: &Job, runs: usize) {
    let bars = days().bars.split(|byte| *byte == b'\n').count() - 1;
    wait_until("all bars are committed", || committed(&job.broker, &job.topic) >= runs * bars);
    assert_eq!(committed(&job.broker, &job.topic), runs * bars);
}

/// The job's refusal to begin again.
fn assert_refused(job: &Job, runs: usize) {
    await_runs(job, runs);
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(2), "{said}");
    let lost =
        format!("the checkpoint of job \"{}\" does not contain binance:spot:BTCUSDT", job.name);
    for wanted in [lost.as_str(), &format!("topic \"{}\", partition ", job.topic), "--reset-state"]
    {
        assert!(said.contains(wanted), "{said}\nwithout: {wanted}");
    }
    await_runs(job, runs);
}

#[test]
fn a_job_whose_checkpoint_was_deleted_does_not_begin_again_unasked() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "tombstones").quick();
    assert_eq!(job.run(&[]).0, Some(0));
    let all = keys(&job);
    let states: Vec<String> = all.iter().filter(|key| !key.contains('@')).cloned().collect();
    // Only what it knows of its instruments, then everything.
    for deleted in [states, all] {
        delete(&job, &deleted);
        assert_refused(&job, 1);
        // And it stays so, however often it is started.
        assert_refused(&job, 1);
    }
    let (code, said) = job.run(&["--reset-state"]);
    assert_eq!(code, Some(0), "{said}");
    await_runs(&job, 2);
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    await_runs(&job, 2);
    // What is lost after that is missed again.
    delete(&job, &keys(&job));
    assert_refused(&job, 2);
}

#[test]
fn a_checkpoint_that_is_deleted_on_purpose_is_not_missed() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "on-purpose").quick();
    assert_eq!(job.run(&[]).0, Some(0));
    await_runs(&job, 1);
    let deleted = output(&["checkpoints", "delete", &job.name, "--brokers", &job.broker], None);
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    await_runs(&job, 2);
    let states: Vec<String> = keys(&job).into_iter().filter(|key| !key.contains('@')).collect();
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    delete(&job, &states);
    assert_refused(&job, 2);
}

#[test]
fn bars_name_their_job_and_a_second_job_is_warned() {
    let Some(kafka) = broker() else { return };
    for delivery in ["exactly-once", "at-least-once"] {
        let first = Job::new(&kafka.plain, "first").quick().with(&["--delivery", delivery]);
        let (code, said) = first.run(&[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("which job"), "{said}");
        let named = |record: &Received| record.headers["job"] == first.name;
        assert!(read(&kafka.plain, &first.topic).iter().all(named));
        let (code, said) = first.run(&[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("which job"), "{said}");

        let mut second = Job::new(&kafka.plain, "second").quick().with(&["--delivery", delivery]);
        second.topic.clone_from(&first.topic);
        let (code, said) = second.run(&[]);
        assert_eq!(code, Some(0), "{said}");
        let warning = format!("job \"{}\" wrote bars \"dib\" of binance:spot:BTCUSDT", first.name);
        assert!(said.contains(&warning), "{said}");
        assert!(
            said.contains(&format!("which job \"{}\" is about to write", second.name)),
            "{said}"
        );
    }
}
