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
use crate::batch::Feed;
use crate::desk::{Desk, Joined};
use crate::instrument::InstrumentId;
use crate::pool::BatchPool;
use crate::position::Position;
use crate::published::PublishedBar;
use crate::spec::BarSpec;

/// A bar as a differential update: +1 stands, −1 (a later correction) no longer stands.
pub type BarUpdate = (PublishedBar, Epoch, isize);

/// The ways on, all on the worker that keeps the instrument.
pub struct Bars<'scope> {
    /// Bars as differential updates, in order per instrument and specification.
    pub bars: StreamVec<'scope, Epoch, BarUpdate>,
    /// How far each instrument's input is applied.
    pub progress: StreamVec<'scope, Epoch, (InstrumentId, Position)>,
    /// Live builders that have become independent of where they began.
    pub joined: StreamVec<'scope, Epoch, (InstrumentId, Joined)>,
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

    let (joined_out, joined) = builder.new_output();
    let mut joined_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<(InstrumentId, Joined)>>>::from(joined_out);

    builder.build(move |_initial| {
        let mut desks: BTreeMap<InstrumentId, Desk> = BTreeMap::new();
        move |_frontiers| {
            let mut bars_out = bars_out.activate();
            let mut progress_out = progress_out.activate();
            let mut joined_out = joined_out.activate();
            input.for_each(|cap, batches| {
                // All outputs live at the input's own time; a message without one carries no
                // trades of ours.
                let (Some(bars_cap), Some(progress_cap), Some(joined_cap)) =
                    (cap.retain_least(0), cap.retain_least(1), cap.retain_least(2))
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
                    let live = received != 0;
                    for joined in desk.on_batch(&trades, &gaps, live, |spec, bar| {
                        let (spec, feed) = (Arc::clone(spec), Arc::clone(feed));
                        bars_session.give((PublishedBar { spec, feed, bar, received }, epoch, 1));
                    }) {
                        joined_out.session(&joined_cap).give((feed.instrument.clone(), joined));
                    }
                    progress_session.give((feed.instrument.clone(), position));
                    pool.give_back(trades);
                }
            });
        }
    });
    Bars { bars, progress, joined }
}
