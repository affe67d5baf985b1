//! `delivery`, `job` and `commit_interval` under `[sink]`.

use std::path::Path;
use std::time::Duration;

use super::durations::duration;
use super::problem::Problems;
use super::section::Section;
use super::sink_kind::SinkKind;
use crate::checkpoints::job::JobName;
use crate::sinks::encode::Encoding;
use crate::sinks::encode::json::Int64;
use crate::sinks::progress_file::ProgressPlace;

/// How often a bar arrives when things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once: bars and their position are committed together, and a restart resumes there.
    ExactlyOnce,
    /// At least once: a restart begins again.
    AtLeastOnce,
}

impl Delivery {
    /// How bars of a replay are delivered unless somebody says how: its files can be made again.
    pub(super) fn usual(kind: SinkKind) -> Self {
        match kind {
            SinkKind::Kafka => Self::ExactlyOnce,
            SinkKind::JsonLines | SinkKind::Csv | SinkKind::Parquet | SinkKind::None => {
                Self::AtLeastOnce
            }
        }
    }

    /// The same of a live job: what it heard comes only once.
    pub(super) fn usual_of_live(kind: SinkKind, to_file: bool, alone: bool) -> Self {
        match kind {
            SinkKind::JsonLines | SinkKind::Csv if to_file && alone => Self::ExactlyOnce,
            SinkKind::Parquet => Self::ExactlyOnce,
            _ => Self::usual(kind),
        }
    }
}

/// What a copy of a job does when another copy has taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfTaken {
    /// It ends, with exit code 4.
    #[default]
    Exit,
    /// It does nothing until it is asked to end, so that a supervisor does not start it again.
    Wait,
}

/// How bars are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// How often a bar arrives.
    pub delivery: Delivery,
    /// The name under which a restart finds its state.
    pub job: Option<JobName>,
    /// Time between two commits.
    pub commit_interval: Duration,
    /// Whether to delete the job's state.
    pub reset_state: bool,
    /// What to do when another copy has taken over.
    pub if_taken: IfTaken,
    /// How JSON has 64-bit integers.
    pub int64: Int64,
    /// Whether progress goes to a file beside those of the bars.
    pub progress: ProgressPlace,
}

/// What may be said of a job that was taken over.
const IF_TAKEN: [(&str, IfTaken); 2] = [("exit", IfTaken::Exit), ("wait", IfTaken::Wait)];

/// How JSON has 64-bit integers.
const INT64: [(&str, Int64); 2] =
    [(Int64::Number.as_str(), Int64::Number), (Int64::Text.as_str(), Int64::Text)];

/// A second: a reader waits no longer, and a commit costs next to nothing.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

impl DeliveryOptions {
    /// Takes its keys out of `[sink]`.
    pub fn understand(sink: &mut Section, usual: Delivery, problems: &mut Problems) -> Self {
        let choices =
            [("exactly-once", Delivery::ExactlyOnce), ("at-least-once", Delivery::AtLeastOnce)];
        let interval = duration(sink, "commit_interval", problems, COMMIT_INTERVAL);
        Self {
            delivery: sink.choice("delivery", &choices, problems).unwrap_or(usual),
            job: sink.parse_with("job", str::parse, problems),
            // 0 is as often as can be.
            commit_interval: interval.unwrap_or_default(),
            reset_state: false,
            if_taken: sink.choice("if_taken", &IF_TAKEN, problems).unwrap_or_default(),
            int64: sink.choice("int64", &INT64, problems).unwrap_or_default(),
            progress: sink.parse_with("progress", str::parse, problems).unwrap_or_default(),
        }
    }

    /// No checkpoints.
    pub fn none() -> Self {
        Self {
            delivery: Delivery::AtLeastOnce,
            job: None,
            commit_interval: COMMIT_INTERVAL,
            reset_state: false,
            if_taken: IfTaken::default(),
            int64: Int64::default(),
            progress: ProgressPlace::Off,
        }
    }

    /// Whether a restart resumes.
    pub fn is_exactly_once(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }

    /// Checks that there are files beside which progress can lie, of one of so many processes.
    pub fn check_progress(
        &self,
        kind: SinkKind,
        out: Option<&Path>,
        processes: usize,
        problems: &mut Problems,
    ) {
        let stdout = out.is_none_or(|out| out == Path::new("-"));
        let problem = match (&self.progress, kind) {
            (ProgressPlace::Off, _) => return,
            (_, SinkKind::Kafka) => {
                "progress is for files; with Kafka it goes to the topic progress_topic (--progress-topic)"
            }
            (_, SinkKind::None) => "progress needs a sink other than none",
            (ProgressPlace::At(path), _) if [Path::new(""), Path::new("-")].contains(&&**path) => {
                "progress needs a file: it is replaced as a whole"
            }
            (ProgressPlace::At(path), SinkKind::Parquet)
                if path
                    .extension()
                    .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) =>
            {
                "progress is a file of JSON lines: its name cannot be that of a Parquet file"
            }
            (ProgressPlace::Beside, SinkKind::JsonLines | SinkKind::Csv) if stdout => {
                "progress needs a name where bars go to standard output; use --progress=FILE"
            }
            _ if processes > 1 => {
                "progress in a file cannot be combined with several processes, which would all write it"
            }
            _ => return,
        };
        problems.add("[sink]", problem);
    }

    /// Checks that the sink can do it.
    pub fn check(
        &self,
        (kind, encoding): (SinkKind, Encoding),
        out: Option<&Path>,
        problems: &mut Problems,
    ) {
        let is_json = match kind {
            SinkKind::Kafka => encoding == Encoding::Json,
            SinkKind::JsonLines => true,
            SinkKind::Csv | SinkKind::Parquet => self.progress != ProgressPlace::Off,
            SinkKind::None => false,
        };
        if self.int64 == Int64::Text && !is_json {
            let message = "int64 = \"string\" is for JSON: sink jsonl, or kafka with encoding json; \
                           other formats have 64-bit integers";
            problems.add("[sink]", message);
        }
        if self.commit_interval > Duration::from_secs(30) {
            // Kafka ends transactions after a minute.
            problems.add("[sink]", "commit_interval must be at most 30s");
        }
        let stdout = out.is_none_or(|out| out == Path::new("-"));
        match kind {
            SinkKind::JsonLines | SinkKind::Csv if self.is_exactly_once() && stdout => {
                let message = "delivery = \"exactly-once\" needs a file: standard output cannot \
                               be rolled back; use --out FILE";
                problems.add("[sink]", message);
            }
            SinkKind::None if self.is_exactly_once() => {
                problems.add("[sink]", "delivery = \"exactly-once\" needs a sink other than none");
            }
            _ => {}
        }
    }
}
