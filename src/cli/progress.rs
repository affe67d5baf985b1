//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barflow_replay::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

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

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Interval between two lines without a terminal.
const LINE: Duration = Duration::from_secs(10);

impl Shown {
    /// Starts showing how many of `total` bytes are read.
    pub fn start(progress: Progress, total: u64) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let terminal = std::io::stderr().is_terminal();
        let showing = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                if terminal { draw(&progress, total, &seen) } else { log(&progress, total, &seen) }
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

fn draw(progress: &Progress, total: u64, done: &AtomicBool) {
    let template = "{wide_bar} {bytes}/{total_bytes} {msg} ETA {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style);
    let start = Instant::now();
    while !done.load(Ordering::Acquire) {
        bar.set_position(progress.bytes().min(total));
        let rate = progress.rows() as f64 / start.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{:.1} M trades/s", rate / 1e6));
        thread::park_timeout(LOOK);
    }
    bar.finish_and_clear();
}

fn log(progress: &Progress, total: u64, done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Acquire) {
        thread::park_timeout(LINE);
        if last.elapsed() >= LINE {
            last = Instant::now();
            let share = progress.bytes().min(total).saturating_mul(100) / total.max(1);
            eprintln!("{share} % read, {} trades", grouped(progress.rows()));
        }
    }
}
