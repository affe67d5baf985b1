//! A live job: feeds into a sink until it is stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use barflow_operators::dataflow::validate::ValidateOptions;
use barflow_operators::end::InputEnd;
use barflow_operators::open_bars::OpenBars;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_operators::quality::judge::Known;

use self::reload::Reload;
use self::status::Status;
use self::supervisor::{Feeds, Reports, SharedBarBook, Supervisor};
use super::corrections::on_revision;
use super::error::JobError;
use super::observer::Observer;
use super::report::{JobReport, Records, doubtful};
use super::sink::SinkRequest;
use super::start::{Start, Started};
use super::{cluster, places, rejects};
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::config::bars::BarBook;
use crate::config::live::LiveSettings;
use crate::feeds::deferred_gaps::DeferredGaps;
use crate::feeds::session::FeedReport;
use crate::feeds::state::{FeedOutputs, LeftOff};
use crate::graph::flow::EpochClock;
use crate::graph::options::GraphOptions;
use crate::graph::quality::Quality;
use crate::graph::run::{Feeder, Pace, Workers, run as run_graph};
use crate::recording::recorder::{self, Recorder, Recording};
use crate::stop::Stop;

mod access;
pub mod begin;
mod gaps;
pub mod reload;
mod replayed;
pub mod status;
pub mod supervisor;

/// Trades per batch: a live batch holds what came at once, seldom more than a few.
const BATCH_ROWS: usize = 64;

/// Batches kept for reuse: what the queue of a worker may hold, 13 MB.
const BATCHES: usize = 4096;

/// Trades of one instrument that may wait for a missing id inside the graph.
const REORDER_WINDOW: usize = 1024;

/// A live job with validated settings.
pub struct LiveJob {
    settings: LiveSettings,
    reload: Option<Reload>,
}

/// What a running job shares with its feeds.
struct Shared {
    pool: BatchPool,
    book: SharedBarBook,
    reports: Reports,
    deferred: DeferredGaps,
    records: Records,
    open_bars: OpenBars,
    window: bool,
}

impl LiveJob {
    /// A job with these feeds and bars until its end.
    pub fn new(settings: LiveSettings) -> Self {
        Self { settings, reload: None }
    }

    /// Bars, instruments and feeds follow changes of the configuration.
    pub fn with_reload(mut self, reload: Reload) -> Self {
        self.reload = Some(reload);
        self
    }

    /// Runs until `stop` is raised, or every feed has ended.
    ///
    /// # Errors
    /// When the job cannot start, and the first error of a feed, the sink or another process.
    /// Whatever the sink had committed before stays there.
    pub fn run(self, stop: &Stop, observer: &dyn Observer) -> Result<JobReport, JobError> {
        let Self { mut settings, reload } = self;
        let began = Instant::now();
        let workers = cluster::workers(&settings.cluster, settings.workers);
        let cluster_job = cluster::of_live(&settings);
        cluster::keep(&mut settings, workers.share());
        if settings.feeds.is_empty() {
            tracing::info!(
                "no instrument is assigned to this process; it keeps running for the others"
            );
        }
        places::check_live(&settings)?;
        let quality = settings.quality.clone();
        // Feeds report their own outages; what lies before the first trade was not ours.
        let quality = quality.map(|suite| Quality::new(suite, |_| Known::default()));
        let records = Records::new(quality, began);
        let sink = SinkRequest {
            kind: settings.sink,
            out: settings.out.as_deref(),
            kafka: &settings.kafka,
            replaces: Vec::new(),
            bars: &settings.bars,
            instruments: settings.instruments(),
            latency: Some(records.latency.clone()),
            delivery: &settings.delivery,
            job: "live".to_owned(),
            workers: &workers,
            stop,
            inputs: inputs(&settings),
            live: Some(settings.roll),
        };
        let start = Start { sink: &sink, decisive: &[], lenient: true, cluster_job: &cluster_job };
        let started = start.run(None, &settings.cluster)?;
        started.order_bars(|feed| settings.bars.for_feed(feed));
        begin::from_checkpoint(&mut settings, &started.resume)?;
        let limits = settings.quarantine_limits;
        let records = records.with_quarantine(settings.quarantine.as_deref(), limits, stop)?;
        let shared = Shared {
            pool: BatchPool::new(BATCH_ROWS, BATCHES),
            book: SharedBarBook::new(settings.bars.clone()),
            reports: Reports::default(),
            deferred: DeferredGaps::default(),
            records,
            open_bars: OpenBars::default(),
            window: settings.revision_window.is_some(),
        };
        shared.run(settings, reload, started, workers, stop, observer)
    }
}

impl Shared {
    fn run(
        self,
        settings: LiveSettings,
        reload: Option<Reload>,
        started: Started,
        workers: Workers,
        stop: &Stop,
        observer: &dyn Observer,
    ) -> Result<JobReport, JobError> {
        let on_gap = gaps::ledger(settings.gaps.clone(), stop)?;
        let (recorder, recording) = record(&settings, stop)?;
        let book = settings.bars.clone();
        let notices = doubtful(&book).collect();
        let pace = Pace { idle_spin: settings.idle_spin, ..Pace::LIVE };
        let mut options = self.options(&settings, stop);
        options.on_revision =
            gaps::with_lost(options.on_revision, self.deferred.clone(), Arc::clone(&on_gap));
        let left_off = LeftOff::new(begin::last_trades(&started.resume));
        options.validate.resume = started.resume.orders.clone();
        (options.checkpoints, options.reports) = (started.checkpoints, started.reports);
        let on_contradiction = rejects::told(self.records.quarantine.clone(), stop.clone());
        let outlets = {
            let (pool, on_reject) = (self.pool.clone(), Arc::clone(&options.on_reject));
            let (share, stop, deferred) = (workers.share(), stop.clone(), self.deferred.clone());
            move |inlets| FeedOutputs {
                inlets,
                share,
                pool,
                stop,
                on_reject,
                on_contradiction,
                on_gap,
                deferred,
                left_off,
            }
        };
        let supervisor = Supervisor {
            feeds: Feeds {
                latency: self.records.latency.clone(),
                reports: Arc::clone(&self.reports),
                recorder,
            },
            reload,
            book: self.book.clone(),
            on_new_bars: on_new_bars(started.settings, started.settings_changes),
            resume: started.resume,
            settings,
        };
        observer.listening(&Status::new(
            Arc::clone(&self.reports),
            self.records.tally.clone(),
            self.open_bars.clone(),
            stop.clone(),
        ));
        let feeder: Feeder = Box::new(move |inlets, _| supervisor.run(outlets(inlets)));
        let result = run_graph(started.cluster, pace, options, vec![feeder], started.sinks);

        let mut report = self.records.report(workers, self.window, stop);
        report.notices = notices;
        report.note_results(&book);
        report.recorded = recording.map(Recording::finish);
        report.feeds = self.feed_reports();
        let result = result.map(|sink| report.sink = Some(sink));
        observer.ended(&report);
        result?;
        is_recorded(report)
    }

    /// What the feeds report, with what the graph has judged after their end.
    fn feed_reports(&self) -> BTreeMap<String, FeedReport> {
        let reports = supervisor::all(&self.reports);
        for (feed, report) in &reports {
            report.add_settled(feed, &self.deferred.lock().take(feed));
        }
        reports
    }

    fn options(&self, settings: &LiveSettings, stop: &Stop) -> GraphOptions {
        let Self { records, .. } = self;
        let (book, quarantine) = (self.book.clone(), records.quarantine.clone());
        GraphOptions {
            specs_of: Arc::new(move |feed| book.now().for_feed(feed)),
            validate: ValidateOptions {
                order: OrderOptions {
                    policy: RejectPolicy::SetAside,
                    reorder_window: REORDER_WINDOW,
                    pool: self.pool.clone(),
                    revises: self.window,
                },
                resume: Default::default(),
            },
            built_ahead: false,
            expected: None,
            window: settings.revision_window,
            on_revision: on_revision(records.revised.clone(), quarantine.clone(), stop.clone()),
            on_reject: rejects::of_feeds(quarantine, stop.clone()),
            end_of: {
                let (stop, flush) = (stop.clone(), settings.flush);
                Arc::new(move |_| {
                    Some(InputEnd { until: None, flush: flush && !stop.has_failed() })
                })
            },
            trades: None,
            daily: None,
            tally: records.tally.clone(),
            open_bars: self.open_bars.clone(),
            stop: stop.clone(),
            quality: records.quality.clone(),
            clock: EpochClock::default(),
            latency: records.latency.clone(),
            checkpoints: None,
            reports: None,
        }
    }
}

/// The feeds and their symbols, for the metadata of files.
fn inputs(settings: &LiveSettings) -> String {
    let mut text = String::new();
    for feed in &settings.feeds {
        text.extend(["live ", feed.venue.protocol(), ":"]);
        for symbol in &feed.symbols {
            text.extend([" ", symbol.instrument.as_str()]);
        }
        text.push('\n');
    }
    text
}

/// Starts to record frames, if the settings say so.
fn record(
    settings: &LiveSettings,
    stop: &Stop,
) -> Result<(Option<Recorder>, Option<Recording>), JobError> {
    let Some(folder) = &settings.record else { return Ok((None, None)) };
    let (recorder, recording) = recorder::start(folder, "live", stop).map_err(|error| {
        JobError::io(format!("frames cannot be recorded in \"{}\"", folder.display()), error)
    })?;
    Ok((Some(recorder), Some(recording)))
}

/// The report of a run, unless frames that should be recorded are not.
fn is_recorded(mut report: JobReport) -> Result<JobReport, JobError> {
    if let Some(Err(error)) = report.recorded.take_if(|recorded| recorded.is_err()) {
        return Err(JobError::io("frames could not be recorded", error));
    }
    Ok(report)
}

/// Bars that are added or removed during the run are part of what a restart has to find.
fn on_new_bars(settings: JobSettings, changes: SettingsChanges) -> Box<dyn Fn(&BarBook) + Send> {
    Box::new(move |bars| changes.put(settings.with_bars_of(JobSettings::of(bars.specs()))))
}
