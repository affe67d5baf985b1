//! Transactions that Kafka has forgotten to end: none of their records counts with those that take
//! their place, and nobody waits in front of them.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::hanging::{leave_open, without_verification};
use support::jobs::{Job, Running, days};
use support::kafka::{Broker, broker, start, wait_until};
use support::live::output;
use support::transactions::open;

const CHECKPOINTS: &str = "barflow.checkpoints";

/// Long enough for a few commits, far from all of them.
const MIDDLE: i64 = 1_000;

/// Below it librdkafka would not go.
const SHORT: (&str, &str) = ("transaction.timeout.ms", "3000");

const LONG: Duration = Duration::from_secs(60);

/// A broker that takes what its coordinator does not know of; none if such tests are to be skipped.
fn own() -> Option<Broker> {
    broker()?;
    if std::env::var("BARFLOW_TEST_KAFKA").is_ok() {
        println!("SKIPPED: a broker of our own is needed, to change its settings");
        return None;
    }
    let own = start(&[]);
    without_verification(&own.plain);
    Some(own)
}

/// A producer of a transactional id: from now on the only one.
fn producer(broker: &str, id: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("transactional.id", id);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LONG).unwrap();
    producer
}

fn transactional_id(job: &Job) -> String {
    format!("barflow.{}.0", job.name)
}

/// Leaves something of the job's open in both its topics.
fn forget(broker: &str, job: &Job) {
    for topic in [&job.topic, CHECKPOINTS] {
        leave_open(broker, &transactional_id(job), &job.topic, topic, b"given up");
    }
    let left = open(broker, &[&job.topic, CHECKPOINTS]);
    assert!(left.len() == 2 && left.iter().all(|open| !open.known), "{left:?}");
}

/// Waits until Kafka has ended what is open in both topics.
fn wait_until_ended(broker: &str, job: &Job) {
    let deadline = Instant::now() + LONG;
    while !open(broker, &[&job.topic, CHECKPOINTS]).is_empty() {
        assert!(Instant::now() < deadline, "the transaction does not time out");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Stops a run while something is open in its topic of bars beside that of so many others.
fn stop_amid_a_transaction(broker: &str, job: &Job, running: &mut Running, others: usize) {
    loop {
        running.signal("STOP");
        assert!(running.runs(), "it had ended before");
        // One that was just committed is open until its mark is written.
        std::thread::sleep(Duration::from_millis(300));
        if open(broker, &[&job.topic]).len() > others {
            return;
        }
        running.signal("CONT");
        std::thread::sleep(Duration::from_millis(7));
    }
}

#[test]
fn what_an_earlier_run_left_open_does_not_count() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "earlier");
    let running = job.start();
    wait_until(&own.plain, &job.name, MIDDLE);
    drop(running);
    // What Kafka knows of is ended; what is put there then, it knows nothing of.
    drop(producer(&own.plain, &transactional_id(&job)));
    wait_until_ended(&own.plain, &job);
    forget(&own.plain, &job);
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
    assert_eq!(open(&own.plain, &[&job.topic, CHECKPOINTS]), []);
}

#[test]
fn what_this_run_left_open_does_not_count() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "own").with_properties(&[SHORT]);
    let mut running = job.start();
    wait_until(&own.plain, &job.name, MIDDLE);
    stop_amid_a_transaction(&own.plain, &job, &mut running, 0);
    wait_until_ended(&own.plain, &job);
    forget(&own.plain, &job);
    running.signal("CONT");
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
    assert_eq!(open(&own.plain, &[&job.topic, CHECKPOINTS]), []);
}

/// Another's transaction that does not end hides whether what was committed has its mark.
#[test]
fn what_was_committed_stays_committed() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "committed").with_properties(&[SHORT]);
    let mut running = job.start();
    wait_until(&own.plain, &job.name, MIDDLE);
    let other = producer(&own.plain, "other");
    other.begin_transaction().unwrap();
    let record = BaseRecord::<str, str>::to(&job.topic).payload("x");
    other.send(record).map_err(|(error, _)| error).unwrap();
    other.flush(LONG).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    stop_amid_a_transaction(&own.plain, &job, &mut running, 1);
    let deadline = Instant::now() + LONG;
    while open(&own.plain, &[CHECKPOINTS, &job.topic]).len() > 1 {
        assert!(Instant::now() < deadline, "the transaction does not time out");
        std::thread::sleep(Duration::from_millis(200));
    }
    running.signal("CONT");
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    other.abort_transaction(LONG).unwrap();
    wait_until_ended(&own.plain, &job);
    job.assert_once();
}

#[test]
fn a_record_that_only_ends_a_transaction_is_no_bar() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "nothing").quick();
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let nothing: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &kafka.plain).create().unwrap();
    let record = BaseRecord::<str, str>::to(&job.topic).key("barflow.nothing");
    nothing.send(record).map_err(|(error, _)| error).unwrap();
    nothing.flush(LONG).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let expected = folder.path().join("expected.jsonl");
    fs::write(&expected, &days().bars).unwrap();
    let topic = format!("kafka://{}/{}", kafka.plain, job.topic);
    let diff = output(&["diff", expected.to_str().unwrap(), &topic], None);
    assert_eq!(diff.status.code(), Some(0), "{}", String::from_utf8_lossy(&diff.stderr));
}
