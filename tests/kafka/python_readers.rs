//! kafka-python and aiokafka read uncommitted unless they are told otherwise: what that shows of a run that is
//! amid a transaction, or was killed there.

use std::path::Path;
use std::process::Command;

use crate::support::jobs::{Job, days};
use crate::support::kafka::{broker, create_topic};
use crate::support::peers;
use crate::support::transactions::stop_amid_a_transaction;

const COMMITTED: &[&str] = &["read_committed"];
/// As a consumer is made by somebody who has not read about it.
const UNSET: &[&str] = &[];

/// The bars that a library reads, in order.
fn read(python: &Path, library: &str, job: &Job, isolation: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/peers/read_python.py");
    let mut command = Command::new(python);
    command.arg(script).args([library, &job.broker, &job.topic]).args(isolation);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn python_readers_see_what_never_counts_unless_they_read_committed() {
    let Some(kafka) = broker() else { return };
    let (Some(python), Some(_)) = (peers::python("kafka"), peers::python("aiokafka")) else {
        return;
    };
    let libraries = ["kafka-python", "aiokafka"];
    let job = Job::new(&kafka.plain, "python").slow();
    create_topic(&kafka.plain, &job.topic, 1, &[("retention.ms", "-1")]);
    let mut running = job.start();
    stop_amid_a_transaction(&kafka.plain, &job, &mut running, 0);
    for library in libraries {
        let counts = read(&python, library, &job, COMMITTED);
        let all = read(&python, library, &job, UNSET);
        assert!(all.len() > counts.len(), "{library}: {} of {}", counts.len(), all.len());
        assert!(all.starts_with(&counts), "{library}");
    }
    running.kill();
    let (code, said) = job.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    // The bars of the aborted transaction are there a second time, for those who do not look.
    job.assert_once();
    let expected = String::from_utf8(days().bars.clone()).unwrap();
    let expected: Vec<&str> = expected.lines().collect();
    for library in libraries {
        assert!(read(&python, library, &job, COMMITTED) == expected, "{library}");
        let all = read(&python, library, &job, UNSET);
        assert!(all.len() > expected.len(), "{library}: nothing was aborted");
    }
}
