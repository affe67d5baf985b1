//! Opens the sink of a job.

use std::path::Path;

use barflow_operators::instrument::InstrumentId;

use super::error::JobError;
use crate::checkpoints::job::JobName;
use crate::checkpoints::settings::JobSettings;
use crate::config::bars::BarBook;
use crate::config::delivery::DeliveryOptions;
use crate::config::kafka::KafkaOptions;
use crate::config::replay::SinkKind;
use crate::graph::run::Workers;
use crate::graph::sink::BarSink;
use crate::sinks::journal::{JournaledSink, Output};
use crate::sinks::jsonl::JsonLines;
use crate::sinks::kafka::{KafkaSettings, KafkaSink, ShardSinks};
use crate::sinks::none::NoSink;
use crate::sinks::parquet::ParquetBars;
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
    /// Whether a run that is stopped is complete.
    pub complete_when_stopped: bool,
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
        let exactly_once = self.delivery.is_exactly_once();
        let files = |output| -> Result<OpenSink, JobError> {
            if self.workers.everywhere() > self.workers.here() {
                return Err(JobError::SharedFiles);
            }
            let (stop, complete) = (self.stop.clone(), self.complete_when_stopped);
            let resets = self.delivery.reset_state;
            let sink = JournaledSink::open(output, self.job()?, stop, complete, resets)?;
            Ok(OpenSink::Files(Box::new(sink)))
        };
        Ok(match self.kind {
            SinkKind::None => OpenSink::Plain(Box::new(NoSink::default())),
            SinkKind::JsonLines => match self.out.filter(|out| *out != Path::new("-")) {
                None => OpenSink::Plain(Box::new(JsonLines::stdout())),
                Some(path) if exactly_once => files(Output::JsonLines(path.to_owned()))?,
                Some(path) => OpenSink::Plain(Box::new(JsonLines::file(path)?)),
            },
            SinkKind::Parquet => {
                let folder = self.out.unwrap_or(Path::new("bars"));
                match exactly_once {
                    true => files(Output::Parquet(folder.to_owned()))?,
                    false => OpenSink::Plain(Box::new(ParquetBars::new(folder)?)),
                }
            }
            SinkKind::Kafka => {
                let mut kafka = self.kafka.settings();
                let orders = self.bars.orders().iter();
                kafka.specs = orders.map(|order| order.spec.name().to_string()).collect();
                kafka.instruments = self.instruments.clone();
                kafka.stop = self.stop.clone();
                if exactly_once {
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

    /// What decides which bars come out where: these bars, this output, and what `more` adds.
    pub fn settings(&self, more: &[(&str, Option<String>)]) -> JobSettings {
        let mut settings = JobSettings::of(self.bars.specs());
        settings.put("sink", self.kind.as_str());
        if self.kind == SinkKind::Kafka {
            let kafka = self.kafka.settings();
            settings.put("topic", kafka.topic_template);
            settings.put("encoding", kafka.encoding.as_str());
        }
        for (key, value) in more {
            if let Some(value) = value {
                settings.put(key, value);
            }
        }
        settings
    }
}
