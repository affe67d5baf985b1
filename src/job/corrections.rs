//! Corrections of trade files: reading them, and reporting those that are refused.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use barflow_operators::input_batch::Reject;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::revision::{Change, Correction, Refusal, Window};
use barflow_operators::trade::{Aggressor, Trade};
use barflow_replay::binance;
use barflow_replay::corrections::{Corrections, Terms, open, read, take};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{FileKind, Plan};
use barflow_replay::rows::Quote;
use xxhash_rust::xxh3::xxh3_64;

use super::rejects::set_aside;
use crate::config::replay::ReplaySettings;
use crate::config::revisions::{DEFAULT, MOST};
use crate::graph::options::OnRevision;
use crate::graph::revised::Revised;
use crate::sinks::rejects::Quarantine;
use crate::stop::Stop;

/// Refused corrections that the log names.
const TOLD: u64 = 1000;

/// Reads the corrections of these histories.
///
/// # Errors
/// When the file cannot be read or a row is not a correction.
pub fn corrections(
    path: &Path,
    plan: &Plan,
    contract_size: Option<f64>,
    stop: &Stop,
) -> Result<Corrections, ReplayError> {
    let stop = stop.flag().into();
    take(path, &stop)?;
    let terms = plan.instruments.iter().map(|instrument| {
        let id = &instrument.feed.instrument;
        let quote = match instrument.files.first().map(|file| &file.kind) {
            Some(FileKind::Rows(format) | FileKind::Table(format)) => format.quote,
            _ if id.venue() == "binance" && id.market() == "cm" => {
                let rule = || binance::contract_size(id.symbol());
                Quote::Inverse { contract: contract_size.unwrap_or_else(rule) }
            }
            _ => Quote::Product,
        };
        (id.clone(), Terms { quote, has_aggressor: instrument.feed.has_aggressor })
    });
    read(path, &terms.collect::<BTreeMap<_, _>>(), &stop)
}

/// How much of the past is retained: what the user says; else, where there are corrections, as much
/// as the latest of them needs, and no less than is good for rows that come late.
pub fn window(settings: &ReplaySettings, corrections: &Corrections) -> Option<Window> {
    if settings.revision_window.is_some() || settings.corrections.is_none() {
        return settings.revision_window;
    }
    let lag = |c: &Correction| c.known_after.saturating_sub(c.trade_id);
    let lag = corrections.values().flatten().map(lag).max().unwrap_or(0);
    // A correction is applied after the batch in which it becomes known.
    let after = settings.batch_rows.saturating_add(settings.reorder_window) as u64;
    let trades = lag.saturating_add(after).clamp(DEFAULT.trades, MOST);
    Some(Window { trades, ..DEFAULT })
}

/// Identifies a file of corrections: a job that resumes needs the same one.
///
/// # Errors
/// When it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String, ReplayError> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(|error| ReplayError::io("read", path, error))?;
    Ok(format!("{:016x}", xxh3_64(&bytes)))
}

/// Counts corrections; those refused go where bad rows go, or into the log.
pub fn on_revision(
    revised: Revised,
    quarantine: Option<Arc<Quarantine>>,
    stop: Stop,
) -> OnRevision {
    let told = AtomicU64::new(0);
    Arc::new(move |instrument, revision| {
        for (correction, why) in revised.note(instrument, revision) {
            if stop.is_raised() && why == Refusal::NeverReached {
                // The run was stopped; the next one reaches it.
                continue;
            }
            let reject = reject(instrument, &correction, why);
            match told.fetch_add(1, Ordering::Relaxed) {
                ..TOLD => tracing::warn!(
                    %instrument,
                    trade_id = correction.trade_id,
                    "correction refused: {why}"
                ),
                TOLD => {
                    tracing::warn!("further corrections that are refused are only counted here")
                }
                _ => {}
            }
            if let Some(quarantine) = &quarantine {
                set_aside(quarantine, &reject, &stop);
            }
        }
    })
}

fn reject(instrument: &InstrumentId, correction: &Correction, why: Refusal) -> Reject {
    let (field, value) = match (why, correction.trade()) {
        (Refusal::FarFromNeighbours, Some(trade)) => ("time", trade.event_time.to_string()),
        _ => ("trade_id", correction.trade_id.to_string()),
    };
    Reject {
        row: 0,
        source: format!("corrections of {instrument}").into(),
        line: 0,
        field: field.to_owned(),
        value,
        reason: why.to_string(),
        raw: as_row(correction),
    }
}

/// The correction as a row of a file of corrections: action, id, time, price, quantity, side.
fn as_row(correction: &Correction) -> String {
    let id = correction.trade_id;
    let with_trade = |action: &str, trade: &Trade| {
        let side = match trade.aggressor {
            Aggressor::Buyer => "buy",
            Aggressor::Seller => "sell",
            Aggressor::Unknown => "",
        };
        format!("{action},{id},{},{},{},{side}", trade.event_time, trade.price, trade.qty)
    };
    match &correction.change {
        Change::Add(trade) => with_trade("add", trade),
        Change::Replace(trade) => with_trade("replace", trade),
        Change::Remove => format!("remove,{id},,,,"),
        Change::Never { first } => format!("never,{first}-{id},,,,"),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::replay::Typed;
    use crate::config::section::Value;

    fn settings(window: Option<&str>) -> ReplaySettings {
        let mut typed = Typed::default();
        typed.replay.put("corrections", Value::Text("c.csv".into()), "test");
        if let Some(window) = window {
            typed.replay.put("revision_window", Value::Text(window.into()), "test");
        }
        ReplaySettings::understand(ConfigFile::default(), typed).unwrap()
    }

    fn known_after(known_after: u64) -> Corrections {
        let (change, known_time) = (Change::Remove, None);
        let correction = Correction { trade_id: 1000, change, known_after, known_time };
        Corrections::from([("a:b:C".parse().unwrap(), vec![correction])])
    }

    #[test]
    fn the_window_is_as_long_as_the_latest_correction_needs() {
        let trades =
            |window, known| super::window(&settings(window), &known_after(known)).unwrap().trades;
        assert_eq!(trades(None, 0), 1_000_000);
        // A batch and what may wait after the trade that makes it known.
        assert_eq!(trades(None, 3_001_000), 3_000_000 + 8192 + 1024);
        assert_eq!(trades(None, u64::MAX), MOST);
        assert_eq!(trades(Some("500"), 3_001_000), 500);
    }
}
