//! A replay: trade files or recordings, read once, into a sink.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use barflow_operators::convergence::estimate::expected_trades;
use barflow_operators::dataflow::validate::{OrderedBatch, ValidateOptions};
use barflow_operators::end::InputEnd;
use barflow_operators::open_bars::OpenBars;
use barflow_operators::order::{OrderOptions, RejectPolicy};
use barflow_operators::pool::BatchPool;
use barflow_operators::revision::Window;
use barflow_replay::corrections::Corrections;
use barflow_replay::error::ReplayError;
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use crossbeam::channel::Sender;
use xxhash_rust::xxh3::xxh3_64;

use super::bad_share::BadShare;
use super::corrections::{fingerprint, on_revision, window};
use super::error::JobError;
use super::observer::{Notices, Observer};
use super::report::{JobReport, Notice, ParallelReport, Records, doubtful};
use super::sink::{SinkRequest, others};
use super::source::{Fed, Source};
use super::start::{Resumption, Start, Started};
use super::{cluster, places, rejects};
use crate::config::bars::BarBook;
use crate::config::replay::ReplaySettings;
use crate::graph::daily::Daily;
use crate::graph::flow::EpochClock;
use crate::graph::options::{EndOf, GraphOptions};
use crate::graph::run::{Pace, Workers, run as run_graph};
use crate::graph::sink::{BarSink, SinkError, SinkReport};
use crate::parallel;
use crate::sinks::atomic_file::{AtomicFile, refused};
use crate::sinks::folder_lock::FolderLock;
use crate::sinks::trades::TradeFiles;
use crate::stop::{Cause, Stop};
use crate::telemetry::latency::Latency;

/// A replay with validated settings.
pub struct ReplayJob {
    settings: ReplaySettings,
    sink: Option<Box<dyn BarSink>>,
    trades: Option<Sender<OrderedBatch>>,
}

/// A replay whose source is found and whose sink is open.
struct Ready<'a> {
    settings: &'a ReplaySettings,
    stop: &'a Stop,
    workers: Workers,
    source: Source,
    corrections: Corrections,
    window: Option<Window>,
    records: Records,
    /// Files of validated trades that an earlier run wrote, and this one replaces.
    earlier_trades: Vec<PathBuf>,
}

/// The result of the graph.
struct Ran {
    result: Result<SinkReport, Cause>,
    parallel: Option<ParallelReport>,
    daily: Option<Daily>,
    kept: Result<Vec<PathBuf>, ReplayError>,
}

impl ReplayJob {
    /// A replay into the sink that the settings name.
    pub fn new(settings: ReplaySettings) -> Self {
        Self { settings, sink: None, trades: None }
    }

    /// Delivers bars to this sink instead of the one that the settings name. It keeps no
    /// checkpoints.
    pub fn into_sink(mut self, sink: Box<dyn BarSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Also sends the validated trades, in order, into this channel; the settings must not name a
    /// folder for them.
    pub fn with_trades(mut self, trades: Sender<OrderedBatch>) -> Self {
        self.trades = Some(trades);
        self
    }

    /// Runs until everything is read and delivered, or `stop` is raised.
    ///
    /// # Errors
    /// When the job cannot start, and the first error of its source, its sink or another process.
    /// Whatever the sink had committed before stays there.
    pub fn run(self, stop: &Stop, observer: &dyn Observer) -> Result<JobReport, JobError> {
        let settings = &self.settings;
        let mut notices = Notices::new(observer);
        let mut source = Source::find(settings, stop)?;
        let corrections = source.corrections(settings, stop)?;
        let window = window(settings, &corrections);
        let earlier = places::check_replay(settings, &source, self.sink.is_none())?;
        let workers = cluster::workers(&settings.cluster, settings.workers);
        let cluster_job = cluster::of_replay(settings).with("inputs", source.text());
        let name = job_name(settings, &source);
        source.keep(workers.share());
        let earlier_own = places::own(&earlier, settings, &source);
        let (earlier_trades, earlier_bars) =
            earlier_own.into_iter().partition(|path| path.parent() == settings.trades.as_deref());
        notices.extend(source.notices(settings));
        notices.extend(doubtful(&settings.bars));
        let began = Instant::now();
        let sink = SinkRequest {
            kind: settings.sink,
            out: settings.out.as_deref(),
            kafka: &settings.kafka,
            replaces: earlier_bars,
            bars: &settings.bars,
            instruments: source.instruments(),
            latency: None,
            delivery: &settings.delivery,
            job: name,
            workers: &workers,
            stop,
            inputs: source.text(),
            live: None,
        };
        let decisive = decisive(settings)?;
        let start =
            Start { sink: &sink, decisive: &decisive, lenient: false, cluster_job: &cluster_job };
        let started = start.run(self.sink, &settings.cluster)?;
        if settings.trades.is_some() && !started.resume.is_empty() {
            return Err(JobError::PartOfTheTrades);
        }
        // A job that continues adds to what it has written.
        if started.resume.is_empty() {
            notices.extend(earlier.into_iter().map(Notice::Replaces));
        }
        notices.extend(resumed(&started.resume));
        if settings.from.is_some() {
            notices.extend(late_start(&settings.bars));
        }
        let quality = settings.quality.clone().map(|suite| source.expectations(suite, settings));
        let quarantine = settings.quarantine.as_deref();
        let records = Records::new(quality, began);
        let records = records.with_quarantine(quarantine, settings.quarantine_limits, stop)?;
        let ready =
            Ready { settings, stop, workers, source, corrections, window, records, earlier_trades };
        ready.run(started, self.trades, notices, observer)
    }
}

impl Ready<'_> {
    fn run(
        self,
        started: Started,
        trades: Option<Sender<OrderedBatch>>,
        mut notices: Notices<'_>,
        observer: &dyn Observer,
    ) -> Result<JobReport, JobError> {
        let Self { settings, stop, .. } = self;
        let (workers, records) = (self.workers.clone(), self.records.clone());
        let (size, revises) = (self.source.size(), self.window.is_some());
        let resumes = !started.resume.is_empty();
        let ran = self.execute(started, trades, &mut notices, observer)?;
        observer.read();

        let mut report = records.report(workers, revises, stop);
        report.files = size.files;
        if let (Some(path), Some(daily), Ok(_)) = (&settings.daily, &ran.daily, &ran.result) {
            write_daily(path, daily)?;
            report.daily = Some(path.clone());
        }
        let has_range = settings.from.is_some() || settings.to.is_some();
        if has_range && !resumes && report.trades_read() == 0 && ran.result.is_ok() {
            notices.add(Notice::NothingInRange);
        }
        report.notices = notices.into_all();
        report.note_results(&settings.bars);
        report.parallel = ran.parallel;
        let kept = ran.kept.map(|files| report.trades = files);
        let result = ran.result.map(|sink| report.sink = Some(sink));
        observer.ended(&report);
        result?;
        kept.map_err(JobError::KeptTrades)?;
        Ok(report)
    }

    fn execute(
        self,
        started: Started,
        trades: Option<Sender<OrderedBatch>>,
        notices: &mut Notices<'_>,
        observer: &dyn Observer,
    ) -> Result<Ran, JobError> {
        let Self { settings, stop, .. } = self;
        let threads = settings.parallel;
        // Twice what can be under way at once, so that the pool never runs dry.
        let pool = BatchPool::new(settings.batch_rows, if threads > 1 { 1024 } else { 96 });
        let progress = Progress::until(stop.flag().into());
        let read = ReadOptions {
            pool: pool.clone(),
            verify: settings.verify,
            from: settings.from,
            to: settings.to,
            to_may_move: settings.delivery.is_exactly_once(),
            progress: progress.clone(),
            ..ReadOptions::new(settings.batch_rows)
        };
        let (trades, store) = match self.keep_trades(&pool)? {
            Some((send, store)) => (Some(send), Some(store)),
            None => (trades, None),
        };
        let daily = settings.daily.as_ref().map(|_| Daily::default());
        let in_chunks = threads > 1 && self.source.is_worth_chunks(settings);
        if threads > 1 && !in_chunks {
            notices.add(Notice::OnePass { threads });
        }
        let listens = trades.as_ref().map(|_| "kept trades");
        let bars_in_graph = settings.makes_bars_in_graph().or(listens);
        let mut options = GraphOptions {
            built_ahead: in_chunks && bars_in_graph.is_none(),
            trades,
            daily: daily.clone(),
            checkpoints: started.checkpoints,
            reports: started.reports,
            ..self.options(pool, &started.resume, &progress)
        };
        let chunks = in_chunks.then(|| parallel::Options {
            specs_of: Arc::clone(&options.specs_of),
            order: options.validate.order.clone(),
            built_ahead: options.built_ahead,
            end_of: Arc::clone(&options.end_of),
            read: read.clone(),
            threads,
            report: Arc::default(),
        });
        observer.reading(self.source.size(), &progress);
        let (workers, resume) = (&self.workers, &started.resume);
        let Fed { feeders, expected } = self.source.feeders(
            settings,
            workers,
            &read,
            resume,
            self.corrections,
            chunks.as_ref(),
        )?;
        options.expected = expected;
        let result = run_graph(started.cluster, Pace::HISTORY, options, feeders, started.sinks);
        let report = |chunks| ParallelReport { threads, bars_in_graph, chunks };
        let parallel = chunks.map(|options| report(options.result()));
        let kept = store.map_or(Ok(Vec::new()), TradeFiles::finish);
        Ok(Ran { result, parallel, daily, kept })
    }

    /// Where validated trades go, and what writes them, if the settings name a folder for them.
    fn keep_trades(
        &self,
        pool: &BatchPool,
    ) -> Result<Option<(Sender<OrderedBatch>, TradeFiles)>, JobError> {
        let Some(folder) = &self.settings.trades else { return Ok(None) };
        let quotes = self.source.with_quote();
        let earlier = self.earlier_trades.clone();
        let lock = FolderLock::take(folder, others(&self.workers))?;
        let started = TradeFiles::start(folder, quotes, pool.clone(), earlier, self.stop.clone());
        let no_thread = |error| JobError::io("the thread that keeps trades could not start", error);
        let (send, files) = started.map_err(no_thread)?;
        Ok(Some((send, files.holding(lock))))
    }

    /// How inputs end: days that files name are complete, unless the run is stopped before. A job
    /// continues, as a feed does: only a later trade says that an interval is over, so that any number of runs
    /// makes the bars of one, also where a file of today has grown in between.
    fn end_of(&self) -> EndOf {
        let ends = match self.settings.delivery.is_exactly_once() {
            true => BTreeMap::new(),
            false => self.source.complete_until(self.settings.to),
        };
        let (stop, flush) = (Stop::clone(self.stop), self.settings.flush);
        Arc::new(move |instrument| {
            let until = ends.get(instrument).copied();
            (!stop.is_raised()).then_some(InputEnd { until, flush })
        })
    }

    /// What the graph needs to know, besides where trades, sums and checkpoints go.
    fn options(&self, pool: BatchPool, resume: &Resumption, read: &Progress) -> GraphOptions {
        let Self { settings, stop, records, .. } = self;
        let book = settings.bars.clone();
        let quarantine = records.quarantine.clone();
        let sets_aside = quarantine.is_some();
        GraphOptions {
            specs_of: Arc::new(move |feed| book.for_feed(feed)),
            validate: ValidateOptions {
                order: OrderOptions {
                    policy: if sets_aside { RejectPolicy::SetAside } else { RejectPolicy::Stop },
                    reorder_window: self.source.reorder_window(settings),
                    pool,
                    revises: self.window.is_some(),
                },
                resume: resume.orders.clone(),
            },
            built_ahead: false,
            expected: None,
            window: self.window,
            on_revision: on_revision(
                records.revised.clone(),
                quarantine.clone(),
                Stop::clone(stop),
            ),
            on_reject: rejects::of_files(
                quarantine,
                BadShare::new(self.source.max_bad(settings), read.clone()),
                Stop::clone(stop),
            ),
            end_of: self.end_of(),
            trades: None,
            daily: None,
            tally: records.tally.clone(),
            open_bars: OpenBars::default(),
            stop: Stop::clone(stop),
            quality: records.quality.clone(),
            clock: EpochClock::default(),
            latency: Latency::default(),
            checkpoints: None,
            reports: None,
        }
    }
}

fn write_daily(path: &Path, daily: &Daily) -> Result<(), SinkError> {
    let (unfinished, mut file) = AtomicFile::create(path)?;
    daily.write(&mut file).map_err(|error| refused("write", path, &error))?;
    unfinished.commit(&file)?;
    Ok(())
}

/// The same command is the same job, whatever else runs beside it.
fn job_name(settings: &ReplaySettings, source: &Source) -> String {
    let mut what = String::new();
    for instrument in source.instruments() {
        what.extend([instrument.as_str(), "\n"]);
    }
    what.push_str(&settings.kafka.settings().topic_template);
    format!("replay.{:08x}", xxh3_64(what.as_bytes()) as u32)
}

/// A run that makes fewer bars than its files hold says why.
fn resumed(resume: &Resumption) -> impl Iterator<Item = Notice> + '_ {
    resume.positions.iter().map(|(instrument, position)| Notice::Resumed {
        instrument: instrument.clone(),
        position: position.clone(),
    })
}

/// Bars that begin in the middle of a history differ from those of the whole history at first.
fn late_start(bars: &BarBook) -> impl Iterator<Item = Notice> + '_ {
    bars.orders().iter().map(|order| Notice::LateStart {
        spec: Arc::clone(order.spec.name()),
        equal_after: expected_trades(&order.spec),
    })
}

/// What decides, besides the bars, which bars come out.
fn decisive(settings: &ReplaySettings) -> Result<[(&'static str, Option<String>); 8], ReplayError> {
    let corrections = settings.corrections.as_deref().map(fingerprint).transpose();
    Ok([
        ("corrections", corrections?),
        ("quote", Some(settings.quote.as_str().to_owned())),
        ("contract_size", settings.contract_size.map(|size| size.to_string())),
        ("columns", settings.columns.as_ref().map(ToString::to_string)),
        ("keep_suspicious", settings.keep_suspicious.then(|| "true".to_owned())),
        ("from", settings.from.map(|time| time.to_string())),
        ("reorder_window", Some(settings.reorder_window.to_string())),
        ("protocol", settings.protocol.clone()),
    ])
}
