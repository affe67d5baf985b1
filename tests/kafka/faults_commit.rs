//! A commit that Kafka made and could not confirm. Whether it counts is looked up, not guessed.

use std::time::Duration;

use crate::support::jobs::Job;
use crate::support::kafka::broker;
use crate::support::wire::Wire;

#[test]
fn a_commit_without_an_answer_is_not_sent_again() {
    let Some(kafka) = broker() else { return };
    // Longer than barflow waits for an answer, so that it takes a new producer.
    let wire = Wire::to(&kafka.plain, 20, Duration::from_secs(14));
    let job = Job::new(&wire.address, "unanswered");
    let (code, said) = job.start().finish();
    assert_eq!(code, Some(0), "{said}");
    assert!(wire.was_cut());
    assert!(said.contains("retrying the transaction"), "{said}");
    job.assert_once();
}
