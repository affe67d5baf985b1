//! Corrections of the past on the command line: which there are, and what became of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use barflow_operators::instrument::InstrumentId;
use barflow_operators::intake::Reject;
use barflow_operators::revision::{Correction, Refusal};
use barflow_replay::binance;
use barflow_replay::corrections::{Corrections, Terms, read};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{FileKind, Plan};
use barflow_replay::rows::Quote;
use xxhash_rust::xxh3::xxh3_64;

use crate::graph::assemble::OnRevision;
use crate::graph::revised::Revised;
use crate::graph::stop::Stop;
use crate::quarantine::Quarantine;

/// Reads the corrections of these histories.
///
/// # Errors
/// When the file cannot be read or a row is no correction.
pub fn corrections(
    path: &Path,
    plan: &Plan,
    contract_size: Option<f64>,
) -> Result<Corrections, ReplayError> {
    let terms = plan.instruments.iter().map(|instrument| {
        let id = &instrument.feed.instrument;
        let quote = match instrument.files.first().map(|file| &file.kind) {
            Some(FileKind::Rows { quote, .. }) => *quote,
            _ if id.venue() == "binance" && id.market() == "cm" => {
                let rule = || binance::contract_size(id.symbol());
                Quote::Inverse { contract: contract_size.unwrap_or_else(rule) }
            }
            _ => Quote::Product,
        };
        (id.clone(), Terms { quote, has_aggressor: instrument.feed.has_aggressor })
    });
    read(path, &terms.collect::<BTreeMap<_, _>>())
}

/// What tells one file of corrections from another: of a job that goes on it has to stay the same.
///
/// # Errors
/// When it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String, ReplayError> {
    let bytes = std::fs::read(path).map_err(|error| ReplayError::io("read", path, error))?;
    Ok(format!("{:016x}", xxh3_64(&bytes)))
}

/// Counts corrections; those refused go where bad rows go, or into the log.
pub fn on_revision(
    revised: Revised,
    quarantine: Option<Arc<Quarantine>>,
    stop: Stop,
) -> OnRevision {
    Arc::new(move |instrument, revision| {
        for (correction, why) in revised.note(instrument, revision) {
            if stop.is_raised() && why == Refusal::NeverReached {
                // The run was told to stop; the next one reaches it.
                continue;
            }
            let reject = reject(instrument, &correction, why);
            tracing::warn!(%instrument, trade_id = correction.trade_id, "correction refused: {why}");
            if let Some(quarantine) = &quarantine
                && let Err(error) = quarantine.add(&reject)
            {
                stop.fail(error);
            }
        }
    })
}

fn reject(instrument: &InstrumentId, correction: &Correction, why: Refusal) -> Reject {
    Reject {
        row: 0,
        source: format!("corrections of {instrument}").into(),
        line: 0,
        field: "trade_id".to_owned(),
        value: correction.trade_id.to_string(),
        reason: why.to_string(),
        raw: format!("{:?}", correction.change),
    }
}
