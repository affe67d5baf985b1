//! From input to trades in order: drives one [`InstrumentOrder`] per instrument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::ledger::{Fact, FactKind, FactUpdate};
use super::outputs::{Rights, output, rights};
use crate::batch::TradeBatch;
use crate::gap::{Gap, OpenGap};
use crate::input_batch::{InputBatch, Reject};
use crate::instrument::InstrumentId;
use crate::order::{InstrumentOrder, OrderOptions, Ordered};
use crate::position::Position;
use crate::revision::Correction;
use crate::sequence::Resume;
use crate::spec::BarSpec;

/// How the operator behaves.
#[derive(Clone, Debug)]
pub struct ValidateOptions {
    /// How trades are ordered.
    pub order: OrderOptions,
    /// Where instruments continue from an earlier run.
    pub resume: BTreeMap<InstrumentId, Resume>,
}

/// Trades of one instrument in venue order, and the position that they complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderedBatch {
    /// The trades; may be empty when only the position moved.
    pub trades: Arc<TradeBatch>,
    /// Everything before it is in this or an earlier batch.
    pub position: Position,
    /// Gaps before or among the trades, in order.
    pub gaps: Vec<Gap>,
    /// The gap that is open after it, as far as the feed knows.
    pub open_gap: Option<OpenGap>,
    /// When the first frame of the piece came from a feed, ns; none for what was read from files.
    pub received: Option<i64>,
    /// The bars of this instrument from these trades on; none: as before.
    pub specs: Option<Arc<[BarSpec]>>,
    /// Corrections of the instrument's history, late trades among them.
    pub corrections: Vec<Correction>,
    /// Other instruments of which nothing comes any more.
    pub ended: Vec<InstrumentId>,
}

impl OrderedBatch {
    /// Whether a feed has just brought it.
    pub fn is_live(&self) -> bool {
        self.received.is_some()
    }
}

/// The three ways on.
pub struct Validated<'scope> {
    /// Trades in order, still on the worker that read them.
    pub trades: StreamVec<'scope, Epoch, OrderedBatch>,
    /// Rows set aside (or the one that stopped its instrument).
    pub rejects: StreamVec<'scope, Epoch, Reject>,
    /// What was counted on the way, as differential updates.
    pub facts: StreamVec<'scope, Epoch, FactUpdate>,
}

/// The right to release at the end what waits. It moves on with the input: trades may wait for as long
/// as their instrument is quiet, and held at the epoch that they came with, it would hold back the
/// frontier, and with it all sources, which look at how far everything is.
struct LastWord(Option<Rights>);

impl LastWord {
    /// Moves on to the input's frontier; is given up where nothing waits.
    fn follow(&mut self, frontier: Epoch, is_needed: bool) {
        match &mut self.0 {
            held if !is_needed => *held = None,
            Some((a, b, c)) if *a.time() < frontier => {
                a.downgrade(&frontier);
                b.downgrade(&frontier);
                c.downgrade(&frontier);
            }
            _ => {}
        }
    }
}

/// Checks the sequence of each instrument's input batches and splits off what is wrong.
///
/// # Contract
/// Input batches of an instrument arrive from one source, in order, on this worker. Trades leave in
/// the order of their ids; every row ends in exactly one of the three outputs or in a count.
///
/// With `cut_short` another run continues where this one stops, and the flag says at the end
/// whether it stopped before its input did. Then trades that wait for a missing id are left to the
/// other run, which reads them again: released now, they would leave a gap that is none.
pub fn validate<'scope>(
    input_batches: StreamVec<'scope, Epoch, InputBatch>,
    options: ValidateOptions,
    cut_short: Option<Arc<AtomicBool>>,
) -> Validated<'scope> {
    let mut builder = OperatorBuilder::new("Validate".to_owned(), input_batches.scope());
    let mut input = builder.new_input(input_batches, Pipeline);
    let (mut trades_out, trades) = output(&mut builder);
    let (mut rejects_out, rejects) = output(&mut builder);
    let (mut facts_out, facts) = output(&mut builder);

    builder.build(move |_initial| {
        let continued = cut_short.is_some();
        let mut orders = Orders { options, continued, by_instrument: BTreeMap::new() };
        let mut last_word = LastWord(None);
        move |frontiers| {
            let mut trades_out = trades_out.activate();
            let mut rejects_out = rejects_out.activate();
            let mut facts_out = facts_out.activate();
            let mut send = |caps: &Rights, result: Validation| {
                let epoch = *caps.0.time();
                trades_out.session(&caps.0).give(result.sequenced);
                if !result.rejects.is_empty() {
                    rejects_out.session(&caps.1).give_iterator(result.rejects.into_iter());
                }
                let facts = result.facts.into_iter().map(|(fact, n)| (fact, epoch, n));
                facts_out.session(&caps.2).give_iterator(facts);
            };
            // `for_each` keeps arrival order, which is the order of the source.
            input.for_each(|cap, input_batches| {
                for input_batch in input_batches.drain(..) {
                    let Some(caps) = rights(&cap) else { continue };
                    for ended in &input_batch.ended {
                        orders.end(ended).into_iter().for_each(|result| send(&caps, result));
                    }
                    if let Some(result) = orders.on_batch(input_batch) {
                        send(&caps, result);
                    }
                    last_word.0 = Some(caps);
                }
            });
            let is_cut_short =
                || cut_short.as_ref().is_some_and(|flag| flag.load(Ordering::Acquire));
            match frontiers[0].frontier().first() {
                Some(frontier) => last_word.follow(*frontier, orders.any_waits()),
                // The end: without that right the frontier can advance.
                None => {
                    if let Some(caps) = last_word.0.take().filter(|_| !is_cut_short()) {
                        orders.finish().for_each(|result| send(&caps, result));
                    }
                }
            }
        }
    });
    Validated { trades, rejects, facts }
}

/// The orders of all instruments that this worker reads.
struct Orders {
    options: ValidateOptions,
    continued: bool,
    by_instrument: BTreeMap<InstrumentId, InstrumentOrder>,
}

/// What one input batch came to, by output.
struct Validation {
    sequenced: OrderedBatch,
    rejects: Vec<Reject>,
    facts: Vec<(Fact, isize)>,
}

impl Orders {
    fn on_batch(&mut self, mut input_batch: InputBatch) -> Option<Validation> {
        let feed = &input_batch.trades.feed;
        let order = self.by_instrument.entry(feed.instrument.clone()).or_insert_with(|| {
            let mut order = InstrumentOrder::new(Arc::clone(feed), self.options.order.clone());
            if let Some(from) = self.options.resume.get(&feed.instrument) {
                order.resume(from.clone());
            }
            if self.continued {
                order.leave_waiting_to_next_run();
            }
            order
        });
        let received = input_batch.order.as_ref().and_then(|known| known.received);
        let open_gap = input_batch.order.as_ref().and_then(|known| known.open_gap);
        let specs = input_batch.specs.take();
        let ended = std::mem::take(&mut input_batch.ended);
        let ordered = order.on_batch(input_batch)?;
        let mut result = Validation::new(ordered);
        (result.sequenced.received, result.sequenced.specs) = (received, specs);
        (result.sequenced.open_gap, result.sequenced.ended) = (open_gap, ended);
        Some(result)
    }

    /// Nothing of an instrument comes any more: what still waits.
    fn end(&mut self, instrument: &InstrumentId) -> Option<Validation> {
        let ordered = self.by_instrument.get_mut(instrument)?.finish()?;
        Some(Validation::new(ordered))
    }

    fn any_waits(&self) -> bool {
        self.by_instrument.values().any(InstrumentOrder::is_waiting)
    }

    /// The input has ended: what still waits.
    fn finish(&mut self) -> impl Iterator<Item = Validation> {
        let orders = self.by_instrument.values_mut();
        orders.filter_map(InstrumentOrder::finish).map(Validation::new)
    }
}

impl Validation {
    fn new(ordered: Ordered) -> Self {
        let Ordered { trades, position, findings, rejects, late, corrections } = ordered;
        let instrument = &trades.feed.instrument;
        let mut facts = Fact::of(instrument, &findings);
        if !rejects.is_empty() {
            let count = rejects.len() as isize;
            facts.push((Fact::new(instrument, FactKind::Rejected), count));
            if matches!(position, Position::Feed(_)) {
                facts.push((Fact::new(instrument, FactKind::RejectedOfFeed), count));
                if late > 0 {
                    facts.push((Fact::new(instrument, FactKind::LateOfFeed), late as isize));
                }
            }
        }
        let gaps = findings.gaps;
        let sequenced = OrderedBatch {
            trades,
            position,
            gaps,
            open_gap: None,
            received: None,
            specs: None,
            corrections,
            ended: Vec::new(),
        };
        Self { sequenced, rejects, facts }
    }
}
