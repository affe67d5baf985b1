//! Sums of bars by UTC day, and over trailing weeks: differential views of the bars, which follow every
//! correction of the past by themselves.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::Epoch;
use super::out::{BarUpdate, Out};
use crate::instrument::InstrumentId;

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

/// Days of a trailing window.
pub const WEEK: u8 = 7;

/// Which sum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Which bars.
    pub spec: Arc<str>,
    /// Last day, counted from 1970-01-01 (UTC). A bar belongs to the day on which it closes.
    pub day: i64,
    /// How many days: 1 or [`WEEK`].
    pub days: u8,
}

/// Bars, ticks, buy ticks and trades.
pub type Sums = (isize, isize, isize, isize);

/// An update of a sum: +1 makes it current, −1 takes it back.
pub type SumUpdate = ((Span, Sums), Epoch, isize);

/// Updates wait for the end of a stretch of this many epochs, as those of the ledger do.
const STRETCH: u64 = 1024;

/// Maintains the sums of each day with a bar, and of the weeks that end on it or within six days of it.
pub fn daily<'scope>(bars: StreamVec<'scope, Epoch, Out>) -> StreamVec<'scope, Epoch, SumUpdate> {
    let weighed = bars.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(
        Pipeline,
        "WeighBars",
        |_cap, _info| {
            move |input, output| {
                input.for_each(|cap, updates| {
                    let mut session = output.session(&cap);
                    for update in updates.iter().filter_map(Out::bar) {
                        session.give_iterator(weigh(update));
                    }
                });
            }
        },
    );
    let stretched = weighed
        .as_collection()
        .delay(|epoch| epoch.saturating_add(STRETCH - 1) / STRETCH * STRETCH);
    let by_instrument = Exchange::new(|((span, ()), _, _): &((Span, ()), Epoch, Sums)| {
        span.instrument.shard_hash()
    });
    let sums: Arranged<'_, TraceAgent<KeySpine<Span, Epoch, Sums>>> =
        arrange_core(stretched.inner, by_instrument, "Days", KeyBatcher::new);
    sums.count_total().inner
}

/// What a bar adds to its day and to the weeks that it lies in; what a retraction takes away.
fn weigh(update: &BarUpdate) -> impl Iterator<Item = ((Span, ()), Epoch, Sums)> + use<> {
    let (published, epoch, diff) = update;
    let bar = &published.bar;
    // Counts of a bar lie far below 2^63.
    let times = |count: u64| count as isize * *diff;
    let sums = (*diff, times(bar.ticks), times(bar.buy_ticks), times(bar.trade_count));
    let day = bar.close_time.div_euclid(DAY_NS);
    let (instrument, spec) = (published.feed.instrument.clone(), Arc::clone(&published.spec));
    let epoch = *epoch;
    let ends = std::iter::once((0, 1)).chain((0..i64::from(WEEK)).map(|later| (later, WEEK)));
    ends.map(move |(later, days)| {
        let (instrument, spec) = (instrument.clone(), Arc::clone(&spec));
        ((Span { instrument, spec, day: day + later, days }, ()), epoch, sums)
    })
}
