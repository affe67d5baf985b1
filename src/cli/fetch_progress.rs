//! Progress of transfers on standard error: a bar each and one for all on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::say::say;
use super::store::selection::bytes;
use crate::archive::run::{DownloadOutcome, Watch};
use crate::printable::{line, lines};

/// What there is to see.
pub struct Transfers {
    files: usize,
    terminal: Option<(MultiProgress, ProgressBar)>,
    state: Mutex<State>,
}

struct State {
    /// Of each job under way: its bar, and its bytes on the disk.
    running: BTreeMap<usize, (Option<ProgressBar>, u64)>,
    done_files: usize,
    /// Of the files that ended.
    done_bytes: u64,
    total: u64,
    last_line: Instant,
}

/// Interval between two lines without a terminal.
const LINE: Duration = Duration::from_secs(10);

impl Transfers {
    /// Begins to show how many of `files` files, of `total` bytes, are there.
    pub fn start(files: usize, total: u64) -> Arc<Self> {
        let terminal = (std::io::stderr().is_terminal() && files > 0).then(|| {
            let all = MultiProgress::new();
            let template =
                "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}";
            let sum = all.add(ProgressBar::new(total).with_style(style(template)));
            sum.enable_steady_tick(Duration::from_millis(200));
            (all, sum)
        });
        Arc::new(Self {
            files,
            terminal,
            state: Mutex::new(State {
                running: BTreeMap::new(),
                done_files: 0,
                done_bytes: 0,
                total,
                last_line: Instant::now(),
            }),
        })
    }

    /// Removes the bars.
    pub fn finish(&self) {
        if let Some((all, sum)) = &self.terminal {
            sum.finish_and_clear();
            let _ = all.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the sum.
    fn show(&self, state: &mut State) {
        let bytes_there: u64 = state.running.values().map(|(_, bytes)| bytes).sum();
        let there = state.done_bytes + bytes_there;
        if let Some((_, sum)) = &self.terminal {
            sum.set_length(state.total.max(there));
            sum.set_position(there);
            sum.set_message(format!("{}/{} files", state.done_files, self.files));
        } else if state.last_line.elapsed() >= LINE {
            state.last_line = Instant::now();
            say!(
                "{} of {} files, {} of {}",
                state.done_files,
                self.files,
                bytes(there),
                bytes(state.total.max(there))
            );
        }
    }

    fn say(&self, text: &str) {
        match &self.terminal {
            // It stays above the bars.
            Some((all, _)) => drop(all.println(lines(text))),
            None => say!("{text}"),
        }
    }
}

impl Watch for Transfers {
    fn begins(&self, job: usize, name: &str, bytes: Option<u64>) {
        let bar = self.terminal.as_ref().map(|(all, sum)| {
            let template = "  {msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}";
            let bar = ProgressBar::new(bytes.unwrap_or_default()).with_style(style(template));
            all.insert_before(sum, bar).with_message(line(name).into_owned())
        });
        self.lock().running.insert(job, (bar, 0));
    }

    fn moved(&self, job: usize, bytes: u64, total: Option<u64>) {
        let mut state = self.lock();
        if let Some((bar, there)) = state.running.get_mut(&job) {
            *there = bytes;
            if let Some(bar) = bar {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(bytes);
            }
        }
        self.show(&mut state);
    }

    fn ended(&self, job: usize, name: &str, outcome: &DownloadOutcome) {
        let mut state = self.lock();
        if let Some((bar, bytes)) = state.running.remove(&job) {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            if !matches!(outcome, DownloadOutcome::Failed(_)) {
                state.done_bytes += bytes;
            }
        }
        state.done_files += 1;
        self.show(&mut state);
        drop(state);
        if let DownloadOutcome::Failed(error) = outcome
            && error.is_of_the_file()
        {
            self.say(&format!("refused: {name}: {error}"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
