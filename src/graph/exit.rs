//! The way out of the dataflow: one operator, one order.
//!
//! A bar is handed over as soon as it is decided, a cut exactly between the bars that it divides,
//! and progress never before the bars that it completes. The order of the bars operator's output is
//! all that this needs; no epoch has to close first.
//!
//! A slow sink blocks the worker here. That holds back the frontier, and with it the source.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use barflow_operators::checkpoint::instrument_state::SealedRecord;
use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::ledger::{Fact, FactKind, FactUpdate};
use barflow_operators::dataflow::out::Out;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::progress::Progress;
use barflow_operators::published::PublishedBar;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::options::GraphOptions;
use super::sink::Commit;
use super::sink_handle::SinkHandle;
use super::tally::Tally;
use crate::stop::Stop;
use crate::telemetry::latency::{Latency, Stage};

/// Hands everything over in order: one commit per activation, or more where cuts divide it. Returns
/// how many bars there were as facts for the ledger; the frontier of that stream says which epochs
/// are handed over. `made` counts what has passed.
pub fn exit<'scope>(
    out: StreamVec<'scope, Epoch, Out>,
    sink: SinkHandle,
    options: &GraphOptions,
    made: Rc<Cell<usize>>,
) -> StreamVec<'scope, Epoch, FactUpdate> {
    let (tally, latency) = (options.tally.clone(), options.latency.clone());
    let mut open = Open::new(out.scope().index(), sink, tally.clone(), options.stop.clone());
    out.unary_frontier::<CapacityContainerBuilder<Vec<FactUpdate>>, _, _, _>(
        Pipeline,
        "Exit",
        move |_capability, _info| {
            move |(input, frontier), output| {
                input.for_each(|cap, outs| {
                    note_bars(outs, &tally, &latency);
                    made.update(|bars| bars + outs.len());
                    output.session(&cap).give_iterator(facts(outs));
                    outs.drain(..).for_each(|out| open.take(out));
                });
                open.end_activation(frontier.frontier().is_empty());
            }
        },
    )
}

/// Notes lengths of bars, and when they were decided.
fn note_bars(outs: &[Out], tally: &Tally, latency: &Latency) {
    let bars = || outs.iter().filter_map(Out::bar);
    for (bar, _, _) in bars() {
        latency.note(bar.feed.instrument.venue(), Stage::Decided, bar.received);
    }
    tally.add_bars(bars().map(|(bar, _, diff)| (bar, *diff)));
}

/// How many bars there are: one fact for those of an instrument and specification that come together.
fn facts(outs: &[Out]) -> impl Iterator<Item = FactUpdate> {
    let mut counts: BTreeMap<(&InstrumentId, &str, Epoch), isize> = BTreeMap::new();
    for (bar, epoch, diff) in outs.iter().filter_map(Out::bar) {
        *counts.entry((&bar.feed.instrument, &bar.spec, *epoch)).or_default() += diff;
    }
    counts.into_iter().map(|((instrument, spec, epoch), count)| {
        (Fact::new(instrument, FactKind::Bars(spec.to_owned())), epoch, count)
    })
}

/// What has come and is not handed over.
struct Open {
    shard: usize,
    bars: Vec<(PublishedBar, isize)>,
    progress: BTreeMap<InstrumentId, Position>,
    reports: Vec<Progress>,
    sink: SinkHandle,
    tally: Tally,
    stop: Stop,
}

impl Open {
    fn new(shard: usize, sink: SinkHandle, tally: Tally, stop: Stop) -> Self {
        let (bars, progress, reports) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { shard, bars, progress, reports, sink, tally, stop }
    }

    fn take(&mut self, out: Out) {
        match out {
            Out::Bar((bar, _, diff)) => self.bars.push((bar, diff)),
            Out::Progress(instrument, position) => {
                self.progress.insert(instrument, position);
            }
            Out::Report(reports) => self.reports.extend(reports),
            Out::Left(instrument, left) => self.tally.note_left(&instrument, left),
            Out::Cut(records) => self.hand_over(Some(records)),
        }
    }

    /// Positions alone do not wake a sink, except at the end, where they are complete.
    fn end_activation(&mut self, is_last: bool) {
        let says = !self.bars.is_empty() || !self.reports.is_empty();
        if says || (is_last && !self.progress.is_empty()) {
            self.hand_over(None);
        }
    }

    fn hand_over(&mut self, cut: Option<Vec<SealedRecord>>) {
        let (bars, progress) = (std::mem::take(&mut self.bars), std::mem::take(&mut self.progress));
        let reports = std::mem::take(&mut self.reports);
        self.tally.advance(&progress);
        let commit = Commit { shard: self.shard, bars, progress, reports, cut };
        if self.sink.give(commit).is_err() {
            // The sink has stopped; its error is reported separately.
            self.stop.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::Feed;
    use barflow_operators::position::FilePosition;
    use crossbeam::channel::{Receiver, unbounded};

    use super::super::window::MOST_BARS;
    use super::*;
    use crate::budget::Budget;

    fn open() -> (Open, Receiver<Commit>) {
        let (send, commits) = unbounded();
        (
            Open::new(
                0,
                SinkHandle::Queue(send, Budget::new(MOST_BARS)),
                Tally::default(),
                Stop::new(),
            ),
            commits,
        )
    }

    fn bar(seq: u64) -> Out {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let bar = OpenBar::default().finish(seq, &Levels::default(), CloseReason::Threshold, 0);
        Out::Bar((
            PublishedBar {
                spec: "x".into(),
                feed,
                bar,
                received: None,
                synchronised: Default::default(),
            },
            3,
            1,
        ))
    }

    fn progress(trade_id: u64) -> Out {
        let mut position = Position::File(FilePosition::start("a.csv".into()));
        position.set_trade_id(trade_id);
        Out::Progress("a:b:C".parse().unwrap(), position)
    }

    /// Of every commit: numbers of its bars, through which trade they are complete, whether a cut
    /// follows.
    fn given(commits: &Receiver<Commit>) -> Vec<(Vec<u64>, Option<u64>, bool)> {
        let shown = |commit: Commit| {
            let bars = commit.bars.iter().map(|(bar, _)| bar.bar.seq).collect();
            let through = commit.progress.values().find_map(Position::trade_id);
            (bars, through, commit.cut.is_some())
        };
        commits.try_iter().map(shown).collect()
    }

    #[test]
    fn cuts_divide_the_bars_where_they_were_made() {
        let (mut open, commits) = open();
        let cut = || Out::Cut(Vec::new());
        for out in [bar(0), progress(7), cut(), bar(1), bar(2), progress(9), cut(), cut(), bar(3)] {
            open.take(out);
        }
        open.end_activation(false);
        let expected = [
            (vec![0], Some(7), true),
            (vec![1, 2], Some(9), true),
            (vec![], None, true),
            (vec![3], None, false),
        ];
        assert_eq!(given(&commits), expected);
    }

    #[test]
    fn progress_waits_for_the_next_bars_or_for_the_end() {
        let (mut open, commits) = open();
        for trade_id in [1, 2] {
            open.take(progress(trade_id));
            open.end_activation(false);
        }
        assert_eq!(given(&commits), []);
        open.take(bar(0));
        open.take(progress(3));
        open.end_activation(false);
        open.take(progress(4));
        open.end_activation(true);
        assert_eq!(given(&commits), [(vec![0], Some(3), false), (vec![], Some(4), false)]);
    }

    #[test]
    fn bars_that_come_together_are_counted_together() {
        let outs = [bar(0), bar(1), progress(7), bar(2)];
        let counted: Vec<_> = facts(&outs).map(|(_, epoch, n)| (epoch, n)).collect();
        assert_eq!(counted, [(3, 3)]);
    }
}
