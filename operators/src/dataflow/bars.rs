//! From trades in order to bars: drives the bar machines of each instrument.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::validate::Sequenced;
use crate::bar::Bar;
use crate::bars::machine::BarMachine;
use crate::batch::{Feed, TradeBatch};
use crate::instrument::InstrumentId;
use crate::pool::BatchPool;
use crate::position::Position;
use crate::published::PublishedBar;
use crate::sequence::Gap;
use crate::spec::BarSpec;

/// A bar as a differential update: +1 stands, −1 (a later correction) no longer stands.
pub type BarUpdate = (PublishedBar, Epoch, isize);

/// The two ways on, both on the worker that keeps the instrument.
pub struct Bars<'scope> {
    /// Bars as differential updates, in order per instrument and specification.
    pub bars: StreamVec<'scope, Epoch, BarUpdate>,
    /// How far each instrument's input is applied.
    pub progress: StreamVec<'scope, Epoch, (InstrumentId, Position)>,
}

/// One instrument's machines: all its specifications share one pass over the trades.
struct Desk {
    machines: Vec<Seat>,
}

/// One machine, and what is known about its open bar that the machine need not know.
struct Seat {
    spec: BarSpec,
    machine: BarMachine,
    /// Ids that are missing since its last bar.
    missing_ids: u64,
}

impl Seat {
    fn new(spec: &BarSpec) -> Self {
        Self { spec: spec.clone(), machine: BarMachine::new(spec), missing_ids: 0 }
    }

    /// Takes a batch, telling bars that span a gap so.
    fn on_batch(&mut self, trades: &TradeBatch, gaps: &[Gap], closed: &mut Vec<Bar>) {
        if gaps.is_empty() && self.missing_ids == 0 {
            self.machine.on_batch(trades, closed);
            return;
        }
        let mut gaps = gaps.iter().peekable();
        for trade in trades.iter() {
            let earlier = self.missing_ids;
            while let Some(gap) = gaps.next_if(|gap| gap.last_missing < trade.trade_id) {
                self.missing_ids += gap.len();
            }
            let before = closed.len();
            self.machine.on_trade(&trade, trades.feed.has_aggressor, closed);
            if let Some(bar) = closed.get_mut(before) {
                // An interval's bar ends before the trade that closes it, and before its gap.
                let whole = bar.last_trade_id == trade.trade_id;
                bar.missing_ids = if whole { self.missing_ids } else { earlier };
                self.missing_ids -= bar.missing_ids;
            }
        }
        self.missing_ids += gaps.map(Gap::len).sum::<u64>();
    }
}

impl Desk {
    fn new(specs: &[BarSpec]) -> Self {
        Self { machines: specs.iter().map(Seat::new).collect() }
    }

    /// Takes another list of specifications: machines whose specification stays go on as if
    /// nothing had happened, others go, new ones start here.
    fn seat(&mut self, specs: &[BarSpec]) {
        let mut before = std::mem::take(&mut self.machines);
        for spec in specs {
            let stays = before.iter().position(|seat| seat.spec == *spec);
            self.machines.push(match stays {
                Some(place) => before.swap_remove(place),
                None => Seat::new(spec),
            });
        }
    }
}

/// Builds bars of every instrument by every specification that `specs_of` names for its feed.
///
/// Trades go to the worker that the instrument hashes to. Batches are applied as they arrive:
/// there is one ordered source per instrument, and channels between two workers keep order, so
/// waiting for the frontier would add latency and nothing else.
pub fn bars<'scope>(
    trades: StreamVec<'scope, Epoch, Sequenced>,
    pool: BatchPool,
    specs_of: impl Fn(&Feed) -> Vec<BarSpec> + 'static,
) -> Bars<'scope> {
    let mut builder = OperatorBuilder::new("Bars".to_owned(), trades.scope());
    let by_instrument =
        Exchange::new(|batch: &Sequenced| batch.trades.feed.instrument.shard_hash());
    let mut input = builder.new_input(trades, by_instrument);
    let (bars_out, bars) = builder.new_output();
    let (progress_out, progress) = builder.new_output();
    let mut bars_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<BarUpdate>>>::from(bars_out);
    let mut progress_out = OutputBuilder::<
        _,
        CapacityContainerBuilder<Vec<(InstrumentId, Position)>>,
    >::from(progress_out);

    builder.build(move |_initial| {
        let mut desks: BTreeMap<InstrumentId, Desk> = BTreeMap::new();
        let mut closed: Vec<Bar> = Vec::new();
        move |_frontiers| {
            let mut bars_out = bars_out.activate();
            let mut progress_out = progress_out.activate();
            input.for_each(|cap, batches| {
                // Both outputs live at the input's own time; a message without one carries no
                // trades of ours.
                let (Some(bars_cap), Some(progress_cap)) =
                    (cap.retain_least(0), cap.retain_least(1))
                else {
                    return;
                };
                let epoch = *bars_cap.time();
                let mut bars_session = bars_out.session(&bars_cap);
                let mut progress_session = progress_out.session(&progress_cap);
                for Sequenced { trades, position, gaps, received, specs } in batches.drain(..) {
                    let feed = &trades.feed;
                    let desk = desks
                        .entry(feed.instrument.clone())
                        .or_insert_with(|| Desk::new(&specs_of(feed)));
                    if let Some(specs) = specs {
                        desk.seat(&specs);
                    }
                    for seat in &mut desk.machines {
                        seat.on_batch(&trades, &gaps, &mut closed);
                        for bar in closed.drain(..) {
                            let feed = Arc::clone(feed);
                            let spec = Arc::clone(seat.spec.name());
                            let published = PublishedBar { spec, feed, bar, received };
                            bars_session.give((published, epoch, 1));
                        }
                    }
                    progress_session.give((feed.instrument.clone(), position));
                    pool.give_back(trades);
                }
            });
        }
    });
    Bars { bars, progress }
}
