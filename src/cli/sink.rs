//! Opens the sink that was asked for.

use std::path::Path;

use barflow_operators::instrument::InstrumentId;

use super::failure::Failure;
use crate::config::bars::BarBook;
use crate::config::kafka::KafkaOptions;
use crate::config::replay::SinkKind;
use crate::sinks::BarSink;
use crate::sinks::jsonl::JsonLines;
use crate::sinks::kafka::KafkaSink;
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
}

/// Opens it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(wanted: &Wanted<'_>) -> Result<Box<dyn BarSink>, Failure> {
    Ok(match wanted.kind {
        SinkKind::None => Box::new(NoSink::default()),
        SinkKind::JsonLines => match wanted.out {
            None => Box::new(JsonLines::stdout()),
            Some(path) if path == Path::new("-") => Box::new(JsonLines::stdout()),
            Some(path) => Box::new(JsonLines::file(path)?),
        },
        SinkKind::Parquet => Box::new(ParquetBars::new(wanted.out.unwrap_or(Path::new("bars")))?),
        SinkKind::Kafka => {
            let mut kafka = wanted.kafka.settings();
            let orders = wanted.bars.orders().iter();
            kafka.specs = orders.map(|order| order.spec.name().to_string()).collect();
            kafka.instruments = wanted.instruments.clone();
            let sink = KafkaSink::open(kafka)?;
            match &wanted.latency {
                Some(latency) => Box::new(sink.observed_by(latency.clone())),
                None => Box::new(sink),
            }
        }
    })
}
