//! `barflow live` into a real Kafka that dies or hangs, with a second copy, and as two processes of
//! which one is lost: afterwards the topic is that of a replay. The simulator's tape continues meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::jobs::FELT;
use crate::support::kafka::{Broker, broker, committed, delete_topic, unique};
use crate::support::live::{Simulator, replayed, two_days};
use crate::support::members::{free_addresses, hosts_file};
use crate::support::process::{Process, barflow, output, until};
use crate::support::transactions::with_own_broker;

const BAR: &str = "dib=imbalance,measure=dollar,threshold=wald,target=100,alpha=0.01,warmup=100";

/// How long a transaction may last: a broker that hangs for longer has ended what was begun.
const TRANSACTION: Duration = Duration::from_secs(3);

/// Drops, repeats and lost connections while the broker or a process is away as well.
const FAULTS: &str = "drop=0.002,duplicate=0.02,reorder=0.01,disconnect=3000";

/// Instruments of which a history and a day lie in files, a simulator that plays the days, and a topic.
struct Job<'a> {
    kafka: &'a Broker,
    folder: &'a Path,
    name: String,
    symbols: Vec<String>,
    simulator: Simulator,
    /// Bars of a replay of everything.
    expected: Vec<String>,
    /// How many of them the histories make.
    before: usize,
}

impl<'a> Job<'a> {
    /// None where there is no real data.
    fn new(kafka: &'a Broker, folder: &'a Path, symbols: usize, rate: &str) -> Option<Self> {
        let (history, day) = two_days(folder, 8_000)?;
        let mut files = [vec![history], vec![day]];
        let mut names = vec!["XBTUSD".to_owned()];
        for number in 2..=symbols {
            let symbol = format!("XBTUSD{number}");
            for files in &mut files {
                let name = files[0].file_name().unwrap().to_str().unwrap();
                let copy = folder.join(name.replace("XBTUSD", &symbol));
                fs::copy(&files[0], &copy).unwrap();
                files.push(copy);
            }
            names.push(symbol);
        }
        let [histories, days] = files;
        let (mut expected, mut before) = (Vec::new(), 0);
        for (history, day) in histories.iter().zip(&days) {
            let symbol = history.file_name().unwrap().to_str().unwrap().split('-').next().unwrap();
            let instrument = format!("binance:spot:{symbol}");
            before += replayed(&[history], &instrument, BAR).len();
            expected.extend(replayed(&[history, day], &instrument, BAR));
        }
        let days: Vec<&Path> = days.iter().map(PathBuf::as_path).collect();
        let simulator = ["--protocol", "binance-spot", "--rate", rate, "--faults", FAULTS];
        let simulator = Simulator::start(&simulator, &days);
        let name = unique("live-faults");
        Some(Self { kafka, folder, name, symbols: names, simulator, expected, before })
    }

    /// A process of it.
    fn start(&self, more: &[&str]) -> Process {
        let config = self.folder.join("live.toml");
        let text = format!(
            "[feeds.f]\nvenue = \"binance-spot\"\ninstruments = {:?}\n[kafka.properties]\n\
             \"transaction.timeout.ms\" = \"{}\"\n",
            self.symbols,
            TRANSACTION.as_millis()
        );
        fs::write(&config, text).unwrap();
        let mut command = barflow();
        command.args(["live", "--report-every", "0"]).arg("--config").arg(config);
        command.args(["--at", &self.simulator.address, "--bar", BAR]);
        for symbol in &self.symbols {
            let history = self.folder.join(format!("{symbol}-trades-2018-01-01.csv"));
            command.arg("--history").arg(history);
        }
        command.args(["--sink", "kafka", "--brokers", &self.kafka.plain, "--create-topics"]);
        command.args(["--topic", &self.name, "--job", &self.name, "--commit-interval", "50ms"]);
        command.args(more);
        Process::start(command)
    }

    fn came(&self) -> usize {
        committed(&self.kafka.plain, &self.name)
    }

    /// Waits until so many bars are there.
    fn wait_for(&self, bars: usize, running: &mut Process) {
        running.wait_until(&format!("{bars} bars"), |_| self.came() >= bars);
    }

    /// Waits until live bars come: some way behind the histories, far from the end.
    fn wait_for_the_middle(&self, running: &mut Process) {
        let bars = self.before + (self.expected.len() - self.before) / 5;
        self.wait_for(bars, running);
        let came = self.came();
        let all = self.expected.len();
        assert!(came < all, "it is at its end already: {came} of {all}, {} before", self.before);
    }

    /// Waits for all bars, ends the process in good order, and compares.
    fn finish(self, mut running: Process) -> String {
        self.wait_for(self.expected.len(), &mut running);
        let (code, _, said) = running.stop();
        assert_eq!(code, Some(0), "{said}");
        let file = self.folder.join("expected.jsonl");
        fs::write(&file, self.expected.join("\n") + "\n").unwrap();
        let topic = format!("kafka://{}/{}", self.kafka.plain, self.name);
        let diff = output(&["diff", file.to_str().unwrap(), &topic], None);
        let (out, told) = (diff.stdout, String::from_utf8_lossy(&diff.stderr).into_owned());
        let out = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(diff.status.code(), Some(0), "{out}{told}\n{said}\n{}", self.simulator.stop());
        said
    }
}

/// Harms a broker that nobody else needs under a live run, which continues.
fn goes_on_by_itself(harm: impl Fn(&Broker, &mut Process)) {
    with_own_broker(|own| {
        let folder = tempfile::tempdir().unwrap();
        let Some(job) = Job::new(own, folder.path(), 1, "500") else { return };
        let mut running = job.start(&[]);
        job.wait_for_the_middle(&mut running);
        harm(own, &mut running);
        job.finish(running);
    });
}

#[test]
fn a_live_run_outlives_a_broker_that_is_killed_and_started_again() {
    goes_on_by_itself(|broker, running| {
        let felt = |said: String| FELT.iter().any(|sign| said.contains(sign));
        broker.stop(&["--now"]);
        // Beyond the ten seconds that a step of a commit may take: else librdkafka itself may wait.
        until(Duration::from_secs(13), || felt(running.said()).then_some(()));
        broker.start_again();
        running.wait_until("the harm is felt", |running| felt(running.said()));
    });
}

#[test]
fn a_live_run_outlives_a_broker_that_hangs_for_longer_than_a_transaction_lasts() {
    goes_on_by_itself(|broker, _| {
        broker.signal("STOP");
        // Within what a step of a commit may take: nothing is to be seen but the time.
        std::thread::sleep(2 * TRANSACTION);
        broker.signal("CONT");
    });
}

#[test]
fn a_second_live_copy_takes_over_and_nothing_is_lost_or_repeated() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Slowly: a copy learns that it was replaced when it commits, so trades have to come to the last.
    let Some(job) = Job::new(kafka, folder.path(), 1, "120") else { return };
    let mut first = job.start(&[]);
    job.wait_for_the_middle(&mut first);
    let mut second = job.start(&["--if-taken", "wait"]);
    let (code, said) = first.finish();
    assert_eq!(code, Some(4), "{said}\n{}", second.said());
    assert!(said.contains("has taken over"), "{said}");
    assert!(said.contains("--if-taken wait"), "{said}");
    // One that is to wait neither ends nor writes, so that nobody starts it again.
    second.wait_until_it_says("resuming the job");
    let third = job.start(&[]);
    second.wait_until_it_says("doing nothing until stopped");
    job.finish(third);
    assert!(second.runs());
    assert_eq!(second.stop().0, Some(4));
}

#[test]
fn a_live_run_whose_topic_is_deleted_ends_and_says_so() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(job) = Job::new(kafka, folder.path(), 1, "200") else { return };
    let mut running = job.start(&[]);
    job.wait_for_the_middle(&mut running);
    delete_topic(&kafka.plain, &job.name);
    let (code, said) = running.finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("was deleted"), "{said}");
}

#[test]
fn a_live_job_of_two_processes_that_loses_one_goes_on_as_one() {
    let Some(kafka) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(job) = Job::new(kafka, folder.path(), 4, "1000") else { return };
    let hosts = hosts_file(folder.path(), &free_addresses(2));
    let hosts = hosts.to_str().unwrap();
    let member = |process: &str| job.start(&["--hosts", hosts, "--process", process]);
    let (mut first, second) = (member("0"), member("1"));
    job.wait_for_the_middle(&mut first);
    second.kill();
    let (code, said) = first.finish();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("process 1 at"), "{said}");
    let alone = job.start(&["--workers", "2"]);
    job.finish(alone);
}
