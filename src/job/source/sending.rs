//! The way of a history's batches to the worker that keeps its instrument.

use barflow_operators::input_batch::InputBatch;

use crate::graph::flow::Inlet;
use crate::stop::Stop;

/// The way to a worker.
pub(super) struct Sending<'a> {
    /// Where its batches go.
    pub(super) inlet: &'a Inlet,
    /// Whether the end was asked for.
    pub(super) stop: &'a Stop,
}

impl Sending<'_> {
    /// Sends a batch; false where nobody wants more.
    pub(super) fn send(&self, batch: InputBatch) -> bool {
        !self.stop.is_raised() && self.inlet.send(batch).is_ok()
    }
}
