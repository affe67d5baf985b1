//! A replay as a job, run as a process: started, paused, killed, started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::days::synth;
use super::kafka::{read, unique};
use super::process::{Process, barflow, until};

/// Many small bars, so that there is something to lose at every moment.
pub const BAR: &str = "dib=imbalance,measure=dollar,threshold=wald,target=20,alpha=0.01,warmup=200";

/// What a run says of a fault that it felt: which of the two depends on who notices first, this side or
/// the broker.
pub const FELT: [&str; 2] = ["retrying the transaction", "the broker aborted the transaction"];

/// Two made-up days, and the bars of an uninterrupted run over them.
pub struct Days {
    pub folder: PathBuf,
    pub bars: Vec<u8>,
}

/// The days of this test binary.
pub fn days() -> &'static Days {
    static DAYS: OnceLock<Days> = OnceLock::new();
    DAYS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("days"));
        synth(&folder, "--days 2 --trades 50000");
        let replay = barflow().arg("replay").arg(&folder).args(["--bar", BAR]).output().unwrap();
        assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
        Days { folder, bars: replay.stdout }
    })
}

/// A job that writes the bars of [`days`] into a topic of its own.
pub struct Job {
    pub broker: String,
    pub name: String,
    pub topic: String,
    rows: &'static str,
    arguments: Vec<String>,
    faults: &'static str,
}

impl Job {
    /// A new one, slow enough to be interrupted: it commits a few bars at a time.
    pub fn new(broker: &str, name: &str) -> Self {
        let name = unique(name);
        let topic = name.clone();
        Self {
            broker: broker.to_owned(),
            name,
            topic,
            rows: "250",
            arguments: Vec::new(),
            faults: "",
        }
    }

    /// Into another topic than its own.
    pub fn on(self, topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..self }
    }

    /// Slower still: there has to be time for another copy beside it.
    pub fn slow(self) -> Self {
        Self { rows: "100", ..self }
    }

    /// Nobody wants to interrupt it.
    pub fn quick(self) -> Self {
        Self { rows: "8192", ..self }
    }

    /// Ended or stopped at these places (src/fault_points.rs); of a build with the feature `fault-points`.
    pub fn with_faults(self, faults: &'static str) -> Self {
        Self { faults, ..self }
    }

    /// With more arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// With these properties of librdkafka.
    pub fn with_properties(self, properties: &[(&str, &str)]) -> Self {
        let mut text = "[kafka.properties]\n".to_owned();
        for (name, value) in properties {
            text += &format!("{name:?} = {value:?}\n");
        }
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.toml", self.name));
        fs::write(&file, text).unwrap();
        self.with(&["--config", file.to_str().unwrap()])
    }

    /// Starts a copy.
    pub fn start(&self) -> Process {
        self.start_with(&["--bar", BAR])
    }

    /// Starts a copy with these arguments instead of the usual bars.
    pub fn start_with(&self, arguments: &[&str]) -> Process {
        let mut command = barflow();
        command
            .env("BARFLOW_FAULT", self.faults)
            .arg("replay")
            .arg(&days().folder)
            .args(["--sink", "kafka", "--brokers", &self.broker, "--create-topics"])
            .args(["--job", &self.name, "--topic", &self.topic])
            .args(["--commit-interval", "1ms", "--batch-rows", self.rows])
            .args(&self.arguments)
            .args(arguments);
        Process::start(command)
    }

    /// Runs a copy to its end.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.start_with(&[&["--bar", BAR], arguments].concat()).finish()
    }

    /// Every bar stands in the topic once, in order, as an uninterrupted run has it.
    pub fn assert_once(&self) {
        let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
        let expected = &days().bars;
        // The mark that lets readers see the last of them is written after the commit is confirmed.
        let whole = || Some(self.values()).filter(|values| lines(values) >= lines(expected));
        let values = until(Duration::from_secs(60), whole).unwrap_or_else(|| self.values());
        let both = values.split(|byte| *byte == b'\n').zip(expected.split(|byte| *byte == b'\n'));
        let differs = both.enumerate().find(|(_, (found, expected))| found != expected);
        assert!(
            values == *expected,
            "\"{}\": {} lines of {}, first difference: {:?}",
            self.topic,
            lines(&values),
            lines(expected),
            differs.map(|(at, (found, expected))| (
                at,
                String::from_utf8_lossy(found),
                String::from_utf8_lossy(expected)
            ))
        );
    }

    fn values(&self) -> Vec<u8> {
        let mut values = Vec::new();
        for message in read(&self.broker, &self.topic) {
            values.extend_from_slice(&message.value);
            values.push(b'\n');
        }
        values
    }
}
