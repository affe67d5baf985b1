//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use barflow_replay::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use super::say::say;
pub use super::shown::Shown;
use super::status_line;
use crate::job::live::status::Status;
use crate::job::observer::InputSize;
use crate::job::{JobReport, Observer};
use crate::telemetry::terminal::{self, BottomLine};
use crate::thousands::counted;

/// Prints the summary of a run.
type Summarise = fn(&JobReport);

/// Watches a job: progress while a replay reads, a status line of a live one, and a summary at the end if
/// that is wanted.
#[derive(Default)]
pub struct Watcher {
    shown: Mutex<Option<Shown>>,
    summarise: Option<Summarise>,
}

impl Watcher {
    /// Shows progress, and calls `summarise` at the end.
    pub fn with_summary(summarise: Summarise) -> Self {
        Self { summarise: Some(summarise), ..Self::default() }
    }

    fn shown(&self) -> MutexGuard<'_, Option<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn listening(&self, status: &Status) {
        if terminal::can_redraw() {
            *self.shown() = Some(status_line::show(status.clone()));
        }
    }

    fn reading(&self, size: InputSize, progress: &Progress) {
        let goal = size.bytes.map_or(Goal::Unknown, Goal::Bytes);
        *self.shown() = Some(Shown::of(progress.clone(), goal));
    }

    fn read(&self) {
        *self.shown() = None;
    }

    fn ended(&self, report: &JobReport) {
        *self.shown() = None;
        if let Some(summarise) = self.summarise {
            summarise(report);
        }
    }
}

/// When all is done.
#[derive(Clone, Copy)]
enum Goal {
    /// So many bytes are read.
    Bytes(u64),
    /// So many trades are written.
    Rows(u64),
    /// Nobody can say.
    Unknown,
}

impl Goal {
    /// How much of what is wanted is done.
    fn done(self, progress: &Progress) -> (u64, u64) {
        let (done, total) = match self {
            Self::Bytes(total) => (progress.bytes(), total),
            Self::Rows(total) => (progress.rows(), total),
            Self::Unknown => (progress.rows(), u64::MAX),
        };
        (done.min(total), total)
    }

    /// The bar on a terminal.
    fn bar(self) -> &'static str {
        match self {
            Self::Bytes(_) => "{wide_bar} {bytes}/{total_bytes} {msg} ETA {eta}",
            Self::Rows(_) => "{wide_bar} {human_pos}/{human_len} trades {msg} ETA {eta}",
            Self::Unknown => "{human_pos} trades {msg}",
        }
    }

    /// A line of a log.
    fn line(self, progress: &Progress) -> String {
        let trades = counted(progress.rows(), "trade");
        let (done, total) = self.done(progress);
        let share = || done.saturating_mul(100) / total.max(1);
        match self {
            Self::Bytes(_) => format!("{} % read, {trades}", share()),
            Self::Rows(_) => format!("{} % written, {trades}", share()),
            Self::Unknown => format!("{trades} read"),
        }
    }
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Interval between two lines without a terminal.
const LINE: Duration = Duration::from_secs(10);

impl Shown {
    /// Starts showing how many of `total` bytes are read.
    pub fn start(progress: Progress, total: u64) -> Self {
        Self::of(progress, Goal::Bytes(total))
    }

    /// Starts showing how many of `total` trades are made.
    pub fn of_rows(progress: Progress, total: u64) -> Self {
        Self::of(progress, Goal::Rows(total))
    }

    fn of(progress: Progress, goal: Goal) -> Self {
        let redraws = terminal::can_redraw();
        Self::spawn("progress", move |done| {
            if redraws { draw(&progress, goal, done) } else { log(&progress, goal, done) }
        })
    }
}

fn draw(progress: &Progress, goal: Goal, done: &AtomicBool) {
    let style =
        ProgressStyle::with_template(goal.bar()).unwrap_or_else(|_| ProgressStyle::default_bar());
    let shown = BottomLine::show(ProgressBar::new(goal.done(progress).1).with_style(style));
    let bar = shown.line();
    let start = Instant::now();
    while !done.load(Ordering::Acquire) {
        bar.set_position(goal.done(progress).0);
        let rate = progress.rows() as f64 / start.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{:.1} M trades/s", rate / 1e6));
        thread::park_timeout(LOOK);
    }
}

fn log(progress: &Progress, goal: Goal, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Acquire) {
        thread::park_timeout(LINE);
        if last.elapsed() >= LINE {
            last = Instant::now();
            say!("{}", goal.line(progress));
        }
    }
}
