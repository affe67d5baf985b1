//! Transactions that Kafka has forgotten to end: none of their records counts with those that take
//! their place, and nobody waits in front of them.

use std::fs;
use std::time::Duration;

use crate::support::hanging::{abort_behind, leave_open, without_verification};
use crate::support::jobs::Job;
use crate::support::kafka::{Broker, broker, start, wait_until};
use crate::support::process::{self, Process};
use crate::support::transactions::{open, stop_amid_a_transaction, wait_until_ended};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

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

/// All bars are there once, and nothing is open any more.
fn assert_ended_once(broker: &str, job: &Job) {
    job.assert_once();
    assert_eq!(open(broker, &[&job.topic, CHECKPOINTS]), []);
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
    wait_until_ended(&own.plain, &[&job.topic, CHECKPOINTS]);
    forget(&own.plain, &job);
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_ended_once(&own.plain, &job);
}

#[test]
fn what_this_run_left_open_does_not_count() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "own").with_properties(&[SHORT]);
    let mut running = job.start();
    wait_until(&own.plain, &job.name, MIDDLE);
    stop_amid_a_transaction(&own.plain, &job, &mut running, 0);
    wait_until_ended(&own.plain, &[&job.topic, CHECKPOINTS]);
    forget(&own.plain, &job);
    running.signal("CONT");
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_ended_once(&own.plain, &job);
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
    process::wait_until("the job's transaction times out", || {
        open(&own.plain, &[CHECKPOINTS, &job.topic]).len() <= 1
    });
    running.signal("CONT");
    std::thread::sleep(Duration::from_secs(5));
    assert!(running.runs(), "it did not wait for the other's end");
    other.abort_transaction(LONG).unwrap();
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
}

/// Waits until a process is stopped.
#[cfg(feature = "fault-points")]
fn wait_until_stopped(running: &mut Process) {
    let path = format!("/proc/{}/stat", running.id());
    running.wait_until("it is stopped", |_| fs::read_to_string(&path).unwrap().contains(") T "));
}

/// Kafka confirms a commit, and what it does with the next transaction aborts it: bars, checkpoint, or both.
#[test]
#[cfg(feature = "fault-points")]
fn a_commit_that_kafka_confirmed_and_lost_is_made_again() {
    let Some(own) = own() else { return };
    for (bars, checkpoint) in [(true, false), (false, true), (true, true)] {
        let faults = "before-commit:40:stop,after-commit:40:stop,after-commit:41";
        let job = Job::new(&own.plain, "lost").with_faults(faults);
        let mut running = job.start();
        wait_until_stopped(&mut running);
        if bars {
            abort_behind(&own.plain, &job.topic, &job.topic);
        }
        if checkpoint {
            abort_behind(&own.plain, &job.topic, CHECKPOINTS);
        }
        running.signal("CONT");
        wait_until_stopped(&mut running);
        // Something has to go wrong with the next one, or nobody would look.
        drop(producer(&own.plain, &transactional_id(&job)));
        running.signal("CONT");
        let (code, said) = running.finish();
        assert_eq!(code, None, "killed when it is made good: {said}");
        assert!(said.contains("Kafka lost a confirmed commit"), "{said}");
        let job = job.with_faults("");
        let (code, said) = job.run(&[]);
        assert_eq!(code, Some(0), "{said}");
        job.assert_once();
    }
}
