//! A real Kafka for tests: one node per test binary, gone when the binary ends, however it ends.
//!
//! `BARFLOW_TEST_KAFKA=host:port` uses one that runs already (without its SASL and TLS listeners);
//! `BARFLOW_SKIP_KAFKA=1` leaves the tests out, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::process;

/// A user who may do everything.
pub const USER: (&str, &str) = ("alice", "tiger-lily-7");
/// A user who may do nothing.
pub const GUEST: (&str, &str) = ("guest", "no-rights-3");

/// A running broker.
pub struct Broker {
    /// `host:port` without encryption or login.
    pub plain: String,
    /// `host:port` that asks for SASL PLAIN or SCRAM-SHA-256, if there is one.
    pub sasl: Option<String>,
    /// `host:port` with TLS, and the certificate to trust, if there is one.
    pub tls: Option<(String, PathBuf)>,
    /// Ends when its standard input does, and takes the broker along: the system closes that when
    /// this process is gone, even killed.
    keeper: Option<Child>,
    directory: PathBuf,
}

impl Broker {
    /// Ends it as a crash would, or in good order; its folder stays.
    pub fn stop(&self, options: &[&str]) {
        self.tell(&[&["stop"], options].concat());
    }

    /// Starts it again on the same port, with its data.
    pub fn start_again(&self) {
        self.tell(&["start"]);
    }

    fn tell(&self, command: &[&str]) {
        assert!(self.keeper.is_some(), "a broker of our own is needed");
        let status = script().args(command).arg("--dir").arg(&self.directory).status().unwrap();
        assert!(status.success());
    }

    /// Suspends it, or lets it continue: a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.directory.join("pid")).unwrap();
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid.trim()).status();
        assert!(status.unwrap().success());
    }

    /// Ends a broker as a crash would, and waits until it is gone.
    pub fn kill(mut self) {
        let mut keeper = self.keeper.take().unwrap();
        drop(keeper.stdin.take());
        assert!(keeper.wait().unwrap().success());
    }
}

/// The broker of this test binary; none if the tests are to be skipped.
///
/// # Panics
/// If there is to be one and there is none: a test that silently skips proves nothing.
pub fn broker() -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    let found = BROKER.get_or_init(|| {
        if std::env::var("BARFLOW_SKIP_KAFKA").is_ok_and(|value| value == "1") {
            return None;
        }
        Some(match std::env::var("BARFLOW_TEST_KAFKA") {
            Ok(plain) => {
                Broker { plain, sasl: None, tls: None, keeper: None, directory: PathBuf::new() }
            }
            Err(_) => start(&[
                "--sasl",
                &format!("{}:{}", USER.0, USER.1),
                "--sasl",
                &format!("{}:{}", GUEST.0, GUEST.1),
                "--tls",
            ]),
        })
    });
    if found.is_none() {
        println!("SKIPPED: BARFLOW_SKIP_KAFKA=1");
    }
    found.as_ref()
}

/// A broker with these options of `deploy/kafka/broker`, in a folder of its own.
pub fn start(options: &[&str]) -> Broker {
    let directory = fresh_directory();
    let mut keeper = script()
        .args(["run", "--dir"])
        .arg(&directory)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    let expected =
        1 + usize::from(options.contains(&"--sasl")) + usize::from(options.contains(&"--tls"));
    let endpoints: Vec<String> = lines.by_ref().take(expected).map(Result::unwrap).collect();
    assert!(
        endpoints.len() == expected,
        "no Kafka for the tests, see above for the reason. It needs a Java runtime (17 or later), \
         and mvn to fetch the jars once: `deploy/kafka/broker fetch`. BARFLOW_TEST_KAFKA=host:port \
         uses a broker that runs already; BARFLOW_SKIP_KAFKA=1 skips these tests"
    );
    let after =
        |kind: &str| endpoints.iter().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    Broker {
        plain: endpoints[0].clone(),
        sasl: after("SASL_PLAINTEXT").map(str::to_owned),
        tls: after("SSL").map(|line| {
            let (endpoint, certificate) = line.split_once(' ').unwrap();
            (endpoint.to_owned(), certificate.into())
        }),
        keeper: Some(keeper),
        directory,
    }
}

/// The script that starts and stops brokers.
pub fn script() -> Command {
    let mut command =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka/broker"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A folder for a broker, under the build folder.
pub fn fresh_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("kafka"))
}

/// A name that no other test, and no earlier run against the same broker, has used.
pub fn unique(name: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nth = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("{name}-{now}-{}-{nth}", std::process::id())
}

/// Creates a topic with some settings.
pub fn create_topic(broker: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let new = settings
        .iter()
        .fold(NewTopic::new(topic, partitions, TopicReplication::Fixed(1)), |new, (key, value)| {
            new.set(key, value)
        });
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let results = futures_executor::block_on(admin.create_topics([&new], &options)).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

/// Deletes a topic, and waits until it is gone.
pub fn delete_topic(broker: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let results = futures_executor::block_on(admin.delete_topics(&[topic], &options)).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
    process::wait_until(&format!("\"{topic}\" goes away"), || !exists(broker, topic));
}

/// Whether there is such a topic.
pub fn exists(broker: &str, topic: &str) -> bool {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    metadata.topics()[0].error().is_none()
}

/// Waits until so many messages and marks of commits stand in a topic of one partition.
pub fn wait_until(broker: &str, topic: &str, end: i64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    process::wait_until(&format!("\"{topic}\" gets to {end}"), || {
        let marks = consumer.fetch_watermarks(topic, 0, Duration::from_secs(1));
        marks.is_ok_and(|(_, committed)| committed >= end)
    });
}

/// A message as it lay in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: Vec<u8>,
    /// ms since the Unix epoch.
    pub timestamp: i64,
    pub headers: BTreeMap<String, String>,
}

/// All committed messages of a topic, each partition in its order.
pub fn read(broker: &str, topic: &str) -> Vec<Received> {
    await_marks(broker, topic);
    let mut received = Vec::new();
    read_each(broker, topic, |message| received.push(message));
    received
}

/// Waits until no transaction is open in any partition, or for 10 s: one that hangs stays open.
///
/// The broker answers a commit when its log of transactions has it; the marks in the partitions, up to
/// which others read, come a little later.
fn await_marks(broker: &str, topic: &str) {
    let client = |isolation: &str| -> BaseConsumer {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", broker).set("isolation.level", isolation);
        settings.create().unwrap()
    };
    let (committed, written) = (client("read_committed"), client("read_uncommitted"));
    let end = |client: &BaseConsumer, partition| {
        client.fetch_watermarks(topic, partition, Duration::from_secs(5)).map(|(_, end)| end)
    };
    let patience = Duration::from_secs(20);
    let partitions =
        written.fetch_metadata(Some(topic), patience).unwrap().topics()[0].partitions().len();
    let began = Instant::now();
    for partition in 0..partitions as i32 {
        // In this order: what is written in between is not yet asked for.
        while began.elapsed() < Duration::from_secs(10) {
            let wanted = end(&written, partition);
            if matches!((wanted, end(&committed, partition)), (Ok(to), Ok(from)) if from >= to) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How many messages a topic has that count or were aborted.
pub fn sent(broker: &str, topic: &str) -> usize {
    let mut sent = 0;
    read_as(broker, topic, "read_uncommitted", |_| sent += 1);
    sent
}

/// How many committed messages a topic holds by now; none if it is not there yet.
pub fn committed(broker: &str, topic: &str) -> usize {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let there = metadata.topics().first().is_some_and(|topic| !topic.partitions().is_empty());
    let mut committed = 0;
    if there {
        read_each(broker, topic, |_| committed += 1);
    }
    committed
}

/// Hands over all committed messages of a topic, each partition in its order.
pub fn read_each(broker: &str, topic: &str, each: impl FnMut(Received)) {
    read_as(broker, topic, "read_committed", each);
}

fn read_as(broker: &str, topic: &str, isolation: &str, mut each: impl FnMut(Received)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    assert!(partitions > 0, "topic \"{topic}\" has no partitions");
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut last, mut trouble) = (Instant::now(), String::new());
    let mut ended = BTreeSet::new();
    while ended.len() < partitions {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                last = Instant::now();
                each(received(&message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            // The client tries again by itself; on a busy machine connections time out.
            Some(Err(error)) => trouble = error.to_string(),
            None => {}
        }
        assert!(last.elapsed() < Duration::from_secs(60), "\"{topic}\" is silent: {trouble}");
    }
}

fn received(message: &impl Message) -> Received {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    Received {
        partition: message.partition(),
        offset: message.offset(),
        key: text(message.key()),
        // Empty: a tombstone.
        value: message.payload().unwrap_or_default().to_vec(),
        timestamp: message.timestamp().to_millis().unwrap(),
        headers: message
            .headers()
            .iter()
            .flat_map(|headers| headers.iter())
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect(),
    }
}
