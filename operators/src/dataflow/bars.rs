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
use crate::batch::Feed;
use crate::instrument::InstrumentId;
use crate::pool::BatchPool;
use crate::position::Position;
use crate::published::PublishedBar;
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
    machines: Vec<(Arc<str>, BarMachine)>,
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
                for Sequenced { trades, position } in batches.drain(..) {
                    let feed = &trades.feed;
                    let desk = desks.entry(feed.instrument.clone()).or_insert_with(|| {
                        let specs = specs_of(feed);
                        Desk {
                            machines: specs
                                .iter()
                                .map(|spec| (Arc::clone(spec.name()), BarMachine::new(spec)))
                                .collect(),
                        }
                    });
                    for (spec, machine) in &mut desk.machines {
                        machine.on_batch(&trades, &mut closed);
                        for bar in closed.drain(..) {
                            let feed = Arc::clone(feed);
                            let published = PublishedBar { spec: Arc::clone(spec), feed, bar };
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
