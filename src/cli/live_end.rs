//! How a live run ended, as its exit code and words.

use super::failure::{Failure, Outcome};
use super::replay::explained;
use crate::feeds::session::SessionFault;
use crate::graph::sink::SinkReport;
use crate::graph::stop::Cause;
use crate::live::begin::HistoryError;

/// What the end of the graph means for whoever started the run.
pub(super) fn conclude(result: Result<SinkReport, Cause>) -> Result<Outcome, Failure> {
    let cause = match result {
        Ok(_) => return Ok(Outcome::Done),
        Err(cause) => cause,
    };
    let cause = match explained(cause) {
        Ok(outcome) => return outcome,
        Err(cause) => cause,
    };
    let cause = match cause.downcast::<HistoryError>() {
        Ok(error) => return Err(Failure::usage(anyhow::Error::new(*error))),
        Err(cause) => cause,
    };
    match cause.downcast::<SessionFault>() {
        Ok(fault) if fault.configured => Err(Failure::usage(anyhow::Error::new(*fault))),
        Ok(fault) => Err(Failure::outside(anyhow::Error::new(*fault))),
        Err(cause) => Err(Failure::outside(anyhow::anyhow!("{cause}"))),
    }
}
