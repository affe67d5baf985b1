//! Several processes and workers, exactly once into a real Kafka: however the job is cut up, and
//! however often it is lost and started again, the topics are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::days::of_all_symbols;
use crate::support::kafka::{Broker, broker, committed, unique};
use crate::support::members::{free_addresses, hosts_file};
use crate::support::process::{Process, barflow, wait_until};

/// A job that replays made-up days into topics of its own.
struct Job<'a> {
    kafka: &'a Broker,
    folder: &'a Path,
    name: String,
}

impl<'a> Job<'a> {
    fn new(kafka: &'a Broker, folder: &'a Path) -> Self {
        Self { kafka, folder, name: unique("job") }
    }

    fn bars(command: &mut Command) -> &mut Command {
        command
            .args(["--bar", "dib=imbalance,target=100,alpha=0.01,warmup=200"])
            .args(["--bar", "tick=tick,size=250"])
    }

    /// A process of the job; `member` says of how many it is which.
    fn start(&self, workers: usize, hosts: Option<&Path>, process: usize) -> Process {
        let mut command = barflow();
        command.arg("replay").arg(self.folder.join("days"));
        Self::bars(&mut command)
            .args(["--sink", "kafka", "--create-topics", "--brokers", &self.kafka.plain])
            .args(["--job", &self.name, "--topic", &format!("{}.{{spec}}", self.name)])
            .args(["--commit-interval", "20ms", "--batch-rows", "256"])
            .args(["--workers", &workers.to_string()]);
        if let Some(hosts) = hosts {
            command.arg("--hosts").arg(hosts).args(["--process", &process.to_string()]);
        }
        Process::start(command)
    }

    /// All processes of the job, started together.
    fn start_all(&self, processes: usize, workers: usize) -> Vec<Process> {
        if processes == 1 {
            return vec![self.start(workers, None, 0)];
        }
        let file = hosts_file(self.folder, &free_addresses(processes));
        (0..processes).map(|process| self.start(workers, Some(&file), process)).collect()
    }

    fn run(&self, processes: usize, workers: usize) {
        for process in self.start_all(processes, workers) {
            let (code, said) = process.finish();
            assert_eq!(code, Some(0), "{said}");
        }
    }

    /// Every bar once, in order, equal to those in the file.
    fn check(&self, expected: &Path) {
        for spec in ["dib", "tick"] {
            let topic = format!("kafka://{}/{}.{spec}", self.kafka.plain, self.name);
            let file = expected.join(format!("{spec}.jsonl"));
            let diff = barflow().arg("diff").arg(file).arg(topic).output().unwrap();
            let (out, said) = (diff.stdout, String::from_utf8_lossy(&diff.stderr).into_owned());
            assert!(diff.status.success(), "{}{said}", String::from_utf8_lossy(&out));
        }
    }
}

/// Days of all instruments, and the bars of an undisturbed run over them.
fn days(folder: &Path, trades: u64) -> PathBuf {
    let days = of_all_symbols(folder, trades);
    let mut command = barflow();
    let lines = Job::bars(command.arg("replay").arg(&days)).output().unwrap();
    assert!(lines.status.success(), "{}", String::from_utf8_lossy(&lines.stderr));
    let text = String::from_utf8(lines.stdout).unwrap();
    let expected = folder.join("expected");
    fs::create_dir(&expected).unwrap();
    for spec in ["dib", "tick"] {
        let mine = |line: &&str| line.contains(&format!("\"spec\":\"{spec}\""));
        let bars: Vec<&str> = text.lines().filter(mine).collect();
        assert!(bars.len() > 100, "{} bars", bars.len());
        fs::write(expected.join(format!("{spec}.jsonl")), bars.join("\n")).unwrap();
    }
    expected
}

#[test]
fn processes_and_workers_make_equal_topics() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let expected = days(folder.path(), 20_000);
    for (processes, workers) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let job = Job::new(kafka, folder.path());
        job.run(processes, workers);
        job.check(&expected);
        // The same again, cut up otherwise: everything is there already.
        job.run(1, 1);
        job.check(&expected);
    }
}

#[test]
fn a_job_that_lost_a_process_goes_on_with_any_number_of_them() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let expected = days(folder.path(), 60_000);
    for (after, again) in [(1, (1, 1)), (2, (1, 2)), (3, (2, 2))] {
        let job = Job::new(kafka, folder.path());
        let mut members = job.start_all(2, 1);
        // Amid the work: some commits are made, and more are to come.
        let topic = format!("{}.dib", job.name);
        wait_until("a few commits", || committed(&kafka.plain, &topic) >= after * 20);
        let victim = after % 2;
        members.remove(victim).kill();
        let (code, said) = members.remove(0).finish();
        if code != Some(0) {
            assert_eq!(code, Some(3), "{said}");
            assert!(said.contains(&format!("process {victim} at")), "{said}");
        }
        job.run(again.0, again.1);
        job.check(&expected);
    }
}
