//! Sinks whose producer has a transactional id.

use super::checkpoint_topic::LARGEST_RECORD;
use super::{KafkaSettings, KafkaSink};
use crate::checkpoints::job::JobName;
use crate::graph::sink::SinkError;
use crate::telemetry::latency::Latency;

/// The sink of a shard of a job.
pub(super) fn open_sink(
    settings: &KafkaSettings,
    job: &JobName,
    shard: usize,
    latency: Option<&Latency>,
) -> Result<KafkaSink, SinkError> {
    let id = job.transactional_id(shard);
    let mut over = vec![("transactional.id", id.as_str())];
    if !settings.properties.contains_key("message.max.bytes") {
        // What the checkpoint topic takes: ten builders with long windows have a state of megabytes.
        over.push(("message.max.bytes", LARGEST_RECORD));
    }
    let sink = KafkaSink::connect(settings.clone(), &over)?;
    Ok(match latency {
        Some(latency) => sink.observed_by(latency.clone()),
        None => sink,
    })
}

/// A new sink in place of another, which knows what that one had found out.
pub(super) fn reopen(
    before: &KafkaSink,
    settings: &KafkaSettings,
    job: &JobName,
    shard: usize,
    latency: Option<&Latency>,
) -> Result<KafkaSink, SinkError> {
    let mut sink = open_sink(settings, job, shard, latency)?;
    sink.settings.progress_topic.clone_from(&before.settings.progress_topic);
    Ok(KafkaSink { policies: before.policies.clone(), warns: before.warns, ..sink })
}
