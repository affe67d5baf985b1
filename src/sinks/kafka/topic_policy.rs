//! What a bar topic does with its records: whether it keeps them, and how large they may be.
//!
//! A topic that compacts keeps one bar of each instrument, because an instrument is the key; one with a
//! retention by time deletes the bars of last year as soon as they are written, because a record's
//! timestamp is the time at which its bar closed. Both look like success to a producer, so they are
//! checked here (Kafka's topic configuration reference: `cleanup.policy`, `retention.ms`,
//! `message.timestamp.type`, `max.message.bytes`).

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

/// The settings of a topic that decide about its records. None: not limited, or not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicPolicy {
    deletes: bool,
    compacts: bool,
    retention: Option<Duration>,
    retention_bytes: Option<u64>,
    /// Whether records carry the time of the broker, not that of the bar.
    append_time: bool,
    /// Bytes of the largest batch.
    pub(super) largest_batch: Option<u64>,
}

/// What a topic would do to bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It keeps them.
    Keeps,
    /// It keeps them for a limited time, or up to a limited size.
    Forgets(String),
    /// It would delete bars that readers need.
    Refused(String),
}

impl TopicPolicy {
    fn of(found: &ConfigResource) -> Self {
        let value = |name: &str| found.get(name).and_then(|entry| entry.value.as_deref());
        let limit = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
        let has = |policy: &str| {
            value("cleanup.policy").is_some_and(|text| text.split(',').any(|p| p.trim() == policy))
        };
        Self {
            deletes: has("delete"),
            compacts: has("compact"),
            // -1, which is not a number of this kind, is no limit.
            retention: limit("retention.ms").map(Duration::from_millis),
            retention_bytes: limit("retention.bytes"),
            append_time: value("message.timestamp.type") == Some("LogAppendTime"),
            largest_batch: limit("max.message.bytes"),
        }
    }

    /// Whether this topic can hold bars: all of them, or the current ones by key.
    pub(super) fn judge(&self, topic: &str, is_current: bool, brokers: &str) -> Judgement {
        let alter = |settings: &str| {
            format!(
                "\nhint: kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics \
                 --entity-name {topic} --add-config {settings}"
            )
        };
        if self.compacts && !is_current {
            return Judgement::Refused(format!(
                "topic \"{topic}\" at \"{brokers}\" has a cleanup.policy with \"compact\": Kafka would \
                 keep only the newest bar of each instrument{}",
                alter("cleanup.policy=delete,retention.ms=-1")
            ));
        }
        if !self.deletes {
            return Judgement::Keeps;
        }
        match (self.retention, self.retention_bytes) {
            (None, None) => Judgement::Keeps,
            (Some(retention), _) => Judgement::Forgets(format!(
                "topic \"{topic}\" deletes bars that closed more than {} ago (retention.ms){}",
                days(retention),
                alter("retention.ms=-1")
            )),
            (None, Some(bytes)) => Judgement::Forgets(format!(
                "topic \"{topic}\" deletes the oldest bars of a partition that exceeds {bytes} bytes \
                 (retention.bytes){}",
                alter("retention.bytes=-1")
            )),
        }
    }

    /// Whether this topic can hold progress.
    pub(super) fn judge_progress(&self, topic: &str, brokers: &str) -> Judgement {
        if self.compacts {
            return Judgement::Keeps;
        }
        Judgement::Forgets(format!(
            "topic \"{topic}\" is not compacted (cleanup.policy): it grows with every commit, and may \
             delete the progress of bars that are rarely made\nhint: kafka-configs.sh --bootstrap-server \
             {brokers} --alter --entity-type topics --entity-name {topic} --add-config \
             cleanup.policy=compact"
        ))
    }

    /// Why a record with this timestamp would be deleted at once; `now` and `timestamp` in ms since the
    /// Unix epoch.
    pub(super) fn deletes_at_once(&self, timestamp: i64, now: i64) -> Option<String> {
        let retention = self.retention.filter(|_| self.deletes && !self.append_time)?;
        let age = u64::try_from(now.saturating_sub(timestamp)).ok().map(Duration::from_millis)?;
        (age > retention).then(|| {
            format!("a bar closed {} ago, and it keeps bars for {}", days(age), days(retention))
        })
    }
}

/// A duration for people.
fn days(duration: Duration) -> String {
    let hours = duration.as_secs() / 3600;
    match (hours / 24, hours) {
        (0, 0) => format!("{} s", duration.as_secs()),
        (0, 1) => "1 hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

/// The policies of these topics, as far as the broker shows them.
///
/// # Errors
/// When Kafka does not answer at all.
pub(super) fn describe(
    config: &ClientConfig,
    topics: &[String],
    patience: Duration,
) -> Result<BTreeMap<String, TopicPolicy>, String> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let admin: AdminClient<DefaultClientContext> =
        config.create().map_err(|error| error.to_string())?;
    let resources = topics.iter().map(|topic| ResourceSpecifier::Topic(topic));
    let resources: Vec<ResourceSpecifier<'_>> = resources.collect();
    let options =
        AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
    let described = futures_executor::block_on(admin.describe_configs(&resources, &options))
        .map_err(|error| error.to_string())?;
    let mut policies = BTreeMap::new();
    for (topic, found) in topics.iter().zip(described) {
        match found {
            Ok(found) => drop(policies.insert(topic.clone(), TopicPolicy::of(&found))),
            Err(code) => tracing::warn!(
                "cannot check how long topic \"{topic}\" keeps bars ({code}): that needs \
                 DescribeConfigs"
            ),
        }
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn policy(deletes: bool, compacts: bool, retention: Option<Duration>) -> TopicPolicy {
        TopicPolicy { deletes, compacts, retention, ..TopicPolicy::default() }
    }

    #[test]
    fn compaction_is_for_current_bars_only() {
        let compacts = policy(false, true, Some(7 * DAY));
        assert_eq!(compacts.judge("x.current", true, "b:1"), Judgement::Keeps);
        let Judgement::Refused(text) = compacts.judge("x", false, "b:1") else { panic!() };
        assert!(text.contains("--entity-name x --add-config cleanup.policy=delete"), "{text}");
        let both = policy(true, true, None);
        assert!(matches!(both.judge("x", false, "b:1"), Judgement::Refused(_)));
    }

    #[test]
    fn progress_is_compacted() {
        assert_eq!(policy(false, true, None).judge_progress("x", "b:1"), Judgement::Keeps);
        let Judgement::Forgets(text) = policy(true, false, None).judge_progress("x", "b:1") else {
            panic!()
        };
        assert!(text.contains("--entity-name x --add-config cleanup.policy=compact"), "{text}");
    }

    #[test]
    fn a_retention_is_told_and_held_against_the_age_of_the_bars() {
        assert_eq!(policy(true, false, None).judge("x", false, "b:1"), Judgement::Keeps);
        let week = policy(true, false, Some(7 * DAY));
        let Judgement::Forgets(text) = week.judge("x", false, "b:1") else { panic!() };
        assert!(text.contains("7 days") && text.contains("retention.ms=-1"), "{text}");
        let now = 1_700_000_000_000;
        let ago = |days: i64| now - days * 86_400_000;
        assert_eq!(week.deletes_at_once(ago(6), now), None);
        assert_eq!(week.deletes_at_once(now + 5, now), None, "a bar of the future is not old");
        let text = week.deletes_at_once(ago(400), now).unwrap();
        assert_eq!(text, "a bar closed 400 days ago, and it keeps bars for 7 days");
        let appended = TopicPolicy { append_time: true, ..week };
        assert_eq!(appended.deletes_at_once(ago(400), now), None);
    }

    #[test]
    fn durations_are_plain() {
        for (duration, text) in
            [(DAY, "1 day"), (DAY / 2, "12 hours"), (DAY / 24, "1 hour"), (DAY / 86_400, "1 s")]
        {
            assert_eq!(days(duration), text);
        }
    }
}
