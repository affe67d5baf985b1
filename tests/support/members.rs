//! One job as several processes: addresses, logs, ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails: far beyond what a slow machine needs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Addresses that were free a moment ago, below the range that the system hands to outgoing
/// connections, so that nobody takes them in between.
pub fn free_addresses(count: usize) -> Vec<String> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    while listeners.len() < count {
        listeners.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(12_000..32_000))));
    }
    listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect()
}

/// A file that lists the processes of a job.
pub fn hosts_file(folder: &Path, addresses: &[String]) -> PathBuf {
    let path = folder.join("hosts.txt");
    fs::write(&path, format!("# the job\n\n{}\n", addresses.join("\n"))).unwrap();
    path
}

/// One process of a job.
pub struct Process {
    pub child: Child,
    pub out: PathBuf,
    said: PathBuf,
}

/// How a process ended.
pub struct End {
    pub code: Option<i32>,
    pub bars: Vec<String>,
    pub said: String,
}

impl Process {
    /// Starts it; bars come over standard output, one by one.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let (out, said) =
            (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.log")));
        let child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, said }
    }

    /// Bars that have come so far.
    pub fn bars(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for so many bars.
    pub fn wait_for(&mut self, bars: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.bars().len() < bars {
            let gone = self.child.try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < deadline, "{gone:?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it has said this.
    pub fn wait_until_it_says(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().contains(what) {
            let gone = self.child.try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < deadline, "{gone:?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end.
    pub fn end(mut self) -> End {
        let deadline = Instant::now() + PATIENCE;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        };
        End { code, bars: self.bars(), said: self.said() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bars of each series, in the order in which they were written.
pub fn by_series(bars: &[String]) -> BTreeMap<(String, String), Vec<String>> {
    let mut series: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for bar in bars {
        let value: serde_json::Value = serde_json::from_str(bar).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        series.entry((text("instrument"), text("spec"))).or_default().push(bar.clone());
    }
    series
}

/// The lines of summaries that count what was read and made, without how long that took.
pub fn counted(said: &[&str]) -> Vec<String> {
    let counts = |line: &&str| line.contains(" bars, median ") || line.contains(": duplicates ");
    let mut lines: Vec<String> =
        said.iter().flat_map(|said| said.lines()).filter(counts).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Trades and files of all summaries.
pub fn read(said: &[&str]) -> (u64, u64) {
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
    let lines = said.iter().flat_map(|said| said.lines()).filter(|l| l.contains(" trades in "));
    lines.fold((0, 0), |(files, trades), line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (files + number(words[0]), trades + number(words[2]))
    })
}
