//! Headers of a record: what readers need before they decode its value.

use barflow_operators::published::PublishedBar;
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use super::tails;
use crate::sinks::encode::Encoding;
use crate::sinks::record::{BarRecord, SCHEMA_VERSION, hex_digest};

/// Which headers records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderStyle {
    /// Those of barflow.
    #[default]
    Plain,
    /// Those of barflow, and those of CloudEvents 1.0 (Kafka binding 1.0.3, binary mode).
    CloudEvents,
}

/// The headers of a bar.
pub(super) fn headers(
    style: HeaderStyle,
    (bar, record): (&PublishedBar, &BarRecord<'_>),
    encoding: Encoding,
    job: Option<&str>,
) -> OwnedHeaders {
    let (version, digest) = (SCHEMA_VERSION.to_string(), hex_digest(record.state_digest));
    let mut headers = OwnedHeaders::new_with_capacity(12);
    let mut add = |key: &str, value: &str| {
        let taken = std::mem::take(&mut headers);
        headers = taken.insert(Header { key, value: Some(value) });
    };
    add("spec", record.spec);
    add("schema_version", &version);
    add("state_digest", &digest);
    add("close_reason", record.close_reason);
    add("synchronised", bar.synchronised.as_str());
    add("content-type", encoding.content_type());
    if let Some(job) = job {
        add(tails::JOB, job);
    }
    match style {
        HeaderStyle::Plain => headers,
        HeaderStyle::CloudEvents => {
            let (id, kind) = event(record);
            with_event(headers, job, (&id, kind), record.known_time)
        }
    }
}

/// Adds the headers of CloudEvents: an event of this id and type, at this event time (ns).
pub(super) fn with_event(
    mut headers: OwnedHeaders,
    job: Option<&str>,
    (id, kind): (&str, &str),
    time: i64,
) -> OwnedHeaders {
    let source = job.map_or("/barflow".to_owned(), |job| format!("/barflow/{job}"));
    for (key, value) in
        [("ce_id", id), ("ce_source", &source), ("ce_type", kind), ("ce_specversion", "1.0")]
    {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    // Times outside the years that jiff knows have no text.
    match Timestamp::from_nanosecond(time.into()) {
        Ok(time) => headers.insert(Header { key: "ce_time", value: Some(&time.to_string()) }),
        Err(_) => headers,
    }
}

/// Id and type of the event that a record tells. A withdrawal is another event than the bar.
fn event(record: &BarRecord<'_>) -> (String, &'static str) {
    let version = format!("{}/{}", record.bar_id, record.revision);
    match record.retracts {
        false => (version, "barflow.bar"),
        true => (format!("{version}/retracted"), "barflow.bar.retracted"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::Feed;
    use barflow_operators::convergence::monitor::Synchronised;
    use rdkafka::message::Headers;

    use super::*;

    fn of(style: HeaderStyle, revision: u32, diff: isize) -> Vec<(String, String)> {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let open = OpenBar {
            close_time: 1_709_251_200_000_000_001,
            last_trade_id: 7,
            ..OpenBar::default()
        };
        let mut bar = open.finish(0, &Levels::default(), CloseReason::Threshold, 0xab);
        bar.revision = revision;
        let (spec, received) = ("dib".into(), None);
        let bar = PublishedBar { spec, feed, bar, received, synchronised: Synchronised::No };
        let record = BarRecord::of(&bar, diff);
        let made = headers(style, (&bar, &record), Encoding::Json, Some("j"));
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        made.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    }

    #[test]
    fn the_headers_of_a_bar() {
        let plain = [
            ("spec", "dib"),
            ("schema_version", "4"),
            ("state_digest", "00000000000000ab"),
            ("close_reason", "threshold"),
            ("synchronised", "false"),
            ("content-type", "application/json"),
            ("job", "j"),
        ];
        let event = [
            ("ce_id", "a:b:C/dib/7/2"),
            ("ce_source", "/barflow/j"),
            ("ce_type", "barflow.bar"),
            ("ce_specversion", "1.0"),
            ("ce_time", "2024-03-01T00:00:00.000000001Z"),
        ];
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(of(HeaderStyle::Plain, 2, 1), owned(&plain));
        assert_eq!(of(HeaderStyle::CloudEvents, 2, 1), owned(&[&plain[..], &event].concat()));
    }

    #[test]
    fn a_withdrawal_is_an_event_of_its_own() {
        let withdrawn = of(HeaderStyle::CloudEvents, 1, -1);
        assert!(withdrawn.contains(&("ce_id".to_owned(), "a:b:C/dib/7/1/retracted".to_owned())));
        assert!(withdrawn.contains(&("ce_type".to_owned(), "barflow.bar.retracted".to_owned())));
    }
}
