//! Gaps of live feeds on their way into the gap ledger.

use std::sync::Arc;

use crate::feeds::hub::OnGap;
use crate::sinks::gaps::{GapLedger, UnfilledGap};

/// Writes every gap to the ledger.
pub(super) fn to_ledger(ledger: GapLedger) -> OnGap {
    Arc::new(move |feed, instrument, reported| {
        let gap = reported.gap;
        let unfilled = UnfilledGap {
            feed,
            instrument: instrument.as_str(),
            first_missing: gap.gap.map(|gap| gap.first_missing),
            last_missing: gap.gap.map(|gap| gap.last_missing),
            after_time: gap.after,
            before_time: gap.before,
            reason: reported.reason,
        };
        if let Err(error) = ledger.note(&unfilled) {
            tracing::error!(%error, "the gap could not be written to the ledger");
        }
    })
}
