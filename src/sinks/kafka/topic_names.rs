//! The topics that settings name.

use barflow_operators::instrument::InstrumentId;

use super::settings::KafkaSettings;
use super::topics::Template;
use crate::graph::sink::SinkError;

/// The topic of the bars of a specification, by the template that a run was given.
///
/// # Errors
/// When the template is wrong, makes an impossible topic, or one for each instrument.
pub fn topic_of_bars(template: &str, spec: &str) -> Result<String, String> {
    let topic: Template = template.parse()?;
    if topic.depends_on_instrument() {
        return Err(format!(
            "\"{template}\" is another topic for each instrument: name one of them"
        ));
    }
    topic.topic_of_spec(spec)
}

impl KafkaSettings {
    /// What is wrong with names of topics.
    pub(super) fn topic_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let bars = self.known_bar_topics().unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        let progress = self.progress_topic.as_ref();
        problems.extend(progress.and_then(|name| super::progress::problem(name, &bars)));
        if self.topic_template.ends_with(super::CURRENT) {
            problems.push(format!(
                "topic \"{}\" ends in \"{}\", which is reserved for the compacted topics of \
                 current bars (current = true)",
                self.topic_template,
                super::CURRENT
            ));
        }
        problems
    }

    /// The topics of all bars that are known to come, but for those that depend on instruments not yet
    /// known.
    ///
    /// # Errors
    /// When the template is wrong, or makes an impossible topic.
    pub(super) fn known_bar_topics(&self) -> Result<Vec<String>, String> {
        let template: Template = self.topic_template.parse()?;
        let mut topics = Vec::new();
        for spec in &self.specs {
            if template.depends_on_instrument() {
                for instrument in &self.instruments {
                    topics.push(template.topic(spec, instrument)?);
                }
            } else {
                topics.push(template.topic_of_spec(spec)?);
            }
        }
        if self.current {
            let beside: Vec<String> = topics.iter().map(|topic| super::current_of(topic)).collect();
            topics.extend(beside);
        }
        topics.sort();
        topics.dedup();
        Ok(topics)
    }

    /// The topic of a bar of this specification and instrument.
    ///
    /// # Errors
    /// When the template is wrong, or makes an impossible topic.
    pub fn topic_of(&self, spec: &str, instrument: &InstrumentId) -> Result<String, SinkError> {
        let wrong = |problem| SinkError::Settings(vec![problem]);
        let template: Template = self.topic_template.parse().map_err(wrong)?;
        template.topic(spec, instrument).map_err(wrong)
    }

    /// Whether a topic keeps the newest record of each key: those of current bars and of progress.
    pub(super) fn is_compacted(&self, topic: &str) -> bool {
        topic.ends_with(super::CURRENT) || self.is_progress(topic)
    }

    /// Whether it is the topic of progress.
    pub(super) fn is_progress(&self, topic: &str) -> bool {
        self.progress_topic.as_deref() == Some(topic)
    }
}
