//! Live feeds as a source of the graph: history first, then a thread per feed, changes while they
//! run, and a report now and then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use tokio::sync::mpsc;

use crate::config::bars::BarBook;
use crate::config::live::LiveSettings;
use crate::feeds::hub::Outlets;
use crate::feeds::plan::{FeedPlan, Symbol};
use crate::feeds::session::{self, Change, FeedReport};
use crate::graph::stop::{Cause, Stop};
use crate::recording::recorder::Recorder;
use crate::telemetry::latency::Latency;

pub mod begin;
pub mod reload;

/// Between two looks at signals, files and threads.
const LOOK: Duration = Duration::from_millis(50);

/// Bars as they are ordered now; reloading replaces them.
#[derive(Clone, Debug, Default)]
pub struct Book(Arc<RwLock<BarBook>>);

impl Book {
    /// These bars.
    pub fn new(book: BarBook) -> Self {
        Self(Arc::new(RwLock::new(book)))
    }

    /// The bars as they are.
    pub fn now(&self) -> BarBook {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, book: BarBook) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = book;
    }
}

/// Reports of all feeds, by name, whether they still run or not.
pub type Reports = Arc<RwLock<BTreeMap<String, FeedReport>>>;

/// What the supervisor of all feeds needs.
pub struct Supervisor {
    /// The run as configured.
    pub settings: LiveSettings,
    /// Where the configuration came from, to read it again.
    pub config: Option<PathBuf>,
    /// Understands the file again; flags go over it as they did at the start.
    pub read_again: Box<dyn Fn() -> Result<LiveSettings, String> + Send>,
    /// Where the job stood, by instrument.
    pub positions: BTreeMap<InstrumentId, Position>,
    /// Raised by SIGHUP.
    pub hangup: Arc<std::sync::atomic::AtomicBool>,
    /// Bars, shared with the graph.
    pub book: Book,
    /// Told of other bars while the run goes on.
    pub on_new_bars: Box<dyn Fn(&BarBook) + Send>,
    /// How long things take.
    pub latency: Latency,
    /// What the feeds say.
    pub reports: Reports,
    /// Where frames are recorded.
    pub recorder: Option<Recorder>,
}

/// A feed at work.
struct Running {
    plan: FeedPlan,
    changes: mpsc::UnboundedSender<Change>,
    thread: JoinHandle<Result<(), Cause>>,
}

impl Supervisor {
    /// Runs everything until the stop flag is up.
    ///
    /// # Errors
    /// The first feed that cannot go on, or history that cannot be read.
    pub fn run(mut self, outlets: Outlets) -> Result<(), Cause> {
        let stop = outlets.stop.clone();
        if !self.settings.history.is_empty() {
            begin::from_history(&mut self.settings, &self.positions, &outlets)?;
        }
        let mut running = Vec::new();
        if !stop.is_raised() {
            for plan in std::mem::take(&mut self.settings.feeds) {
                running.push(self.start(plan, &outlets)?);
            }
        }
        let mut watch = reload::Watch::new(self.config.clone());
        let mut next_report = self.settings.report_every.map(|every| Instant::now() + every);
        // Without feeds there is nothing to wait for, unless other processes need this one.
        while !stop.is_raised() && (!running.is_empty() || outlets.share.is_part()) {
            thread::sleep(LOOK);
            if watch.asks(&self.hangup) {
                self.reload(&mut running, &outlets)?;
            }
            if let (Some(at), Some(every)) = (next_report, self.settings.report_every)
                && Instant::now() >= at
            {
                next_report = Some(at + every);
                self.report();
            }
            let mut at = 0;
            while at < running.len() {
                if running[at].thread.is_finished() {
                    end(running.remove(at), &stop);
                } else {
                    at += 1;
                }
            }
        }
        for feed in running {
            end(feed, &stop);
        }
        Ok(())
    }

    fn start(&self, plan: FeedPlan, outlets: &Outlets) -> Result<Running, Cause> {
        let (changes, received) = mpsc::unbounded_channel();
        let report = FeedReport::default();
        self.reports
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(plan.name.clone(), report.clone());
        let outlets = outlets.clone();
        let latency = self.latency.clone();
        let recorder = self.recorder.clone();
        let shared = Arc::new(plan.clone());
        let thread = thread::Builder::new()
            .name(format!("feed {}", plan.name))
            .spawn(move || session::run(shared, outlets, &latency, &report, recorder, received))?;
        Ok(Running { plan, changes, thread })
    }

    fn report(&self) {
        let reports = self.reports.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (feed, report) in reports {
            let up = report.connections_up();
            let said = report.counters().lines().join("; ");
            tracing::info!(%feed, connections = up, "{said}");
        }
        for line in self.latency.table().lines() {
            tracing::info!("{line}");
        }
    }

    /// Reads the configuration again and changes what has changed; a configuration with mistakes
    /// changes nothing.
    fn reload(&mut self, running: &mut Vec<Running>, outlets: &Outlets) -> Result<(), Cause> {
        let fresh = match (self.read_again)() {
            Ok(mut fresh) => {
                fresh.keep(outlets.share);
                fresh
            }
            Err(problems) => {
                tracing::error!("the configuration is not taken: {problems}");
                return Ok(());
            }
        };
        if fresh.bars != self.book.now() {
            tracing::info!("bars have changed");
            let book = fresh.bars.clone();
            self.book.set(fresh.bars.clone());
            (self.on_new_bars)(&book);
            for feed in running.iter() {
                let book = book.clone();
                let bars_of: session::BarsOf = Arc::new(move |feed| book.for_feed(feed));
                let _ = feed.changes.send(Change::Bars(bars_of));
            }
        }
        for feed in running.iter_mut() {
            match fresh.feeds.iter().find(|plan| plan.name == feed.plan.name) {
                None => {
                    tracing::info!(feed = %feed.plan.name, "feed removed");
                    let _ = feed.changes.send(Change::End);
                }
                Some(plan) => {
                    if reload::needs_restart(plan, &feed.plan) {
                        tracing::warn!(
                            feed = %plan.name,
                            "settings other than instruments take effect at the next start"
                        );
                    }
                    if plan.symbols != feed.plan.symbols {
                        let symbols: Vec<Symbol> = plan.symbols.clone();
                        let _ = feed.changes.send(Change::Symbols(symbols));
                        feed.plan.symbols = plan.symbols.clone();
                    }
                }
            }
        }
        for plan in fresh.feeds {
            if running.iter().all(|feed| feed.plan.name != plan.name) {
                tracing::info!(feed = %plan.name, "feed added");
                running.push(self.start(plan, outlets)?);
            }
        }
        Ok(())
    }
}

fn end(feed: Running, stop: &Stop) {
    match feed.thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => stop.fail(cause),
        Err(_) => stop.fail(format!("the thread of feed \"{}\" panicked", feed.plan.name)),
    }
}
