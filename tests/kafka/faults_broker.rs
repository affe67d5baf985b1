//! A broker that dies, stops, hangs or loses a topic under a job, and a job that is itself put to
//! sleep. Takes about two minutes: transactions have to time out.

use std::time::Duration;

use crate::support::jobs::{FELT, Job};
use crate::support::kafka::{
    Broker, broker, create_topic, delete_topic, exists, unique, wait_until,
};
use crate::support::process::until;
use crate::support::transactions::{
    open, stop_amid_a_transaction, wait_until_ended, with_own_broker,
};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Long enough for a few commits, far from all of them.
const MIDDLE: i64 = 1_000;

/// Below it librdkafka would not go; message.timeout.ms follows it by itself.
const SHORT: (&str, &str) = ("transaction.timeout.ms", "3000");

/// Beyond the ten seconds that a step of a commit may take: within a shorter harm librdkafka itself may
/// wait, and nothing is to be seen.
const STEP: Duration = Duration::from_secs(13);

/// Longer than a job takes to resume after any fault.
const LONG: Duration = Duration::from_secs(60);

/// Harms a broker that nobody else needs under a job until it says so, and repairs it; the job
/// continues.
fn goes_on_by_itself(
    name: &str,
    properties: &[(&str, &str)],
    harm: impl Fn(&Broker),
    mend: impl Fn(&Broker),
) {
    with_own_broker(|own| {
        let job = Job::new(&own.plain, name).with_properties(properties);
        let mut running = job.start();
        wait_until(&own.plain, &job.name, MIDDLE);
        harm(own);
        assert!(running.runs(), "it had ended before");
        let felt = |said: &str| FELT.iter().any(|sign| said.contains(sign));
        until(STEP, || felt(&running.said()).then_some(()));
        mend(own);
        let (code, said) = running.finish();
        assert_eq!(code, Some(0), "{said}");
        job.assert_once();
        assert!(felt(&said), "the harm was not felt: {said}");
    });
}

#[test]
fn a_run_outlives_a_broker_that_is_killed_and_started_again() {
    goes_on_by_itself("killed", &[], |broker| broker.stop(&["--now"]), Broker::start_again);
}

#[test]
fn a_run_outlives_a_broker_that_is_stopped_in_order_and_started_again() {
    goes_on_by_itself("stopped", &[SHORT], |broker| broker.stop(&[]), Broker::start_again);
}

#[test]
fn a_run_outlives_a_broker_that_hangs_for_longer_than_a_transaction_lasts() {
    let signal = |name| move |broker: &Broker| broker.signal(name);
    goes_on_by_itself("hangs", &[SHORT], signal("STOP"), signal("CONT"));
}

#[test]
fn a_run_that_slept_for_longer_than_its_transaction_goes_on() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "slept").with_properties(&[SHORT]);
    let mut running = job.start();
    wait_until(&kafka.plain, &job.name, MIDDLE);
    stop_amid_a_transaction(&kafka.plain, &job, &mut running, 0);
    wait_until_ended(&kafka.plain, &[&job.topic]);
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
    let gone = format!("topic \"{}\" at \"{}\" was deleted", job.name, kafka.plain);
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

#[test]
fn a_transaction_is_open_and_known_until_it_is_ended() {
    let Some(kafka) = broker() else { return };
    let topic = unique("open");
    create_topic(&kafka.plain, &topic, 1, &[]);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.plain)
        .set("transactional.id", &topic)
        .create()
        .unwrap();
    producer.init_transactions(LONG).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).payload("x")).map_err(|(e, _)| e).unwrap();
    producer.flush(LONG).unwrap();
    let begun = open(&kafka.plain, &[&topic]);
    assert_eq!(begun.len(), 1);
    assert_eq!((begun[0].topic.as_str(), begun[0].known), (topic.as_str(), true));
    producer.abort_transaction(LONG).unwrap();
    // The mark is written after the answer.
    wait_until_ended(&kafka.plain, &[&topic]);
}
