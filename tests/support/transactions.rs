//! Which transactions a broker holds open, and whether its coordinator knows of them.
//!
//! The client library cannot ask: DescribeProducers (61) and ListTransactions (66), both version 0, on
//! the wire. <https://kafka.apache.org/protocol>

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::jobs::Job;
use super::kafka::{Broker, broker, start};
use super::process::{Process, wait_until};

const DESCRIBE_PRODUCERS: i16 = 61;
const LIST_TRANSACTIONS: i16 = 66;

/// A transaction that has begun and not ended in partition 0 of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub topic: String,
    pub producer: i64,
    /// Offset of its first record.
    pub start: i64,
    /// Whether the coordinator still means to end it.
    pub known: bool,
}

/// A case that harms a broker which nobody else needs.
pub fn with_own_broker(case: impl Fn(&Broker)) {
    if broker().is_none() {
        return;
    }
    if std::env::var("BARFLOW_TEST_KAFKA").is_ok() {
        println!("SKIPPED: a broker of our own is needed, to stop it");
        return;
    }
    case(&start(&[]));
}

/// Transactions that are open.
pub fn open(broker: &str, topics: &[&str]) -> Vec<Open> {
    let mut found = Vec::new();
    for (topic, producer, start) in begun(broker, topics) {
        found.push(Open { topic, producer, start, known: false });
    }
    let known = known(broker);
    for open in &mut found {
        open.known = known.contains(&open.producer);
    }
    found
}

/// Stops a run while something is open in its topic of bars beside that of so many others.
pub fn stop_amid_a_transaction(broker: &str, job: &Job, running: &mut Process, others: usize) {
    loop {
        running.signal("STOP");
        assert!(running.runs(), "it had ended before");
        // One that was just committed is open until its mark is written.
        std::thread::sleep(Duration::from_millis(300));
        if open(broker, &[&job.topic]).len() > others {
            return;
        }
        running.signal("CONT");
        std::thread::sleep(Duration::from_millis(7));
    }
}

/// Waits until the broker has ended what is open in these topics.
pub fn wait_until_ended(broker: &str, topics: &[&str]) {
    wait_until("open transactions time out", || open(broker, topics).is_empty());
}

/// Topic, producer and first offset of every transaction that is open in a partition 0.
fn begun(broker: &str, topics: &[&str]) -> Vec<(String, i64, i64)> {
    let mut found = Vec::new();
    for topic in topics {
        for known in producers(broker, topic) {
            if known.start >= 0 {
                found.push(((*topic).to_owned(), known.producer, known.start));
            }
        }
    }
    found
}

/// What a partition remembers of a producer.
#[derive(Clone, Debug)]
pub struct Known {
    pub producer: i64,
    pub epoch: i64,
    pub last_sequence: i64,
    /// ms since the Unix epoch.
    pub last_time: i64,
    /// Offset of the first record of its transaction; negative if none is open.
    pub start: i64,
}

/// The producers that partition 0 of a topic remembers.
pub fn producers(broker: &str, topic: &str) -> Vec<Known> {
    let mut body = vec![2, topic.len() as u8 + 1];
    body.extend(topic.as_bytes());
    body.extend([2, 0, 0, 0, 0, 0, 0]);
    let mut answer = ask(broker, DESCRIBE_PRODUCERS, &body);
    let mut found = Vec::new();
    answer.number(4);
    for _ in 0..answer.length() {
        answer.text();
        for _ in 0..answer.length() {
            answer.number(4);
            assert_eq!(answer.number(2), 0, "{topic}");
            answer.text();
            for _ in 0..answer.length() {
                let (producer, epoch) = (answer.number(8), answer.number(4));
                let (last_sequence, last_time) = (answer.number(4), answer.number(8));
                // The coordinator's epoch.
                answer.number(4);
                let start = answer.number(8);
                answer.end();
                found.push(Known { producer, epoch, last_sequence, last_time, start });
            }
            answer.end();
        }
        answer.end();
    }
    found
}

/// Producers whose transaction the coordinator has not ended.
fn known(broker: &str) -> BTreeSet<i64> {
    // No filter of states, none of producers.
    let mut answer = ask(broker, LIST_TRANSACTIONS, &[1, 1, 0]);
    let mut known = BTreeSet::new();
    answer.number(4);
    assert_eq!(answer.number(2), 0);
    for _ in 0..answer.length() {
        answer.text();
    }
    for _ in 0..answer.length() {
        answer.text();
        let producer = answer.number(8);
        if matches!(answer.text().as_str(), "Ongoing" | "PrepareCommit" | "PrepareAbort") {
            known.insert(producer);
        }
        answer.end();
    }
    known
}

/// Asks a question; the answer behind its header.
fn ask(broker: &str, question: i16, body: &[u8]) -> Answer {
    ask_version(broker, question, 0, body)
}

/// The same in this version.
pub fn ask_version(broker: &str, question: i16, version: u8, body: &[u8]) -> Answer {
    let mut request = question.to_be_bytes().to_vec();
    // Correlation id 7, no client id, no tags.
    request.extend([0, version, 0, 0, 0, 7, 0xff, 0xff, 0]);
    request.extend(body);
    let bytes = exchange(broker, &request);
    let mut answer = Answer { bytes, at: 0 };
    assert_eq!(answer.number(4), 7, "another question's answer");
    answer.end();
    answer
}

/// The answer to a request, header and all.
pub fn exchange(broker: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&(request.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// An answer, read from its beginning.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, count: usize) -> &[u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    /// A signed number of so many bytes.
    pub fn number(&mut self, size: usize) -> i64 {
        let bytes = self.take(size);
        let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
        bytes.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte))
    }

    /// How long a text or a list is, which is written as one more; none counts as empty.
    pub fn length(&mut self) -> usize {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return usize::saturating_sub(length, 1);
            }
        }
    }

    pub fn text(&mut self) -> String {
        let length = self.length();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    /// The end of a structure: there are no tags that we know.
    fn end(&mut self) {
        assert_eq!(self.take(1), [0], "tags");
    }
}
