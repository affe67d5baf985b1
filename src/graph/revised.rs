//! What corrections of the past came to in a run.

use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;
use barflow_operators::revision::{Correction, CorrectionOutcome, Refusal, Revision};
use hdrhistogram::Histogram;

use crate::telemetry::histogram::exact_to;

/// Shared by all workers of a process; updated per revision, read at any time.
#[derive(Clone, Debug, Default)]
pub struct Revised(Arc<Mutex<Totals>>);

/// Sums over all instruments.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Corrections that were applied.
    pub applied: u64,
    /// Corrections that said what was so already.
    pub already_so: u64,
    /// Corrections that could not be applied.
    pub refused: u64,
    /// Retracted bars.
    pub retracted: u64,
    /// Bars that replace them.
    pub made: u64,
    /// Trades fed again, per correction applied; corrections applied together share theirs.
    pub recomputed: Histogram<u64>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            applied: 0,
            already_so: 0,
            refused: 0,
            retracted: 0,
            made: 0,
            recomputed: exact_to::<3, _>(),
        }
    }
}

impl Revised {
    /// Takes a revision in; returns the corrections that it refused.
    pub fn note(
        &self,
        instrument: &InstrumentId,
        revision: &Revision,
    ) -> Vec<(Correction, Refusal)> {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Vec::new();
        let mut applied = 0;
        for (correction, outcome) in &revision.outcomes {
            match outcome {
                CorrectionOutcome::Applied => applied += 1,
                CorrectionOutcome::AlreadySo => totals.already_so += 1,
                CorrectionOutcome::Refused(why) => refused.push((*correction, *why)),
            }
        }
        let gone = revision.updates.iter().filter(|update| update.diff < 0).count() as u64;
        let made = revision.updates.len() as u64 - gone;
        totals.applied += applied;
        totals.refused += refused.len() as u64;
        totals.retracted += gone;
        totals.made += made;
        if let Some(each) = revision.recomputed.checked_div(applied) {
            // Fails only beyond what a u64 histogram can grow to.
            let _ = totals.recomputed.record_n(each, applied);
            tracing::info!(
                %instrument,
                corrections = applied,
                retracted = gone,
                made,
                recomputed = revision.recomputed,
                "correction applied"
            );
        }
        refused
    }

    /// The current sums.
    pub fn totals(&self) -> Totals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
