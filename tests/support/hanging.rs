//! What Kafka leaves behind when it forgets a mark: a record of a transaction that the coordinator knows
//! nothing of, or a transaction that is aborted and then said to be committed.
//!
//! No client does that: Produce (0), version 3, and WriteTxnMarkers (27), version 1, on the wire.
//! <https://kafka.apache.org/protocol>

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::transactions::{ask_version, exchange, producers};

/// Makes the broker take records of transactions that its coordinator does not know: else it asks.
pub fn without_verification(broker: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let config = AlterConfig::new(ResourceSpecifier::Broker(1))
        .set("transaction.partition.verification.enable", "false");
    let altered = futures_executor::block_on(admin.alter_configs([&config], &AdminOptions::new()));
    altered.unwrap().into_iter().for_each(|result| drop(result.unwrap()));
}

/// Leaves a record in partition 0 of a topic open, as if the producer that wrote last into `like` had
/// sent it.
pub fn leave_open(broker: &str, transactional_id: &str, like: &str, topic: &str, value: &[u8]) {
    let last = |topic| producers(broker, topic).into_iter().max_by_key(|known| known.last_time);
    let id = last(like).unwrap().producer;
    let known = producers(broker, topic).into_iter().find(|known| known.producer == id).unwrap();
    let batch = batch(id, known.epoch as i16, known.last_sequence as i32 + 1, value);
    let mut request = Vec::new();
    // Produce, version 3, correlation id 7, no client id.
    request.extend([0, 0, 0, 3, 0, 0, 0, 7, 0xff, 0xff]);
    text(&mut request, transactional_id);
    // All replicas, ten seconds, one topic, one partition: the first.
    request.extend((-1_i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    text(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((batch.len() as i32).to_be_bytes());
    request.extend(batch);
    let answer = exchange(broker, &request);
    // Correlation id, topics, name, partitions, number; then the error.
    let error = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "the broker refused the record");
}

/// Aborts what the producer that wrote last into `like` has open in partition 0 of a topic; the coordinator
/// does not hear of it.
pub fn abort_behind(broker: &str, like: &str, topic: &str) {
    let last = producers(broker, like).into_iter().max_by_key(|known| known.last_time).unwrap();
    // One mark, of one topic, of one partition, the first; lists say one more, tags there are none.
    let mut body = vec![2];
    body.extend(last.producer.to_be_bytes());
    body.extend((last.epoch as i16).to_be_bytes());
    body.extend([0, 2, topic.len() as u8 + 1]);
    body.extend(topic.as_bytes());
    body.extend([2, 0, 0, 0, 0, 0]);
    // The coordinator's epoch: of a broker that was started once.
    body.extend([0, 0, 0, 0, 0, 0]);
    let mut answer = ask_version(broker, 27, 1, &body);
    assert_eq!((answer.length(), answer.number(8), answer.length()), (1, last.producer, 1));
    assert_eq!((answer.text().as_str(), answer.length(), answer.number(4)), (topic, 1, 0));
    assert_eq!(answer.number(2), 0, "the broker refused the mark");
}

/// A text as Kafka writes it.
pub fn text(request: &mut Vec<u8>, text: &str) {
    request.extend((text.len() as i16).to_be_bytes());
    request.extend(text.as_bytes());
}

/// One record as a batch of a transaction.
fn batch(producer: i64, epoch: i16, sequence: i32, value: &[u8]) -> Vec<u8> {
    assert!(value.len() < 50, "lengths of one byte");
    // No attributes, no delta of time or offset, a key (compacted topics want one), the value, no
    // headers; lengths are zigzag.
    let mut record = vec![0, 0, 0, 2, b'x', value.len() as u8 * 2];
    record.extend(value);
    record.push(0);
    record.insert(0, record.len() as u8 * 2);
    let mut body = Vec::new();
    // Transactional; one record; no time worth mentioning.
    body.extend(0x10_i16.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend([0; 16]);
    body.extend(producer.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend(sequence.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(record);
    let mut batch = vec![0; 8];
    batch.extend((4 + 1 + 4 + body.len() as i32).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}
