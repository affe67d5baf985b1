//! The one harness for programs under test: started, watched, signalled, killed, started again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::kills::Kill;

/// How long anything may take before a test fails: far beyond what a slow machine needs.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The program, without the settings of the tests' environment.
pub fn barflow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barflow"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BARFLOW_")) {
        command.env_remove(name);
    }
    command
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

/// Runs to the end in a folder.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    barflow().current_dir(folder).args(arguments).output().unwrap()
}

/// As [`run`], expecting an exit code; what is on standard error.
pub fn told(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

/// Looks again and again until there is something, or the time is over.
pub fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    until(PATIENCE, || is_so().then_some(()))
        .unwrap_or_else(|| panic!("{what}: not in {PATIENCE:?}"));
}

/// A process, killed when dropped.
pub struct Process {
    child: Child,
    out: BufReader<File>,
    lines: Vec<String>,
    /// The beginning of a line whose end has not come yet.
    begun: String,
    said: NamedTempFile,
}

/// How a process ended.
pub struct End {
    /// None if a signal ended it.
    pub code: Option<i32>,
    /// Whether that was `kill -9`.
    pub killed: bool,
    /// Lines of standard output: bars, for most.
    pub bars: Vec<String>,
    /// Standard error.
    pub said: String,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let (out, said) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        command.stdin(Stdio::null()).stdout(out.reopen().unwrap()).stderr(said.reopen().unwrap());
        let (child, out) = (command.spawn().unwrap(), BufReader::new(out.into_file()));
        Self { child, out, lines: Vec::new(), begun: String::new(), said }
    }

    /// Starts one whose standard output is a pipe, which its reader can leave full.
    pub fn start_with_pipe(mut command: Command) -> (Self, ChildStdout) {
        let said = NamedTempFile::new().unwrap();
        let out = BufReader::new(tempfile::tempfile().unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let pipe = child.stdout.take().unwrap();
        (Self { child, out, lines: Vec::new(), begun: String::new(), said }, pipe)
    }

    /// Starts one whose standard output is this.
    pub fn start_into(mut command: Command, to: Stdio) -> Self {
        let said = NamedTempFile::new().unwrap();
        let out = BufReader::new(tempfile::tempfile().unwrap());
        command.stdin(Stdio::null()).stdout(to).stderr(said.reopen().unwrap());
        Self { child: command.spawn().unwrap(), out, lines: Vec::new(), begun: String::new(), said }
    }

    /// Starts one that is to be killed; where a place in the code says when, it does that itself.
    pub fn start_to_be_killed(mut command: Command, kill: Option<Kill>) -> Self {
        if let Some(Kill::At(place, nth)) = kill {
            command.env("BARFLOW_FAULT", format!("{place}:{nth}"));
        }
        Self::start(command)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.said.path()).unwrap()).into_owned()
    }

    /// Lines of standard output so far.
    pub fn bars(&mut self) -> &[String] {
        while self.out.read_line(&mut self.begun).unwrap() > 0 && self.begun.ends_with('\n') {
            self.begun.pop();
            self.lines.push(std::mem::take(&mut self.begun));
        }
        &self.lines
    }

    /// Waits until something is so, as long as lines come, and while it runs.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let (mut deadline, mut lines) = (Instant::now() + PATIENCE, 0);
        loop {
            // First, so that what it did before it ended is seen.
            let ended = self.child.try_wait().unwrap();
            if is_so(self) {
                return;
            }
            if self.bars().len() > lines {
                (deadline, lines) = (Instant::now() + PATIENCE, self.lines.len());
            }
            let late = Instant::now() > deadline;
            assert!(
                ended.is_none() && !late,
                "{what}: not so; {ended:?}, {lines} lines\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for so many lines of standard output.
    pub fn wait_for(&mut self, bars: usize) {
        self.wait_until(&format!("{bars} bars"), |this| this.bars().len() >= bars);
    }

    /// Waits until it has said this.
    pub fn wait_until_it_says(&mut self, what: &str) {
        self.wait_until(what, |this| this.said().contains(what));
    }

    /// Waits for its end.
    pub fn end(mut self) -> End {
        let Some(status) = until(PATIENCE, || self.child.try_wait().unwrap()) else {
            panic!("it does not end: {}", self.said());
        };
        self.bars();
        let mut bars = std::mem::take(&mut self.lines);
        bars.extend(Some(std::mem::take(&mut self.begun)).filter(|line| !line.is_empty()));
        let said = self.said();
        println!("{status}\n{said}");
        End { code: status.code(), killed: status.signal() == Some(9), bars, said }
    }

    /// Waits for its end; its exit code and what it said.
    pub fn finish(self) -> (Option<i32>, String) {
        let end = self.end();
        (end.code, end.said)
    }

    /// Ends it in good order; its exit code, its bars and what it said.
    pub fn stop(self) -> (Option<i32>, Vec<String>, String) {
        self.signal("TERM");
        let end = self.end();
        (end.code, end.bars, end.said)
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) -> End {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits until it is killed; where that really was, for within this time it may not come to the place.
    pub fn be_killed(mut self, kill: Kill, patience: Duration) -> (Kill, End) {
        let patience = match kill {
            Kill::At(..) => patience,
            Kill::After(time) => time,
        };
        if until(patience, || self.child.try_wait().unwrap()).is_some() {
            return (kill, self.end());
        }
        (Kill::After(patience), self.kill())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
