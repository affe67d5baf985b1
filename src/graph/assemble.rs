//! The one function that draws the dataflow.

use std::sync::Arc;

use barflow_operators::batch::Feed;
use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::bars::{BarUpdate, bars};
use barflow_operators::dataflow::daily::daily;
use barflow_operators::dataflow::ledger::{Fact, FactKind, totals};
use barflow_operators::dataflow::quality::{day_totals, quality};
use barflow_operators::dataflow::validate::{Sequenced, ValidateOptions, validate};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::intake::Reject;
use barflow_operators::revision::{Revision, Window};
use barflow_operators::spec::BarSpec;
use crossbeam::channel::Sender;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Concatenate, Inspect, Probe};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::checkpoints::Checkpoints;
use super::daily::Daily;
use super::flow::{EpochClock, Intakes, source};
use super::handover::Handover;
use super::quality::Quality;
use super::stop::Stop;
use super::tally::Tally;
use super::transactions::transactions;
use super::workers::Workers;
use super::{news, outlet};
use crate::telemetry::latency::{Latency, Stage};

/// Which bars a feed gets.
pub type SpecsOf = Arc<dyn Fn(&Feed) -> Vec<BarSpec> + Send + Sync>;

/// Who is told of rows that are no lawful trades.
pub type OnReject = Arc<dyn Fn(Reject) + Send + Sync>;

/// Who is told of corrections of the past.
pub type OnRevision = Arc<dyn Fn(&InstrumentId, &Revision) + Send + Sync>;

/// What the dataflow needs to know; the same for every worker.
#[derive(Clone)]
pub struct GraphOptions {
    /// Which bars.
    pub specs_of: SpecsOf,
    /// How rows are judged.
    pub validate: ValidateOptions,
    /// Who is told of bad rows.
    pub on_reject: OnReject,
    /// How much of the past is retained, so that it can be corrected; none for a run without.
    pub window: Option<Window>,
    /// Who is told of corrections.
    pub on_revision: OnRevision,
    /// Where validated trades go, if anybody wants them.
    pub trades: Option<Sender<Sequenced>>,
    /// Where sums by day are kept, if anybody wants them.
    pub daily: Option<Daily>,
    /// Where counts are kept.
    pub tally: Tally,
    /// How the run ends.
    pub stop: Stop,
    /// What is expected of the input, if anything: costs nothing if not.
    pub quality: Option<Quality>,
    /// Hands out epochs.
    pub clock: EpochClock,
    /// How long bars of live feeds take.
    pub latency: Latency,
    /// How often checkpoints are made, and where builders begin; none for a run without.
    pub checkpoints: Option<Checkpoints>,
}

impl GraphOptions {
    /// A run that nobody watches: bad rows go nowhere, and there are no checkpoints.
    pub fn new(specs_of: SpecsOf, validate: ValidateOptions) -> Self {
        Self {
            specs_of,
            validate,
            on_reject: Arc::new(|_| ()),
            window: None,
            on_revision: Arc::new(|_, _| ()),
            trades: None,
            daily: None,
            tally: Tally::default(),
            stop: Stop::new(),
            quality: None,
            clock: EpochClock::default(),
            latency: Latency::default(),
            checkpoints: None,
        }
    }
}

/// Draws the dataflow of one worker of these, fed by `intakes`; bars leave by `commits`.
pub fn assemble(
    scope: Scope<'_, Epoch>,
    intakes: Intakes,
    options: &GraphOptions,
    workers: &Workers,
    commits: Handover,
) {
    let handed_over = ProbeHandle::new();
    let intakes = source(scope, intakes, options.clock.clone(), handed_over.clone());

    // Before anything is put in order or set aside: that is what there is to judge.
    let intakes = match &options.quality {
        Some(expectations) => {
            let judged = quality(intakes, expectations.expected());
            let totals = expectations.clone();
            day_totals(judged.updates).inspect_core(move |event| {
                if let Ok((_, updates)) = event {
                    totals.update(updates);
                }
            });
            judged.intakes
        }
        None => intakes,
    };

    let cut_short = options.checkpoints.as_ref().map(|_| options.stop.flag());
    let validated = validate(intakes, options.validate.clone(), cut_short);
    let on_reject = Arc::clone(&options.on_reject);
    validated.rejects.sink(Pipeline, "Rejects", move |(input, _frontier)| {
        input.for_each(|_, rejects| rejects.drain(..).for_each(|reject| on_reject(reject)));
    });
    if let Some(trades) = &options.trades {
        outlet::trades(validated.trades.clone(), trades.clone(), options.stop.clone());
    }

    let specs_of = Arc::clone(&options.specs_of);
    let book = options.checkpoints.as_ref().map(Checkpoints::book);
    let pool = options.validate.order.pool.clone();
    let window = options.window;
    let built = bars(validated.trades, pool, move |feed| specs_of(feed), book, window);
    let revised = note_revisions(built.revisions, Arc::clone(&options.on_revision));
    let tally = options.tally.clone();
    built.joined.sink(Pipeline, "Joined", move |(input, _frontier)| {
        input.for_each(|_, joined| {
            for (instrument, joined) in joined.drain(..) {
                tracing::info!(%instrument, spec = %joined.spec, "{joined}");
                tally.note_joined(&instrument, &joined);
            }
        });
    });
    if let Some(days) = options.daily.clone() {
        daily(built.bars.clone()).inspect_core(move |event| {
            if let Ok((_, updates)) = event {
                days.update(updates);
            }
        });
    }
    let bar_facts = count_bars(built.bars.clone(), options.tally.clone(), options.latency.clone());
    let tally = options.tally.clone();
    totals(scope.concatenate([validated.facts, bar_facts, revised])).inspect_core(move |event| {
        if let Ok((_, updates)) = event {
            tally.update_totals(updates);
        }
    });

    let (tally, stop) = (options.tally.clone(), options.stop.clone());
    let commits = match options.checkpoints {
        None => outlet::commits(built.bars, built.progress, commits, tally, stop),
        Some(_) => {
            let (shard, progress) = (scope.index(), built.progress);
            transactions(built.bars, progress, built.cuts, commits, shard, tally, stop)
        }
    };
    news::exchange(commits.probe_with(&handed_over), options, workers);
}

/// Tells of corrections, and passes on what they change for the ledger.
fn note_revisions<'scope>(
    revisions: StreamVec<'scope, Epoch, (InstrumentId, Box<Revision>)>,
    on_revision: OnRevision,
) -> StreamVec<'scope, Epoch, (Fact, Epoch, isize)> {
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

/// Notes lengths of bars, and how many there are as facts for the ledger: one per specification
/// and message, however many bars a message holds.
fn count_bars<'scope>(
    bars: StreamVec<'scope, Epoch, BarUpdate>,
    tally: Tally,
    latency: Latency,
) -> StreamVec<'scope, Epoch, (Fact, Epoch, isize)> {
    bars.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, "CountBars", |_cap, _info| {
        move |input, output| {
            input.for_each(|cap, updates| {
                for (bar, _, _) in updates.iter() {
                    latency.note(bar.feed.instrument.venue(), Stage::Decided, bar.received);
                }
                tally.add_bars(updates.iter().map(|(bar, _, diff)| (bar, *diff)));
                let mut session = output.session(&cap);
                // Bars of a specification lie side by side, in order of epochs.
                let alike = |a: &BarUpdate, b: &BarUpdate| {
                    a.1 == b.1
                        && Arc::ptr_eq(&a.0.spec, &b.0.spec)
                        && Arc::ptr_eq(&a.0.feed, &b.0.feed)
                };
                for run in updates.chunk_by(alike) {
                    let (bar, epoch, _) = &run[0];
                    let count = run.iter().map(|(_, _, diff)| diff).sum();
                    let kind = FactKind::Bars(bar.spec.to_string());
                    session.give((Fact::new(&bar.feed.instrument, kind), *epoch, count));
                }
            });
        }
    })
}
