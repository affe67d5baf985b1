//! Which topic a bar goes to, and the making of topics.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use barflow_operators::instrument::InstrumentId;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

/// Kafka's own limit on the length of a topic's name.
const LONGEST: usize = 249;

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

/// Creates topics; those that exist by now are left as they are.
///
/// # Errors
/// The first refusal, with topic and reason.
pub(super) fn create(
    config: &ClientConfig,
    topics: &[String],
    partitions: i32,
    patience: Duration,
) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> =
        config.create().map_err(|error| error.to_string())?;
    // -1: as many replicas as the brokers are configured to keep.
    let is_current = |name: &str| name.ends_with(super::CURRENT);
    let new = |name| {
        NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
            .set("cleanup.policy", if is_current(name) { "compact" } else { "delete" })
            // The producer has compressed already; the broker need not do it again.
            .set("compression.type", "producer")
            // A bar's timestamp is its close time. Kept for a number of days after that, a bar of
            // last year would go as soon as it came.
            .set("retention.ms", "-1")
            .set("message.timestamp.type", "CreateTime")
    };
    let new: Vec<NewTopic<'_>> = topics.iter().map(|name| new(name.as_str())).collect();
    let options =
        AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
    let results = futures_executor::block_on(admin.create_topics(&new, &options))
        .map_err(|error| error.to_string())?;
    let mut refused = String::new();
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let separator = if refused.is_empty() { "" } else { "; " };
                // Writing to a String cannot fail.
                let _ = write!(refused, "{separator}topic \"{topic}\": {code}");
            }
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
