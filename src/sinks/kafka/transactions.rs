//! Bars and checkpoint in one transaction: all of it counts, or nothing.
//!
//! ```text
//!   begin ─► bars ─► bars ─► cut: records, shard ─► drain ─► commit ─► begin …
//!              └──────────────── any fault ──────────┴─────────┘
//!                                    │ a new producer of the same id: fences the old one
//!                                    ▼ look: is our number in the topic?
//!                      yes: it was committed        no: it was aborted, send it again
//! ```
//!
//! **Invariant:** what is handed to this sink between two cuts is kept here until the second of
//! them is known to be committed. A commit whose outcome is unknown is looked up, never guessed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::checkpoint::account::Sealed;
use barflow_operators::checkpoint::envelope::{open, seal};
use barflow_operators::published::PublishedBar;
use rdkafka::message::OwnedHeaders;

use super::checkpoint_topic::{CheckpointTopic, LARGEST_RECORD};
use super::producer::{Fault, Outgoing, Producer};
use super::{KafkaSettings, KafkaSink};
use crate::checkpoints::job::{Job, Shard, Writer};
use crate::checkpoints::saved::{Entries, Saved};
use crate::checkpoints::settings::{JobSettings, SettingsChanges};
use crate::fault_point;
use crate::sinks::{BarSink, Commit, SinkError, SinkReport};
use crate::telemetry::latency::Latency;

/// Between two attempts to go on after a fault.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a fenced copy waits before it looks who fenced it: the other one needs as long to say
/// who it is.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// What is under way: sent at least once, not known to be committed.
#[derive(Default)]
struct Open {
    bars: Vec<(PublishedBar, isize)>,
    records: Option<Vec<Sealed>>,
    settings: Option<JobSettings>,
    begun: bool,
}

/// Writes bars and checkpoints of one shard to Kafka.
pub struct TransactionalSink {
    sink: KafkaSink,
    settings: KafkaSettings,
    job: Job,
    shard: usize,
    writer: Writer,
    committed: u64,
    bars: u64,
    open: Open,
    topic: Arc<CheckpointTopic>,
    changes: SettingsChanges,
    latency: Option<Latency>,
}

/// The shards of a job, all in our hands: nobody else can commit for it any more.
pub struct Fences {
    sinks: Vec<TransactionalSink>,
    topic: Arc<CheckpointTopic>,
    job: Job,
}

impl Fences {
    /// Takes the shards `mine` of a job of `all` shards, and fences what an earlier run had beyond
    /// those if `surplus` says that it is ours to do. Afterwards no earlier copy can commit.
    ///
    /// # Errors
    /// As [`KafkaSink::open`]; [`SinkError::Fenced`] when another copy begins at the same time.
    pub fn take(
        settings: &KafkaSettings,
        job: &Job,
        mine: std::ops::Range<usize>,
        all: usize,
        latency: Option<&Latency>,
    ) -> Result<Self, SinkError> {
        // A producer knows best why nobody answers: a wrong password, a certificate.
        KafkaSink::connect(settings.clone(), &[])?.producer.metadata(None)?;
        let topic = Arc::new(CheckpointTopic::open(settings)?);
        let writer = Writer::here();
        let changes = SettingsChanges::default();
        let open = |shard| {
            let (latency, topic) = (latency.cloned(), Arc::clone(&topic));
            TransactionalSink::open(settings, job, shard, &writer, latency, topic, changes.clone())
        };
        let first = mine.start == 0;
        let mut sinks: Vec<TransactionalSink> = Vec::new();
        for shard in mine {
            // Of two copies that begin at once, the one that lost the first shard must not take
            // another from the winner: both would end.
            if let Some(first) = sinks.first_mut() {
                first.introduce().map_err(|fault| first.lost(fault))?;
            }
            sinks.push(open(shard)?);
        }
        if first {
            let prefix = job.shard_key(0);
            let prefix = &prefix[..prefix.len() - 1];
            // Not only what is committed: to read that we would have to wait for the end of the very
            // transactions that we are about to end.
            let shards = topic.mentioned(|key| key.starts_with(prefix))?;
            let earlier = shards.iter().filter_map(|key| key[prefix.len()..].parse().ok());
            for shard in earlier.filter(|shard: &usize| *shard >= all) {
                // To be fenced it must be opened; it is not written to.
                drop(open(shard)?);
            }
        }
        Ok(Self { sinks, topic, job: job.clone() })
    }

    /// Where the job stands. Every process must have taken its shards before.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn read(&self) -> Result<Entries, SinkError> {
        self.topic.read(|key| Job::of_key(key).as_ref() == Some(&self.job))
    }

    /// Forgets where the job stood.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub fn reset(&mut self) -> Result<(), SinkError> {
        let keys: Vec<String> = self
            .read()?
            .into_keys()
            .filter(|key| {
                !matches!(self.job.parse(key), Some(crate::checkpoints::job::Key::Shard(_)))
            })
            .collect();
        let Some(sink) = self.sinks.first_mut() else { return Ok(()) };
        sink.forget(&keys)
    }

    /// Writes down what decides which bars come out.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub fn write_settings(&mut self, settings: JobSettings) -> Result<(), SinkError> {
        let Some(sink) = self.sinks.first_mut().filter(|sink| sink.shard == 0) else {
            return Ok(());
        };
        sink.open.settings = Some(settings);
        sink.end_transaction(Vec::new())
    }

    /// Makes sure of all topics; nothing is created where bars of this job once stood.
    ///
    /// # Errors
    /// The topic that is gone, or what Kafka refuses.
    pub fn prepare_topics(&mut self, saved: &Saved) -> Result<(), SinkError> {
        for sink in &mut self.sinks {
            for (instrument, account) in &saved.accounts {
                for (spec, _) in account.bars().filter(|(_, bars)| *bars > 0) {
                    // A bar that never had a topic is not missing from one.
                    sink.sink.needed.extend(sink.sink.template.topic(spec.name(), instrument).ok());
                }
            }
            sink.sink.prepare_known()?;
        }
        Ok(())
    }

    /// Where to put settings that change while the run goes on.
    pub fn settings_changes(&self) -> SettingsChanges {
        self.sinks.first().map(|sink| sink.changes.clone()).unwrap_or_default()
    }

    /// The sinks, one for each shard.
    pub fn into_sinks(self) -> Vec<Box<dyn BarSink>> {
        self.sinks.into_iter().map(|sink| Box::new(sink) as Box<dyn BarSink>).collect()
    }
}

impl TransactionalSink {
    fn open(
        settings: &KafkaSettings,
        job: &Job,
        shard: usize,
        writer: &Writer,
        latency: Option<Latency>,
        topic: Arc<CheckpointTopic>,
        changes: SettingsChanges,
    ) -> Result<Self, SinkError> {
        let mut sink = open_sink(settings, job, shard, latency.as_ref())?;
        sink.look_for_known()?;
        let mut this = Self {
            sink,
            settings: settings.clone(),
            job: job.clone(),
            shard,
            writer: writer.clone(),
            committed: 0,
            bars: 0,
            open: Open::default(),
            topic,
            changes,
            latency,
        };
        // Who we are, before anything else: whoever is fenced now looks here for the reason.
        let start = Instant::now();
        loop {
            let begun = this.sink.producer.init_transactions();
            match begun.and_then(|()| this.introduce()) {
                Ok(()) => return Ok(this),
                // Two copies at once make the broker stumble: seen as "unknown broker error" for a
                // commit that it had made. Whoever gives up then may be the one that won.
                Err(Fault::Failed(SinkError::Unavailable(reason)))
                    if start.elapsed() < settings.patience =>
                {
                    tracing::warn!(job = %job, shard, "{reason}; tried again");
                    std::thread::sleep(PAUSE);
                    this.sink = open_sink(settings, job, shard, this.latency.as_ref())?;
                }
                Err(fault) => return Err(this.lost(fault)),
            }
        }
    }

    /// Why this copy does not even begin.
    fn lost(&self, fault: Fault) -> SinkError {
        match fault {
            Fault::Failed(error) => error,
            Fault::Fenced => SinkError::Fenced(format!(
                "another copy of job \"{}\" began at the same time and goes on",
                self.job
            )),
        }
    }

    fn introduce(&mut self) -> Result<(), Fault> {
        let producer = &mut self.sink.producer;
        producer.begin_transaction()?;
        let shard = Shard { writer: self.writer.clone(), committed: self.committed };
        send(producer, &self.settings, &self.job.shard_key(self.shard), Some(&seal(&shard)))?;
        producer.drain()?;
        producer.commit_transaction()
    }

    /// Ends what is open with these records, however often that has to be tried.
    fn end_transaction(&mut self, records: Vec<Sealed>) -> Result<(), SinkError> {
        self.open.records = Some(records);
        if let Err(fault) = self.try_to_end() {
            self.recover(fault)?;
        }
        Ok(())
    }

    /// Sends the records and commits.
    fn try_to_end(&mut self) -> Result<(), Fault> {
        self.begin()?;
        fault_point!("before-records");
        let producer = &mut self.sink.producer;
        for sealed in self.open.records.iter().flatten() {
            let key = self.job.record_key(&sealed.key);
            send(producer, &self.settings, &key, Some(&sealed.bytes))?;
        }
        if let Some(settings) = &self.open.settings {
            send(producer, &self.settings, &self.job.settings_key(), Some(&seal(settings)))?;
        }
        fault_point!("before-shard");
        let shard = Shard { writer: self.writer.clone(), committed: self.committed + 1 };
        send(producer, &self.settings, &self.job.shard_key(self.shard), Some(&seal(&shard)))?;
        fault_point!("before-drain");
        producer.drain()?;
        fault_point!("before-commit");
        producer.commit_transaction()?;
        fault_point!("after-commit");
        self.settle();
        Ok(())
    }

    /// What was open is committed.
    fn settle(&mut self) {
        self.committed += 1;
        self.bars += self.open.bars.len() as u64;
        self.open = Open::default();
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if !self.open.begun {
            self.sink.producer.begin_transaction()?;
            self.open.begun = true;
            fault_point!("after-begin");
        }
        Ok(())
    }

    fn send_bars(&mut self, from: usize) -> Result<(), Fault> {
        self.begin()?;
        for (bar, diff) in &self.open.bars[from..] {
            self.sink.publish(bar, *diff)?;
        }
        fault_point!("after-bars");
        Ok(())
    }

    /// Goes on after a fault, or says why that cannot be.
    fn recover(&mut self, mut fault: Fault) -> Result<(), SinkError> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match fault {
                // A broker that is away comes back; what it refuses it will refuse again.
                Fault::Failed(error @ (SinkError::Refused(_) | SinkError::Settings(_))) => {
                    return Err(error);
                }
                Fault::Failed(error) => {
                    if start.elapsed() > self.settings.recovery {
                        return Err(error);
                    }
                    tracing::warn!(job = %self.job, shard = self.shard, attempt, "{error}; the transaction is tried again");
                    std::thread::sleep(PAUSE);
                }
                Fault::Fenced => self.look_who_fenced()?,
            }
            match self.try_again() {
                Ok(()) => {
                    tracing::info!(job = %self.job, shard = self.shard, attempt, "going on");
                    return Ok(());
                }
                Err(next) => fault = next,
            }
        }
    }

    /// A new producer, which ends the old one's transaction; then a look at how it ended.
    fn try_again(&mut self) -> Result<(), Fault> {
        let mut sink = open_sink(&self.settings, &self.job, self.shard, self.latency.as_ref())?;
        sink.needed.extend(self.sink.needed.union(&self.sink.topics).cloned());
        sink.prepare(&Vec::from_iter(self.sink.topics.iter().cloned()))?;
        self.sink = sink;
        self.open.begun = false;
        self.sink.producer.init_transactions()?;
        let seen = self.look()?;
        match seen {
            Some(shard) if shard.writer.id != self.writer.id => return Err(Fault::Fenced),
            Some(shard) if shard.committed == self.committed + 1 => {
                self.settle();
                return Ok(());
            }
            _ => {}
        }
        if !self.open.bars.is_empty() {
            self.send_bars(0)?;
        }
        match self.open.records {
            Some(_) => self.try_to_end(),
            None => Ok(()),
        }
    }

    /// Our shard's writer, as committed.
    fn look(&self) -> Result<Option<Shard>, SinkError> {
        let key = self.job.shard_key(self.shard);
        let entries = self.topic.read(|other| other == key)?;
        match entries.get(&key).map(|value| open(value)) {
            None => Ok(None),
            Some(Ok(shard)) => Ok(Some(shard)),
            Some(Err(reason)) => Err(SinkError::Refused(format!(
                "the checkpoint of job \"{}\", record \"{key}\": {reason}",
                self.job
            ))),
        }
    }

    /// The broker ends transactions that take too long in the same way as those of an older copy:
    /// the topic tells which it was.
    fn look_who_fenced(&self) -> Result<(), SinkError> {
        std::thread::sleep(INTRODUCTION);
        match self.look()? {
            Some(shard) if shard.writer.id != self.writer.id => Err(SinkError::Fenced(format!(
                "another copy of job \"{}\" has taken over: {}",
                self.job, shard.writer
            ))),
            _ => {
                tracing::warn!(job = %self.job, shard = self.shard, "the broker ended the transaction: it took too long");
                Ok(())
            }
        }
    }

    /// Deletes these keys in a transaction of its own.
    fn forget(&mut self, keys: &[String]) -> Result<(), SinkError> {
        let mut forget = || -> Result<(), Fault> {
            self.sink.producer.begin_transaction()?;
            for key in keys {
                send(&mut self.sink.producer, &self.settings, key, None)?;
            }
            self.sink.producer.drain()?;
            self.sink.producer.commit_transaction()
        };
        forget().map_err(|fault| match fault {
            Fault::Failed(error) => error,
            Fault::Fenced => SinkError::Fenced("another copy has begun".to_owned()),
        })
    }
}

impl BarSink for TransactionalSink {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        let from = self.open.bars.len();
        self.open.bars.extend_from_slice(&commit.bars);
        if self.open.bars.len() > from
            && let Err(fault) = self.send_bars(from)
        {
            self.recover(fault)?;
        }
        if let Some(records) = &commit.cut {
            let changed = self.changes.take();
            if changed.is_some() {
                self.open.settings = changed;
            }
            self.end_transaction(records.clone())?;
        }
        match self.sink.producer.check() {
            Ok(()) => Ok(()),
            Err(error) => self.recover(Fault::Failed(error)),
        }
    }

    fn tells_latency(&self) -> bool {
        self.sink.tells_latency()
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        // Bars behind the last cut do not count; dropping the producer leaves them aborted.
        let places = self.sink.places();
        Ok(SinkReport { bars: self.bars, places })
    }
}

fn open_sink(
    settings: &KafkaSettings,
    job: &Job,
    shard: usize,
    latency: Option<&Latency>,
) -> Result<KafkaSink, SinkError> {
    let id = job.transactional_id(shard);
    let mut over = vec![("transactional.id", id.as_str())];
    if !settings.properties.contains_key("message.max.bytes") {
        // What the checkpoint topic takes: ten builders with long windows have a state of megabytes.
        over.push(("message.max.bytes", LARGEST_RECORD));
    }
    let sink = KafkaSink::connect(settings.clone(), &over)?;
    Ok(match latency {
        Some(latency) => sink.observed_by(latency.clone()),
        None => sink,
    })
}

fn send(
    producer: &mut Producer,
    settings: &KafkaSettings,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), Fault> {
    let outgoing = Outgoing {
        topic: &settings.checkpoint_topic,
        key,
        value,
        timestamp: None,
        headers: OwnedHeaders::new(),
        ticket: None,
    };
    Ok(producer.send(outgoing)?)
}
