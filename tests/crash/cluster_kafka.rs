//! Several processes and workers, exactly once into a real Kafka: however the job is cut up, and
//! however often it is lost and started again, the topics are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::kafka::{Broker, broker, unique};
use crate::support::live::barflow;
use crate::support::members::free_addresses;

/// How long anything may take before a test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT"];

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
    fn start(&self, workers: usize, hosts: Option<&Path>, process: usize) -> Child {
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
        let said = fs::File::create(self.log(process)).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    fn log(&self, process: usize) -> PathBuf {
        self.folder.join(format!("{}.{process}.log", self.name))
    }

    fn said(&self, process: usize) -> String {
        fs::read_to_string(self.log(process)).unwrap_or_default()
    }

    /// All processes of the job, started together.
    fn start_all(&self, processes: usize, workers: usize) -> Vec<Child> {
        if processes == 1 {
            return vec![self.start(workers, None, 0)];
        }
        let hosts = free_addresses(processes);
        let file = self.folder.join(format!("{}.hosts", self.name));
        fs::write(&file, hosts.join("\n")).unwrap();
        (0..processes).map(|process| self.start(workers, Some(&file), process)).collect()
    }

    fn run(&self, processes: usize, workers: usize) {
        for (process, mut child) in self.start_all(processes, workers).into_iter().enumerate() {
            let code = wait(&mut child);
            assert_eq!(code, Some(0), "{}", self.said(process));
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

fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Days of all instruments, and the bars of an undisturbed run over them.
fn days(folder: &Path, trades: u64) -> PathBuf {
    let days = folder.join("days");
    for (seed, symbol) in SYMBOLS.iter().enumerate() {
        let made = barflow()
            .args(["synth", "--date", "2024-03-01", "--days", "2", "--instrument"])
            .args([&format!("binance:spot:{symbol}"), "--trades", &trades.to_string()])
            .args(["--seed", &(seed + 1).to_string(), "--out"])
            .arg(&days)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
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
        let deadline = Instant::now() + PATIENCE;
        while crate::support::kafka::committed(&kafka.plain, &topic) < after * 20 {
            assert!(Instant::now() < deadline, "{}", job.said(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        let victim = after % 2;
        members[victim].kill().unwrap();
        let codes: Vec<_> = members.iter_mut().map(wait).collect();
        if codes[1 - victim] != Some(0) {
            assert_eq!(codes[1 - victim], Some(3), "{}", job.said(1 - victim));
            let said = job.said(1 - victim);
            assert!(said.contains(&format!("process {victim} at")), "{said}");
        }
        job.run(again.0, again.1);
        job.check(&expected);
    }
}
