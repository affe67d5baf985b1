//! Processes that are killed: where or when, and what became of them.

use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a process may take before a test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(180);

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// When it comes to a named place (src/fault_points.rs) for the so-many-th time.
    At(&'static str, u64),
    /// Wherever it is after this time.
    After(Duration),
}

impl Kill {
    /// The same half-way there.
    pub fn sooner(self) -> Self {
        match self {
            Self::At(place, nth) => Self::At(place, nth.div_ceil(2)),
            Self::After(time) => Self::After(time / 2),
        }
    }

    /// Where, for a table.
    pub fn place(&self) -> &'static str {
        match self {
            Self::At(place, _) => place,
            Self::After(_) => "at a random time",
        }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place, nth) => write!(f, "{place}:{nth}"),
            Self::After(time) => write!(f, "after {time:?}"),
        }
    }
}

/// How many kills to plan, of a share of all: `BARFLOW_CRASHES` says how many in total.
pub fn share(percent: usize, usual: usize) -> usize {
    let total = std::env::var("BARFLOW_CRASHES").ok().and_then(|n| n.parse::<usize>().ok());
    total.map_or(usual, |total| (total * percent).div_ceil(100))
}

/// So many kills: every place in turn, and a random time; the seed decides the rest.
pub fn plan(
    seed: u64,
    places: &[&'static str],
    count: usize,
    visits: u64,
    longest: Duration,
) -> Vec<Kill> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kills: Vec<Kill> = (0..count)
        .map(|at| match places.get((at + seed as usize) % (places.len() + 1)) {
            Some(place) => Kill::At(place, rng.u64(1..=visits)),
            None => Kill::After(longest.mul_f64(rng.f64())),
        })
        .collect();
    rng.shuffle(&mut kills);
    kills
}

/// A process that has ended.
pub struct Ended {
    /// Whether it was killed rather than done.
    pub killed: bool,
    pub code: Option<i32>,
    pub said: String,
}

/// Runs a command until it ends by itself or is killed.
pub fn run(mut command: Command, kill: Option<Kill>) -> Ended {
    let said = tempfile::NamedTempFile::new().unwrap();
    command.stderr(File::create(said.path()).unwrap());
    if let Some(Kill::At(place, nth)) = kill {
        command.env("BARFLOW_FAULT", format!("{place}:{nth}"));
    }
    let mut child = command.spawn().unwrap();
    if let Some(Kill::After(time)) = kill {
        std::thread::sleep(time);
        child.kill().unwrap();
    }
    let status = until(PATIENCE, || child.try_wait().unwrap());
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("it does not end: {}", std::fs::read_to_string(said.path()).unwrap());
    };
    ended(status, std::fs::read_to_string(said.path()).unwrap())
}

/// What a status means.
pub fn ended(status: ExitStatus, said: String) -> Ended {
    Ended { killed: status.signal() == Some(9), code: status.code(), said }
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
