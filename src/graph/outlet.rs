//! How results get out of the dataflow: bounded channels to threads that may be slow.

use std::collections::BTreeMap;

use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::bars::BarUpdate;
use barflow_operators::dataflow::validate::Sequenced;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use crossbeam::channel::Sender;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::progress::frontier::MutableAntichain;

use super::handover::Handover;
use super::tally::Tally;
use crate::sinks::Commit;
use crate::stop::Stop;

/// What belongs to epochs that are still open.
#[derive(Default)]
struct OpenEpoch {
    bars: Vec<BarUpdate>,
    positions: Vec<(InstrumentId, Position)>,
}

/// Hands bars and positions over, one commit per advance of the frontier. The returned stream
/// carries nothing; its frontier says which epochs are handed over.
///
/// A slow sink blocks the worker: that is how it slows the source. A sink that workers feed
/// themselves gets each bar as it is decided: its instrument's bars come in order without waiting
/// for the frontier, which then says only how far the input is applied.
pub fn commits<'scope>(
    bars: StreamVec<'scope, Epoch, BarUpdate>,
    progress: StreamVec<'scope, Epoch, (InstrumentId, Position)>,
    to: Handover,
    tally: Tally,
    stop: Stop,
) -> StreamVec<'scope, Epoch, ()> {
    bars.binary_frontier::<_, timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
        progress,
        Pipeline,
        Pipeline,
        "Commits",
        move |_capability, _info| {
            let mut open: BTreeMap<Epoch, OpenEpoch> = BTreeMap::new();
            // The right to hold the output's frontier back at the oldest epoch not handed over.
            let mut held = BTreeMap::new();
            move |(bars, bars_frontier), (progress, progress_frontier), output| {
                bars.for_each(|cap, updates| {
                    if to.is_direct() {
                        let frontier = updates.first().map_or(0, |(_, epoch, _)| *epoch);
                        let bars = updates.drain(..).map(|(bar, _, diff)| (bar, diff)).collect();
                        let commit = Commit { frontier, bars, ..Commit::default() };
                        if to.give(commit).is_err() {
                            stop.raise();
                        }
                    } else if let Some(cap) = cap.retain_least(output.output_index()) {
                        let epoch = *cap.time();
                        open.entry(epoch).or_default().bars.append(updates);
                        held.entry(epoch).or_insert(cap);
                    }
                });
                progress.for_each(|cap, positions| {
                    if let Some(cap) = cap.retain_least(output.output_index()) {
                        let epoch = *cap.time();
                        open.entry(epoch).or_default().positions.append(positions);
                        held.entry(epoch).or_insert(cap);
                    }
                });
                let frontier = lesser(bars_frontier, progress_frontier);
                let still_open = match frontier {
                    Some(frontier) => open.split_off(&frontier),
                    None => BTreeMap::new(),
                };
                let closed = std::mem::replace(&mut open, still_open);
                if closed.is_empty() {
                    return;
                }
                let commit = merge(closed, frontier.unwrap_or(Epoch::MAX));
                tally.advance(&commit.positions);
                if to.give(commit).is_err() {
                    // The sink is gone; it has said why, or will.
                    stop.raise();
                }
                match frontier {
                    Some(frontier) => held = held.split_off(&frontier),
                    None => held.clear(),
                }
            }
        },
    )
}

fn lesser(a: &MutableAntichain<Epoch>, b: &MutableAntichain<Epoch>) -> Option<Epoch> {
    let first = |antichain: &MutableAntichain<Epoch>| antichain.frontier().first().copied();
    match (first(a), first(b)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

fn merge(epochs: BTreeMap<Epoch, OpenEpoch>, frontier: Epoch) -> Commit {
    let mut commit = Commit { frontier, ..Commit::default() };
    let mut positions: BTreeMap<InstrumentId, Position> = BTreeMap::new();
    for epoch in epochs.into_values() {
        commit.bars.extend(epoch.bars.into_iter().map(|(bar, _, diff)| (bar, diff)));
        positions.extend(epoch.positions);
    }
    commit.positions = positions.into_iter().collect();
    commit
}

/// Hands validated trades to whoever keeps them.
pub fn trades<'scope>(
    trades: StreamVec<'scope, Epoch, Sequenced>,
    to: Sender<Sequenced>,
    stop: Stop,
) {
    trades.sink(Pipeline, "Trades", move |(input, _frontier)| {
        input.for_each(|_, batches| {
            for batch in batches.drain(..) {
                if to.send(batch).is_err() {
                    stop.raise();
                }
            }
        });
    });
}
