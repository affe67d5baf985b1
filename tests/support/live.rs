//! `barflow simulator` and `barflow live` as processes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::kills::until;

/// How long anything may take before a test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a venue may take to end: some play their whole tape first.
const VENUE_PATIENCE: Duration = Duration::from_secs(300);

pub const DIB: &str =
    "dib=imbalance,measure=dollar,threshold=wald,target=200,alpha=0.01,warmup=200";

pub fn barflow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barflow"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BARFLOW_")) {
        command.env_remove(name);
    }
    command
}

/// The first rows of two real days as CSV, in a folder of the test's own: a history and a day that
/// goes on from it. None where the data is absent.
pub fn two_days(folder: &Path, rows: usize) -> Option<(PathBuf, PathBuf)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/binance-layout");
    if !data.exists() {
        println!("SKIPPED: {} is not there", data.display());
        return None;
    }
    let zip = fs::File::open(data.join("XBTUSD-trades-2018-01-01.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let member = BufReader::new(zip.by_index(0).unwrap());
    let lines: Vec<String> = member.lines().take(2 * rows).map(Result::unwrap).collect();
    // Without numbers, trades of the very ms in which a history ends cannot be told from its own.
    let time = |line: &String| line.split(',').nth(4).map(str::to_owned);
    let cut = (rows..).find(|at| time(&lines[*at]) != time(&lines[*at - 1])).unwrap();
    let (first, second) = lines.split_at(cut);
    let write = |name: &str, lines: &[String]| {
        let path = folder.join(name);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    };
    Some((
        write("XBTUSD-trades-2018-01-01.csv", first),
        write("XBTUSD-trades-2018-01-02.csv", second),
    ))
}

/// Two whole real days, one behind the other. None where the data is absent.
pub fn whole_days() -> Option<(PathBuf, PathBuf)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/binance-layout");
    if !data.exists() {
        println!("SKIPPED: {} is not there", data.display());
        return None;
    }
    let day = |day| data.join(format!("XBTUSD-trades-2018-01-{day}.zip"));
    Some((day("01"), day("02")))
}

/// Arguments of a live run that joins a history, with the bars of these tests.
pub fn joining<'a>(history: &'a Path, instrument: &'a str) -> [&'a str; 6] {
    let history = history.to_str().unwrap();
    ["--history", history, "--history-instrument", instrument, "--bar", DIB]
}

/// Bars of a replay, line by line.
pub fn replayed(files: &[&Path], instrument: &str, bar: &str) -> Vec<String> {
    let output = barflow()
        .arg("replay")
        .args(files)
        .args(["--instrument", instrument, "--bar", bar])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A `barflow simulator`, ended when dropped.
pub struct Venue {
    child: Child,
    pub address: String,
    errors: Option<JoinHandle<String>>,
}

impl Venue {
    pub fn start(arguments: &[&str], files: &[&Path]) -> Self {
        let mut child = barflow()
            .args(["simulator", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .args(files)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let errors = drain(child.stderr.take().unwrap());
        let Some(Ok(line)) = lines.next() else {
            panic!("the venue did not start: {}", errors.join().unwrap());
        };
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address, errors: Some(errors) }
    }

    /// Ends it in good order; what it said.
    pub fn stop(self) -> String {
        self.terminate().1
    }

    /// Ends it in good order; its exit code and what it said.
    pub fn terminate(self) -> (Option<i32>, String) {
        signal(&self.child, "TERM");
        self.finish()
    }

    /// Waits for its end; its exit code and what it said.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let status = until(VENUE_PATIENCE, || self.child.try_wait().unwrap());
        if status.is_none() {
            let _ = self.child.kill();
        }
        let said = self.errors.take().unwrap().join().unwrap();
        let status = status.unwrap_or_else(|| panic!("the venue does not end: {said}"));
        (status.code(), said)
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `barflow live` whose bars come over standard output, ended when dropped.
pub struct Live {
    pub child: Child,
    lines: Receiver<String>,
    pub bars: Vec<String>,
    errors: Option<JoinHandle<String>>,
}

impl Live {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = barflow()
            .args(["live", "--report-every", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let errors = Some(drain(child.stderr.take().unwrap()));
        Self { child, lines, bars: Vec::new(), errors }
    }

    /// Waits for so many bars.
    pub fn wait_for(&mut self, bars: usize) {
        self.wait_until(&format!("{bars} bars"), |came| came.len() >= bars);
    }

    /// Waits until the bars that came are what is wanted.
    pub fn wait_until(&mut self, wanted: &str, done: impl Fn(&[String]) -> bool) {
        let mut deadline = Instant::now() + PATIENCE;
        while !done(&self.bars) {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    self.bars.push(line);
                    deadline = Instant::now() + PATIENCE;
                }
                Err(_) => {
                    let gone = self.child.try_wait().unwrap();
                    if gone.is_some() || Instant::now() > deadline {
                        let _ = self.child.kill();
                        let said = self.errors.take().unwrap().join().unwrap();
                        panic!("{} bars came, not {wanted}; {gone:?}\n{said}", self.bars.len());
                    }
                }
            }
        }
    }

    /// Waits until the bars that stand have these digests.
    pub fn wait_until_net(&mut self, wanted: &[String], digest: impl Fn(&String) -> String) -> Net {
        let deadline = Instant::now() + PATIENCE;
        let mut net = Net::default();
        let same = |net: &Net| {
            net.standing.len() == wanted.len()
                && net.standing.iter().map(&digest).eq(wanted.iter().cloned())
        };
        while !same(&net) {
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                net.take(line);
            }
            if Instant::now() > deadline || self.child.try_wait().unwrap().is_some() {
                let _ = self.child.kill();
                let said = self.errors.take().unwrap().join().unwrap();
                let (stand, count) = (net.standing.len(), wanted.len());
                panic!("{stand} bars stand, other than the {count} wanted\n{said}");
            }
        }
        net
    }

    /// Ends it in good order; its exit code, all its bars and what it said.
    pub fn stop(mut self) -> (Option<i32>, Vec<String>, String) {
        signal(&self.child, "TERM");
        self.finish()
    }

    /// Waits for its end.
    pub fn finish(&mut self) -> (Option<i32>, Vec<String>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "live does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = self.errors.take().unwrap().join().unwrap();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            self.bars.push(line);
        }
        (status.code(), std::mem::take(&mut self.bars), said)
    }
}

/// Bars that stand, by their last trade.
#[derive(Default)]
pub struct Net {
    pub standing: Vec<String>,
    pub retracted: usize,
}

impl Net {
    pub fn take(&mut self, line: String) {
        let bar = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let last = |line: &String| bar(line)["last_trade_id"].as_u64().unwrap();
        if bar(&line)["retracts"] == true {
            self.retracted += 1;
            let gone = line.replace("\"retracts\":true", "\"retracts\":false");
            let at = self.standing.iter().position(|other| *other == gone).expect(&line);
            self.standing.remove(at);
            return;
        }
        let at = self.standing.partition_point(|other| last(other) < last(&line));
        self.standing.insert(at, line);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Fails with the first difference in words.
pub fn assert_same(live: &[String], replayed: &[String], about: &str) {
    for (at, (live, replayed)) in live.iter().zip(replayed).enumerate() {
        assert_eq!(live, replayed, "{about}: bar {at}");
    }
    assert_eq!(live.len(), replayed.len(), "{about}: number of bars");
}

/// Runs to the end and returns what came of it, for commands that end by themselves.
pub fn output(arguments: &[&str], input: Option<&[u8]>) -> Output {
    let mut command = barflow();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input).unwrap();
    }
    child.wait_with_output().unwrap()
}
