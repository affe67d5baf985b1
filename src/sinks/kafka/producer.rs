//! A producer that knows what became of every message.
//!
//! ```text
//! send ─► librdkafka's queue ─► broker
//!   ▲                             │ delivery report, one per message
//!   └── first failure, silence ◄──┘ read by poll, on the caller's thread
//! ```
//!
//! **Invariants:** a message is counted as delivered only by its report; after the first failure
//! every call fails with it; while messages are outstanding, Kafka is silent for at most
//! `patience`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::outcome::Place;
use super::remedy::{Remedy, hint};
use super::reports::{Mail, Reports, Seen, Ticket, Undelivered, cause};
use super::secrets::Secrets;
use crate::graph::sink::SinkError;

/// Reports are read after so many sends at the latest; a read costs about as much as a send.
const SENDS_PER_POLL: u64 = 64;

/// How long to sleep in librdkafka while waiting: `poll` always uses up its time, so short.
const PAUSE: Duration = Duration::from_millis(5);

/// The shortest time in which a transactional call is repeated. librdkafka forgets a commit that is under way if the
/// repeated call is not taken up in time, takes Kafka's answer for that of an abort, and ends the process.
const SHORTEST_CALL: Duration = Duration::from_secs(1);

/// A bar as a message.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    /// None for the one that the key belongs to.
    pub(super) partition: Option<i32>,
    pub(super) key: &'a str,
    /// None deletes the key from a compacted topic.
    pub(super) value: Option<&'a [u8]>,
    /// ms since the Unix epoch; none for now.
    pub(super) timestamp: Option<i64>,
    pub(super) headers: OwnedHeaders,
    pub(super) ticket: Ticket,
}

/// Why a step of a transaction did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another producer of the same transactional id has begun, or the broker gave up on us.
    Fenced,
    /// The broker does not know itself: seen when another producer began just then.
    Unclear(SinkError),
    /// Anything else.
    Failed(SinkError),
}

impl From<SinkError> for Fault {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Fenced(_) => Self::Fenced,
            error => Self::Failed(error),
        }
    }
}

/// The producer.
pub(super) struct Producer {
    client: BaseProducer<Reports>,
    seen: Arc<Seen>,
    brokers: String,
    secrets: Secrets,
    patience: Duration,
    transactional: bool,
    sent: u64,
    /// Messages of the transaction.
    number: usize,
    progress: Progress,
}

/// When Kafka last did something for us.
struct Progress {
    delivered: u64,
    since: Instant,
}

impl Producer {
    /// A producer. Does not wait for a connection.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn new(
        config: &ClientConfig,
        brokers: &str,
        secrets: Secrets,
        patience: Duration,
    ) -> Result<Self, SinkError> {
        let seen = Arc::new(Seen::default());
        let (brokers, transactional) =
            (brokers.to_owned(), config.get("transactional.id").is_some());
        let reports = Reports { seen: Arc::clone(&seen), transactional };
        let client =
            config.create_with_context(reports).map_err(|error| {
                SinkError::Settings(vec![secrets.remove_from(&format!(
                    "librdkafka refused the configuration: {}",
                    cause(&error)
                ))])
            })?;
        let progress = Progress { delivered: 0, since: Instant::now() };
        Ok(Self {
            client,
            seen,
            brokers,
            secrets,
            patience,
            transactional,
            sent: 0,
            number: 0,
            progress,
        })
    }

    /// How many messages Kafka has confirmed.
    pub(super) fn delivered(&self) -> u64 {
        self.seen.delivered.load(Ordering::Relaxed)
    }

    /// The offsets of the transaction's messages, in the order in which they were sent: those up
    /// to the first that is not confirmed.
    pub(super) fn take_places(&self) -> Vec<Place> {
        let places = std::mem::take(&mut *self.seen.places());
        places.into_iter().map_while(|place| place).collect()
    }

    /// Asks Kafka about a topic, or about all.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] when no broker responds within the time-out, and at once
    /// [`SinkError::Refused`] when Kafka refuses the login or the certificate is not trusted: that does not
    /// get better.
    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, SinkError> {
        let start = Instant::now();
        loop {
            let left = self.patience.saturating_sub(start.elapsed());
            let result =
                self.client.client().fetch_metadata(topic, left.min(Duration::from_millis(500)));
            let error = match result {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            self.client.poll(PAUSE);
            let connection = self.seen.troubles().connection.clone();
            if let Some((code, reason)) = &connection {
                let hopeless = match code {
                    RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed => Some("refused the login"),
                    RDKafkaErrorCode::SSL => Some("could not be trusted"),
                    _ => None,
                };
                if let Some(what) = hopeless {
                    let text = format!("kafka at \"{}\" {what}: {reason}", self.brokers);
                    return Err(self.failure(Some(*code), &text));
                }
            }
            if left.is_zero() {
                let reason = connection.map_or_else(|| cause(&error), |(_, reason)| reason);
                return Err(self.silence(&reason));
            }
        }
    }

    /// Hands a message over; waits while the queue is full.
    ///
    /// # Errors
    /// When this or an earlier message was refused, or Kafka is silent.
    pub(super) fn send(&mut self, outgoing: Outgoing<'_>) -> Result<(), SinkError> {
        if self.sent == self.progress.delivered {
            // Kafka has received no request until now, so it has not been silent.
            self.progress.since = Instant::now();
        }
        let mail = Mail { ticket: outgoing.ticket, number: self.number };
        let mut record: BaseRecord<'_, str, [u8], Box<Mail>> =
            BaseRecord::with_opaque_to(outgoing.topic, Box::new(mail))
                .key(outgoing.key)
                .headers(outgoing.headers);
        if let Some(value) = outgoing.value {
            record = record.payload(value);
        }
        if let Some(partition) = outgoing.partition {
            record = record.partition(partition);
        }
        if let Some(timestamp) = outgoing.timestamp {
            record = record.timestamp(timestamp);
        }
        loop {
            match self.client.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.wait()?;
                }
                Err((error, _)) => {
                    return Err(self.refused(&Undelivered {
                        topic: outgoing.topic.to_owned(),
                        key: outgoing.key.to_owned(),
                        code: error.rdkafka_error_code(),
                        cause: cause(&error),
                    }));
                }
            }
        }
        self.sent += 1;
        self.number += 1;
        if self.sent.is_multiple_of(SENDS_PER_POLL) {
            self.client.poll(Duration::ZERO);
            self.check()?;
        }
        Ok(())
    }

    /// Reads the reports that are there.
    ///
    /// # Errors
    /// When a message was not delivered, or Kafka is silent.
    pub(super) fn check(&mut self) -> Result<(), SinkError> {
        self.client.poll(Duration::ZERO);
        if let Some(undelivered) = self.seen.troubles().undelivered.clone() {
            return Err(self.refused(&undelivered));
        }
        if self.waited_too_long() {
            // Reports may wait unread after other events: a last look.
            self.client.poll(PAUSE * 10);
            if self.waited_too_long() {
                let connection = self.seen.troubles().connection.clone();
                let reason = connection.map_or_else(|| "no reason known".to_owned(), |(_, r)| r);
                let waiting = self.sent - self.delivered();
                return Err(self.silence(&format!("{reason}; unconfirmed bars: {waiting}")));
            }
        }
        Ok(())
    }

    /// Becomes the only producer of its transactional id: an older one is fenced, and what it left
    /// open is aborted.
    ///
    /// # Errors
    /// [`Fault::Fenced`] when somebody else did the same just now.
    pub(super) fn init_transactions(&self) -> Result<(), Fault> {
        self.patiently(|patience| self.client.init_transactions(patience))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the last one did not end well.
    pub(super) fn begin_transaction(&mut self) -> Result<(), Fault> {
        self.number = 0;
        self.seen.places().clear();
        self.client.begin_transaction().map_err(|error| self.fault(&error))
    }

    /// Commits; every message has been reported on before. A fault leaves the outcome unknown.
    ///
    /// # Errors
    /// When Kafka does not say that it is committed.
    pub(super) fn commit_transaction(&self) -> Result<(), Fault> {
        self.patiently(|patience| self.client.commit_transaction(patience))
    }

    /// Ends a transaction of which nothing counts.
    ///
    /// # Errors
    /// When Kafka does not say that it is aborted.
    pub(super) fn abort_transaction(&self) -> Result<(), Fault> {
        self.patiently(|patience| self.client.abort_transaction(patience))
    }

    /// Asks again for as long as asking again is right.
    fn patiently(&self, ask: impl Fn(Duration) -> Result<(), KafkaError>) -> Result<(), Fault> {
        let start = Instant::now();
        let mut left = self.patience;
        loop {
            let Err(error) = ask(left) else { return Ok(()) };
            let again = matches!(&error, KafkaError::Transaction(e) if e.is_retriable());
            match time_to_ask_again(self.patience, start.elapsed()).filter(|_| again) {
                Some(time) => left = time,
                None => return Err(self.fault(&error)),
            }
            self.client.poll(PAUSE);
        }
    }

    fn fault(&self, error: &KafkaError) -> Fault {
        let text = match error {
            KafkaError::Transaction(error) => error.to_string(),
            _ => cause(error),
        };
        let code = error.rdkafka_error_code();
        let text = format!("kafka at \"{}\": {text}{}", self.brokers, hint(code));
        match (self.failure(code, &text), code) {
            (error, Some(RDKafkaErrorCode::Unknown)) => Fault::Unclear(error),
            (error, _) => Fault::from(error),
        }
    }

    /// What failed with this code, without secrets.
    pub(super) fn failure(&self, code: Option<RDKafkaErrorCode>, text: &str) -> SinkError {
        Remedy::of(code).error(self.secrets.remove_from(text), self.transactional)
    }

    /// Why the whole transaction failed, if it did. Messages that go down with it do not say.
    fn transaction_failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        // Refused while a transaction is under way, with the reason if that one has failed.
        match self.client.begin_transaction() {
            Err(KafkaError::Transaction(error)) => match error.code() {
                RDKafkaErrorCode::State | RDKafkaErrorCode::NotConfigured => None,
                code => Some((code, error.to_string())),
            },
            _ => None,
        }
    }

    /// Waits until every message is reported on.
    ///
    /// # Errors
    /// When one was not delivered, or Kafka is silent.
    pub(super) fn drain(&mut self) -> Result<(), SinkError> {
        // Not `flush`: it sleeps for 100 ms whether or not the reports are there.
        while self.client.in_flight_count() > 0 {
            self.wait()?;
        }
        self.check()?;
        // librdkafka owes a report for each message it took; a missing one would be a lost bar.
        let (sent, delivered) = (self.sent, self.delivered());
        if sent != delivered {
            let brokers = &self.brokers;
            let text = format!("kafka at \"{brokers}\" reported on {delivered} of {sent} messages");
            return Err(self.unavailable(&text));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), SinkError> {
        self.client.poll(PAUSE);
        self.check()
    }

    fn waited_too_long(&mut self) -> bool {
        let delivered = self.delivered();
        if delivered != self.progress.delivered {
            self.progress = Progress { delivered, since: Instant::now() };
        }
        self.sent > delivered && self.progress.since.elapsed() > self.patience
    }

    fn silence(&self, reason: &str) -> SinkError {
        self.unavailable(&format!(
            "kafka at \"{}\" did not respond within {:?}: {reason}",
            self.brokers, self.patience
        ))
    }

    fn refused(&self, undelivered: &Undelivered) -> SinkError {
        let Undelivered { topic, key, code, cause } = undelivered;
        let (mut code, mut cause) = (*code, cause.clone());
        if let Some(
            RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::State
            | RDKafkaErrorCode::Fatal,
        ) = code
            && let Some((why, text)) = self.transaction_failure()
        {
            (code, cause) = (Some(why), text);
        }
        let text = format!(
            "kafka at \"{}\" rejected a record of \"{key}\" for topic \"{topic}\": {cause}{}",
            self.brokers,
            hint(code)
        );
        self.failure(code, &text)
    }

    /// An error without secrets.
    pub(super) fn unavailable(&self, text: &str) -> SinkError {
        SinkError::Unavailable(self.secrets.remove_from(text))
    }
}

/// How long a transactional call may take that is repeated after `elapsed` of `patience`; none if it is not repeated.
fn time_to_ask_again(patience: Duration, elapsed: Duration) -> Option<Duration> {
    patience.checked_sub(elapsed).filter(|left| *left >= SHORTEST_CALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactional_call_is_repeated_only_if_there_is_time_for_it() {
        let again = |patience, elapsed| {
            time_to_ask_again(Duration::from_millis(patience), Duration::from_millis(elapsed))
        };
        assert_eq!(again(10_000, 100), Some(Duration::from_millis(9_900)));
        assert_eq!(again(10_000, 9_000), Some(SHORTEST_CALL));
        for (patience, elapsed) in [(10_000, 9_001), (10_000, 10_000), (10_000, 17_000), (500, 0)] {
            assert_eq!(again(patience, elapsed), None, "{elapsed} of {patience} ms");
        }
    }
}
