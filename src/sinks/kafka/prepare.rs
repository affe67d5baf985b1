//! The topics that a sink needs: found or created, and fit for what they are to hold.

use rdkafka::types::RDKafkaErrorCode;

use super::topic_policy::{self, Judgement};
use super::topics::{self, NewTopics, NotCreated};
use super::{KafkaSink, KeyFormat};
use crate::graph::sink::SinkError;

impl KafkaSink {
    /// As [`prepare_known`](Self::prepare_known), but creates nothing: what is not there can wait,
    /// what we may not use cannot.
    pub(super) fn look_for_known(&mut self) -> Result<(), SinkError> {
        if !self.settings.create_topics {
            return self.prepare_known();
        }
        let known = self.known()?;
        self.find_schemas(&known)?;
        self.look_for(known)?;
        let Some(topic) = self.settings.progress_topic.clone() else { return Ok(()) };
        let found = self.look_for(vec![topic]);
        self.or_without_progress(found)
    }

    fn look_for(&mut self, topics: Vec<String>) -> Result<(), SinkError> {
        let missing = self.missing(&topics)?;
        let there: Vec<String> =
            topics.into_iter().filter(|topic| !missing.contains(topic)).collect();
        self.check_policies(&there)
    }

    /// Makes sure of the topics that are known to be needed.
    pub(super) fn prepare_known(&mut self) -> Result<(), SinkError> {
        let known = self.known()?;
        if known.is_empty() {
            // A broker that is not there is better found now than with the first bar.
            self.producer.metadata(None)?;
        }
        self.prepare(&known)?;
        let Some(topic) = self.settings.progress_topic.clone() else { return Ok(()) };
        let prepared = self.prepare(&[topic]);
        self.or_without_progress(prepared)
    }

    /// A job that did not name the topic of progress does without it where it cannot have it: bars come
    /// first.
    fn or_without_progress(&mut self, prepared: Result<(), SinkError>) -> Result<(), SinkError> {
        match prepared {
            Err(SinkError::Refused(reason)) if !self.settings.progress_required => {
                if self.warns {
                    tracing::warn!("progress is not written: {reason}");
                }
                self.settings.progress_topic = None;
                Ok(())
            }
            prepared => prepared,
        }
    }

    fn known(&self) -> Result<Vec<String>, SinkError> {
        self.settings.known_bar_topics().map_err(|problem| SinkError::Settings(vec![problem]))
    }

    /// Makes sure that the topics exist, before the first bar for them is sent.
    pub(super) fn prepare(&mut self, topics: &[String]) -> Result<(), SinkError> {
        // Before anything is created: without a schema nothing can be written.
        self.find_schemas(topics)?;
        let missing = self.missing(topics)?;
        // An empty one in its place would pass for the whole.
        if let Some(topic) = missing.iter().find(|topic| self.needed.contains(*topic)) {
            return Err(SinkError::Refused(format!(
                "topic \"{topic}\" at \"{}\" was deleted, with the bars that this job had \
                 written\nhint: --reset-state with --create-topics makes them again; another \
                 --job starts separately",
                self.settings.brokers
            )));
        }
        if !missing.is_empty() && self.settings.create_topics {
            // Below i32::MAX, or the settings had been refused.
            let partitions = i32::try_from(self.settings.partitions).unwrap_or(i32::MAX);
            let (patience, progress) = (self.settings.patience, &self.settings.progress_topic);
            let like = NewTopics { partitions, patience, progress: progress.as_deref() };
            let made = topics::create(&self.config, &missing, like);
            made.map_err(|NotCreated { code, reason }| {
                let brokers = &self.settings.brokers;
                let text = format!("kafka at \"{brokers}\" did not create topics: {reason}");
                self.producer.failure(code, &text)
            })?;
        } else if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|topic| format!("\"{topic}\"")).collect();
            return Err(SinkError::Refused(format!(
                "kafka at \"{}\" has no topic {}\nhint: --create-topics creates missing topics{}",
                self.settings.brokers,
                names.join(", "),
                if missing.iter().any(|topic| self.settings.is_progress(topic)) {
                    "; --progress-topic off writes no progress"
                } else {
                    ""
                }
            )));
        }
        self.check_policies(topics)?;
        self.count_partitions(topics)?;
        self.topics.extend(topics.iter().cloned());
        Ok(())
    }

    /// Refuses topics that would delete bars that readers need, and warns of those that keep them for a
    /// limited time.
    fn check_policies(&mut self, topics: &[String]) -> Result<(), SinkError> {
        let new = topics.iter().filter(|topic| !self.policies.contains_key(*topic));
        let new: Vec<String> = new.cloned().collect();
        let brokers = &self.settings.brokers;
        let found = topic_policy::describe(&self.config, &new, self.settings.patience);
        let found = found.map_err(|reason| {
            self.producer
                .unavailable(&format!("kafka at \"{brokers}\" did not describe topics: {reason}"))
        })?;
        for (topic, policy) in &found {
            let judged = match self.settings.is_progress(topic) {
                true => policy.judge_progress(topic, brokers),
                false => policy.judge(topic, self.settings.is_compacted(topic), brokers),
            };
            match judged {
                Judgement::Refused(reason) => return Err(SinkError::Settings(vec![reason])),
                Judgement::Forgets(warning) if self.warns => tracing::warn!("{warning}"),
                Judgement::Forgets(_) | Judgement::Keeps => {}
            }
        }
        self.policies.extend(found);
        Ok(())
    }

    /// Where keys do not choose the partition, it is chosen among so many.
    fn count_partitions(&mut self, topics: &[String]) -> Result<(), SinkError> {
        if self.settings.key == KeyFormat::Text {
            return Ok(());
        }
        for topic in topics {
            let metadata = self.producer.metadata(Some(topic))?;
            let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
            if partitions == 0 {
                let brokers = &self.settings.brokers;
                return Err(self.producer.unavailable(&format!(
                    "kafka at \"{brokers}\" does not say yet how many partitions topic \"{topic}\" has"
                )));
            }
            // Kafka counts them in 32 bits.
            self.partitions.insert(topic.clone(), i32::try_from(partitions).unwrap_or(i32::MAX));
        }
        Ok(())
    }

    fn missing(&self, topics: &[String]) -> Result<Vec<String>, SinkError> {
        let mut missing = Vec::new();
        for topic in topics {
            let metadata = self.producer.metadata(Some(topic))?;
            match metadata.topics().first().and_then(|found| found.error()).map(Into::into) {
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => missing.push(topic.clone()),
                // A partition between two leaders does not stop the run: sending waits for it.
                None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {}
                Some(code) => {
                    let text = format!(
                        "kafka at \"{}\" does not give access to topic \"{topic}\": {code}{}",
                        self.settings.brokers,
                        if self.settings.is_progress(topic) {
                            "\nhint: the user needs Write and Describe on it; --progress-topic off writes no \
                             progress"
                        } else {
                            ""
                        }
                    );
                    return Err(self.producer.failure(Some(code), &text));
                }
            }
        }
        Ok(missing)
    }
}
