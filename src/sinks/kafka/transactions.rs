//! Bars and checkpoint in one transaction: all of it counts, or nothing.
//!
//! ```text
//!   begin ─► bars ─► bars ─► cut: records, shard ─► drain ─► commit ─► begin …
//!              └──────────────── any fault ──────────┴─────────┘
//!                                    │ a new producer of the same id: fences the old one
//!                                    │ what Kafka has forgotten to end is aborted (hanging.rs)
//!                                    ▼ look what counts of this one and the last (outcome.rs)
//!                        everything: it was committed       the rest is sent again
//! ```
//!
//! **Invariant:** what is handed to this sink between two cuts is kept here until the *third* of
//! them is known to be committed: Kafka may confirm a commit and lose its marks all the same. A commit whose
//! outcome is unknown is looked up, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use barflow_operators::checkpoint::envelope::{open, seal};
use barflow_operators::checkpoint::instrument_state::SealedRecord;
use rdkafka::message::OwnedHeaders;

use super::checkpoint_topic::CheckpointTopic;
use super::hanging::{self, NOTHING};
use super::producer::{Fault, Outgoing, Producer};
use super::transaction::{Message, Transaction};
use super::transactional::{open_sink, reopen};
use super::{KafkaSettings, KafkaSink, shutdown};
use crate::checkpoints::job::{JobName, Shard, Writer};
use crate::checkpoints::settings::SettingsChanges;
use crate::fault_point;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::telemetry::latency::Latency;

/// Between two attempts to resume after a fault.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a fenced copy waits before it looks who fenced it: the other one needs as long to say
/// who it is.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Writes bars and checkpoints of one shard to Kafka.
pub struct TransactionalSink {
    pub(super) sink: KafkaSink,
    settings: KafkaSettings,
    job: JobName,
    pub(super) shard: usize,
    writer: Writer,
    committed: u64,
    bars: u64,
    /// What is under way: sent at least once, not known to be committed.
    pub(super) open: Transaction,
    /// Whether the producer has begun with it.
    begun: bool,
    /// What was committed last.
    last: Transaction,
    topic: Arc<CheckpointTopic>,
    pub(super) changes: SettingsChanges,
    latency: Option<Latency>,
}

impl TransactionalSink {
    pub(super) fn open(
        settings: &KafkaSettings,
        job: &JobName,
        shard: usize,
        writer: &Writer,
        latency: Option<Latency>,
        topic: Arc<CheckpointTopic>,
        changes: SettingsChanges,
    ) -> Result<Self, SinkError> {
        let mut sink = open_sink(settings, job, shard, latency.as_ref())?;
        sink.warns = shard == 0;
        sink.look_for_known()?;
        let mut settings = settings.clone();
        if let Some(smaller) = sink.with_batches_that_fit() {
            settings = smaller;
            sink = reopen(&sink, &settings, job, shard, latency.as_ref())?;
        }
        let mut this = Self {
            sink,
            settings,
            job: job.clone(),
            shard,
            writer: writer.clone(),
            committed: 0,
            bars: 0,
            open: Transaction::default(),
            begun: false,
            last: Transaction::default(),
            topic,
            changes,
            latency,
        };
        // Who we are, before anything else: a copy that is fenced now looks here for the reason.
        let start = Instant::now();
        loop {
            let begun = this.sink.producer.init_transactions();
            let checkpoints = BTreeSet::from([this.settings.checkpoint_topic.clone()]);
            let ended = begun.and_then(|()| this.end_hanging(&checkpoints));
            match ended.and_then(|()| this.introduce()) {
                Ok(()) => return Ok(this),
                // Two copies at once make the broker stumble: seen as "unknown broker error" for a
                // commit that it had made. A copy that gives up then may be the one that won.
                Err(
                    Fault::Unclear(SinkError::Unavailable(reason))
                    | Fault::Failed(SinkError::Unavailable(reason)),
                ) if start.elapsed() < this.settings.patience => {
                    tracing::warn!(job = %job, shard, "{reason}; retried");
                    std::thread::sleep(PAUSE);
                    let latency = this.latency.as_ref();
                    this.sink = reopen(&this.sink, &this.settings, job, shard, latency)?;
                }
                Err(fault) => return Err(this.lost(fault)),
            }
        }
    }

    /// Why this copy does not even begin.
    pub(super) fn lost(&self, fault: Fault) -> SinkError {
        match fault {
            Fault::Failed(error) | Fault::Unclear(error) => error,
            Fault::Fenced => SinkError::Fenced(format!(
                "another copy of job \"{}\" started at the same time and continues",
                self.job
            )),
        }
    }

    pub(super) fn introduce(&mut self) -> Result<(), Fault> {
        let producer = &mut self.sink.producer;
        producer.begin_transaction()?;
        let shard = Shard { writer: self.writer.clone(), committed: self.committed };
        send(producer, &self.settings, &self.job.shard_key(self.shard), Some(&seal(&shard)))?;
        producer.drain()?;
        producer.commit_transaction()
    }

    /// Ends what is open with these records, however often that has to be tried.
    pub(super) fn end_transaction(&mut self, records: Vec<SealedRecord>) -> Result<(), SinkError> {
        self.open.records = Some(records);
        if let Err(fault) = self.try_to_end() {
            self.recover(fault)?;
        }
        Ok(())
    }

    /// Sends the records and commits.
    fn try_to_end(&mut self) -> Result<(), Fault> {
        self.begin()?;
        fault_point!("before-progress");
        for progress in self.open.reports.values() {
            self.sink.publish_progress(progress)?;
        }
        fault_point!("before-records");
        let producer = &mut self.sink.producer;
        for sealed in self.open.deferred.iter().chain(self.open.records.iter().flatten()) {
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
        self.open.complete(producer.take_places());
        fault_point!("before-commit");
        producer.commit_transaction()?;
        fault_point!("after-commit");
        self.settle();
        Ok(())
    }

    /// What was open is committed.
    fn settle(&mut self) {
        self.committed += 1;
        self.bars += self.open.bars();
        self.last = std::mem::take(&mut self.open);
        self.begun = false;
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if !self.begun {
            self.sink.producer.begin_transaction()?;
            self.begun = true;
            self.open.begin();
            fault_point!("after-begin");
        }
        Ok(())
    }

    fn send_bars(&mut self, from: usize) -> Result<(), Fault> {
        self.begin()?;
        for Message { bar, diff, topic, part, .. } in &self.open.messages[from..] {
            self.sink.publish_in(bar, *diff, topic, *part)?;
        }
        fault_point!("after-bars");
        Ok(())
    }

    /// Resumes after a fault, or returns why it cannot.
    fn recover(&mut self, mut fault: Fault) -> Result<(), SinkError> {
        let start = Instant::now();
        let mut attempt: u32 = 0;
        loop {
            attempt += 1;
            match fault {
                // A broker that is away comes back; what it refuses it will refuse again.
                Fault::Failed(error @ (SinkError::Refused(_) | SinkError::Settings(_))) => {
                    return Err(error);
                }
                Fault::Failed(error) | Fault::Unclear(error)
                    if start.elapsed() > self.settings.recovery =>
                {
                    return Err(error);
                }
                Fault::Failed(error) | Fault::Unclear(error)
                    if shutdown::must_end(&self.settings, &self.job, attempt) =>
                {
                    let bars = self.open.bars();
                    return Err(shutdown::left_uncommitted(
                        &self.settings,
                        &self.job,
                        bars,
                        &error,
                    ));
                }
                Fault::Failed(error) => {
                    self.say(attempt, &error);
                    std::thread::sleep(PAUSE);
                }
                Fault::Unclear(error) => {
                    self.look_for_winner()?;
                    self.say(attempt, &error);
                }
                Fault::Fenced => {
                    self.look_for_winner()?;
                    tracing::warn!(job = %self.job, shard = self.shard, "the broker aborted the transaction: it exceeded transaction.timeout.ms");
                }
            }
            match self.try_again() {
                Ok(()) => {
                    // All clients were new, some for one question only.
                    crate::memory::give_back();
                    tracing::info!(job = %self.job, shard = self.shard, attempt, "resuming");
                    return Ok(());
                }
                Err(next) => fault = next,
            }
        }
    }

    /// A new producer, which ends the old one's transaction; then a look at how it ended.
    fn try_again(&mut self) -> Result<(), Fault> {
        let latency = self.latency.as_ref();
        let mut sink = reopen(&self.sink, &self.settings, &self.job, self.shard, latency)?;
        let used = self.sink.needed.union(&self.sink.topics);
        sink.needed.extend(used.filter(|topic| !self.settings.is_progress(topic)).cloned());
        sink.prepare(&Vec::from_iter(self.sink.topics.iter().cloned()))?;
        self.sink = sink;
        self.begun = false;
        self.sink.producer.init_transactions()?;
        let checkpoints = [self.settings.checkpoint_topic.clone()];
        self.end_hanging(&self.sink.topics.iter().cloned().chain(checkpoints).collect())?;
        self.open.report_again(&self.last);
        if self.keep_uncounted()? {
            self.open.report_again(&self.last);
            return Ok(());
        }
        if !self.open.messages.is_empty() {
            self.send_bars(0)?;
        }
        match self.open.records {
            Some(_) => self.try_to_end(),
            None => Ok(()),
        }
    }

    /// Finds out what counts, and leaves in hand what has to be sent again; whether that is nothing,
    /// because the commit was made.
    fn keep_uncounted(&mut self) -> Result<bool, Fault> {
        let number = match self.look()? {
            Some(shard) if shard.writer.id == self.writer.id => shard.committed,
            // Not even our introduction counts: another's does, or Kafka has lost ours.
            _ if self.winner()?.is_some() => return Err(Fault::Fenced),
            _ => 0,
        };
        // Of the checkpoint the number tells, of the bars where they stand.
        let committed = self.open.is_complete() && number == self.committed + 1;
        let last = self.topic.counted(&self.last.spans())?;
        let open = self.topic.counted(&self.open.spans())?;
        let (Some(last), Some(open)) = (last, open) else {
            tracing::warn!(job = %self.job, shard = self.shard, "cannot check whether Kafka lost bars of the last commit: that needs Read on the bar topics");
            if committed {
                self.settle();
            }
            return Ok(committed);
        };
        let mut before = std::mem::take(&mut self.last);
        before.keep_uncounted(&last);
        let records = number < self.committed;
        let lost = records || !before.messages.is_empty();
        if committed && !lost && self.open.counts_in(&open) {
            self.settle();
            return Ok(true);
        }
        let bars = self.open.bars();
        self.open.keep_uncounted(&open);
        self.bars += bars - self.open.bars();
        if lost {
            let bars = before.messages.len();
            tracing::warn!(job = %self.job, shard = self.shard, bars, "Kafka lost a confirmed commit; sent again");
            self.open.owe(before, records);
        }
        Ok(false)
    }

    /// Ends what transactions of our id have left open in these topics.
    fn end_hanging(&mut self, topics: &BTreeSet<String>) -> Result<(), Fault> {
        let open = self.topic.open_in(topics)?;
        self.abort_in(&open)
    }

    /// Writes a mark into these partitions: what we have open there is aborted.
    pub(super) fn abort_in(&mut self, places: &[hanging::Open]) -> Result<(), Fault> {
        if places.is_empty() {
            return Ok(());
        }
        let producer = &mut self.sink.producer;
        producer.begin_transaction()?;
        for hanging::Open { topic, partition } in places {
            tracing::info!(job = %self.job, shard = self.shard, "aborting our open transaction in {topic}, partition {partition}");
            producer.send(Outgoing {
                topic,
                partition: Some(*partition),
                key: NOTHING,
                value: None,
                timestamp: None,
                headers: OwnedHeaders::new(),
                ticket: None,
            })?;
        }
        producer.drain()?;
        producer.abort_transaction()
    }

    /// Our shard's writer, as committed.
    fn look(&self) -> Result<Option<Shard>, SinkError> {
        let key = self.job.shard_key(self.shard);
        self.shard_of(self.topic.read(|other| other == key)?.get(&key))
    }

    fn shard_of(&self, value: Option<&Vec<u8>>) -> Result<Option<Shard>, SinkError> {
        value.map(|value| open(value)).transpose().map_err(|reason| {
            let key = self.job.shard_key(self.shard);
            let job = &self.job;
            SinkError::Refused(format!(
                "the checkpoint of job \"{job}\", record \"{key}\": {reason}"
            ))
        })
    }

    fn say(&self, attempt: u32, error: &SinkError) {
        tracing::warn!(job = %self.job, shard = self.shard, attempt, "{error}; retrying the transaction");
    }

    /// The broker ends transactions that take too long in the same way as those of an older copy:
    /// the topic shows whether another one has taken over.
    fn look_for_winner(&self) -> Result<(), SinkError> {
        std::thread::sleep(INTRODUCTION);
        match self.winner()? {
            None => Ok(()),
            Some(shard) => Err(SinkError::Fenced(format!(
                "another copy of job \"{}\" has taken over: {}\nhint: if a supervisor restarts both \
                 copies, they take the job from each other forever: run one of them, or use \
                 --if-taken wait, and do not restart after exit code 4",
                self.job, shard.writer
            ))),
        }
    }

    /// Another copy that has written its name after ours.
    fn winner(&self) -> Result<Option<Shard>, SinkError> {
        let key = self.job.shard_key(self.shard);
        let other = |shard: &Shard| shard.writer.id != self.writer.id;
        // What nobody else has even begun to write need not be waited for: it may be our own
        // transaction that stands in front of it without an end (hanging.rs).
        let newest = self.shard_of(self.topic.newest(|other| other == key)?.get(&key))?;
        match newest.filter(other) {
            Some(_) => Ok(self.look()?.filter(other)),
            None => Ok(None),
        }
    }

    /// Deletes these keys of the checkpoint in a transaction of its own, writes these others, and deletes the
    /// progress of these series.
    pub(super) fn rewrite(
        &mut self,
        deleted: &[String],
        written: &[(String, Vec<u8>)],
        series: &BTreeMap<String, String>,
    ) -> Result<(), SinkError> {
        let mut forget = || -> Result<(), Fault> {
            self.sink.producer.begin_transaction()?;
            for key in deleted {
                send(&mut self.sink.producer, &self.settings, key, None)?;
            }
            for (key, value) in written {
                send(&mut self.sink.producer, &self.settings, key, Some(value))?;
            }
            self.sink.withdraw_progress(series)?;
            self.sink.producer.drain()?;
            self.sink.producer.commit_transaction()
        };
        forget().map_err(|fault| match fault {
            Fault::Failed(error) | Fault::Unclear(error) => error,
            Fault::Fenced => SinkError::Fenced("another copy has started".to_owned()),
        })
    }
}

impl BarSink for TransactionalSink {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        let from = self.open.messages.len();
        for (bar, diff) in &commit.bars {
            for (topic, part) in self.sink.topics_of(bar)? {
                self.open.messages.push(Message::new(bar.clone(), *diff, topic, part));
            }
        }
        if self.open.messages.len() > from
            && let Err(fault) = self.send_bars(from)
        {
            self.recover(fault)?;
        }
        self.open.note_reports(&commit.reports);
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
        // Bars after the last cut are not committed; dropping the producer leaves them aborted.
        let places = self.sink.places();
        Ok(SinkReport { bars: self.bars, places })
    }
}

fn send(
    producer: &mut Producer,
    settings: &KafkaSettings,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), Fault> {
    let outgoing = Outgoing {
        topic: &settings.checkpoint_topic,
        partition: None,
        key,
        value,
        timestamp: None,
        headers: OwnedHeaders::new(),
        ticket: None,
    };
    Ok(producer.send(outgoing)?)
}
