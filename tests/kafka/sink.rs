//! The Kafka sink against a real Kafka.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use barflow::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use barflow::sinks::encode::Encoding;
use barflow::sinks::encode::json::Int64;
use barflow::sinks::kafka::{HeaderStyle, KafkaSettings, KafkaSink};
use barflow::sinks::record::BarRecord;
use barflow_operators::published::PublishedBar;

use crate::support::avro::assert_same;
use crate::support::bars::{bar, feed, published};
use crate::support::kafka::{Received, broker, create_topic, read, read_each, unique};

const BTC: &str = "binance:spot:BTCUSDT";

fn settings(brokers: &str, spec: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: brokers.to_owned(),
        specs: vec![spec.to_owned()],
        create_topics: true,
        ..KafkaSettings::default()
    }
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn commit(bars: Vec<PublishedBar>) -> Commit {
    Commit { bars: bars.into_iter().map(|bar| (bar, 1)).collect(), ..Commit::default() }
}

fn deliver(settings: KafkaSettings, bars: Vec<PublishedBar>) -> Result<SinkReport, SinkError> {
    let mut sink = KafkaSink::open(settings)?;
    sink.commit(&commit(bars))?;
    sink.finish()
}

fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    result
}

fn headers(bar: &PublishedBar, content_type: &str) -> BTreeMap<String, String> {
    properties(&[
        ("spec", &bar.spec),
        ("schema_version", "4"),
        ("state_digest", &format!("{:016x}", bar.bar.state_digest)),
        ("close_reason", bar.bar.close_reason.as_str()),
        ("synchronised", "unknown"),
        ("content-type", content_type),
    ])
}

#[test]
fn json_bars_are_read_back_byte_for_byte() {
    let Some(kafka) = broker() else { return };
    let spec = unique("json");
    let bars: Vec<_> = (0..100).map(|n| published(&spec, &feed(BTC), bar(n))).collect();
    let report = deliver(settings(&kafka.plain, &spec), bars.clone()).unwrap();
    let topic = format!("bars.{spec}");
    assert_eq!(report.bars, 100);
    assert_eq!(report.places, [format!("{topic} at {}", kafka.plain)]);

    let expected: Vec<Received> = (0i64..)
        .zip(&bars)
        .map(|(offset, bar)| Received {
            partition: 0,
            offset,
            key: BTC.to_owned(),
            value: serde_json::to_vec(&BarRecord::from(bar)).unwrap(),
            timestamp: bar.bar.close_time / 1_000_000,
            headers: headers(bar, "application/json"),
        })
        .collect();
    assert_eq!(read(&kafka.plain, &topic), expected);
}

#[test]
fn avro_bars_are_read_back_by_another_library_field_by_field() {
    let Some(kafka) = broker() else { return };
    let spec = unique("avro");
    let mut runs = bar(1);
    (runs.theta_buy, runs.theta_sell, runs.threshold) = (Some(1.5), Some(f64::MAX), None);
    runs.first_trade_id = i64::MAX as u64;
    let bars: Vec<_> = [bar(0), runs].map(|bar| published(&spec, &feed(BTC), bar)).into();
    let encoding = Encoding::Avro;
    deliver(KafkaSettings { encoding, ..settings(&kafka.plain, &spec) }, bars.clone()).unwrap();

    let messages = read(&kafka.plain, &format!("bars.{spec}"));
    assert_eq!(messages.len(), bars.len());
    for (message, bar) in messages.iter().zip(&bars) {
        assert_same(&message.value, bar);
        assert_eq!(message.headers, headers(bar, "application/avro"));
    }
}

#[test]
fn two_hundred_thousand_bars_arrive_once_and_in_order_per_instrument() {
    let Some(kafka) = broker() else { return };
    const BARS: u64 = 50_000;
    let spec = unique("volume");
    let feeds = ["BTC", "ETH", "SOL", "XRP"].map(|s| feed(&format!("binance:spot:{s}USDT")));
    let settings = KafkaSettings { partitions: 3, ..settings(&kafka.plain, &spec) };
    let mut sink = KafkaSink::open(settings).unwrap();
    let start = Instant::now();
    for first in (0..BARS).step_by(1_000) {
        let bars = (first..first + 1_000)
            .flat_map(|n| feeds.iter().map(move |feed| (n, feed)))
            .map(|(n, feed)| published(&spec, feed, bar(n)))
            .collect();
        sink.commit(&commit(bars)).unwrap();
    }
    assert_eq!(sink.finish().unwrap().bars, 4 * BARS);
    println!("{:.0} bars/s", 4.0 * BARS as f64 / start.elapsed().as_secs_f64());

    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    read_each(&kafka.plain, &format!("bars.{spec}"), |message| {
        let digest = u64::from_str_radix(&message.headers["state_digest"], 16).unwrap();
        let expected = next.entry(message.key).or_default();
        assert_eq!(digest, bar(*expected).state_digest);
        *expected += 1;
    });
    assert_eq!(next.into_values().collect::<Vec<_>>(), [BARS; 4]);
}

#[test]
fn an_unknown_topic_is_an_error_at_the_start() {
    let Some(kafka) = broker() else { return };
    let spec = unique("unknown");
    let settings = KafkaSettings { create_topics: false, ..settings(&kafka.plain, &spec) };
    let error = soon(|| KafkaSink::open(settings).unwrap_err());
    assert_eq!(
        error.to_string(),
        format!(
            "kafka at \"{}\" has no topic \"bars.{spec}\"\n\
             hint: --create-topics creates missing topics",
            kafka.plain
        )
    );
}

#[test]
fn an_unknown_topic_of_an_instrument_not_foreseen_is_an_error_at_its_first_bar() {
    let Some(kafka) = broker() else { return };
    let spec = unique("late");
    let settings = KafkaSettings {
        create_topics: false,
        topic_template: "{spec}.{symbol}".into(),
        ..settings(&kafka.plain, &spec)
    };
    let mut sink = KafkaSink::open(settings).unwrap();
    let bars = commit(vec![published(&spec, &feed(BTC), bar(0))]);
    let error = soon(|| sink.commit(&bars).unwrap_err());
    assert!(error.to_string().contains(&format!("no topic \"{spec}.BTCUSDT\"")), "{error}");
}

#[test]
fn topics_are_created_with_the_template_and_kept_if_they_exist() {
    let Some(kafka) = broker() else { return };
    let spec = unique("made");
    let make = || KafkaSettings {
        topic_template: "{instrument}.{spec}".into(),
        instruments: vec![BTC.parse().unwrap()],
        partitions: 2,
        ..settings(&kafka.plain, &spec)
    };
    for seq in 0..2 {
        deliver(make(), vec![published(&spec, &feed(BTC), bar(seq))]).unwrap();
    }
    let messages = read(&kafka.plain, &format!("binance.spot.BTCUSDT.{spec}"));
    assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn an_unreachable_or_silent_broker_is_an_error_within_fifteen_seconds() {
    // Nobody listens on the first; the second takes the connection and says nothing.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    for (address, cause) in [(&closed, "Connection refused"), (&silent_address, "")] {
        let error = soon(|| KafkaSink::open(settings(address, "x")).unwrap_err());
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
        let text = error.to_string();
        println!("{text}");
        assert!(text.contains(address) && text.contains(cause), "{text}");
    }
}

#[test]
fn a_broker_that_dies_under_way_is_an_error_within_fifteen_seconds_and_nothing_is_reported_done() {
    if broker().is_none() {
        return;
    }
    if std::env::var("BARFLOW_TEST_KAFKA").is_ok() {
        println!("SKIPPED: a broker of our own is needed, to kill it");
        return;
    }
    let own = crate::support::kafka::start(&[]);
    let spec = unique("dies");
    let mut sink = KafkaSink::open(settings(&own.plain, &spec)).unwrap();
    sink.commit(&commit(vec![published(&spec, &feed(BTC), bar(0))])).unwrap();
    assert_eq!(sink.finish().unwrap().bars, 1);
    let address = own.plain.clone();
    own.kill();
    let error = soon(|| {
        sink.commit(&commit(vec![published(&spec, &feed(BTC), bar(1))])).unwrap();
        sink.finish().unwrap_err()
    });
    println!("{error}");
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("unconfirmed bars: 1"), "{text}");
}

#[test]
fn a_message_too_large_for_the_topic_stops_the_run_and_stays_an_error() {
    let Some(kafka) = broker() else { return };
    let spec = unique("large");
    let topic = format!("bars.{spec}");
    let limits = [("max.message.bytes", "300"), ("retention.ms", "-1")];
    create_topic(&kafka.plain, &topic, 1, &limits);
    let settings = KafkaSettings {
        properties: properties(&[("compression.type", "none")]),
        ..settings(&kafka.plain, &spec)
    };
    let mut sink = KafkaSink::open(settings).unwrap();
    let bars = commit(vec![published(&spec, &feed(BTC), bar(0))]);
    let error = soon(|| sink.commit(&bars).and_then(|()| sink.finish()).unwrap_err());
    println!("{error}");
    let text = error.to_string();
    for part in [kafka.plain.as_str(), &topic, BTC, "too large", "max.message.bytes"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(sink.commit(&commit(vec![])).unwrap_err().to_string(), text);
    assert_eq!(sink.finish().unwrap_err().to_string(), text);
}

#[test]
fn a_bar_from_the_future_is_refused_by_the_broker_and_the_message_says_why() {
    let Some(kafka) = broker() else { return };
    let spec = unique("future");
    // With the broker's limit, which topics that we create have not.
    create_topic(&kafka.plain, &format!("bars.{spec}"), 1, &[("retention.ms", "-1")]);
    let mut late = bar(0);
    late.close_time = 7_000_000_000_000_000_000;
    let error = deliver(settings(&kafka.plain, &spec), vec![published(&spec, &feed(BTC), late)])
        .unwrap_err();
    assert!(error.to_string().contains("timestamps in the future"), "{error}");
}

#[test]
fn a_bar_that_no_longer_stands_is_listed_as_such() {
    let Some(kafka) = broker() else { return };
    let spec = unique("correction");
    let mut sink = KafkaSink::open(settings(&kafka.plain, &spec)).unwrap();
    let mut bars = commit((0..2).map(|n| published(&spec, &feed(BTC), bar(n))).collect());
    bars.bars[1].1 = -1;
    sink.commit(&bars).unwrap();
    sink.finish().unwrap();
    let found = read(&kafka.plain, &format!("bars.{spec}"));
    let retracts = found.iter().map(|message| {
        let value: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
        (value["seq"].as_u64().unwrap(), value["retracts"].as_bool().unwrap())
    });
    assert_eq!(retracts.collect::<Vec<_>>(), [(0, false), (1, true)]);
}

#[test]
fn an_override_of_the_guarantee_is_refused_before_anything_is_contacted() {
    let settings = KafkaSettings {
        properties: properties(&[("enable.idempotence", "false"), ("acks", "1")]),
        ..settings("127.0.0.1:1", "x")
    };
    let start = Instant::now();
    let error = KafkaSink::open(settings).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    let text = error.to_string();
    assert!(text.contains("\"acks\" is \"1\"") && text.contains("needs \"all\""), "{text}");
    assert!(text.contains("is \"false\"") && text.contains("needs \"true\""), "{text}");
}

#[test]
fn sasl_lets_the_right_password_in_and_never_shows_the_wrong_one() {
    let Some(kafka) = broker() else { return };
    let Some(address) = &kafka.sasl else {
        println!("SKIPPED: this broker has no SASL listener");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let login = |spec: &str, mechanism: &str, user: &str, password: &str| {
        let file = folder.path().join(user);
        std::fs::write(&file, format!("{password}\n")).unwrap();
        KafkaSettings {
            properties: properties(&[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", mechanism),
                ("sasl.username", user),
                ("sasl.password", &format!("${{file:{}}}", file.display())),
            ]),
            ..settings(address, spec)
        }
    };
    let (user, password) = crate::support::kafka::USER;
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let spec = unique("sasl");
        let bars = vec![published(&spec, &feed(BTC), bar(0))];
        let settings = login(&spec, mechanism, user, password);
        assert_eq!(deliver(settings.clone(), bars).unwrap().bars, 1);
        assert_eq!(read(&kafka.plain, &format!("bars.{spec}")).len(), 1);
        let topic = format!("kafka://{address}/bars.{spec}");
        assert_eq!(barflow::compare::source::read(&topic, &settings).unwrap().len(), 1);

        let settings = login(&spec, mechanism, user, "wrong-password-5");
        assert!(!format!("{settings:?}").contains("wrong-password-5"));
        let error = soon(|| KafkaSink::open(settings).unwrap_err());
        println!("{error}");
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains("refused the login"), "{error}");
        assert!(!format!("{error} {error:?}").contains("wrong-password-5"), "{error:?}");
    }
    let spec = unique("guest");
    create_topic(&kafka.plain, &format!("bars.{spec}"), 1, &[]);
    let (user, password) = crate::support::kafka::GUEST;
    let error = soon(|| KafkaSink::open(login(&spec, "PLAIN", user, password)).unwrap_err());
    println!("{error}");
    assert!(error.to_string().contains("authorization failed"), "{error}");
}

#[test]
fn tls_needs_a_certificate_that_is_trusted() {
    let Some(kafka) = broker() else { return };
    let Some((address, certificate)) = &kafka.tls else {
        println!("SKIPPED: this broker has no TLS listener");
        return;
    };
    let spec = unique("tls");
    let trusting = properties(&[
        ("security.protocol", "ssl"),
        ("ssl.ca.location", certificate.to_str().unwrap()),
    ]);
    let bars = vec![published(&spec, &feed(BTC), bar(0))];
    let settings = |properties| KafkaSettings { properties, ..settings(address, &spec) };
    assert_eq!(deliver(settings(trusting), bars).unwrap().bars, 1);
    assert_eq!(read(&kafka.plain, &format!("bars.{spec}")).len(), 1);

    let suspicious = properties(&[("security.protocol", "ssl")]);
    let error = soon(|| KafkaSink::open(settings(suspicious)).unwrap_err());
    println!("{error}");
    assert!(error.to_string().contains("could not be trusted"), "{error}");
}

#[test]
fn cloudevents_headers_and_int64_strings_are_on_the_wire() {
    let Some(kafka) = broker() else { return };
    let spec = unique("events");
    let bars: Vec<_> = (0..2).map(|n| published(&spec, &feed(BTC), bar(n))).collect();
    let wire = KafkaSettings {
        headers: HeaderStyle::CloudEvents,
        int64: Int64::Text,
        job: Some("wire".to_owned()),
        ..settings(&kafka.plain, &spec)
    };
    deliver(wire, bars.clone()).unwrap();
    let messages = read(&kafka.plain, &format!("bars.{spec}"));
    assert_eq!(messages.len(), bars.len());
    for (message, bar) in messages.iter().zip(&bars) {
        let mut expected = headers(bar, "application/json");
        let id = format!("{BTC}/{spec}/{}/0", bar.bar.last_trade_id);
        expected.extend(properties(&[
            ("job", "wire"),
            ("ce_id", &id),
            ("ce_source", "/barflow/wire"),
            ("ce_type", "barflow.bar"),
            ("ce_specversion", "1.0"),
        ]));
        let time = message.headers["ce_time"].clone();
        assert!(time.starts_with("2024-03-01T00:00:0") && time.ends_with(".999999999Z"), "{time}");
        expected.insert("ce_time".to_owned(), time);
        assert_eq!(message.headers, expected);
        let value: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(value["known_time"], bar.bar.known_time.to_string());
    }
}
