//! A broker that dies, stops, hangs or loses a topic under a job, and a job that is itself put to
//! sleep. Takes about a minute: transactions have to time out.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Duration;

use support::jobs::Job;
use support::kafka::{Broker, broker, delete_topic, exists, start, wait_until};

/// Long enough for a few commits, far from all of them.
const MIDDLE: i64 = 1_000;

/// Below it librdkafka would not go; message.timeout.ms follows it by itself.
const SHORT: (&str, &str) = ("transaction.timeout.ms", "3000");

/// Long enough for a transaction of that length to be ended by the broker.
const SLEEP: Duration = Duration::from_secs(7);

/// A broker that nobody else needs.
fn own() -> Option<Broker> {
    broker()?;
    if std::env::var("BARFLOW_TEST_KAFKA").is_ok() {
        println!("SKIPPED: a broker of our own is needed, to stop it");
        return None;
    }
    Some(start(&[]))
}

fn goes_on_by_itself(broker: &Broker, job: &Job, harm: impl FnOnce(&Broker)) {
    let mut running = job.start();
    wait_until(&broker.plain, &job.name, MIDDLE);
    harm(broker);
    assert!(running.runs(), "it had ended before");
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
    // Which of the two is said depends on who notices first: this side, or the broker.
    let felt = ["the transaction is tried again", "the broker ended the transaction"];
    assert!(felt.iter().any(|sign| said.contains(sign)), "the harm was not felt: {said}");
}

#[test]
fn a_run_outlives_a_broker_that_is_killed_and_started_again() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "killed");
    goes_on_by_itself(&own, &job, |broker| {
        broker.stop(&["--now"]);
        std::thread::sleep(Duration::from_secs(3));
        broker.start_again();
    });
}

#[test]
fn a_run_outlives_a_broker_that_is_stopped_in_order_and_started_again() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "stopped").with_properties(&[SHORT]);
    goes_on_by_itself(&own, &job, |broker| {
        broker.stop(&[]);
        // Beyond the time-out of messages: else librdkafka itself waits, and nothing is to be seen.
        std::thread::sleep(SLEEP);
        broker.start_again();
    });
}

#[test]
fn a_run_outlives_a_broker_that_hangs_for_longer_than_a_transaction_lasts() {
    let Some(own) = own() else { return };
    let job = Job::new(&own.plain, "hangs").with_properties(&[SHORT]);
    goes_on_by_itself(&own, &job, |broker| {
        broker.signal("STOP");
        std::thread::sleep(SLEEP);
        broker.signal("CONT");
    });
}

#[test]
fn a_run_that_slept_for_longer_than_its_transaction_goes_on() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "slept").with_properties(&[SHORT]);
    let mut running = job.start();
    wait_until(&kafka.plain, &job.name, MIDDLE);
    running.signal("STOP");
    assert!(running.runs(), "it had ended before");
    std::thread::sleep(SLEEP);
    running.signal("CONT");
    let (code, said) = running.finish();
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
}

#[test]
fn a_topic_that_is_deleted_stops_the_run_and_is_not_made_again_behind_its_back() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "deleted").with_properties(&[SHORT]);
    let running = job.start();
    wait_until(&kafka.plain, &job.name, MIDDLE);
    delete_topic(&kafka.plain, &job.name);
    let gone = format!("topic \"{}\" at \"{}\" is not there any more", job.name, kafka.plain);
    let (code, said) = running.finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&gone) && said.contains("--reset-state"), "{said}");
    // A second refusal: the first must not have made what it misses.
    for _ in 0..2 {
        let (code, said) = job.run(&[]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&gone), "{said}");
        assert!(!exists(&kafka.plain, &job.name));
    }
    let (code, said) = job.run(&["--reset-state"]);
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
}
