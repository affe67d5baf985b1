//! Opens the sink that was asked for, and its job.

use std::path::Path;

use barflow_operators::instrument::InstrumentId;

use super::failure::Failure;
use crate::checkpoints::job::Job;
use crate::checkpoints::settings::JobSettings;
use crate::config::bars::BarBook;
use crate::config::delivery::DeliveryOptions;
use crate::config::kafka::KafkaOptions;
use crate::config::replay::SinkKind;
use crate::delivery::{DeliveryError, Taken};
use crate::graph::run::Workers;
use crate::graph::stop::Stop;
use crate::sinks::journal::{JournaledSink, Output};
use crate::sinks::jsonl::JsonLines;
use crate::sinks::kafka::{Fences, KafkaSink};
use crate::sinks::none::NoSink;
use crate::sinks::parquet::ParquetBars;
use crate::telemetry::latency::Latency;

/// Which sink, and what it should expect.
pub struct Wanted<'a> {
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
    /// Who is told of confirmed bars of live feeds.
    pub latency: Option<Latency>,
    /// How bars are delivered.
    pub delivery: &'a DeliveryOptions,
    /// The job's name, unless it was given one.
    pub job: String,
    /// The job's shards.
    pub workers: &'a Workers,
    /// The end of the run.
    pub stop: &'a Stop,
    /// Whether a run that is told to stop is complete.
    pub complete_when_stopped: bool,
}

impl Wanted<'_> {
    /// The job's name.
    pub fn job(&self) -> Result<Job, Failure> {
        match &self.delivery.job {
            Some(job) => Ok(job.clone()),
            None => self.job.parse().map_err(|e: String| Failure::usage(anyhow::anyhow!(e))),
        }
    }

    /// Takes it; nothing is written yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn take(&self) -> Result<Taken, Failure> {
        let exactly_once = self.delivery.is_exactly_once();
        let files = |output| -> Result<Taken, Failure> {
            if self.workers.everywhere() > self.workers.here() {
                let message = "exactly-once files belong to one process: several deliver exactly \
                               once to kafka";
                return Err(Failure::usage(anyhow::anyhow!(message)));
            }
            let (stop, complete) = (self.stop.clone(), self.complete_when_stopped);
            let sink =
                JournaledSink::open(output, self.job()?, stop, complete, self.delivery.reset_state)
                    .map_err(|error| Failure::from(DeliveryError::from(error)))?;
            Ok(Taken::Files(Box::new(sink)))
        };
        Ok(match self.kind {
            SinkKind::None => Taken::Plain(Box::new(NoSink::default())),
            SinkKind::JsonLines => match self.out.filter(|out| *out != Path::new("-")) {
                None => Taken::Plain(Box::new(JsonLines::stdout())),
                Some(path) if exactly_once => files(Output::JsonLines(path.to_owned()))?,
                Some(path) => Taken::Plain(Box::new(JsonLines::file(path)?)),
            },
            SinkKind::Parquet => {
                let folder = self.out.unwrap_or(Path::new("bars"));
                match exactly_once {
                    true => files(Output::Parquet(folder.to_owned()))?,
                    false => Taken::Plain(Box::new(ParquetBars::new(folder)?)),
                }
            }
            SinkKind::Kafka => {
                let mut kafka = self.kafka.settings();
                let orders = self.bars.orders().iter();
                kafka.specs = orders.map(|order| order.spec.name().to_string()).collect();
                kafka.instruments = self.instruments.clone();
                if exactly_once {
                    let (first, here) = (self.workers.first(), self.workers.here());
                    let all = self.workers.everywhere();
                    let latency = self.latency.as_ref();
                    let job = self.job()?;
                    if self.delivery.reset_state && all > here {
                        // One of them would forget what another has just begun to write.
                        let message = "--reset-state is for a job of one process";
                        return Err(Failure::usage(anyhow::anyhow!(message)).hint(format!(
                            "`barflow checkpoints delete {job}` before they start"
                        )));
                    }
                    let fences = Fences::take(&kafka, &job, first..first + here, all, latency)?;
                    return Ok(Taken::Kafka(fences));
                }
                let sink = KafkaSink::open(kafka)?;
                Taken::Plain(match &self.latency {
                    Some(latency) => Box::new(sink.observed_by(latency.clone())),
                    None => Box::new(sink),
                })
            }
        })
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
