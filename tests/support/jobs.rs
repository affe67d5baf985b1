//! A replay as a job, run as a process: started, paused, killed, started again.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::kafka::{read, unique};
use super::live::{barflow, signal};

/// Many small bars, so that there is something to lose at every moment.
pub const BAR: &str = "dib=imbalance,measure=dollar,threshold=wald,target=20,alpha=0.01,warmup=200";

/// Far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a run says of a fault that it felt: which of the two depends on who notices first, this side or
/// the broker.
pub const FELT: [&str; 2] = ["the transaction is tried again", "the broker ended the transaction"];

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
        let mut synth = barflow();
        synth.args(["synth", "--date", "2024-03-01", "--days", "2", "--trades", "50000", "--out"]);
        assert!(synth.arg(&folder).output().unwrap().status.success());
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
    pub fn start(&self) -> Running {
        self.start_with(&["--bar", BAR])
    }

    /// Starts a copy with these arguments instead of the usual bars.
    pub fn start_with(&self, arguments: &[&str]) -> Running {
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
        Running::start(command)
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
        let deadline = Instant::now() + PATIENCE;
        let mut values = self.values();
        while lines(&values) < lines(expected) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
            values = self.values();
        }
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

/// A process, killed when dropped.
pub struct Running {
    child: Child,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, errors: Some(errors) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; its exit code and what it said.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.runs() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it does not end: {}", self.errors.take().unwrap().join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = self.child.wait().unwrap().code();
        let said = self.errors.take().unwrap().join().unwrap();
        println!("exit code {code:?}\n{said}");
        (code, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
