//! Gaps of live feeds on their way into the gap ledger, also those that REST filled too late.

use std::path::PathBuf;
use std::sync::Arc;

use barflow_operators::revision::{Change, Correction, CorrectionOutcome, Refusal};

use crate::feeds::deferred_gaps::DeferredGaps;
use crate::feeds::gap_tracker::ReportedGap;
use crate::feeds::state::OnGap;
use crate::graph::options::OnRevision;
use crate::job::error::JobError;
use crate::sinks::atomic_file::refused;
use crate::sinks::gaps::{GapLedger, UnfilledGap};
use crate::stop::Stop;

/// Writes every gap to the ledger, if there is one; a disk that refuses ends the run, as it does for bad rows.
///
/// # Errors
/// When the ledger cannot be opened.
pub(super) fn ledger(path: Option<PathBuf>, stop: &Stop) -> Result<OnGap, JobError> {
    let ledger = match &path {
        Some(path) => GapLedger::open(path, stop).map_err(|error| {
            let what = format!("the gap ledger {} could not be opened", path.display());
            JobError::io(what, error)
        })?,
        None => GapLedger::default(),
    };
    let stop = stop.clone();
    Ok(Arc::new(move |feed, instrument, reported| {
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
    }))
}

/// Has a late trade that no bar takes any more count as missing, besides what `then` does about revisions.
pub(super) fn with_lost(then: OnRevision, deferred: DeferredGaps, on_gap: OnGap) -> OnRevision {
    Arc::new(move |instrument, revision| {
        then(instrument, revision);
        for (correction, outcome) in &revision.outcomes {
            let why = lost(correction, *outcome);
            let judged = deferred.lock().judge(instrument, correction.trade_id, why.is_some());
            let (Some(lost), Some(why)) = (judged, why) else { continue };
            tracing::error!(
                feed = %lost.feed,
                %instrument,
                trade_id = correction.trade_id,
                "a missing trade came after the revision window had passed it: no bar contains it; use a \
                 larger revision_window"
            );
            on_gap(&lost.feed, instrument, &ReportedGap { gap: lost.gap, reason: why.as_str() });
        }
    })
}

/// Why a trade is in no bar; none if it is, or was none.
fn lost(correction: &Correction, outcome: CorrectionOutcome) -> Option<Refusal> {
    match (correction.change, outcome) {
        // Then another trade is there, and none is missing.
        (_, CorrectionOutcome::Refused(Refusal::OtherTradeThere)) => None,
        (Change::Add(_), CorrectionOutcome::Refused(why)) => Some(why),
        _ => None,
    }
}
