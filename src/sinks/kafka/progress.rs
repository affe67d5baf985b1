//! The topic of progress beside the bar topics, and its headers.

use std::convert::Infallible;
use std::str::FromStr;

use barflow_operators::progress::Progress;
use rdkafka::message::{Header, OwnedHeaders};

use super::headers::{HeaderStyle, with_event};
use super::tails;
use super::topics::Template;
use crate::sinks::encode::Encoding;
use crate::sinks::progress::PROGRESS_VERSION;

/// What the name of the topic ends in unless it is given one.
const SUFFIX: &str = ".progress";

/// What it begins with where names of bar topics have no beginning in common.
const BASE: &str = "bars";

/// The type of its events.
const EVENT: &str = "barflow.progress";

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
pub(super) fn headers(style: HeaderStyle, progress: &Progress, job: Option<&str>) -> OwnedHeaders {
    let headers = plain(&progress.spec, job);
    match style {
        HeaderStyle::Plain => headers,
        HeaderStyle::CloudEvents => {
            with_event(headers, job, (&event_id(progress), EVENT), progress.complete_time)
        }
    }
}

/// The id of the event that a record tells: where the series is, and the gap that is open there.
fn event_id(progress: &Progress) -> String {
    let Progress { complete_trade_id, complete_time, gap_since, .. } = progress;
    let id = format!("{}/progress/{complete_trade_id}/{complete_time}", progress.key());
    match gap_since {
        None => id,
        Some(since) => format!("{id}/gap/{since}"),
    }
}

/// The headers of a tombstone.
pub(super) fn tombstone_headers(spec: &str, job: Option<&str>) -> OwnedHeaders {
    plain(spec, job)
}

fn plain(spec: &str, job: Option<&str>) -> OwnedHeaders {
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
    use std::sync::Arc;

    use barflow_operators::batch::Feed;
    use barflow_operators::progress::BuilderProgress;
    use rdkafka::message::Headers;

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

    fn headers_of(style: HeaderStyle, gap_since: Option<i64>) -> Vec<(String, String)> {
        let progress = Progress {
            spec: "dib".into(),
            feed: Arc::new(Feed::numbered("a:b:C".parse().unwrap())),
            complete_trade_id: 9,
            complete_time: 1_709_251_200_000_000_001,
            builder: BuilderProgress {
                bars: 3,
                open: None,
                levels: Default::default(),
                reached: None,
                warmup_left: 0,
                synchronised: Default::default(),
            },
            gap_since,
        };
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        let made = headers(style, &progress, Some("j"));
        made.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    }

    #[test]
    fn the_headers_of_progress() {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let plain = [
            ("spec", "dib"),
            ("schema_version", "1"),
            ("content-type", "application/json"),
            ("job", "j"),
        ];
        let event = |id| {
            let event = [
                ("ce_id", id),
                ("ce_source", "/barflow/j"),
                ("ce_type", "barflow.progress"),
                ("ce_specversion", "1.0"),
                ("ce_time", "2024-03-01T00:00:00.000000001Z"),
            ];
            owned(&[&plain[..], &event].concat())
        };
        assert_eq!(headers_of(HeaderStyle::Plain, None), owned(&plain));
        let id = "a:b:C/dib/progress/9/1709251200000000001";
        assert_eq!(headers_of(HeaderStyle::CloudEvents, None), event(id));
        let id = "a:b:C/dib/progress/9/1709251200000000001/gap/77";
        assert_eq!(headers_of(HeaderStyle::CloudEvents, Some(77)), event(id));
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
