//! Everything a replay needs to know.

use std::path::PathBuf;

use barflow_operators::batch::InputKind;
use barflow_operators::quality::suite::Suite;
use barflow_operators::revision::Window;
use barflow_replay::columns::choice::ColumnChoice;
use barflow_replay::error::ReplayError;
use barflow_replay::named::{self, GivenInstrument};
use barflow_replay::plan::{Plan, PlanOptions};
use barflow_replay::plan_note::PlanNote;
use barflow_replay::planner::plan;
use barflow_replay::progress::StopFlag;
use barflow_replay::store::series;

use super::bars::BarBook;
use super::cluster::ClusterSettings;
use super::delivery::{Delivery, DeliveryOptions};
use super::feeds::CHANNELS;
use super::file::ConfigFile;
use super::instant::instant_ns;
use super::instruments::of_files;
use super::kafka::KafkaOptions;
use super::limits::limits;
use super::max_bad::MaxBad;
use super::problem::Problems;
use super::quality::suite;
use super::read_order::{ORDERS, ReadOrder};
use super::revisions::window;
use super::section::{Section, over};
use super::sink_kind::{SINKS, SinkKind};
use crate::feeds::venue::Channel;
use crate::sinks::limits::Limits;

/// Which number is the quote value of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuoteChoice {
    /// `price * qty`: what live streams allow, and the default.
    #[default]
    Product,
    /// The source's own column, where it has one.
    Source,
}

impl QuoteChoice {
    /// `product` or `source`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Source => "source",
        }
    }
}

/// A validated replay.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaySettings {
    /// Files, folders and patterns.
    pub files: Vec<String>,
    /// Trade store whose files are taken instead.
    pub store: Option<PathBuf>,
    /// Which kind of the store's trades.
    pub input: Option<InputKind>,
    /// Files are recordings of this protocol.
    pub protocol: Option<String>,
    /// Recordings from any host are read, not only those of the venue.
    pub any_host: bool,
    /// Which of the protocol's channels.
    pub channel: Option<Channel>,
    /// Overrides what files' names say.
    pub instrument: Option<GivenInstrument>,
    /// Which bars.
    pub bars: BarBook,
    /// Where bars go.
    pub sink: SinkKind,
    /// File (JSON lines) or folder (Parquet).
    pub out: Option<PathBuf>,
    /// Kafka, if that is the sink.
    pub kafka: KafkaOptions,
    /// How bars are delivered.
    pub delivery: DeliveryOptions,
    /// timely workers.
    pub workers: usize,
    /// Threads that share the history of each instrument; 1 for one pass.
    pub parallel: usize,
    /// The other processes, if this is one of several.
    pub cluster: ClusterSettings,
    /// First event time taken, ns.
    pub from: Option<i64>,
    /// First event time no longer taken, ns.
    pub to: Option<i64>,
    /// Whether bars that are open at the end are closed.
    pub flush: bool,
    /// Whether archives are verified before use.
    pub verify: bool,
    /// Where bad rows go; without it the first one stops the run.
    pub quarantine: Option<PathBuf>,
    /// How much is written there.
    pub quarantine_limits: Limits,
    /// The largest share of bad rows with which a run reads on.
    pub max_bad: MaxBad,
    /// File for sums of the bars by day.
    pub daily: Option<PathBuf>,
    /// Which quote value.
    pub quote: QuoteChoice,
    /// Quote value of one contract of an inverse instrument; the venue's rule if not given.
    pub contract_size: Option<f64>,
    /// Which column holds what; by their header if not given.
    pub columns: Option<ColumnChoice>,
    /// Whether ticks that LEAN flags as suspicious make bars.
    pub keep_suspicious: bool,
    /// In which order instruments are read; by what else is wanted if not given.
    pub order: Option<ReadOrder>,
    /// How many trades may wait for a missing id.
    pub reorder_window: usize,
    /// Trades per batch.
    pub batch_rows: usize,
    /// Whether files of an earlier run are replaced, or a reason to refuse.
    pub replace: bool,
    /// Folder for validated trades as Parquet.
    pub trades: Option<PathBuf>,
    /// Corrections of the files' history (CSV).
    pub corrections: Option<PathBuf>,
    /// How much of the past is retained for corrections and late trades; none: they cannot be
    /// applied.
    pub revision_window: Option<Window>,
    /// What is expected of the trades; none: nothing.
    pub quality: Option<Suite>,
}

/// The words for kinds of input, as in the names of archives.
const INPUTS: [(&str, InputKind); 2] =
    [("trades", InputKind::Trades), ("aggTrades", InputKind::AggTrades)];

/// The bars of someone who names none.
const DEFAULT_BAR: &str = "dib=imbalance,measure=dollar,threshold=wald,target=1000";

/// Trades wait for a missing id until this many do: longer than any disorder seen in archives,
/// and 64 KB of memory.
const REORDER_WINDOW: usize = 1024;

/// Rows per batch: large enough for the graph to cost nothing, small enough for the second-level
/// cache.
const BATCH_ROWS: usize = 8192;

/// What was typed on the command line, as sections.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// Keys of `[replay]`.
    pub replay: Section,
    /// Keys of `[sink]`.
    pub sink: Section,
    /// Keys of `[kafka]`.
    pub kafka: Section,
    /// `--bar` arguments.
    pub bars: Vec<String>,
}

impl ReplaySettings {
    /// Understands a file and what was typed over it.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn understand(mut file: ConfigFile, typed: Typed) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let problems_ref = &mut problems;
        let mut replay = over(file.take("replay"), typed.replay);
        let mut sink = over(file.take("sink"), typed.sink);
        let kafka = over(file.take("kafka"), typed.kafka);

        let quotes =
            [QuoteChoice::Product, QuoteChoice::Source].map(|quote| (quote.as_str(), quote));
        let whole = "a whole number";
        let kind = sink.choice("kind", &SINKS, problems_ref).unwrap_or_default();
        let empty_bars = replay.parse("empty_bars", "true or false", problems_ref).unwrap_or(false);
        let settings = Self {
            delivery: DeliveryOptions::understand(&mut sink, Delivery::usual(kind), problems_ref),
            files: replay.list("files").map(|(files, _)| files).unwrap_or_default(),
            store: replay.text("store", problems_ref).map(|(path, _)| path.into()),
            input: replay.choice("input", &INPUTS, problems_ref),
            protocol: replay.text("protocol", problems_ref).map(|(name, _)| name),
            any_host: replay.parse("any_host", "true or false", problems_ref).unwrap_or(false),
            channel: replay.choice("channel", &CHANNELS, problems_ref),
            instrument: replay.parse_with("instrument", of_files, problems_ref),
            workers: replay.parse("workers", whole, problems_ref).unwrap_or(1),
            parallel: replay.parse("parallel", whole, problems_ref).unwrap_or(1),
            cluster: ClusterSettings::understand(&mut replay, problems_ref),
            from: replay.parse_with("from", instant_ns, problems_ref),
            to: replay.parse_with("to", instant_ns, problems_ref),
            flush: replay.parse("flush", "true or false", problems_ref).unwrap_or(false),
            verify: replay.parse("verify", "true or false", problems_ref).unwrap_or(true),
            quarantine: replay.text("quarantine", problems_ref).map(|(path, _)| path.into()),
            quarantine_limits: limits(&mut replay, problems_ref),
            max_bad: replay.parse_with("max_bad", str::parse, problems_ref).unwrap_or_default(),
            daily: replay.text("daily", problems_ref).map(|(path, _)| path.into()),
            quote: replay.choice("quote", &quotes, problems_ref).unwrap_or_default(),
            contract_size: replay.parse("contract_size", "a number", problems_ref),
            columns: replay.parse_with("columns", str::parse, problems_ref),
            keep_suspicious: replay
                .parse("keep_suspicious", "true or false", problems_ref)
                .unwrap_or(false),
            order: replay.choice("order", &ORDERS, problems_ref),
            reorder_window: replay
                .parse("reorder_window", whole, problems_ref)
                .unwrap_or(REORDER_WINDOW),
            batch_rows: replay.parse("batch_rows", whole, problems_ref).unwrap_or(BATCH_ROWS),
            replace: replay.parse("replace", "true or false", problems_ref).unwrap_or(true),
            trades: replay.text("trades", problems_ref).map(|(path, _)| path.into()),
            corrections: replay.text("corrections", problems_ref).map(|(path, _)| path.into()),
            revision_window: replay.parse_with("revision_window", window, problems_ref),
            quality: suite(&mut replay, problems_ref),
            sink: kind,
            out: sink.text("out", problems_ref).map(|(path, _)| path.into()),
            kafka: KafkaOptions::understand(kafka, file.take("kafka.properties"), problems_ref),
            bars: bar_book(file.bars, typed.bars, empty_bars, problems_ref),
        };
        replay.finish(&mut problems);
        sink.finish(&mut problems);
        settings.check(&mut problems);
        problems.or(settings)
    }

    /// The plan of what is read; its notes say what of it is not there. `stop` ends looking.
    ///
    /// # Errors
    /// Files that cannot be found or understood.
    pub fn plan(&self, stop: &StopFlag) -> Result<Plan, ReplayError> {
        let (instrument, renames) = named::parts(self.instrument.as_ref());
        let options = PlanOptions {
            instrument: instrument.clone(),
            renames,
            from: self.from,
            to: self.to,
            quote_from_source: self.quote == QuoteChoice::Source,
            contract_size: self.contract_size,
            stop: stop.clone(),
            columns: self.columns.clone(),
            keep_suspicious: self.keep_suspicious,
        };
        let Some(store) = &self.store else {
            return plan(&self.files, &options);
        };
        let wanted =
            series::SeriesQuery { instrument, input: self.input, from: self.from, to: self.to };
        let selection = series::select(store, &wanted)?;
        let files: Vec<String> =
            selection.files.iter().map(|path| path.display().to_string()).collect();
        let mut plan = plan(&files, &options)?;
        plan.notes.extend(selection.remarks.into_iter().map(PlanNote::Store));
        Ok(plan)
    }

    fn check(&self, problems: &mut Problems) {
        if !(1..=1024).contains(&self.workers) {
            problems.add("[replay]", format!("workers = {} must be 1 to 1024", self.workers));
        }
        self.check_parallel(problems);
        if self.store.is_some() && (!self.files.is_empty() || self.protocol.is_some()) {
            problems.add("[replay]", "store and files cannot be combined");
        }
        if self.input.is_some() && self.store.is_none() {
            problems.add("[replay]", "input (--kind) needs store: files show their kind");
        }
        if !(1..=1 << 16).contains(&self.batch_rows) {
            problems.add("[replay]", format!("batch_rows = {}: 1 to 65536", self.batch_rows));
        }
        if self.reorder_window > 1 << 20 {
            let message =
                format!("reorder_window = {} must be at most 1048576", self.reorder_window);
            problems.add("[replay]", message);
        }
        if self.contract_size.is_some_and(|size| !(size.is_finite() && size > 0.0)) {
            problems.add("[replay]", "contract_size must be a finite number greater than 0");
        }
        if self.channel.is_some() && self.protocol.is_none() {
            problems.add("[replay]", "channel is used with recordings only: add protocol");
        }
        if self.corrections.is_some() && self.protocol.is_some() {
            let message = "corrections apply to trade files, not to recordings";
            problems.add("[replay]", message);
        }
        if self.trades.is_some() && (self.corrections.is_some() || self.revision_window.is_some()) {
            let message = "trades (--sink-trades) keeps trades as the files have them, so it cannot be combined with \
                           corrections or revision_window: bars would be of other trades";
            problems.add("[replay]", message);
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            problems.add("[replay]", "from must be before to");
        }
        if self.bars.has_empty_bars()
            && (self.revision_window.is_some() || self.corrections.is_some())
        {
            problems.add("[replay]", "empty_bars cannot be combined with corrections");
        }
        self.kafka.check_keys(self.sink == SinkKind::Kafka && self.bars.has_empty_bars(), problems);
        self.delivery.check((self.sink, self.kafka.encoding), self.out.as_deref(), problems);
        let processes = self.cluster.hosts.len();
        self.delivery.check_progress(self.sink, self.out.as_deref(), processes, problems);
        if self.sink == SinkKind::Kafka {
            self.kafka.check(problems);
            self.kafka.check_registry(problems);
        }
    }
}

impl ReplaySettings {
    /// In which order so many instruments are read. Bars that leave together have one order, that of event
    /// time, unless threads that share histories make them.
    pub fn order_of(&self, instruments: usize) -> ReadOrder {
        let shared = matches!(self.sink, SinkKind::JsonLines | SinkKind::Csv | SinkKind::Kafka);
        match self.order {
            _ if instruments < 2 || self.protocol.is_some() => ReadOrder::Instrument,
            Some(order) => order,
            None if shared && self.parallel == 1 => ReadOrder::EventTime,
            None => ReadOrder::Instrument,
        }
    }

    fn check_parallel(&self, problems: &mut Problems) {
        if !(1..=256).contains(&self.parallel) {
            problems.add("[replay]", format!("parallel = {}: 1 to 256", self.parallel));
        }
        if self.parallel > 1 && self.protocol.is_some() {
            let message = "parallel needs trade files; recordings are read in one pass";
            problems.add("[replay]", message);
        }
    }

    /// What needs every trade in the graph, so that the threads of `parallel` can only read ahead;
    /// none if they may build bars ahead as well.
    pub fn makes_bars_in_graph(&self) -> Option<&'static str> {
        let reasons = [
            (self.delivery.is_exactly_once(), "exactly-once delivery"),
            (self.corrections.is_some() || self.revision_window.is_some(), "corrections"),
            (self.trades.is_some(), "kept trades"),
            (self.quality.is_some(), "expectations"),
        ];
        reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
    }
}

pub(super) fn bar_book(
    from_file: Vec<(String, Section)>,
    typed: Vec<String>,
    empty_bars: bool,
    problems: &mut Problems,
) -> BarBook {
    let before = problems.0.len();
    let mut sections: Vec<_> =
        typed.iter().filter_map(|argument| super::bars::cut(argument, problems)).collect();
    // Bars that are typed replace those of the file: one asks for these bars, not for more.
    if sections.is_empty() && problems.0.len() == before {
        sections = from_file;
    }
    if sections.is_empty() && problems.0.len() == before {
        sections.extend(super::bars::cut(DEFAULT_BAR, problems));
    }
    if empty_bars && !super::bars::fill_time_bars(&mut sections) {
        problems.add("empty_bars", "only time bars can be empty: none of these bars is one");
    }
    BarBook::understand(sections, problems)
}
