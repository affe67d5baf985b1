//! The one function that draws the dataflow.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use barflow_operators::convergence::monitor::Joined;
use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::bars::{Bars, BarsOptions, bars};
use barflow_operators::dataflow::built::{Built, built};
use barflow_operators::dataflow::daily::daily;
use barflow_operators::dataflow::ledger::{Fact, FactUpdate, totals};
use barflow_operators::dataflow::out::Out;
use barflow_operators::dataflow::quality::{day_totals, quality};
use barflow_operators::dataflow::validate::{OrderedBatch, Validated, validate};
use barflow_operators::input_batch::{InputBatch, Reject};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::revision::Revision;
use crossbeam::channel::Sender;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Concat, Inspect, Probe};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::checkpoints::policy;
use super::control;
use super::exit::exit;
use super::flow::{InputQueue, source};
use super::options::{GraphOptions, OnReject, OnRevision};
use super::quality::Quality;
use super::sink_handle::SinkHandle;
use super::tally::Tally;
use super::workers::Workers;
use crate::stop::Stop;

/// What the tail of the dataflow needs, however it was made.
struct Decided<'scope> {
    out: StreamVec<'scope, Epoch, Out>,
    facts: StreamVec<'scope, Epoch, FactUpdate>,
}

/// Draws the dataflow of one worker of these, fed by `input_batches`; bars leave by `sink`.
pub fn assemble(
    scope: Scope<'_, Epoch>,
    input_batches: InputQueue,
    options: &GraphOptions,
    workers: &Workers,
    sink: SinkHandle,
) {
    let handed_over = ProbeHandle::new();
    let bars = Rc::new(Cell::new(0));
    let (clock, probe) = (options.clock.clone(), handed_over.clone());
    let input_batches = source(scope, input_batches, clock, probe, Rc::clone(&bars));
    let Decided { out, facts } = match options.built_ahead {
        true => {
            let Built { out, rejects, facts } = built(input_batches);
            set_aside(rejects, Arc::clone(&options.on_reject));
            Decided { out, facts }
        }
        false => decide(input_batches, options),
    };

    if let Some(days) = options.daily.clone() {
        daily(out.clone()).inspect_core(move |event| {
            if let Ok((_, updates)) = event {
                days.update(updates);
            }
        });
    }
    let made = exit(out, sink, options, bars).probe_with(&handed_over);
    let tally = options.tally.clone();
    totals(facts.concat(made.clone())).inspect_core(move |event| {
        if let Ok((_, updates)) = event {
            tally.update_totals(updates);
        }
    });
    control::exchange(made, options, workers);
}

/// From trades as they were read to bars.
fn decide<'scope>(
    input_batches: StreamVec<'scope, Epoch, InputBatch>,
    options: &GraphOptions,
) -> Decided<'scope> {
    // Before anything is put in order or set aside: that is what there is to judge.
    let input_batches = match &options.quality {
        Some(expectations) => judge(input_batches, expectations),
        None => input_batches,
    };

    let cut_short = options.checkpoints.as_ref().map(|_| options.stop.flag());
    let Validated { trades, rejects, facts } =
        validate(input_batches, options.validate.clone(), cut_short);
    // Before the bars: a bad row that stops the run is known when they look how the input ended.
    set_aside(rejects, Arc::clone(&options.on_reject));
    if let Some(to) = &options.trades {
        keep(trades.clone(), to.clone(), options.stop.clone());
    }

    let specs_of = Arc::clone(&options.specs_of);
    let policy = policy(options.checkpoints.as_ref(), options.reports);
    let pool = options.validate.order.pool.clone();
    let end_of = Arc::clone(&options.end_of);
    let Bars { out, joined, revisions } = bars(
        trades,
        pool,
        move |feed| specs_of(feed),
        BarsOptions { policy, window: options.window, expected: options.expected.clone() },
        move |instrument| end_of(instrument),
        &options.open_bars,
    );
    note_joined(joined, options.tally.clone());
    let revised = note_revisions(revisions, Arc::clone(&options.on_revision));
    Decided { out, facts: facts.concat(revised) }
}

/// Validates input batches against expectations, and passes them on as they are.
fn judge<'scope>(
    input_batches: StreamVec<'scope, Epoch, InputBatch>,
    expectations: &Quality,
) -> StreamVec<'scope, Epoch, InputBatch> {
    let judged = quality(input_batches, expectations.expected());
    let totals = expectations.clone();
    day_totals(judged.updates).inspect_core(move |event| {
        if let Ok((_, updates)) = event {
            totals.update(updates);
        }
    });
    judged.input_batches
}

/// Reports rows that are not valid trades.
fn set_aside(rejects: StreamVec<'_, Epoch, Reject>, on_reject: OnReject) {
    rejects.sink(Pipeline, "Rejects", move |(input, _frontier)| {
        input.for_each(|_, rejects| rejects.drain(..).for_each(|reject| on_reject(reject)));
    });
}

/// Gives validated trades to the sink of trades.
fn keep(trades: StreamVec<'_, Epoch, OrderedBatch>, to: Sender<OrderedBatch>, stop: Stop) {
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

/// Reports builders that have become independent of where they began.
fn note_joined(joined: StreamVec<'_, Epoch, (InstrumentId, Joined)>, tally: Tally) {
    joined.sink(Pipeline, "Joined", move |(input, _frontier)| {
        input.for_each(|_, joined| {
            for (instrument, joined) in joined.drain(..) {
                tracing::info!(%instrument, spec = %joined.spec, "{joined}");
                tally.note_joined(&instrument, &joined);
            }
        });
    });
}

/// Reports corrections, and passes on what they change for the ledger.
fn note_revisions<'scope>(
    revisions: StreamVec<'scope, Epoch, (InstrumentId, Box<Revision>)>,
    on_revision: OnRevision,
) -> StreamVec<'scope, Epoch, FactUpdate> {
    revisions.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(
        Pipeline,
        "Revisions",
        move |_cap, _info| {
            move |input, output| {
                input.for_each(|cap, revisions| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let epoch = *cap.time();
                    for (instrument, revision) in revisions.drain(..) {
                        on_revision(&instrument, &revision);
                        let facts = Fact::of_revision(&instrument, &revision).into_iter();
                        let facts = facts.map(|(fact, n)| (fact, epoch, n));
                        output.session(&cap).give_iterator(facts);
                    }
                });
            }
        },
    )
}
