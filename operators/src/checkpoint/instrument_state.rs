//! One instrument's builders with the book that is kept about them.

use std::borrow::Cow;
use std::sync::Arc;

use super::envelope::seal;
use super::record::{Body, Record, Step, WaitingBar, Whole};
use crate::bar::Bar;
use crate::batch::{Feed, IdKind};
use crate::builder_set::BuilderSet;
use crate::convergence::monitor::{Joined, Synchronised};
use crate::dataflow::validate::OrderedBatch;
use crate::end::{InputEnd, Unfinished};
use crate::event_time::clock::EventClock;
use crate::gap::Gap;
use crate::open_bars::OpenState;
use crate::order::ids::Settled;
use crate::position::Position;
use crate::progress::Progress;
use crate::revision::{Change, CorrectionOutcome, Refusal, Retained, Revision, Window, ids_of};
use crate::sequence::Resume;
use crate::spec::BarSpec;
use crate::trade::Trade;

mod restore;

/// Records that lead on from a whole state before there is another: a restart applies at most so
/// many, and they are never larger together than the state itself.
const STEPS: u32 = 64;

/// About what a trade takes in a record, in bytes.
const TRADE_BYTES: usize = 40;

/// About what a batch of input takes beside its trades.
const STEP_BYTES: usize = 24;

/// A [`BuilderSet`] whose state can be written down at any time.
#[derive(Clone, Debug)]
pub struct InstrumentState {
    feed: Arc<Feed>,
    builder_set: BuilderSet,
    position: Option<Position>,
    last_id: Option<u64>,
    last_time: Option<i64>,
    first_time: Option<i64>,
    clock: EventClock,
    /// Bars that waited for other instruments when the record was written; only after a restore.
    waiting: Vec<WaitingBar>,
    /// How many waited at the last record.
    waits: u64,
    /// The input is known to be complete before this time, ns; none before its end.
    complete_until: Option<i64>,
    /// Ids up to the last trade, but for that last one.
    settled: Settled,
    /// Gaps after the last trade: the next one will follow them.
    behind: Vec<Gap>,
    /// How often bars were corrected.
    revisions: u32,
    /// The past that can be corrected, if any is retained.
    retained: Option<Retained>,
    generation: u64,
    step: u32,
    /// Bytes of the last whole state; 0 before the first.
    whole_bytes: usize,
    /// Bytes of the steps since then, those in `log` included.
    log_bytes: usize,
    /// What was applied since the last record; none when only a whole state will do.
    log: Option<Vec<Step>>,
    dirty: bool,
}

impl InstrumentState {
    /// Builders that have seen nothing.
    pub fn new(feed: Arc<Feed>, specs: &[BarSpec]) -> Self {
        Self {
            feed,
            builder_set: BuilderSet::new(specs),
            position: None,
            last_id: None,
            last_time: None,
            first_time: None,
            clock: EventClock::default(),
            waiting: Vec::new(),
            waits: 0,
            complete_until: None,
            settled: Settled::default(),
            behind: Vec::new(),
            revisions: 0,
            retained: None,
            generation: 0,
            step: 0,
            whole_bytes: 0,
            log_bytes: 0,
            log: None,
            dirty: false,
        }
    }

    /// The bars that waited for other instruments when it was saved, in order.
    pub fn take_waiting(&mut self) -> Vec<WaitingBar> {
        std::mem::take(&mut self.waiting)
    }

    /// Whether there are any.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The latest event time applied.
    pub fn clock(&self) -> EventClock {
        self.clock
    }

    /// Retains the past from here on, so that it can be corrected.
    pub fn retain(&mut self, window: Window) {
        self.retained = Some(Retained::new(window, self.last_id, self.revisions));
    }

    /// Takes a batch of input, then the corrections that came with it; hands out bars as they
    /// close (+1), and what corrections change (−1, +1). With `keeps_book` false nothing is noted
    /// for a later record, at no cost.
    pub fn on_ordered_batch(
        &mut self,
        batch: &OrderedBatch,
        keeps_book: bool,
        mut emit: impl FnMut(&Arc<str>, Bar, isize, Synchronised),
    ) -> AppliedBatch {
        let live = batch.is_live();
        if let Some(specs) = &batch.specs {
            self.replace_specs(specs);
        }
        let (trades, gaps) = (&batch.trades, self.gaps_before(batch));
        let gaps = gaps.as_ref();
        if keeps_book {
            self.note(batch, gaps, live);
        }
        self.note_last(batch);
        self.clock.advance(trades);
        let Some(retained) = &mut self.retained else {
            let each = |_, spec: &Arc<str>, bar, synchronised| emit(spec, bar, 1, synchronised);
            let joined = self.builder_set.on_batch_by_slot(trades, gaps, live, each);
            let refused = CorrectionOutcome::Refused(Refusal::NotRetained);
            let outcomes: Vec<_> = batch.corrections.iter().map(|c| (*c, refused)).collect();
            let revision = (!outcomes.is_empty())
                .then(|| Box::new(Revision { outcomes, ..Revision::default() }));
            return AppliedBatch { joined, revision };
        };
        retained.on_batch(&self.builder_set, trades, gaps);
        let each = |slot, spec: &Arc<str>, bar: Bar, synchronised| {
            retained.on_bar(slot, &bar);
            emit(spec, bar, 1, synchronised);
        };
        let joined = self.builder_set.on_batch_by_slot(trades, gaps, live, each);
        retained.order(batch.corrections.iter().copied());
        let revision = retained.revise(&mut self.builder_set, &mut self.behind).map(Box::new);
        if let Some(revision) = &revision {
            for update in &revision.updates {
                let synchronised = self.builder_set.synchronised(&update.spec);
                emit(&update.spec, update.bar.clone(), update.diff, synchronised);
            }
            self.note_revision(revision);
        }
        AppliedBatch { joined, revision }
    }

    /// How its builders stand.
    pub fn open_bars(&self) -> impl Iterator<Item = OpenState> + '_ {
        self.builder_set.open_bars()
    }

    /// How far its bars are complete; nothing before the first trade.
    pub fn progress(&self) -> Vec<Progress> {
        let (Some(id), Some(time)) = (self.last_id, self.last_time) else { return Vec::new() };
        let of_builder = |(spec, builder): (&Arc<str>, _)| Progress {
            spec: Arc::clone(spec),
            feed: Arc::clone(&self.feed),
            complete_trade_id: id,
            complete_time: self.complete_until.map_or(time, |until| time.max(until)),
            builder,
            gap_since: None,
        };
        self.builder_set.progress().map(of_builder).collect()
    }

    /// The input has ended so; hands out the bars that this closes, and says what is left.
    pub fn on_end(
        &mut self,
        end: InputEnd,
        mut emit: impl FnMut(&Arc<str>, Bar, Synchronised),
    ) -> Vec<Unfinished> {
        self.complete_until = end.until;
        let mut closed = false;
        let left = self.builder_set.on_end(end, |spec, bar, synchronised| {
            closed = true;
            emit(spec, bar, synchronised);
        });
        if closed {
            // No trade did that: only a whole state says so.
            self.dirty = true;
            self.log = None;
        }
        left
    }

    /// Gaps before and among the trades of a batch; those after the last one wait for the next.
    fn gaps_before<'p>(&mut self, batch: &'p OrderedBatch) -> Cow<'p, [Gap]> {
        let is_behind =
            |gap: &Gap| batch.trades.trade_id.last().is_none_or(|id| gap.first_missing > *id);
        if self.behind.is_empty() && !batch.gaps.iter().any(is_behind) {
            return Cow::Borrowed(&batch.gaps);
        }
        let all = self.behind.drain(..).chain(batch.gaps.iter().copied());
        let (behind, before) = all.partition(is_behind);
        self.behind = behind;
        Cow::Owned(before)
    }

    /// A record has to say what corrections have changed.
    fn note_revision(&mut self, revision: &Revision) {
        self.revisions = self.retained.as_ref().map_or(self.revisions, Retained::revisions);
        for (correction, outcome) in &revision.outcomes {
            let ids = match (outcome, correction.change) {
                (CorrectionOutcome::Applied, Change::Add(trade)) => ids_of(&trade, self.feed.ids),
                (CorrectionOutcome::Applied, Change::Never { first }) => {
                    Some(Gap { first_missing: first, last_missing: correction.trade_id })
                }
                _ => None,
            };
            if let Some(ids) = ids {
                // A second copy of it is a duplicate from now on.
                self.settled.came_late(ids);
            }
        }
        self.dirty = true;
        self.log = None;
    }

    /// Corrections whose place was never reached, at the end of the input.
    pub fn never_reached(&mut self) -> Option<Revision> {
        let left = self.retained.as_mut()?.never_reached();
        let refused = CorrectionOutcome::Refused(Refusal::NeverReached);
        let outcomes: Vec<_> = left.into_iter().map(|correction| (correction, refused)).collect();
        (!outcomes.is_empty()).then(|| Revision { outcomes, ..Revision::default() })
    }

    fn note(&mut self, batch: &OrderedBatch, gaps: &[Gap], live: bool) {
        self.dirty = true;
        self.position = Some(batch.position.clone());
        self.begin(batch.trades.iter().next().as_ref());
        self.remember(&batch.gaps);
        if !self.behind.is_empty() {
            // Only a whole state has room for them; they are as good as never there.
            self.log = None;
        }
        let Some(log) = &mut self.log else { return };
        self.log_bytes += STEP_BYTES + TRADE_BYTES * batch.trades.len();
        if self.log_bytes > self.whole_bytes {
            // A whole state is shorter by now.
            self.log = None;
            return;
        }
        if !batch.trades.is_empty() || batch.specs.is_some() {
            log.push(Step {
                trades: batch.trades.iter().collect(),
                gaps: gaps.to_vec(),
                live,
                specs: batch.specs.clone(),
            });
        }
    }

    /// Notes through which trade all is applied.
    fn note_last(&mut self, batch: &OrderedBatch) {
        if let (Some(id), Some(time)) =
            (batch.trades.trade_id.last(), batch.trades.event_time.last())
        {
            (self.last_id, self.last_time) = (Some(*id), Some(*time));
        }
        let numbered = batch.trades.feed.ids != IdKind::Ordinal;
        // Ids after the last trade may be settled as well: known not to be trades.
        if let Some(last) = self.last_id.filter(|_| numbered) {
            self.last_id = batch.position.trade_id().max(Some(last));
        }
    }

    fn remember(&mut self, gaps: &[Gap]) {
        gaps.iter().for_each(|gap| self.settled.remember(*gap));
    }

    /// The first trade of all says where ids and times begin.
    fn begin(&mut self, first: Option<&Trade>) {
        if self.last_time.is_none() && self.first_time.is_none() {
            self.first_time = first.map(|trade| trade.event_time);
        }
        if self.settled.first.is_none() && self.last_id.is_none() {
            let ids = first.and_then(|trade| ids_of(trade, self.feed.ids));
            self.settled.first = ids.map(|ids| ids.first_missing);
        }
    }

    /// The next record, sealed; none if nothing was applied since the last. `waiting` are the closed bars that
    /// wait for other instruments, in order.
    pub fn cut(&mut self, waiting: WaitingBars<'_>) -> Option<SealedRecord> {
        let waits = waiting.count as u64;
        let is_new = self.dirty || waits != self.waits;
        let position = self.position.clone().filter(|_| is_new)?;
        self.waits = waits;
        let steps = self.log.take().filter(|_| self.step + 1 < STEPS);
        let whole = steps.is_none();
        let body = match steps {
            Some(steps) => {
                self.step += 1;
                Body::Steps(steps)
            }
            None => {
                self.generation += 1;
                self.step = 0;
                let (builder_set, settled) = (self.builder_set.clone(), self.settled.clone());
                let (first_time, behind) = (self.first_time, self.behind.clone());
                let (revisions, clock, waiting) = (self.revisions, self.clock, (waiting.bars)());
                Body::Whole(Box::new(Whole {
                    builder_set,
                    settled,
                    first_time,
                    behind,
                    revisions,
                    clock,
                    waiting,
                }))
            }
        };
        let record = Record {
            feed: Feed::clone(&self.feed),
            generation: self.generation,
            step: self.step,
            position,
            last_id: self.last_id,
            last_time: self.last_time,
            waits,
            body,
        };
        let bytes = seal(&record);
        if whole {
            self.whole_bytes = bytes.len();
            self.log_bytes = 0;
        }
        self.log = Some(Vec::new());
        self.dirty = false;
        let feed = Arc::clone(&self.feed);
        Some(SealedRecord { key: record.key(), feed, position: record.position, bytes })
    }

    /// The feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Where its input resumes; none before the first batch.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Event time of the first trade applied, ns.
    pub fn first_time(&self) -> Option<i64> {
        self.first_time
    }

    /// Event time of the last trade applied, ns.
    pub fn last_time(&self) -> Option<i64> {
        self.last_time
    }

    /// What the order of its trades has to know.
    pub fn resume(&self) -> Resume {
        let mut settled = self.settled.clone();
        settled.last = self.last_id;
        Resume { settled, last_time: self.last_time }
    }

    /// The specifications of its bars.
    pub fn specs(&self) -> impl Iterator<Item = &BarSpec> {
        self.builder_set.specs()
    }

    /// Bars made so far, by specification.
    pub fn bars(&self) -> impl Iterator<Item = (&BarSpec, u64)> {
        self.builder_set.bars()
    }

    /// Orders other bars from the next trade on.
    pub fn set_specs(&mut self, specs: &[BarSpec]) {
        self.replace_specs(specs);
        self.log = None;
    }

    fn replace_specs(&mut self, specs: &[BarSpec]) {
        if let Some(retained) = &mut self.retained {
            let before: Vec<BarSpec> = self.builder_set.specs().cloned().collect();
            retained.replace_specs(&before, specs);
        }
        self.builder_set.set_specs(specs);
    }
}

/// The closed bars of an instrument that wait for others.
pub struct WaitingBars<'a> {
    /// How many.
    pub count: usize,
    /// Which, in order; looked at where they have to be written down.
    pub bars: &'a dyn Fn() -> Vec<WaitingBar>,
}

impl WaitingBars<'_> {
    /// Where nothing waits.
    pub const NONE: WaitingBars<'static> = WaitingBars { count: 0, bars: &Vec::new };
}

/// What came of a batch of input beside its bars.
#[derive(Debug, Default)]
pub struct AppliedBatch {
    /// Builders that have become independent of where they began.
    pub joined: Vec<Joined>,
    /// What became of corrections, if any were due.
    pub revision: Option<Box<Revision>>,
}

/// A record ready to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedRecord {
    /// Instrument and step: what is kept under the same key before is replaced.
    pub key: String,
    /// Whose.
    pub feed: Arc<Feed>,
    /// The state of that instrument.
    pub position: Position,
    /// The record in its envelope.
    pub bytes: Vec<u8>,
}
