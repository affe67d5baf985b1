//! What was made of input batches before they came: passes it on as if it had been made here.

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Epoch;
use super::ledger::{Fact, FactKind, FactUpdate};
use super::out::Out;
use super::outputs::{output, rights};
use crate::convergence::monitor::Synchronised;
use crate::input_batch::{InputBatch, Reject};
use crate::published::PublishedBar;

/// The outputs, as those of [`validate`](super::validate) and [`bars`](super::bars) together.
pub struct Built<'scope> {
    /// Bars and progress.
    pub out: StreamVec<'scope, Epoch, Out>,
    /// Rows set aside.
    pub rejects: StreamVec<'scope, Epoch, Reject>,
    /// What was counted on the way, as differential updates.
    pub facts: StreamVec<'scope, Epoch, FactUpdate>,
}

/// Passes on what chunks of a history were [made](InputBatch::made) into.
///
/// # Contract
/// Input batches of an instrument arrive in order, on the worker that the instrument hashes to.
pub fn built<'scope>(input_batches: StreamVec<'scope, Epoch, InputBatch>) -> Built<'scope> {
    let mut builder = OperatorBuilder::new("Built".to_owned(), input_batches.scope());
    let mut input = builder.new_input(input_batches, Pipeline);
    let (mut out, out_stream) = output(&mut builder);
    let (mut rejects_out, rejects) = output(&mut builder);
    let (mut facts_out, facts) = output(&mut builder);

    builder.build(move |_initial| {
        move |_frontiers| {
            let mut out = out.activate();
            let mut rejects_out = rejects_out.activate();
            let mut facts_out = facts_out.activate();
            input.for_each(|cap, input_batches| {
                let Some((a, b, c)) = rights(&cap) else { return };
                let epoch = *a.time();
                let mut out = out.session(&a);
                for InputBatch { trades, rejects, end, made, .. } in input_batches.drain(..) {
                    let Some(made) = made else { continue };
                    let feed = trades.feed;
                    let mut facts = Fact::of(&feed.instrument, &made.findings);
                    let rejected = Fact::new(&feed.instrument, FactKind::Rejected);
                    facts.extend(
                        (!rejects.is_empty()).then_some((rejected, rejects.len() as isize)),
                    );
                    let facts = facts.into_iter().map(|(fact, n)| (fact, epoch, n));
                    facts_out.session(&c).give_iterator(facts);
                    rejects_out.session(&b).give_iterator(rejects.into_iter());
                    for (spec, bar) in made.bars {
                        // Chunks are not watched.
                        let (feed, received) = (feed.clone(), None);
                        let synchronised = Synchronised::Unknown;
                        let bar = PublishedBar { spec, feed, bar, received, synchronised };
                        out.give(Out::Bar((bar, epoch, 1)));
                    }
                    out.give(Out::Progress(feed.instrument.clone(), end));
                    if !made.progress.is_empty() {
                        out.give(Out::Report(made.progress));
                    }
                    if !made.left.is_empty() {
                        out.give(Out::Left(feed.instrument.clone(), made.left));
                    }
                }
            });
        }
    });
    Built { out: out_stream, rejects, facts }
}
