//! Gaps of live feeds on their way into the gap ledger.

use std::path::PathBuf;
use std::sync::Arc;

use crate::feeds::state::OnGap;
use crate::sinks::atomic_file::refused;
use crate::sinks::gaps::{GapLedger, UnfilledGap};
use crate::stop::Stop;

/// Writes every gap to the ledger; a disk that refuses ends the run, as it does for bad rows.
pub(super) fn to_ledger(ledger: GapLedger, path: Option<PathBuf>, stop: Stop) -> OnGap {
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
        if let (Err(error), Some(path)) = (ledger.note(&unfilled), &path) {
            stop.fail(refused("write", path, &error));
        }
    })
}
