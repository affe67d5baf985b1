//! Live feeds as a source of the graph: history first, then a thread per feed, changes of the
//! configuration while they run, and a report in the log at intervals.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barflow_operators::batch::Feed;
use barflow_operators::instrument::InstrumentId;
use metrics::gauge;
use tokio::sync::mpsc;

use super::super::cluster;
use super::reload::{self, Reload};
use super::{access, begin};
use crate::config::bars::BarBook;
use crate::config::live::LiveSettings;
use crate::config::sink_kind::SinkKind;
use crate::feeds::plan::{FeedPlan, Symbol};
use crate::feeds::session::{self, Change, FeedReport, SessionFault};
use crate::feeds::state::FeedOutputs;
use crate::graph::sink::SinkError;
use crate::job::start::Resumption;
use crate::recording::recorder::Recorder;
use crate::sinks::kafka::KafkaSettings;
use crate::stop::{Breakdown, Cause, Stop};
use crate::telemetry::clock;
use crate::telemetry::latency::Latency;
use crate::telemetry::names;

/// Between two looks at signals, files and threads.
const LOOK: Duration = Duration::from_millis(50);

/// Between two attempts to start an added feed.
const AGAIN: Duration = Duration::from_secs(10);

/// Bars as they are ordered now; reloading replaces them.
#[derive(Clone, Debug, Default)]
pub struct SharedBarBook(Arc<RwLock<BarBook>>);

impl SharedBarBook {
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

/// All reports as they are now.
pub(super) fn all(reports: &Reports) -> BTreeMap<String, FeedReport> {
    reports.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What every feed needs.
pub struct Feeds {
    /// How long things take.
    pub latency: Latency,
    /// What the feeds report.
    pub reports: Reports,
    /// Where frames are recorded.
    pub recorder: Option<Recorder>,
}

/// What the supervisor of all feeds needs.
pub struct Supervisor {
    /// The run as configured.
    pub settings: LiveSettings,
    /// How the configuration is read again, if it can change.
    pub reload: Option<Reload>,
    /// Where the checkpoint is.
    pub resume: Resumption,
    /// Bars, shared with the graph.
    pub book: SharedBarBook,
    /// Receives other bars during the run.
    pub on_new_bars: Box<dyn Fn(&BarBook) + Send>,
    /// What every feed needs.
    pub feeds: Feeds,
}

/// A feed that was added and could not start yet.
struct Waiting {
    plan: FeedPlan,
    at: Instant,
}

/// A running feed.
struct Running {
    plan: FeedPlan,
    changes: mpsc::UnboundedSender<Change>,
    report: FeedReport,
    thread: JoinHandle<Result<(), Cause>>,
}

impl Supervisor {
    /// Runs everything until the stop flag is up.
    ///
    /// # Errors
    /// The first feed that cannot continue, or history that cannot be read.
    pub fn run(mut self, outlets: FeedOutputs) -> Result<(), Cause> {
        let stop = outlets.stop.clone();
        if !self.settings.history.is_empty() {
            begin::from_history(&mut self.settings, &self.resume, &outlets)?;
        }
        let mut running = Vec::new();
        let mut waiting = Vec::new();
        let mut known = BTreeMap::new();
        note_rows(&self.settings.feeds, &mut known);
        if !stop.is_raised() {
            for plan in std::mem::take(&mut self.settings.feeds) {
                running.push(self.start(plan, &outlets)?);
            }
        }
        // In a job of several processes the others may have come up.
        let mut runs = outlets.share.is_part();
        let mut watch = self.reload.as_ref().map(reload::Watch::new);
        let mut next_report = self.settings.report_every.map(|every| Instant::now() + every);
        // Without feeds there is nothing to wait for, unless other processes need this one.
        let anything = |running: &Vec<Running>, waiting: &Vec<Waiting>| {
            !running.is_empty() || !waiting.is_empty() || outlets.share.is_part()
        };
        while !stop.is_raised() && anything(&running, &waiting) {
            thread::sleep(LOOK);
            if let Some(forward) = clock::follow() {
                let forward = Duration::from_nanos(forward.unsigned_abs());
                tracing::warn!("the clock of this machine went forward by {forward:.1?}");
            }
            runs = runs || running.iter().any(|feed| feed.report.runs());
            if !runs && let Some(fault) = nothing_comes_up(&running) {
                stop.fail(fault);
                break;
            }
            if let (Some(watch), Some(reload)) = (&mut watch, &self.reload)
                && watch.asks(&reload.requested)
            {
                self.take(&reload.read, &mut running, &mut waiting, &mut known, &outlets);
            }
            self.start_waiting(&mut running, &mut waiting, &outlets);
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

    fn start(&self, plan: FeedPlan, outlets: &FeedOutputs) -> Result<Running, Cause> {
        let access = access::resolve(&plan)?;
        let (changes, received) = mpsc::unbounded_channel();
        let report = FeedReport::default();
        let feeds = &self.feeds;
        feeds
            .reports
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(plan.name.clone(), report.clone());
        let outlets = outlets.clone();
        let (latency, recorder) = (feeds.latency.clone(), feeds.recorder.clone());
        let shared = Arc::new(plan.clone());
        let told = report.clone();
        let thread =
            thread::Builder::new().name(format!("feed {}", plan.name)).spawn(move || {
                session::run(shared, access, outlets, &latency, &told, recorder, received)
            })?;
        Ok(Running { plan, changes, report, thread })
    }

    fn report(&self) {
        for (feed, report) in all(&self.feeds.reports) {
            let up = report.connections_up();
            let said = report.lines().join("; ");
            tracing::info!(%feed, connections = up, "{said}");
        }
        for line in self.feeds.latency.table().lines() {
            tracing::info!("{line}");
        }
    }

    /// Reads the configuration again and applies what has changed; a configuration with mistakes
    /// changes nothing.
    fn take(
        &self,
        read: &dyn Fn() -> Result<LiveSettings, String>,
        running: &mut Vec<Running>,
        waiting: &mut Vec<Waiting>,
        known: &mut BTreeMap<InstrumentId, Feed>,
        outlets: &FeedOutputs,
    ) {
        let fresh = match read() {
            Ok(mut fresh) => {
                cluster::keep(&mut fresh, outlets.share);
                fresh
            }
            Err(problems) => {
                tracing::error!("the new configuration was rejected: {problems}");
                return;
            }
        };
        if let Some((had, has)) = reload::other_rows(&fresh.feeds, known) {
            tracing::error!(
                instrument = %had.instrument,
                "the new configuration was rejected: the instrument has had {} in this job and would continue \
                 with {}: bars would differ",
                had.input.as_str(),
                has.input.as_str()
            );
            return;
        }
        if let Err(error) = self.find_schemas(&fresh, &outlets.stop) {
            tracing::error!(%error, "the new configuration was rejected: its topics need a schema");
            return;
        }
        note_rows(&fresh.feeds, known);
        if fresh.bars != self.book.now() {
            self.order_bars(&fresh.bars, running);
        }
        for feed in running.iter_mut() {
            feed.follow(fresh.feeds.iter().find(|plan| plan.name == feed.plan.name));
        }
        // A feed that could not start yet may be another one now, or not wanted any more.
        waiting.clear();
        for plan in fresh.feeds {
            if running.iter().all(|feed| feed.plan.name != plan.name) {
                tracing::info!(feed = %plan.name, "feed added");
                waiting.push(Waiting { plan, at: Instant::now() });
            }
        }
        self.start_waiting(running, waiting, outlets);
    }

    /// Starts added feeds whose time has come; one that cannot start is tried again, and the others
    /// continue.
    fn start_waiting(
        &self,
        running: &mut Vec<Running>,
        waiting: &mut Vec<Waiting>,
        outlets: &FeedOutputs,
    ) {
        for feed in waiting.iter_mut().filter(|feed| Instant::now() >= feed.at) {
            match self.start(feed.plan.clone(), outlets) {
                Ok(started) => {
                    // The graph may have kept builders of its instruments from another feed, or from before
                    // it was removed.
                    let _ = started.changes.send(bars_of(self.book.now()));
                    running.push(started);
                }
                Err(error) => {
                    feed.at = Instant::now() + AGAIN;
                    let feed = &feed.plan.name;
                    gauge!(names::CONNECTIONS, "feed" => feed.clone()).set(0.0);
                    tracing::error!(
                        %feed, %error, again_in = ?AGAIN,
                        "an added feed cannot start; the others continue"
                    );
                }
            }
        }
        waiting.retain(|feed| running.iter().all(|running| running.plan.name != feed.plan.name));
    }

    /// Looks for the schema of all topics of a new configuration, before anything is written to them.
    fn find_schemas(&self, fresh: &LiveSettings, stop: &Stop) -> Result<(), SinkError> {
        if self.settings.sink != SinkKind::Kafka {
            return Ok(());
        }
        // Not those of the new one: how bars are written does not change during a run.
        let orders = fresh.bars.orders().iter();
        let kafka = KafkaSettings {
            specs: orders.map(|order| order.spec.name().to_string()).collect(),
            instruments: fresh.instruments(),
            stop: stop.clone(),
            ..self.settings.kafka.settings()
        };
        kafka.find_schemas()
    }

    fn order_bars(&self, book: &BarBook, running: &[Running]) {
        tracing::info!("bars have changed");
        self.book.set(book.clone());
        (self.on_new_bars)(book);
        for feed in running {
            let _ = feed.changes.send(bars_of(book.clone()));
        }
    }
}

/// Remembers of which rows the instruments' bars are made.
fn note_rows(feeds: &[FeedPlan], known: &mut BTreeMap<InstrumentId, Feed>) {
    for plan in feeds {
        for symbol in &plan.symbols {
            let feed = symbol.feed(plan.venue.as_ref(), plan.channel);
            known.insert(feed.instrument.clone(), Feed::clone(&feed));
        }
    }
}

/// Tells a feed which bars its instruments make.
fn bars_of(book: BarBook) -> Change {
    Change::Bars(Arc::new(move |feed| book.for_feed(feed)))
}

impl Running {
    /// Applies what the configuration now says of this feed; nothing if it is not there any more.
    fn follow(&mut self, plan: Option<&FeedPlan>) {
        let Some(plan) = plan else {
            tracing::info!(feed = %self.plan.name, "feed removed");
            let _ = self.changes.send(Change::End);
            return;
        };
        if reload::is_another_source(plan, &self.plan) {
            tracing::error!(
                feed = %plan.name,
                "another venue or channel takes effect at the next start; until then the feed stays as it is, \
                 with its instruments"
            );
            return;
        }
        if reload::needs_restart(plan, &self.plan) {
            tracing::warn!(
                feed = %plan.name,
                "settings other than instruments take effect at the next start"
            );
        }
        if plan.symbols != self.plan.symbols {
            let symbols: Vec<Symbol> = plan.symbols.clone();
            let _ = self.changes.send(Change::Symbols(symbols));
            self.plan.symbols = plan.symbols.clone();
        }
    }
}

/// Why none of the feeds comes up, if each has said so.
fn nothing_comes_up(running: &[Running]) -> Option<SessionFault> {
    let faults: Option<Vec<_>> = running.iter().map(|feed| feed.report.fault()).collect();
    faults?.into_iter().next()
}

fn end(feed: Running, stop: &Stop) {
    match feed.thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => stop.fail(cause),
        Err(_) => {
            let part = format!("the thread of feed \"{}\"", feed.plan.name);
            stop.fail(Breakdown::panicked(part));
        }
    }
}
