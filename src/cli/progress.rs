//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barflow_replay::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use super::say::say;
use crate::job::observer::InputSize;
use crate::job::{JobReport, Observer};
use crate::thousands::grouped;

/// Shows progress until dropped.
pub struct Shown {
    done: Arc<AtomicBool>,
    showing: Option<JoinHandle<()>>,
}

/// Watches a replay: progress while it reads, and a summary at its end if that is wanted.
#[derive(Default)]
pub struct Watcher {
    shown: Mutex<Option<Shown>>,
    summarise: Option<fn(&JobReport)>,
}

impl Watcher {
    /// Shows progress, and calls `summarise` at the end.
    pub fn with_summary(summarise: fn(&JobReport)) -> Self {
        Self { summarise: Some(summarise), ..Self::default() }
    }

    fn shown(&self) -> MutexGuard<'_, Option<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn reading(&self, size: InputSize, progress: &Progress) {
        *self.shown() = Some(Shown::start(progress.clone(), size.bytes));
    }

    fn read(&self) {
        *self.shown() = None;
    }

    fn ended(&self, report: &JobReport) {
        if let Some(summarise) = self.summarise {
            summarise(report);
        }
    }
}

/// When all is done.
#[derive(Clone, Copy)]
struct Goal {
    total: u64,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Rows,
}

impl Goal {
    fn done(self, progress: &Progress) -> u64 {
        match self.unit {
            Unit::Bytes => progress.bytes(),
            Unit::Rows => progress.rows(),
        }
    }

    /// Of the bar on a terminal, and what is done to the rest.
    fn words(self) -> (&'static str, &'static str) {
        match self.unit {
            Unit::Bytes => ("{wide_bar} {bytes}/{total_bytes} {msg} ETA {eta}", "read"),
            Unit::Rows => ("{wide_bar} {human_pos}/{human_len} trades {msg} ETA {eta}", "written"),
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
        Self::of(progress, Goal { total, unit: Unit::Bytes })
    }

    /// Starts showing how many of `total` trades are made.
    pub fn of_rows(progress: Progress, total: u64) -> Self {
        Self::of(progress, Goal { total, unit: Unit::Rows })
    }

    fn of(progress: Progress, goal: Goal) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let terminal = std::io::stderr().is_terminal();
        let showing = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                if terminal { draw(&progress, goal, &seen) } else { log(&progress, goal, &seen) }
            })
            // Without a thread there is no progress to be seen, and nothing else is lost.
            .ok();
        Self { done, showing }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(showing) = self.showing.take() {
            showing.thread().unpark();
            let _ = showing.join();
        }
    }
}

fn draw(progress: &Progress, goal: Goal, done: &AtomicBool) {
    let style = ProgressStyle::with_template(goal.words().0)
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(goal.total).with_style(style);
    let start = Instant::now();
    while !done.load(Ordering::Acquire) {
        bar.set_position(goal.done(progress).min(goal.total));
        let rate = progress.rows() as f64 / start.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{:.1} M trades/s", rate / 1e6));
        thread::park_timeout(LOOK);
    }
    bar.finish_and_clear();
}

fn log(progress: &Progress, goal: Goal, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Acquire) {
        thread::park_timeout(LINE);
        if last.elapsed() >= LINE {
            last = Instant::now();
            let share = goal.done(progress).min(goal.total).saturating_mul(100) / goal.total.max(1);
            let word = goal.words().1;
            say!("{share} % {word}, {} trades", grouped(progress.rows()));
        }
    }
}
