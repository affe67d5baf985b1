//! Kafka.

use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;

use super::{BarSink, Commit, SinkError, SinkReport};
use crate::config::kafka::KafkaOptions;

/// Placeholder until the producer is merged.
pub struct KafkaSink;

impl KafkaSink {
    /// Opens.
    ///
    /// # Errors
    /// Always, for now.
    pub fn open(_: &KafkaOptions, _: &[(Arc<str>, InstrumentId)]) -> Result<Self, SinkError> {
        Err(SinkError::Unavailable("not built yet".to_owned()))
    }
}

impl BarSink for KafkaSink {
    fn commit(&mut self, _: &Commit) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        Ok(SinkReport::default())
    }
}
