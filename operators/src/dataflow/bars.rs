//! From trades in order to bars: drives the bar machines of each instrument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::validate::OrderedBatch;
use crate::batch::Feed;
use crate::checkpoint::instrument_state::{InstrumentState, SealedRecord};
use crate::convergence::monitor::Joined;
use crate::end::{InputEnd, Unfinished};
use crate::instrument::InstrumentId;
use crate::open_bars::OpenBars;
use crate::pool::BatchPool;
use crate::position::Position;
use crate::published::PublishedBar;
use crate::revision::{Revision, Window};
use crate::spec::BarSpec;

/// A bar as a differential update: +1 published, −1 retracted by a later correction.
pub type BarUpdate = (PublishedBar, Epoch, isize);

/// What a worker has decided, in one order: a bar, then the progress of the input that closed it; a
/// cut after everything that it covers.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Most are bars.
pub enum Out {
    /// A bar. In order per instrument and specification.
    Bar(BarUpdate),
    /// How far an instrument's input is applied: its bars are complete through the position's trade.
    Progress(InstrumentId, Position),
    /// What is left of an instrument's builders at the end of its input.
    Left(InstrumentId, Vec<Unfinished>),
    /// A checkpoint, which makes everything before it count as a whole: every instrument of this
    /// worker that has moved since the cut before. None without a [`CheckpointPolicy`].
    Cut(Vec<SealedRecord>),
}

impl Out {
    /// The bar, if it is one.
    pub fn bar(&self) -> Option<&BarUpdate> {
        match self {
            Self::Bar(update) => Some(update),
            Self::Progress(..) | Self::Left(..) | Self::Cut(_) => None,
        }
    }
}

/// The outputs, all on the worker that keeps the instrument.
pub struct Bars<'scope> {
    /// Bars, progress and cuts.
    pub out: StreamVec<'scope, Epoch, Out>,
    /// Live builders that have become independent of where they began.
    pub joined: StreamVec<'scope, Epoch, (InstrumentId, Joined)>,
    /// What became of corrections.
    pub revisions: StreamVec<'scope, Epoch, (InstrumentId, Box<Revision>)>,
}

/// Builders of an earlier run, taken out by the worker that first meets their instrument.
pub type Restored = Arc<Mutex<BTreeMap<InstrumentId, InstrumentState>>>;

/// How a worker keeps book for checkpoints.
pub struct CheckpointPolicy {
    /// Where builders resume.
    pub restored: Restored,
    /// Whether it is time for a cut, given how many bars were sent since the last one. Asked when
    /// there is something to write down.
    pub due: Box<dyn FnMut(u64) -> Due>,
}

/// Whether it is time for a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is.
    Now,
    /// It is not; ask again after this time even if nothing comes in.
    Later(Duration),
    /// It is not, and the time of the next check is known.
    Wait,
}

/// Builds bars of every instrument by every specification that `specs_of` names for its feed.
///
/// Trades go to the worker that the instrument hashes to. Batches are applied as they arrive:
/// there is one ordered source per instrument, and channels between two workers keep order, so
/// waiting for the frontier would add latency and nothing else.
///
/// With a `policy` the state of the builders is written down now and then, always between two
/// batches: a [cut](Out::Cut) holds exactly the trades whose bars were sent before, whatever epochs
/// they came in.
///
/// With a `window` that much of the past is retained, and corrections change it.
///
/// When nothing more comes, `end_of` says how the input of each instrument ended; none if it was cut
/// short. Whoever looks at `open_bars` learns how far the open ones are.
pub fn bars<'scope>(
    trades: StreamVec<'scope, Epoch, OrderedBatch>,
    pool: BatchPool,
    specs_of: impl Fn(&Feed) -> Vec<BarSpec> + 'static,
    mut policy: Option<CheckpointPolicy>,
    window: Option<Window>,
    end_of: impl Fn(&InstrumentId) -> Option<InputEnd> + 'static,
    open_bars: &OpenBars,
) -> Bars<'scope> {
    let mut open_bars = open_bars.reporter();
    let scope = trades.scope();
    let (index, peers) = (scope.index(), scope.peers());
    let mut builder = OperatorBuilder::new("Bars".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let by_instrument =
        Exchange::new(|batch: &OrderedBatch| batch.trades.feed.instrument.shard_hash());
    let mut input = builder.new_input(trades, by_instrument);
    let (out, out_stream) = builder.new_output();
    let (joined_out, joined) = builder.new_output();
    let (revisions_out, revisions) = builder.new_output();
    let mut out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Out>>>::from(out);
    let mut joined_out =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<(InstrumentId, Joined)>>>::from(joined_out);
    let mut revisions_out = OutputBuilder::<
        _,
        CapacityContainerBuilder<Vec<(InstrumentId, Box<Revision>)>>,
    >::from(revisions_out);

    builder.build(move |initial| {
        // The right to send what the end of the input closes.
        let mut end_cap: Option<Capability<Epoch>> = initial.into_iter().next();
        let mut states: BTreeMap<InstrumentId, InstrumentState> = BTreeMap::new();
        // Bars sent; how many of them before the last cut.
        let (mut sent, mut cut_at) = (0, 0);
        // The right to send a cut later. It moves on with the input, so that it holds nothing back.
        let mut cut_cap: Option<Capability<Epoch>> = None;
        // The right to say at the end which corrections' place was never reached.
        let mut last_word: Option<Capability<Epoch>> = None;
        move |frontiers| {
            let mut out = out.activate();
            let mut joined_out = joined_out.activate();
            let mut revisions_out = revisions_out.activate();
            input.for_each(|cap, batches| {
                // All outputs live at the input's own time; a message without one carries no
                // trades of ours.
                let (Some(out_cap), Some(joined_cap), Some(revisions_cap)) =
                    (cap.retain_least(0), cap.retain_least(1), cap.retain_least(2))
                else {
                    return;
                };
                if policy.is_some() {
                    cut_cap = Some(out_cap.clone());
                }
                if window.is_some() {
                    last_word = Some(revisions_cap.clone());
                }
                let epoch = *out_cap.time();
                let mut session = out.session(&out_cap);
                for batch in batches.drain(..) {
                    let feed = &batch.trades.feed;
                    let state = states.entry(feed.instrument.clone()).or_insert_with(|| {
                        let restored =
                            policy.as_ref().and_then(|policy| policy.take(&feed.instrument));
                        let mut state = restored.unwrap_or_else(|| {
                            InstrumentState::new(Arc::clone(feed), &specs_of(feed))
                        });
                        if let Some(window) = window {
                            state.retain(window);
                        }
                        state
                    });
                    let taken = state.on_ordered_batch(
                        &batch,
                        policy.is_some(),
                        |spec, bar, diff, synchronised| {
                            let (spec, feed) = (Arc::clone(spec), Arc::clone(feed));
                            let received = batch.received;
                            sent += 1;
                            let bar = PublishedBar { spec, feed, bar, received, synchronised };
                            session.give(Out::Bar((bar, epoch, diff)));
                        },
                    );
                    for joined in taken.joined {
                        joined_out.session(&joined_cap).give((feed.instrument.clone(), joined));
                    }
                    if let Some(revision) = taken.revision {
                        let revision = (feed.instrument.clone(), revision);
                        revisions_out.session(&revisions_cap).give(revision);
                    }
                    session.give(Out::Progress(feed.instrument.clone(), batch.position));
                    pool.give_back(batch.trades);
                }
            });
            open_bars.report(|| {
                states.iter().map(|(id, state)| (id.clone(), state.open_bars().collect()))
            });
            let ended = frontiers[0].is_empty();
            if let Some(cap) = last_word.take_if(|_| ended) {
                for (instrument, state) in &mut states {
                    if let Some(revision) = state.never_reached() {
                        let revision = (instrument.clone(), Box::new(revision));
                        revisions_out.session(&cap).give(revision);
                    }
                }
            }
            if let Some(cap) = end_cap.take_if(|_| ended) {
                if let Some(policy) = &policy {
                    let mine = |id: &InstrumentId| id.shard_hash() % peers as u64 == index as u64;
                    policy.take_rest(mine, &mut states);
                }
                let mut session = out.session(&cap);
                for (instrument, state) in &mut states {
                    let Some(end) = end_of(instrument) else { continue };
                    let bars_before = sent;
                    let feed = Arc::clone(state.feed());
                    let left = state.on_end(end, |spec, bar, synchronised| {
                        let (spec, feed) = (Arc::clone(spec), Arc::clone(&feed));
                        sent += 1;
                        let bar = PublishedBar { spec, feed, bar, received: None, synchronised };
                        session.give(Out::Bar((bar, *cap.time(), 1)));
                    });
                    session.give(Out::Left(instrument.clone(), left));
                    if sent > bars_before && policy.is_some() {
                        cut_cap = Some(cap.clone());
                    }
                }
            }
            if let (Some(policy), Some(cap)) = (&mut policy, &cut_cap) {
                let due = if ended { Due::Now } else { (policy.due)(sent - cut_at) };
                match due {
                    Due::Now => {
                        let records =
                            states.values_mut().filter_map(InstrumentState::cut).collect();
                        cut_at = sent;
                        out.session(cap).give(Out::Cut(records));
                        cut_cap = None;
                    }
                    Due::Later(time) => activator.activate_after(time),
                    Due::Wait => {}
                }
            }
            let now = frontiers[0].frontier().first().copied();
            for cap in cut_cap.iter_mut().chain(&mut end_cap) {
                if let Some(now) = now.filter(|now| cap.time() < now) {
                    cap.downgrade(&now);
                }
            }
        }
    });
    Bars { out: out_stream, joined, revisions }
}

impl CheckpointPolicy {
    /// The instruments of this worker of which no trade came.
    fn take_rest(
        &self,
        mine: impl Fn(&InstrumentId) -> bool,
        states: &mut BTreeMap<InstrumentId, InstrumentState>,
    ) {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_this, others) =
            std::mem::take(&mut *restored).into_iter().partition(|(id, _)| mine(id));
        *restored = others;
        let of_this: BTreeMap<_, _> = of_this;
        for (instrument, state) in of_this {
            states.entry(instrument).or_insert(state);
        }
    }

    fn take(&self, instrument: &InstrumentId) -> Option<InstrumentState> {
        // A thread that panicked while holding it took one instrument state out, which is complete
        // either way.
        self.restored.lock().unwrap_or_else(PoisonError::into_inner).remove(instrument)
    }
}
