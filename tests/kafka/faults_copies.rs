//! Two copies of one job: one of them continues, and every bar is committed once.

use crate::support::jobs::Job;
use crate::support::kafka::{broker, wait_until};

const MIDDLE: i64 = 1_000;

#[test]
fn a_second_copy_takes_over_and_the_first_says_who_it_was() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "second").slow();
    let first = job.start();
    wait_until(&kafka.plain, &job.name, MIDDLE);
    let second = job.start();
    let other = second.id();
    let (code, said) = first.finish();
    assert_eq!(code, Some(4), "{said}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let who = format!(
        "another copy of job \"{}\" has taken over: process {other} on {}, started at 2",
        job.name,
        host.trim()
    );
    assert!(said.contains(&who), "{said}\nwithout: {who}");
    let (code, said) = second.finish();
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
}

#[test]
fn of_two_copies_that_begin_at_once_one_goes_on() {
    let Some(kafka) = broker() else { return };
    for workers in ["1", "2"] {
        let job = Job::new(&kafka.plain, "at-once").with(&["--workers", workers]);
        let copies = [job.start(), job.start()];
        let mut ends = copies.map(|copy| copy.finish());
        ends.sort_by_key(|(code, _)| *code);
        let said = format!("{}\n{}", ends[0].1, ends[1].1);
        if workers == "2" && ends[0].0 == Some(4) {
            // Of copies with several workers each may have ended the other: then whoever starts the
            // job again gets one that continues.
            let (code, said) = job.run(&[]);
            assert_eq!(code, Some(0), "{said}");
            ends[0].0 = code;
        }
        assert_eq!([ends[0].0, ends[1].0], [Some(0), Some(4)], "{said}");
        assert!(ends[1].1.contains(&format!("another copy of job \"{}\"", job.name)), "{said}");
        job.assert_once();
    }
}

#[test]
fn a_copy_that_slept_through_its_replacement_writes_nothing_more() {
    let Some(kafka) = broker() else { return };
    let job = Job::new(&kafka.plain, "zombie").slow();
    let first = job.start();
    wait_until(&kafka.plain, &job.name, MIDDLE);
    first.signal("STOP");
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    job.assert_once();
    first.signal("CONT");
    let (code, said) = first.finish();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("has taken over: process"), "{said}");
    job.assert_once();
}
