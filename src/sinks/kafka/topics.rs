//! Which topic a bar goes to, and the making of topics.

use std::str::FromStr;
use std::time::{Duration, Instant};

use barflow_operators::instrument::InstrumentId;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

/// Kafka's own limit on the length of a topic's name.
const LONGEST: usize = 249;

/// Between two looks at whether new topics can be used.
const LOOK: Duration = Duration::from_millis(20);

/// The largest number of ms that Kafka takes.
const ANY_TIME: &str = "9223372036854775807";

/// A topic's name with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Spec,
    Instrument,
    Venue,
    Market,
    Symbol,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, String> {
        let wrong = |what: String| Err(format!("topic \"{template}\" {what}"));
        let mut pieces = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let (text, hole) = rest.split_once('{').map_or((rest, None), |(t, h)| (t, Some(h)));
            if let Some(c) = text.chars().find(|c| !legal(*c)) {
                return wrong(format!(
                    "contains \"{c}\"; a topic may contain letters, digits, \".\", \"_\" and \"-\""
                ));
            }
            if !text.is_empty() {
                pieces.push(TemplatePart::Text(text.to_owned()));
            }
            let Some(hole) = hole else { break };
            let Some((name, after)) = hole.split_once('}') else {
                return wrong("has a \"{\" without \"}\"".to_owned());
            };
            pieces.push(match name {
                "spec" => TemplatePart::Spec,
                "instrument" => TemplatePart::Instrument,
                "venue" => TemplatePart::Venue,
                "market" => TemplatePart::Market,
                "symbol" => TemplatePart::Symbol,
                _ => {
                    return wrong(format!(
                        "has an unknown placeholder {{{name}}}; there are {{spec}}, \
                         {{instrument}}, {{venue}}, {{market}} and {{symbol}}"
                    ));
                }
            });
            rest = after;
        }
        if pieces.is_empty() { wrong("is empty".to_owned()) } else { Ok(Self(pieces)) }
    }
}

impl Template {
    /// Whether bars of one specification may go to several topics.
    pub(super) fn depends_on_instrument(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece, TemplatePart::Text(_) | TemplatePart::Spec))
    }

    /// Whether anything is to be filled in.
    pub(super) fn has_holes(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece, TemplatePart::Text(_)))
    }

    /// The topic for the bars of a specification on an instrument.
    ///
    /// # Errors
    /// When Kafka does not allow such a name.
    pub(super) fn topic(&self, spec: &str, instrument: &InstrumentId) -> Result<String, String> {
        self.fill(spec, Some(instrument))
    }

    /// The topic for the bars of a specification, where the instrument does not matter.
    ///
    /// # Errors
    /// When Kafka does not allow such a name.
    pub(super) fn topic_of_spec(&self, spec: &str) -> Result<String, String> {
        self.fill(spec, None)
    }

    fn fill(&self, spec: &str, instrument: Option<&InstrumentId>) -> Result<String, String> {
        let mut topic = String::new();
        for piece in &self.0 {
            let part = match piece {
                TemplatePart::Text(text) => Some(text.as_str()),
                TemplatePart::Spec => Some(spec),
                TemplatePart::Instrument => instrument.map(InstrumentId::as_str),
                TemplatePart::Venue => instrument.map(InstrumentId::venue),
                TemplatePart::Market => instrument.map(InstrumentId::market),
                TemplatePart::Symbol => instrument.map(InstrumentId::symbol),
            };
            topic.extend(part.unwrap_or_default().chars().map(legalised));
        }
        if topic.is_empty() || topic == "." || topic == ".." || topic.len() > LONGEST {
            return Err(format!("topic \"{topic}\" is empty, longer than {LONGEST}, or only dots"));
        }
        Ok(topic)
    }
}

fn legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// `:` becomes `.`, so that an instrument stays readable; any other illegal character `_`.
fn legalised(c: char) -> char {
    match c {
        ':' => '.',
        c if legal(c) => c,
        _ => '_',
    }
}

/// Why topics were not created.
#[derive(Debug)]
pub(super) struct NotCreated {
    /// Kafka's own.
    pub(super) code: Option<RDKafkaErrorCode>,
    /// With the topics' names.
    pub(super) reason: String,
}

impl From<KafkaError> for NotCreated {
    fn from(error: KafkaError) -> Self {
        Self { code: error.rdkafka_error_code(), reason: error.to_string() }
    }
}

/// What new topics are like.
#[derive(Clone, Copy)]
pub(super) struct NewTopics<'a> {
    /// Partitions of each.
    pub(super) partitions: i32,
    /// How long Kafka may take.
    pub(super) patience: Duration,
    /// Which of them is that of progress.
    pub(super) progress: Option<&'a str>,
}

/// Creates topics, and waits until each partition has a leader; topics that exist by now are left as they
/// are.
///
/// # Errors
/// The first refusal, with topic and reason, or the first topic that has no leader in time.
pub(super) fn create(
    config: &ClientConfig,
    topics: &[String],
    like: NewTopics<'_>,
) -> Result<(), NotCreated> {
    let patience = like.patience;
    let start = Instant::now();
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let refused = request(&admin, topics, like, true)?;
    // Brokers before Kafka 3.6 do not know the limit on future timestamps.
    let (unknown, refused): (Vec<_>, Vec<_>) =
        refused.into_iter().partition(|(_, code)| *code == RDKafkaErrorCode::InvalidConfig);
    let again: Vec<String> = unknown.into_iter().map(|(topic, _)| topic).collect();
    let mut refused = refused;
    if !again.is_empty() {
        refused.extend(request(&admin, &again, like, false)?);
    }
    if refused.is_empty() {
        return await_leaders(&admin, topics, start, patience);
    }
    let code = refused.first().map(|(_, code)| *code);
    let refused: Vec<String> =
        refused.iter().map(|(topic, code)| format!("topic \"{topic}\": {code}")).collect();
    Err(NotCreated { code, reason: refused.join("; ") })
}

/// Asks for these topics; those that were refused.
fn request(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[String],
    like: NewTopics<'_>,
    any_timestamp: bool,
) -> KafkaResult<Vec<(String, RDKafkaErrorCode)>> {
    let NewTopics { partitions, patience, progress } = like;
    let is_compacted = |name: &str| name.ends_with(super::CURRENT) || progress == Some(name);
    let new = |name| {
        // -1: as many replicas as the brokers are configured to keep.
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
            .set("cleanup.policy", if is_compacted(name) { "compact" } else { "delete" })
            // The producer has compressed already; the broker need not do it again.
            .set("compression.type", "producer")
            // A bar's timestamp is its close time. Kept for a number of days after that, a bar of
            // last year would go as soon as it came.
            .set("retention.ms", "-1")
            .set("message.timestamp.type", "CreateTime");
        // Written every commit interval: Kafka compacts no segment that it still writes, and readers
        // read all of them.
        let topic = match progress == Some(name) {
            true => topic.set("segment.bytes", "16777216").set("min.cleanable.dirty.ratio", "0.2"),
            false => topic,
        };
        // It is also the venue's time, not the broker's: one that is ahead must not stop the job.
        match any_timestamp {
            true => topic.set("message.timestamp.after.max.ms", ANY_TIME),
            false => topic,
        }
    };
    let new: Vec<NewTopic<'_>> = topics.iter().map(|name| new(name.as_str())).collect();
    let options =
        AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
    let results = futures_executor::block_on(admin.create_topics(&new, &options))?;
    Ok(results
        .into_iter()
        .filter_map(Result::err)
        .filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists)
        .collect())
}

/// A topic exists some time before its partitions have leaders, and until then Kafka answers requests
/// about them with errors; the more topics are new, the longer that takes.
fn await_leaders(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[String],
    start: Instant,
    patience: Duration,
) -> Result<(), NotCreated> {
    for topic in topics {
        loop {
            let left = patience.saturating_sub(start.elapsed()).max(LOOK);
            let metadata = admin.inner().fetch_metadata(Some(topic), left);
            let has_leaders = metadata.as_ref().is_ok_and(|metadata| {
                metadata.topics().first().is_some_and(|found| {
                    let mut partitions = found.partitions().iter();
                    found.error().is_none()
                        && !found.partitions().is_empty()
                        && partitions.all(|p| p.error().is_none() && p.leader() >= 0)
                })
            });
            if has_leaders {
                break;
            }
            if start.elapsed() > patience {
                let reason = format!("topic \"{topic}\" has no leader after {patience:?}");
                return Err(NotCreated {
                    code: Some(RDKafkaErrorCode::LeaderNotAvailable),
                    reason,
                });
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(template: &str, spec: &str) -> Result<String, String> {
        let instrument = "binance:spot:BTCUSDT".parse().unwrap();
        template.parse::<Template>()?.topic(spec, &instrument)
    }

    #[test]
    fn holes_are_filled_and_what_kafka_forbids_is_replaced() {
        assert_eq!(topic("bars.{spec}", "di 1%").unwrap(), "bars.di_1_");
        assert_eq!(topic("{instrument}.{spec}", "di").unwrap(), "binance.spot.BTCUSDT.di");
        assert_eq!(topic("{venue}-{market}_{symbol}", "x").unwrap(), "binance-spot_BTCUSDT");
        assert_eq!(topic("bars", "x").unwrap(), "bars");
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        for (template, word) in [
            ("bars:{spec}", "\":\""),
            ("bars.{what}", "{what}"),
            ("bars.{spec", "without"),
            ("", "empty"),
        ] {
            let message = template.parse::<Template>().unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        assert!(topic("{spec}", "..").is_err());
        assert!(topic("{spec}", &"x".repeat(250)).is_err());
    }
}
