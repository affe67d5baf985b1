//! Everything a live run needs to know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::quality::suite::Suite;
use barflow_operators::revision::Window;
use barflow_replay::named::GivenInstrument;

use super::bars::BarBook;
use super::cluster::ClusterSettings;
use super::delivery::{Delivery, DeliveryOptions};
use super::durations::duration;
use super::feeds;
use super::file::ConfigFile;
use super::instruments::of_files;
use super::kafka::KafkaOptions;
use super::limits::limits;
use super::problem::Problems;
use super::quality::suite;
use super::replay::{Typed, bar_book};
use super::revisions::window;
use super::section::over;
use super::sink_kind::{SINKS, SinkKind};
use crate::feeds::plan::FeedPlan;
use crate::feeds::print::Ids;
use crate::sinks::limits::Limits;
use crate::sinks::roll::Roll;

/// Where the bars of a live run begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first trade that comes.
    #[default]
    Now,
    /// With the files of `history`; trades between them and the first live trade are requested from
    /// the venue's REST.
    FromHistory,
}

impl Start {
    /// Its name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::FromHistory => "from-history",
        }
    }
}

/// A validated live run.
#[derive(Clone)]
pub struct LiveSettings {
    /// The feeds.
    pub feeds: Vec<FeedPlan>,
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
    /// Where parts of Parquet files end.
    pub roll: Roll,
    /// timely workers.
    pub workers: usize,
    /// The other processes, if this is one of several.
    pub cluster: ClusterSettings,
    /// Whether bars that are open at the end are closed.
    pub flush: bool,
    /// Where bars begin.
    pub start: Start,
    /// Files, folders and patterns to begin with.
    pub history: Vec<String>,
    /// The instrument of all of `history`; by default from the file names.
    pub history_instrument: Option<GivenInstrument>,
    /// Where bad rows and frames go; without it they are logged and counted.
    pub quarantine: Option<PathBuf>,
    /// How much is written there.
    pub quarantine_limits: Limits,
    /// Where gaps are written down.
    pub gaps: Option<PathBuf>,
    /// Folder for recordings of all frames.
    pub record: Option<PathBuf>,
    /// Between two reports; none for no reports.
    pub report_every: Option<Duration>,
    /// Where Prometheus can ask for metrics, `host:port`.
    pub metrics: Option<std::net::SocketAddr>,
    /// How much of the past is retained for late trades; none: they cannot be applied.
    pub revision_window: Option<Window>,
    /// What is expected of the trades; none: nothing.
    pub quality: Option<Suite>,
    /// How long an idle worker polls before it sleeps.
    pub idle_spin: Duration,
}

impl LiveSettings {
    /// Understands a file and what was typed over it.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn understand(mut file: ConfigFile, typed: Typed) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let p = &mut problems;
        let mut live = over(file.take("live"), typed.replay);
        let mut sink = over(file.take("sink"), typed.sink);
        let kafka = over(file.take("kafka"), typed.kafka);
        let starts = [Start::Now, Start::FromHistory].map(|start| (start.as_str(), start));
        let kind = sink.choice("kind", &SINKS, p).unwrap_or_default();
        let out: Option<PathBuf> = sink.text("out", p).map(|(path, _)| path.into());
        let cluster = ClusterSettings::understand(&mut live, p);
        let empty_bars = live.parse("empty_bars", "true or false", p).unwrap_or(false);
        let to_file = out.as_deref().is_some_and(|out| out != Path::new("-"));
        let usual = Delivery::usual_of_live(kind, to_file, cluster.hosts.len() < 2);
        let mut settings = Self {
            delivery: DeliveryOptions::understand(&mut sink, usual, p),
            roll: sink.parse_with("roll", str::parse, p).unwrap_or(Roll::Hour),
            feeds: feeds::understand(std::mem::take(&mut file.feeds), p),
            workers: live.parse("workers", "a whole number", p).unwrap_or(1),
            cluster,
            flush: live.parse("flush", "true or false", p).unwrap_or(false),
            start: live.choice("start", &starts, p).unwrap_or_default(),
            history: live.list("history").map(|(files, _)| files).unwrap_or_default(),
            history_instrument: live.parse_with("history_instrument", of_files, p),
            quarantine: live.text("quarantine", p).map(|(path, _)| path.into()),
            quarantine_limits: limits(&mut live, p),
            gaps: live.text("gaps", p).map(|(path, _)| path.into()),
            record: live.text("record", p).map(|(path, _)| path.into()),
            report_every: duration(&mut live, "report_every", p, Duration::from_secs(60)),
            metrics: live.parse("metrics", "an address such as 127.0.0.1:9464", p),
            revision_window: live.parse_with("revision_window", window, p),
            quality: suite(&mut live, p),
            idle_spin: duration(&mut live, "idle_spin", p, Duration::from_millis(1))
                .unwrap_or_default(),
            sink: kind,
            out,
            kafka: KafkaOptions::understand(kafka, file.take("kafka.properties"), p),
            bars: bar_book(file.bars, typed.bars, empty_bars, p),
        };
        let ways = [("wait", false), ("revise", true)];
        if live.choice("on_gap", &ways, &mut problems).unwrap_or(false) {
            if settings.revision_window.is_none() {
                problems.add("[live]", "on_gap = \"revise\" needs a revision_window, such as 1h");
            }
            for feed in &mut settings.feeds {
                // Without ids nothing shows what is missing: there bars have to wait.
                feed.revises = feed.venue.ids(feed.channel) != Ids::Names;
            }
        }
        live.finish(&mut problems);
        sink.finish(&mut problems);
        settings.check(&mut problems);
        problems.or(settings)
    }

    fn check(&self, problems: &mut Problems) {
        if !(1..=1024).contains(&self.workers) {
            problems.add("[live]", format!("workers = {} must be 1 to 1024", self.workers));
        }
        if self.feeds.is_empty() && problems.0.is_empty() {
            problems.add(
                "[feeds]",
                "no feed is configured: use --venue and --instrument, or a \
                          [feeds.NAME] section (configs/live.toml)",
            );
        }
        match self.start {
            Start::FromHistory if self.history.is_empty() => {
                problems.add("[live]", "start = \"from-history\" needs history = [\"FILES\"…]");
            }
            Start::Now if !self.history.is_empty() => {
                problems.add("[live]", "history needs start = \"from-history\"");
            }
            _ => {}
        }
        let mut seen: Vec<&InstrumentId> = Vec::new();
        for feed in &self.feeds {
            for symbol in &feed.symbols {
                if seen.contains(&&symbol.instrument) {
                    let message = format!(
                        "{} is in two feeds; an instrument can have only one",
                        symbol.instrument
                    );
                    problems.add(format!("[feeds.{}]", feed.name), message);
                }
                seen.push(&symbol.instrument);
            }
        }
        if self.bars.has_empty_bars() && self.revision_window.is_some() {
            problems.add("[live]", "empty_bars cannot be combined with a revision_window");
        }
        self.kafka.check_keys(self.sink == SinkKind::Kafka && self.bars.has_empty_bars(), problems);
        self.delivery.check((self.sink, self.kafka.encoding), self.out.as_deref(), problems);
        let processes = self.cluster.hosts.len();
        self.delivery.check_progress(self.sink, self.out.as_deref(), processes, problems);
        if self.sink == SinkKind::Parquet && !self.delivery.is_exactly_once() {
            let message = "Parquet files of a live job are delivered exactly once: what is not yet \
                           in a part has to be kept";
            problems.add("[sink]", message);
        }
        if self.sink == SinkKind::Kafka {
            self.kafka.check(problems);
            self.kafka.check_registry(problems);
        }
    }

    /// All instruments of all feeds.
    pub fn instruments(&self) -> Vec<InstrumentId> {
        let symbols = self.feeds.iter().flat_map(|feed| &feed.symbols);
        symbols.map(|symbol| symbol.instrument.clone()).collect()
    }
}
