//! Opens the sink of a job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::spec::BarSpec;

use super::error::JobError;
use super::progress_path;
use crate::checkpoints::job::JobName;
use crate::checkpoints::settings::JobSettings;
use crate::config::bars::BarBook;
use crate::config::delivery::DeliveryOptions;
use crate::config::kafka::KafkaOptions;
use crate::config::sink_kind::SinkKind;
use crate::graph::run::Workers;
use crate::graph::sink::{BarSink, SinkError};
use crate::sinks::folder_lock::{FolderLock, Others};
use crate::sinks::journal::{JournalOptions, JournaledSink, Output};
use crate::sinks::kafka::{KafkaSettings, KafkaSink, KeyFormat, ShardSinks};
use crate::sinks::leftovers;
use crate::sinks::local_checkpoint::LocalCheckpoint;
use crate::sinks::none::NoSink;
use crate::sinks::parquet::{FileInfo, ParquetBars};
use crate::sinks::progress_file::{self, ProgressFile, ProgressPlace, Visible, WithProgress};
use crate::sinks::roll::Roll;
use crate::sinks::text::{LineFormat, TextBars};
use crate::stop::Stop;
use crate::telemetry::latency::Latency;

/// A sink that no earlier copy of the job can write to any more.
pub enum OpenSink {
    /// Sinks that keep no checkpoints.
    Plain(Box<dyn BarSink>),
    /// The shards of a job in Kafka.
    Kafka(ShardSinks),
    /// Files of a job.
    Files(Box<JournaledSink>),
}

/// Which sink, and what it should expect.
pub struct SinkRequest<'a> {
    /// Which.
    pub kind: SinkKind,
    /// File or folder.
    pub out: Option<&'a Path>,
    /// Kafka, if that is it.
    pub kafka: &'a KafkaOptions,
    /// Files of an earlier run that go when the new ones are complete.
    pub replaces: Vec<PathBuf>,
    /// The bars that are known to come.
    pub bars: &'a BarBook,
    /// The instruments that are known to come.
    pub instruments: Vec<InstrumentId>,
    /// Receives how long bars of live feeds took to be confirmed.
    pub latency: Option<Latency>,
    /// How bars are delivered.
    pub delivery: &'a DeliveryOptions,
    /// The job's name, unless it was given one.
    pub job: String,
    /// The job's shards.
    pub workers: &'a Workers,
    /// The end of the run.
    pub stop: &'a Stop,
    /// What the trades are read from, for a person.
    pub inputs: String,
    /// Where parts of Parquet end if this is a live job: it has no end but that it is stopped, and
    /// its bars cannot be made again.
    pub live: Option<Roll>,
}

/// Who else writes into the folders of a run.
pub(super) fn others(workers: &Workers) -> Others {
    match workers.everywhere() > workers.here() {
        true => Others::SameJob,
        false => Others::Nobody,
    }
}

impl SinkRequest<'_> {
    /// The job's name.
    ///
    /// # Errors
    /// When it cannot be a name.
    pub fn job(&self) -> Result<JobName, JobError> {
        match &self.delivery.job {
            Some(job) => Ok(job.clone()),
            None => self.job.parse().map_err(JobError::Name),
        }
    }

    /// Opens it; nothing is written yet, and no earlier copy of the job can write any more.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> Result<OpenSink, JobError> {
        Ok(match self.kind {
            SinkKind::None => OpenSink::Plain(Box::new(NoSink::default())),
            SinkKind::JsonLines => self.lines(LineFormat::Json(self.delivery.int64))?,
            SinkKind::Csv => self.lines(LineFormat::Csv)?,
            SinkKind::Parquet => {
                let folder = self.out.unwrap_or(Path::new(progress_path::BARS_FOLDER));
                let output = Output::Parquet(folder.to_owned());
                match self.delivery.is_exactly_once() {
                    true => self.journaled(output)?,
                    false => {
                        self.check_plain(&output)?;
                        let lock = FolderLock::take(folder, others(self.workers))?;
                        let sink = ParquetBars::new(folder, self.info())?.holding(lock);
                        let sink = sink.replacing(self.replaces.clone());
                        self.plain(Box::new(sink), Visible::AtEnd)?
                    }
                }
            }
            SinkKind::Kafka => {
                let mut kafka = self.kafka.settings();
                kafka.int64 = self.delivery.int64;
                let orders = self.bars.orders().iter();
                kafka.specs = orders.map(|order| order.spec.name().to_string()).collect();
                kafka.instruments = self.instruments.clone();
                kafka.job = Some(self.job()?.to_string());
                kafka.stop = self.stop.clone();
                for weakness in kafka.resolved_weaknesses() {
                    tracing::warn!("{weakness}");
                }
                // Before anything is written; the registry may be away from then on.
                kafka.find_schemas()?;
                if self.delivery.is_exactly_once() {
                    return self.fenced(&kafka);
                }
                let sink = KafkaSink::open(kafka)?;
                OpenSink::Plain(match &self.latency {
                    Some(latency) => Box::new(sink.observed_by(latency.clone())),
                    None => Box::new(sink),
                })
            }
        })
    }

    /// Lines on standard output, or in a file.
    fn lines(&self, format: LineFormat) -> Result<OpenSink, JobError> {
        let Some(path) = self.out.filter(|out| *out != Path::new("-")) else {
            return self.plain(Box::new(TextBars::stdout(format, self.stop)?), Visible::AtOnce);
        };
        let output = Output::Lines(format, path.to_owned());
        if self.delivery.is_exactly_once() {
            return self.journaled(output);
        }
        self.check_plain(&output)?;
        self.name_stale_progress(path, false);
        match self.live {
            Some(_) => {
                self.plain(Box::new(TextBars::grow(path, format, self.stop)?), Visible::AtOnce)
            }
            None => self.plain(Box::new(TextBars::file(path, format)?), Visible::AtEnd),
        }
    }

    /// A sink without checkpoints, and progress beside it if it is wanted.
    fn plain(&self, sink: Box<dyn BarSink>, visible: Visible) -> Result<OpenSink, JobError> {
        Ok(OpenSink::Plain(match self.progress_file() {
            Some(file) => Box::new(WithProgress::new(sink, file, visible)?),
            None => sink,
        }))
    }

    /// Where progress goes, if it goes to a file.
    fn progress_file(&self) -> Option<ProgressFile> {
        let path = progress_path::of(&self.delivery.progress, self.kind, self.out)?;
        Some(ProgressFile { path, int64: self.delivery.int64 })
    }

    /// Warns of a file of progress that is going to speak of bars that are not there any more.
    fn name_stale_progress(&self, out: &Path, is_folder: bool) {
        let earlier = progress_file::beside(out, is_folder);
        if self.live.is_none() && self.delivery.progress == ProgressPlace::Off && earlier.exists() {
            tracing::warn!(
                "\"{}\" is of an earlier run and speaks of its bars: give --progress, or remove it",
                earlier.display()
            );
        }
    }

    /// Files that count exactly once.
    fn journaled(&self, output: Output) -> Result<OpenSink, JobError> {
        if self.workers.everywhere() > self.workers.here() {
            return Err(JobError::SharedFiles);
        }
        name_leftovers(output.path());
        self.name_stale_progress(output.path(), matches!(output, Output::Parquet(_)));
        let options = JournalOptions {
            output,
            job: self.job()?,
            live: self.live,
            info: self.info(),
            progress: self.progress_file(),
            resets: self.delivery.reset_state,
        };
        Ok(OpenSink::Files(Box::new(JournaledSink::open(options, self.stop.clone())?)))
    }

    /// Files that count exactly once are not for runs that keep no checkpoints.
    fn check_plain(&self, output: &Output) -> Result<(), SinkError> {
        name_leftovers(output.path());
        let found = LocalCheckpoint::read(&output.checkpoint());
        let of_live = matches!(&found, Ok(Some(found)) if found.live.is_some());
        // A replay's own file is replaced as before, whichever way it was delivered.
        if !of_live && (self.live.is_none() || !matches!(found, Ok(Some(_)))) {
            return Ok(());
        }
        Err(SinkError::Settings(vec![format!(
            "\"{}\" is the output of {}, as \"{}\" says; name another --out",
            output.path().display(),
            if of_live { "a live job" } else { "an exactly-once replay" },
            output.checkpoint().display()
        )]))
    }

    fn info(&self) -> FileInfo {
        let parameters = |spec: &BarSpec| serde_json::to_string(spec).unwrap_or_default();
        let specs = self.bars.specs().map(|(spec, _)| spec);
        FileInfo {
            specifications: specs.map(|s| (Arc::clone(s.name()), parameters(s))).collect(),
            inputs: self.inputs.clone(),
        }
    }

    /// The shards of an exactly-once job.
    fn fenced(&self, kafka: &KafkaSettings) -> Result<OpenSink, JobError> {
        let (first, here) = (self.workers.first(), self.workers.here());
        let all = self.workers.everywhere();
        let job = self.job()?;
        if self.delivery.reset_state && all > here {
            return Err(JobError::SharedReset { job });
        }
        let latency = self.latency.as_ref();
        Ok(OpenSink::Kafka(ShardSinks::take(kafka, &job, first..first + here, all, latency)?))
    }

    /// How often progress is reported; none if it is not.
    pub fn reports(&self) -> Option<Duration> {
        let is_wanted = match self.kind {
            SinkKind::Kafka => self.kafka.settings().progress_topic.is_some(),
            _ => self.progress_file().is_some(),
        };
        is_wanted.then_some(self.delivery.commit_interval)
    }

    /// What decides which bars come out where: these bars, this output, and what `more` adds.
    pub fn settings(&self, more: &[(&str, Option<String>)]) -> JobSettings {
        let mut settings = JobSettings::of(self.bars.specs());
        settings.put("sink", self.kind.as_str());
        settings.put("int64", self.delivery.int64.as_str());
        if self.kind == SinkKind::Kafka {
            let kafka = self.kafka.settings();
            settings.put("topic", kafka.topic_template);
            settings.put("encoding", kafka.encoding.as_str());
            if kafka.key != KeyFormat::default() {
                settings.put("key", kafka.key.as_str());
            }
        }
        for (key, value) in more {
            if let Some(value) = value {
                settings.put(key, value);
            }
        }
        settings
    }
}

/// Says which files a run that was killed has left.
fn name_leftovers(out: &Path) {
    for path in leftovers(out) {
        tracing::warn!(
            "\"{}\" is not finished: a run that was killed left it, and it is removed; or one is \
             still writing it",
            path.display()
        );
    }
}
