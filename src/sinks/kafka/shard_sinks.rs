//! All shards of a job in one hand: taken at the start, so that no earlier copy commits any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barflow_operators::checkpoint::envelope::{open, seal};

use super::checkpoint_topic::CheckpointTopic;
use super::transactions::TransactionalSink;
use super::{KafkaSettings, KafkaSink};
use crate::checkpoints::job::{JobName, Key, Writer};
use crate::checkpoints::saved::{CheckpointError, Entries, Saved};
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::graph::sink::{BarSink, SinkError};
use crate::telemetry::latency::Latency;

/// The fenced shards of a job: no other copy can commit for it any more.
pub struct ShardSinks {
    sinks: Vec<TransactionalSink>,
    /// Shards that an earlier run had and this one has not.
    surplus: Vec<TransactionalSink>,
    topic: Arc<CheckpointTopic>,
    job: JobName,
}

impl ShardSinks {
    /// Takes the shards `mine` of a job of `all` shards, and fences what an earlier run had beyond
    /// those if `surplus` says that it is ours to do. Afterwards no earlier copy can commit.
    ///
    /// # Errors
    /// As [`KafkaSink::open`]; [`SinkError::Fenced`] when another copy begins at the same time.
    pub fn take(
        settings: &KafkaSettings,
        job: &JobName,
        mine: std::ops::Range<usize>,
        all: usize,
        latency: Option<&Latency>,
    ) -> Result<Self, SinkError> {
        // A producer knows best why no broker responds: a wrong password, a certificate.
        KafkaSink::connect(settings.clone(), &[])?.producer.metadata(None)?;
        let topic = Arc::new(CheckpointTopic::open(settings)?);
        let writer = Writer::here();
        let changes = SettingsChanges::default();
        let open = |shard| {
            let (latency, topic) = (latency.cloned(), Arc::clone(&topic));
            TransactionalSink::open(settings, job, shard, &writer, latency, topic, changes.clone())
        };
        let first = mine.start == 0;
        let mut surplus = Vec::new();
        let mut sinks: Vec<TransactionalSink> = Vec::new();
        for shard in mine {
            // Of two copies that begin at once, the one that lost the first shard must not take
            // another from the winner: both would end.
            if let Some(first) = sinks.first_mut() {
                first.introduce().map_err(|fault| first.lost(fault))?;
            }
            sinks.push(open(shard)?);
        }
        if first {
            let prefix = job.shard_key(0);
            let prefix = &prefix[..prefix.len() - 1];
            // Not only what is committed: to read that we would have to wait for the end of the very
            // transactions that we are about to end.
            let shards = topic.mentioned(|key| key.starts_with(prefix))?;
            let earlier = shards.iter().filter_map(|key| key[prefix.len()..].parse().ok());
            for shard in earlier.filter(|shard: &usize| *shard >= all) {
                // To be fenced it must be opened.
                surplus.push(open(shard)?);
            }
        }
        Ok(Self { sinks, surplus, topic, job: job.clone() })
    }

    /// The state of the job. Every process must have fenced its shards before.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn read(&self) -> Result<Entries, SinkError> {
        self.topic.read(|key| JobName::of_key(key).as_ref() == Some(&self.job))
    }

    /// Deletes the job's state.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub fn reset(&mut self) -> Result<(), SinkError> {
        let entries = self.read()?;
        let mut keys = Vec::new();
        // What cannot be read is deleted all the same.
        let before = entries.get(&self.job.deleted_key());
        let mut deleted: BTreeSet<String> =
            before.and_then(|before| open(before).ok()).unwrap_or_default();
        for key in entries.keys() {
            match self.job.parse(key) {
                Some(Key::Shard(_) | Key::Deleted) => {}
                Some(Key::Instrument(instrument)) => {
                    deleted.insert(instrument.to_owned());
                    keys.push(key.clone());
                }
                Some(Key::Settings) | None => keys.push(key.clone()),
            }
        }
        let series = self.reported()?;
        let Some(sink) = self.sinks.first_mut() else { return Ok(()) };
        sink.rewrite(&keys, &[(self.job.deleted_key(), seal(&deleted))], &series)
    }

    /// The series of which this job said last how far they are; nothing of what it left open counts any more.
    fn reported(&mut self) -> Result<BTreeMap<String, String>, SinkError> {
        let topic = self.sinks.first().and_then(|sink| sink.sink.settings.progress_topic.clone());
        let Some(topic) = topic else { return Ok(BTreeMap::new()) };
        let open = self.topic.open_in(&BTreeSet::from([topic.clone()]))?;
        for sink in self.sinks.iter_mut().chain(&mut self.surplus) {
            sink.abort_in(&open).map_err(|fault| sink.lost(fault))?;
        }
        let series = self.topic.reported_by(&topic, &self.job.to_string())?;
        Ok(series.unwrap_or_else(|| {
            tracing::warn!(
                job = %self.job,
                "what was said in topic \"{topic}\" before the reset stays there: to take it back needs Read on it"
            );
            BTreeMap::new()
        }))
    }

    /// Looks whether the job wrote bars of instruments that its checkpoint does not contain, unless that
    /// was deleted on purpose, or `resets` says that it is now.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn look_for_lost(
        &mut self,
        saved: &Saved,
        resets: bool,
    ) -> Result<Option<CheckpointError>, SinkError> {
        // All shards have the same topics, and one process is enough.
        let Some(first) = self.sinks.first().filter(|sink| sink.shard == 0) else {
            return Ok(None);
        };
        let Some(tails) = first.sink.tails()? else { return Ok(None) };
        let job = self.job.to_string();
        let names = |saved: &Saved| -> BTreeSet<String> {
            saved.instruments.keys().map(ToString::to_string).collect()
        };
        let mut has_state = names(saved);
        let mut deleted = saved.deleted.clone();
        if resets {
            deleted.extend(tails.instruments_of(&job));
        }
        if tails.lost(&job, |name| has_state.contains(name) || deleted.contains(name)).count() > 0 {
            // Another process of the job may have begun to write since its state was read. The state
            // that is read now knows of every bar among the tails: both are committed as one.
            match Saved::understand(&self.job, &self.read()?) {
                Ok(now) => has_state = names(&now),
                Err(unreadable) => return Ok(Some(unreadable)),
            }
        }
        let mut lost = tails.lost(&job, |name| has_state.contains(name) || deleted.contains(name));
        if let Some((series, last)) = lost.next() {
            return Ok(Some(CheckpointError::Lost {
                job: self.job.clone(),
                instrument: series.instrument.clone(),
                topic: series.topic.clone(),
                partition: last.partition,
                offset: last.offset,
                more: lost.count(),
            }));
        }
        drop(lost);
        // An instrument that has a state again is not missed on purpose any more.
        deleted.retain(|instrument| !has_state.contains(instrument));
        if deleted != saved.deleted
            && let Some(first) = self.sinks.first_mut()
        {
            let written = [(self.job.deleted_key(), seal(&deleted))];
            first.rewrite(&[], &written, &BTreeMap::new())?;
        }
        Ok(None)
    }

    /// Writes down what decides which bars come out.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub fn write_settings(&mut self, settings: JobSettings) -> Result<(), SinkError> {
        let Some(sink) = self.sinks.first_mut().filter(|sink| sink.shard == 0) else {
            return Ok(());
        };
        sink.open.settings = Some(settings);
        sink.end_transaction(Vec::new())
    }

    /// Makes sure of all topics, and that nothing of an earlier run is open in them; nothing is
    /// created where this job has written bars before.
    ///
    /// # Errors
    /// The topic that is gone, or what Kafka refuses.
    pub fn prepare_topics(&mut self, saved: &Saved) -> Result<(), SinkError> {
        for sink in &mut self.sinks {
            for (instrument, state) in &saved.instruments {
                for (spec, _) in state.bars().filter(|(_, bars)| *bars > 0) {
                    // A bar that never had a topic is not missing from one.
                    sink.sink.needed.extend(sink.sink.template.topic(spec.name(), instrument).ok());
                }
            }
            sink.sink.prepare_known()?;
        }
        let topics = self.sinks.iter().flat_map(|sink| sink.sink.needed.union(&sink.sink.topics));
        let open = self.topic.open_in(&topics.cloned().collect())?;
        for sink in self.sinks.iter_mut().chain(&mut self.surplus) {
            sink.abort_in(&open).map_err(|fault| sink.lost(fault))?;
        }
        self.surplus.clear();
        Ok(())
    }

    /// Receives settings that change during the run.
    pub fn settings_changes(&self) -> SettingsChanges {
        self.sinks.first().map(|sink| sink.changes.clone()).unwrap_or_default()
    }

    /// The sinks, one for each shard.
    pub fn into_sinks(self) -> Vec<Box<dyn BarSink>> {
        self.sinks.into_iter().map(|sink| Box::new(sink) as Box<dyn BarSink>).collect()
    }
}
