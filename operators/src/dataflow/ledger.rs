//! Order-free knowledge about the input, kept by differential operators.
//!
//! Counts, gaps and rejects do not depend on the order of trades, and later corrections take some
//! of them back: they are collections of updates, and differential maintains their totals.

use std::hash::Hash;

use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use differential_dataflow::{AsCollection, ExchangeData};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;

use super::Epoch;
use crate::gap::Gap;
use crate::instrument::InstrumentId;
use crate::revision::{Change, CorrectionOutcome, Revision};
use crate::sequence::Findings;

/// What can be counted about an instrument's input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactKind {
    /// Trades let through to the bars.
    Trades,
    /// Trades dropped because they were seen before.
    Duplicates,
    /// Those of them that were seen so long before that only their ids could be compared.
    NotCompared,
    /// Rows under the id of another row with other content.
    Conflicts,
    /// Trades put back into the order of their ids.
    Reordered,
    /// Trades whose event time lies before that of the trade before them.
    TimeReversals,
    /// Rows that are not valid trades.
    Rejected,
    /// Those of them that a feed brought.
    RejectedOfFeed,
    /// Trades that a feed brought after their ids were given up as missing.
    LateOfFeed,
    /// Rows that are not trades by rule, for this reason.
    LeftOut(String),
    /// This gap in the ids.
    Gap(Gap),
    /// Corrections of the past that were applied.
    Corrected,
    /// Corrections that said what was so already.
    AlreadySo,
    /// Corrections that could not be applied.
    CorrectionsRefused,
    /// Bars made by this specification.
    Bars(String),
}

/// A fact about an instrument; its multiplicity is the count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// What.
    pub kind: FactKind,
}

/// A differential update of a fact.
pub type FactUpdate = (Fact, Epoch, isize);

impl Fact {
    /// A fact.
    pub fn new(instrument: &InstrumentId, kind: FactKind) -> Self {
        Self { instrument: instrument.clone(), kind }
    }

    /// What a sequencer found, with counts; nothing for what did not occur.
    pub fn of(instrument: &InstrumentId, findings: &Findings) -> Vec<(Self, isize)> {
        let counts = [
            (FactKind::Trades, findings.released),
            (FactKind::Duplicates, findings.duplicates),
            (FactKind::NotCompared, findings.not_compared),
            (FactKind::Conflicts, findings.conflicts),
            (FactKind::Reordered, findings.reordered),
            (FactKind::TimeReversals, findings.time_reversals),
        ];
        let gaps = findings.gaps.iter().map(|gap| (FactKind::Gap(*gap), 1));
        let left_out = findings.left_out.iter();
        let left_out = left_out.map(|(why, n)| (FactKind::LeftOut(why.to_string()), *n));
        (counts.into_iter().chain(gaps).chain(left_out).filter(|(_, n)| *n > 0))
            .map(|(kind, n)| (Self::new(instrument, kind), n as isize))
            .collect()
    }
}

impl Fact {
    /// What corrections came to, with counts.
    pub fn of_revision(instrument: &InstrumentId, revision: &Revision) -> Vec<(Self, isize)> {
        let mut facts = Vec::new();
        for (correction, outcome) in &revision.outcomes {
            let kind = match outcome {
                CorrectionOutcome::Applied => FactKind::Corrected,
                CorrectionOutcome::AlreadySo => FactKind::AlreadySo,
                CorrectionOutcome::Refused(_) => FactKind::CorrectionsRefused,
            };
            facts.push((Self::new(instrument, kind), 1));
            let trades = match (outcome, correction.change) {
                (CorrectionOutcome::Applied, Change::Add(_)) => 1,
                (CorrectionOutcome::Applied, Change::Remove) => -1,
                _ => continue,
            };
            facts.push((Self::new(instrument, FactKind::Trades), trades));
        }
        let gaps = revision.gaps.iter();
        facts.extend(gaps.map(|(gap, n)| (Self::new(instrument, FactKind::Gap(*gap)), *n)));
        facts
    }
}

/// Updates of totals wait for the end of a stretch of this many epochs, so that maintaining them
/// costs nothing per trade. Bars never wait for them.
const STRETCH: u64 = 1024;

/// Maintains the multiplicity of every fact: a stream of `((fact, count), epoch, ±1)`.
pub fn totals<'scope>(
    facts: StreamVec<'scope, Epoch, FactUpdate>,
) -> StreamVec<'scope, Epoch, ((Fact, isize), Epoch, isize)> {
    count(facts, STRETCH, "Facts", |fact| fact.instrument.shard_hash())
}

/// Maintains the multiplicity of every key, on the worker that `shard` says; totals change at the
/// end of a stretch of epochs.
pub(super) fn count<'scope, K: ExchangeData + Hash>(
    updates: StreamVec<'scope, Epoch, (K, Epoch, isize)>,
    stretch: u64,
    name: &str,
    shard: fn(&K) -> u64,
) -> StreamVec<'scope, Epoch, ((K, isize), Epoch, isize)> {
    let stretched = updates
        .as_collection()
        .delay(move |epoch| epoch.saturating_add(stretch - 1) / stretch * stretch)
        .map(|key| (key, ()));
    // To the worker that makes the instrument's bars: with several processes, each then knows all
    // about its own instruments, and nothing about others'.
    let by_instrument =
        Exchange::new(move |((key, ()), _, _): &((K, ()), Epoch, isize)| shard(key));
    let keys: Arranged<'_, TraceAgent<KeySpine<K, Epoch, isize>>> =
        arrange_core(stretched.inner, by_instrument, name, KeyBatcher::new);
    keys.count_total().inner
}
