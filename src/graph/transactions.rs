//! How results get out of the dataflow where bars and checkpoints count together.

use std::collections::VecDeque;

use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::bars::{BarUpdate, Cut};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::published::PublishedBar;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

use super::handover::Handover;
use super::stop::Stop;
use super::tally::Tally;
use crate::sinks::Commit;

/// Hands bars over as they come and cuts where they belong among them. The returned stream carries
/// nothing; its frontier says which epochs are handed over.
///
/// A cut may come long after its epochs are closed, so the frontier does not wait for cuts: they
/// would hold the source back by a whole interval.
pub fn transactions<'scope>(
    bars: StreamVec<'scope, Epoch, BarUpdate>,
    progress: StreamVec<'scope, Epoch, (InstrumentId, Position)>,
    cuts: StreamVec<'scope, Epoch, Cut>,
    to: Handover,
    shard: usize,
    tally: Tally,
    stop: Stop,
) -> StreamVec<'scope, Epoch, ()> {
    let mut builder = OperatorBuilder::new("Transactions".to_owned(), bars.scope());
    let (_nothing, handed_over) = builder.new_output::<Vec<()>>();
    let follows = [(0, Antichain::from_elem(Default::default()))];
    let mut bars = builder.new_input_connection(bars, Pipeline, follows.clone());
    let mut progress = builder.new_input_connection(progress, Pipeline, follows);
    let mut cuts = builder.new_input_connection(cuts, Pipeline, []);

    builder.build(move |_capabilities| {
        let mut pending = Pending::default();
        move |_frontiers| {
            bars.for_each(|_, updates| {
                pending.bars.extend(updates.drain(..).map(|(bar, _, diff)| (bar, diff)));
            });
            cuts.for_each(|_, cut| pending.cuts.extend(cut.drain(..)));
            while let Some(commit) = pending.next() {
                if to.give(Commit { shard, ..commit }).is_err() {
                    // The sink is gone; it has said why, or will.
                    stop.raise();
                }
            }
            progress.for_each(|_, positions| tally.advance(positions));
        }
    });
    handed_over
}

/// What has come and is not handed over.
#[derive(Default)]
struct Pending {
    bars: VecDeque<(PublishedBar, isize)>,
    cuts: VecDeque<Cut>,
    /// How many bars were handed over.
    given: u64,
}

impl Pending {
    /// Bars up to the next cut, with the cut if they are all there.
    fn next(&mut self) -> Option<Commit> {
        let here = self.bars.len() as u64;
        let wanted = self.cuts.front().map_or(here, |cut| cut.bars_before - self.given);
        let cut = if wanted <= here { self.cuts.pop_front() } else { None };
        let cut = cut.map(|cut| cut.records);
        let bars: Vec<_> = self.bars.drain(..wanted.min(here) as usize).collect();
        self.given += bars.len() as u64;
        (cut.is_some() || !bars.is_empty()).then(|| Commit { bars, cut, ..Commit::default() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::{Feed, IdKind, InputKind};

    use super::*;

    fn bar(seq: u64) -> (PublishedBar, isize) {
        let feed = Arc::new(Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        });
        let bar = OpenBar::default().finish(seq, &Levels::default(), CloseReason::Threshold, 0);
        (PublishedBar { spec: "x".into(), feed, bar, received: None }, 1)
    }

    fn cut(bars_before: u64) -> Cut {
        Cut { bars_before, records: Vec::new() }
    }

    #[test]
    fn cuts_stand_where_they_belong_among_bars() {
        let mut pending = Pending::default();
        let mut seen = Vec::new();
        let mut take = |pending: &mut Pending| {
            while let Some(commit) = pending.next() {
                seen.push((commit.bars.len(), commit.cut.is_some()));
            }
            std::mem::take(&mut seen)
        };
        pending.bars.extend((0..5).map(bar));
        pending.cuts.extend([cut(2), cut(2), cut(4)]);
        assert_eq!(take(&mut pending), [(2, true), (0, true), (2, true), (1, false)]);
        // A cut whose bars are still under way waits for them.
        pending.cuts.push_back(cut(7));
        assert_eq!(take(&mut pending), []);
        pending.bars.extend((5..8).map(bar));
        assert_eq!(take(&mut pending), [(2, true), (1, false)]);
    }
}
