//! What librdkafka's callbacks tell: which messages were delivered and where, and what went wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::outcome::Place;
use crate::printable::line;
use crate::telemetry::latency::{Stage, VenueLatency};

/// Whom to tell when a message is confirmed, and when its trade was received.
pub(super) type Ticket = Option<(Arc<VenueLatency>, i64)>;

/// What the callbacks have seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) delivered: AtomicU64,
    troubles: Mutex<Troubles>,
    /// The offsets of the transaction's messages, in the order in which they were sent.
    places: Mutex<Vec<Option<Place>>>,
}

#[derive(Clone, Default)]
pub(super) struct Troubles {
    /// The first message that was not delivered.
    pub(super) undelivered: Option<Undelivered>,
    /// The latest trouble with a connection. It may have passed since.
    pub(super) connection: Option<(RDKafkaErrorCode, String)>,
}

#[derive(Clone)]
pub(super) struct Undelivered {
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) cause: String,
}

impl Seen {
    pub(super) fn troubles(&self) -> MutexGuard<'_, Troubles> {
        // Nobody panics while holding it, and what it holds is valid at every moment.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Vec<Option<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What librdkafka gives back with the report on a message.
pub(super) struct Mail {
    pub(super) ticket: Ticket,
    /// Its place among those of its transaction.
    pub(super) number: usize,
}

/// librdkafka's callbacks.
pub(super) struct Reports {
    pub(super) seen: Arc<Seen>,
    pub(super) transactional: bool,
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // "All brokers are down" follows the reason and would hide it.
        let mut troubles = self.seen.troubles();
        if code != RDKafkaErrorCode::AllBrokersDown || troubles.connection.is_none() {
            troubles.connection = Some((code, line(reason).into_owned()));
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Mail>;

    fn delivery(&self, result: &DeliveryResult<'_>, mail: Box<Mail>) {
        match result {
            Ok(message) => {
                self.seen.delivered.fetch_add(1, Ordering::Relaxed);
                if self.transactional {
                    let (partition, offset) = (message.partition(), message.offset());
                    let mut places = self.seen.places();
                    if places.len() <= mail.number {
                        places.resize(mail.number + 1, None);
                    }
                    places[mail.number] = Some(Place { partition, offset });
                }
                if let Some((latency, received)) = mail.ticket {
                    latency.note(Stage::Acknowledged, received);
                }
            }
            Err((error, message)) => {
                self.seen.troubles().undelivered.get_or_insert_with(|| Undelivered {
                    topic: message.topic().to_owned(),
                    key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                    code: error.rdkafka_error_code(),
                    cause: cause(error),
                });
            }
        }
    }
}

/// librdkafka's words, without those of the wrapper around them.
pub(super) fn cause(error: &KafkaError) -> String {
    let text = match error {
        KafkaError::ClientConfig(_, text, _, _) | KafkaError::ClientCreation(text) => text.clone(),
        _ => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    };
    line(&text).into_owned()
}
