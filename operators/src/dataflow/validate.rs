//! From what inputs say to trades in order: drives one [`Sequencer`] per instrument.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::ledger::{Fact, FactKind, FactUpdate};
use crate::batch::{Feed, IdKind, TradeBatch};
use crate::instrument::InstrumentId;
use crate::intake::{Intake, Reject};
use crate::pool::BatchPool;
use crate::position::Position;
use crate::revision::Correction;
use crate::sequence::{Findings, Gap, Resume, Sequencer};
use crate::spec::BarSpec;
use crate::trade::Trade;

/// What to do with a row that is no lawful trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectPolicy {
    /// Let nothing of that instrument through from the first such row on.
    Stop,
    /// Set it aside and go on.
    SetAside,
}

/// How the operator behaves.
#[derive(Clone, Debug)]
pub struct ValidateOptions {
    /// What to do with bad rows.
    pub policy: RejectPolicy,
    /// Trades that may wait for a missing id, see [`Sequencer`].
    pub reorder_window: usize,
    /// Where batches come from and go to.
    pub pool: BatchPool,
    /// Where instruments go on from an earlier run.
    pub resume: BTreeMap<InstrumentId, Resume>,
    /// Whether a late trade is a correction of the past, rather than a bad row.
    pub revises: bool,
}

/// Trades of one instrument in venue order, and the position that they complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sequenced {
    /// The trades; may be empty when only the position moved.
    pub trades: Arc<TradeBatch>,
    /// Everything before it is in this or an earlier batch.
    pub position: Position,
    /// Gaps before or among the trades, in order.
    pub gaps: Vec<Gap>,
    /// Ids behind the trades that are known to stand for no trade: they will leave no gap.
    pub voids: Vec<Gap>,
    /// When the first frame of the piece came from a feed, ns; none for what was read from files.
    pub received: Option<i64>,
    /// The bars of this instrument from these trades on; none: as before.
    pub specs: Option<Arc<[BarSpec]>>,
    /// Corrections of the instrument's history, late trades among them.
    pub corrections: Vec<Correction>,
}

impl Sequenced {
    /// Whether a feed has just brought it.
    pub fn is_live(&self) -> bool {
        self.received.is_some()
    }
}

/// The three ways on.
pub struct Validated<'scope> {
    /// Trades in order, still on the worker that read them.
    pub trades: StreamVec<'scope, Epoch, Sequenced>,
    /// Rows set aside (or the one that stopped its instrument).
    pub rejects: StreamVec<'scope, Epoch, Reject>,
    /// What was counted on the way, as differential updates.
    pub facts: StreamVec<'scope, Epoch, FactUpdate>,
}

type Caps = (Capability<Epoch>, Capability<Epoch>, Capability<Epoch>);

/// Sequence of one instrument on its way through this operator.
struct Lane {
    feed: Arc<Feed>,
    sequencer: Sequencer,
    stopped: bool,
    /// Where each intake starts since the first that has trades waiting. Reading would have to resume
    /// there, and that is the position told.
    waiting: VecDeque<Position>,
}

/// Checks the sequence of each instrument's intakes and splits off what is wrong.
///
/// # Contract
/// Intakes of an instrument arrive from one source, in order, on this worker. Trades leave in the
/// order of their ids; every row ends in exactly one of the three outputs or in a count.
///
/// With `cut_short` another run goes on from where this one stops, and the flag says at the end
/// whether it stopped before its input did. Then trades that wait for a missing id are left to the
/// other run, which reads them again: released now, they would leave a gap that is none.
pub fn validate<'scope>(
    intakes: StreamVec<'scope, Epoch, Intake>,
    options: ValidateOptions,
    cut_short: Option<Arc<AtomicBool>>,
) -> Validated<'scope> {
    let mut builder = OperatorBuilder::new("Validate".to_owned(), intakes.scope());
    let mut input = builder.new_input(intakes, Pipeline);
    let (trades_out, trades) = builder.new_output();
    let (rejects_out, rejects) = builder.new_output();
    let (facts_out, facts) = builder.new_output();
    let mut trades_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Sequenced>>>::from(trades_out);
    let mut rejects_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Reject>>>::from(rejects_out);
    let mut facts_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<FactUpdate>>>::from(facts_out);

    builder.build(move |_initial| {
        let mut lanes: BTreeMap<InstrumentId, Lane> = BTreeMap::new();
        // The right to release at the end what waits. It moves on with the input: trades may wait for
        // as long as their instrument is quiet, and held at the epoch that they came with, it would
        // hold back the frontier, and with it all sources, which look at how far everything is.
        let mut last_word: Option<Caps> = None;
        move |frontiers| {
            let mut trades_out = trades_out.activate();
            let mut rejects_out = rejects_out.activate();
            let mut facts_out = facts_out.activate();
            let mut send = |caps: &Caps, result: LaneResult| {
                let epoch = *caps.0.time();
                trades_out.session(&caps.0).give(result.sequenced);
                if !result.rejects.is_empty() {
                    rejects_out.session(&caps.1).give_iterator(result.rejects.into_iter());
                }
                let facts = result.facts.into_iter().map(|(fact, n)| (fact, epoch, n));
                facts_out.session(&caps.2).give_iterator(facts);
            };
            // `for_each` keeps arrival order, which is the order of the source.
            input.for_each(|cap, intakes| {
                for intake in intakes.drain(..) {
                    let (Some(a), Some(b), Some(c)) =
                        (cap.retain_least(0), cap.retain_least(1), cap.retain_least(2))
                    else {
                        // Only a message without any time has none; our sources send none such.
                        continue;
                    };
                    let caps = (a, b, c);
                    let instrument = &intake.trades.feed.instrument;
                    let lane = lanes.entry(instrument.clone()).or_insert_with(|| {
                        let mut sequencer = Sequencer::new(options.reorder_window);
                        if let Some(from) = options.resume.get(instrument) {
                            sequencer.resume(from.clone());
                        }
                        let feed = Arc::clone(&intake.trades.feed);
                        Lane { feed, sequencer, stopped: false, waiting: VecDeque::new() }
                    });
                    if let Some(result) = lane.take(intake, &options, cut_short.is_some()) {
                        send(&caps, result);
                    }
                    last_word = Some(caps);
                }
            });
            let is_cut_short =
                || cut_short.as_ref().is_some_and(|flag| flag.load(Ordering::Acquire));
            let frontier = frontiers[0].frontier().first().copied();
            match (frontier, &mut last_word) {
                (Some(_), held) if lanes.values().all(|lane| lane.waiting.is_empty()) => {
                    *held = None;
                }
                (Some(frontier), Some((a, b, c))) if *a.time() < frontier => {
                    a.downgrade(&frontier);
                    b.downgrade(&frontier);
                    c.downgrade(&frontier);
                }
                (None, Some(caps)) if !is_cut_short() => {
                    for lane in lanes.values_mut() {
                        if let Some(result) = lane.finish() {
                            send(caps, result);
                        }
                    }
                }
                _ => {}
            }
            if frontier.is_none() {
                // The end: the frontier can go on.
                last_word = None;
            }
        }
    });
    Validated { trades, rejects, facts }
}

/// What one intake came to.
struct LaneResult {
    sequenced: Sequenced,
    rejects: Vec<Reject>,
    facts: Vec<(Fact, isize)>,
}

impl Lane {
    fn take(
        &mut self,
        mut intake: Intake,
        options: &ValidateOptions,
        goes_on: bool,
    ) -> Option<LaneResult> {
        if self.stopped {
            options.pool.give_back(Arc::new(intake.trades));
            return None;
        }
        let feed = Arc::clone(&intake.trades.feed);
        let stops = options.policy == RejectPolicy::Stop;
        if stops && let Some(first) = intake.rejects.first() {
            self.stopped = true;
            intake.trades = intake.trades.head(first.row as usize);
            intake.rejects.truncate(1);
        }
        let mut received = None;
        if let Some(notes) = &intake.live {
            received = notes.received;
            self.sequencer.settle(&notes.voids);
        }
        let mut findings = Findings::default();
        let mut trades = self.sequencer.on_batch(intake.trades, &options.pool, &mut findings);
        let mut rejects = intake.rejects;
        let mut corrections = intake.corrections;
        if options.revises {
            corrections.extend(findings.late.drain(..).map(|(_, late)| Correction::late(late)));
        }
        for (row, late) in findings.late.drain(..) {
            rejects.push(late_reject(row, &late, &intake.start, options.reorder_window));
        }
        if stops && !rejects.is_empty() && !self.stopped {
            // A late trade: those released after it was due are out already, so only stop here.
            self.stopped = true;
            rejects.truncate(1);
        }
        if self.stopped && self.sequencer.is_waiting() && !goes_on {
            let mut rest = TradeBatch::clone(&trades);
            self.sequencer.flush(&mut rest, &mut findings);
            findings.released = rest.len() as u64;
            trades = Arc::new(rest);
        }
        let mut position = intake.end;
        if self.stopped {
            // Whoever goes on later has to meet the row again that stopped us.
            let first = self.waiting.pop_front();
            self.waiting.clear();
            position = first.unwrap_or(intake.start);
        } else {
            // Where every gap is followed by another, something always waits, but never the same
            // for long: the position moves on with it.
            let held = self.sequencer.batches_waiting();
            if held > 0 {
                self.waiting.push_back(intake.start);
            }
            let released = self.waiting.len().saturating_sub(held);
            self.waiting.drain(..released);
            if let Some(start) = self.waiting.front() {
                position = start.clone();
            }
        }
        let last = self.sequencer.last_id();
        // A row without an id of its own is numbered by where reading resumes.
        if let Some(last) = last.filter(|_| feed.ids != IdKind::Ordinal) {
            position.set_trade_id(last);
        }
        let mut facts = Fact::of(&feed.instrument, &findings);
        if !rejects.is_empty() {
            facts.push((Fact::new(&feed.instrument, FactKind::Rejected), rejects.len() as isize));
        }
        let (gaps, voids, specs) = (findings.gaps, self.sequencer.voids(), intake.specs);
        let sequenced = Sequenced { trades, position, gaps, voids, received, specs, corrections };
        Some(LaneResult { sequenced, rejects, facts })
    }

    /// The input has ended: releases what still waits.
    fn finish(&mut self) -> Option<LaneResult> {
        let mut position = self.waiting.pop_front()?;
        self.waiting.clear();
        let mut findings = Findings::default();
        let mut rest = TradeBatch::with_capacity(Arc::clone(&self.feed), 0);
        self.sequencer.flush(&mut rest, &mut findings);
        if let Some(last) = self.sequencer.last_id().filter(|_| self.feed.ids != IdKind::Ordinal) {
            position.set_trade_id(last);
        }
        let facts = Fact::of(&rest.feed.instrument, &findings);
        let gaps = findings.gaps;
        let trades = Arc::new(rest);
        let voids = self.sequencer.voids();
        let sequenced = Sequenced {
            trades,
            position,
            gaps,
            voids,
            received: None,
            specs: None,
            corrections: Vec::new(),
        };
        Some(LaneResult { sequenced, rejects: Vec::new(), facts })
    }
}

/// A trade that came too late, as a row set aside.
pub(crate) fn late_reject(row: usize, trade: &Trade, start: &Position, window: usize) -> Reject {
    Reject {
        row: row as u32,
        source: start.place(),
        line: start.line() + row as u64,
        field: "trade_id".to_owned(),
        value: trade.trade_id.to_string(),
        reason: format!("comes more than {window} trades after its place in the order of ids"),
        raw: format!(
            "{},{},{},{},{}",
            trade.trade_id,
            trade.price,
            trade.qty,
            trade.event_time,
            trade.aggressor.sign()
        ),
    }
}
