//! Handling of rows that are not valid trades.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barflow_operators::input_batch::Reject;

use super::bad_share::BadShare;
use crate::graph::options::OnReject;
use crate::printable::excerpt;
use crate::sinks::rejects::Quarantine;
use crate::stop::Stop;

/// Bad rows of a live run logged one by one; the others are only counted.
const LOGGED: usize = 20;

/// Bytes of a value that a message shows.
const SHOWN: usize = 200;

/// A row that is not a trade, with no quarantine to put it in.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}:{}: field \"{}\": {}: \"{}\"",
    .0.source, .0.line, .0.field, excerpt(&.0.reason, SHOWN), excerpt(&.0.value, SHOWN)
)]
pub struct BadRow(pub Box<Reject>);

/// Sets bad rows of files aside until too many are bad; without a quarantine the first one ends the run.
pub(super) fn of_files(
    quarantine: Option<Arc<Quarantine>>,
    share: BadShare,
    stop: Stop,
) -> OnReject {
    Arc::new(move |reject| match &quarantine {
        Some(quarantine) => {
            set_aside(quarantine, &reject, &stop);
            if let Err(mostly) = share.add() {
                stop.fail_row(mostly);
            }
        }
        None => stop.fail_row(BadRow(Box::new(reject))),
    })
}

/// Bad rows and frames of feeds never end a run: they are logged, and set aside if there is a
/// quarantine.
pub(super) fn of_feeds(quarantine: Option<Arc<Quarantine>>, stop: Stop) -> OnReject {
    let logged = AtomicUsize::new(0);
    let told = told(quarantine, stop);
    Arc::new(move |reject: Reject| {
        if logged.fetch_add(1, Ordering::Relaxed) < LOGGED {
            tracing::warn!(
                source = %reject.source,
                field = reject.field,
                value = &*excerpt(&reject.value, SHOWN),
                "{}",
                excerpt(&reject.reason, SHOWN)
            );
        }
        told(reject);
    })
}

/// Sets rows of feeds aside of which the log says something in any case.
pub(super) fn told(quarantine: Option<Arc<Quarantine>>, stop: Stop) -> OnReject {
    Arc::new(move |reject: Reject| {
        if let Some(quarantine) = &quarantine {
            set_aside(quarantine, &reject, &stop);
        }
    })
}

/// Writes a row into the quarantine; a disk that refuses ends the run.
pub(super) fn set_aside(quarantine: &Quarantine, reject: &Reject, stop: &Stop) {
    if let Err(error) = quarantine.add(reject) {
        stop.fail(error);
    }
}
