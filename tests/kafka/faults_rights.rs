//! A user who lacks a right is told which, one after the other, until the run works.

use crate::support::jobs::{FELT, Job};
use crate::support::kafka::{GUEST, broker, wait_until};
use crate::support::rights::{
    CREATE, DESCRIBE, DESCRIBE_CONFIGS, GROUP, READ, TOPIC, TRANSACTIONAL_ID, WRITE, allow,
};
use crate::support::transactions::{stop_amid_a_transaction, wait_until_ended};

/// Long enough for a few commits, far from all of them.
const MIDDLE: i64 = 1_000;

#[test]
fn each_missing_right_is_named() {
    let Some(kafka) = broker() else { return };
    let Some(address) = &kafka.sasl else {
        println!("SKIPPED: this broker has no SASL listener");
        return;
    };
    let (user, password) = GUEST;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let secret = format!("${{file:{}}}", file.display());
    let as_guest = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", secret.as_str()),
        ("transaction.timeout.ms", "3000"),
    ];
    let mut job = Job::new(address, "rights").quick().with_properties(&as_guest);
    let checkpoints = "barflow.checkpoints";
    let refused = |job: &Job, words: &[&str]| {
        let (code, said) = job.run(&[]);
        assert_eq!(code, Some(3), "{said}");
        // That does not pass by itself.
        assert!(!said.contains("retried") && !said.contains("retrying"), "{said}");
        for word in words {
            assert!(said.contains(word), "{said}\nwithout: {word}");
        }
    };
    let may = |kind, name: &str, operations: &[i8]| {
        for operation in operations {
            allow(&kafka.plain, user, kind, name, *operation);
        }
    };

    std::fs::write(&file, "wrong-password-5").unwrap();
    refused(&job, &["refused the login"]);
    std::fs::write(&file, password).unwrap();
    refused(&job, &[checkpoints, "needs Read, Write and Describe on that topic"]);
    may(TOPIC, checkpoints, &[DESCRIBE, DESCRIBE_CONFIGS, CREATE, READ, WRITE]);
    refused(&job, &[&job.name, "does not give access to topic"]);
    may(TOPIC, "rights", &[DESCRIBE, CREATE]);
    refused(&job, &["transactional ids that begin with \"barflow.\""]);
    may(TRANSACTIONAL_ID, "barflow.", &[DESCRIBE, WRITE]);
    refused(&job, &["the group \"barflow-checkpoints\""]);
    may(GROUP, "barflow-checkpoints", &[READ]);
    refused(&job, &[&job.name, "needs Write and Describe on the bar topics"]);
    may(TOPIC, "rights", &[WRITE]);
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    job.broker.clone_from(&kafka.plain);
    job.assert_once();

    // After a fault it looks what counts. Without the right Read it cannot, says so, and believes Kafka.
    for blind in [true, false] {
        let mut job = Job::new(address, "rights").with_properties(&as_guest);
        let mut running = job.start();
        wait_until(&kafka.plain, &job.name, MIDDLE);
        stop_amid_a_transaction(&kafka.plain, &job, &mut running, 0);
        wait_until_ended(&kafka.plain, &[&job.topic]);
        running.signal("CONT");
        assert!(running.runs(), "it had ended before");
        let (code, said) = running.finish();
        assert_eq!(code, Some(0), "{said}");
        assert!(FELT.iter().any(|sign| said.contains(sign)), "it was not felt: {said}");
        assert_eq!(said.contains("needs Read on the bar topics"), blind, "{said}");
        job.broker.clone_from(&kafka.plain);
        job.assert_once();
        may(TOPIC, "rights", &[READ]);
    }
}
