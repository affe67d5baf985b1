//! The topic of progress beside the bar topics, and its headers.

use std::convert::Infallible;
use std::str::FromStr;

use rdkafka::message::{Header, OwnedHeaders};

use super::tails;
use super::topics::Template;
use crate::sinks::encode::Encoding;
use crate::sinks::progress::PROGRESS_VERSION;

/// What the name of the topic ends in unless it is given one.
const SUFFIX: &str = ".progress";

/// What it begins with where names of bar topics have no beginning in common.
const BASE: &str = "bars";

/// Where progress goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProgressTopic {
    /// Beside the bar topics: `bars.progress` beside `bars.{spec}`.
    #[default]
    Beside,
    /// To the topic of this name.
    Named(String),
    /// Nowhere.
    Off,
}

impl FromStr for ProgressTopic {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "off" => Self::Off,
            name => Self::Named(name.to_owned()),
        })
    }
}

impl ProgressTopic {
    /// Its name beside bar topics of this template; none if progress is not written.
    pub fn name(&self, template: &str) -> Option<String> {
        match self {
            Self::Beside => {
                let text = template.split('{').next().unwrap_or_default();
                let base = text.trim_end_matches(['.', '_', '-']);
                let base = if base.is_empty() { BASE } else { base };
                Some(format!("{base}{SUFFIX}"))
            }
            Self::Named(name) => Some(name.clone()),
            Self::Off => None,
        }
    }
}

/// What is wrong with a name, given the topics of bars.
pub(super) fn problem(name: &str, bar_topics: &[String]) -> Option<String> {
    let template: Template = match name.parse() {
        Ok(template) => template,
        Err(problem) => return Some(format!("progress_topic: {problem}")),
    };
    if template.has_holes() {
        return Some(format!(
            "progress_topic \"{name}\" cannot have placeholders: it is one topic"
        ));
    }
    if name.ends_with(super::CURRENT) || bar_topics.iter().any(|topic| topic == name) {
        return Some(format!(
            "topic \"{name}\" cannot hold both bars and progress; progress_topic (--progress-topic) \
             names another topic, or off"
        ));
    }
    template.topic_of_spec("").err().map(|problem| format!("progress_topic: {problem}"))
}

/// The headers of a record.
pub(super) fn headers(spec: &str, job: Option<&str>) -> OwnedHeaders {
    let version = PROGRESS_VERSION.to_string();
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(Header { key: "spec", value: Some(spec) })
        .insert(Header { key: "schema_version", value: Some(&version) })
        .insert(Header { key: "content-type", value: Some(Encoding::Json.content_type()) });
    match job {
        Some(job) => headers.insert(Header { key: tails::JOB, value: Some(job) }),
        None => headers,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_lies_beside_the_bar_topics() {
        for (template, topic) in [
            ("bars.{spec}", "bars.progress"),
            ("bars", "bars.progress"),
            ("a.b-{instrument}_{spec}.v2", "a.b.progress"),
            ("{instrument}.{spec}", "bars.progress"),
        ] {
            let name = ProgressTopic::Beside.name(template);
            assert_eq!(name.as_deref(), Some(topic), "{template}");
        }
        let typed = |text: &str| text.parse::<ProgressTopic>().unwrap().name("bars.{spec}");
        assert_eq!(typed("off"), None);
        assert_eq!(typed("heartbeat"), Some("heartbeat".to_owned()));
    }

    #[test]
    fn a_topic_that_cannot_be_is_named() {
        let bars = ["bars.dib".to_owned(), "bars.progress".to_owned()];
        assert_eq!(problem("p", &bars), None);
        for (name, word) in [
            ("bars.progress", "both bars and progress"),
            ("x.current", "both bars and progress"),
            ("p.{spec}", "placeholders"),
            ("p:q", "\":\""),
            ("", "empty"),
            (&"x".repeat(250), "longer"),
        ] {
            let problem = problem(name, &bars).unwrap();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
