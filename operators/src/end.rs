//! The end of an instrument's input: what is over by then, and what is left open.

use std::sync::Arc;

/// How the input of an instrument ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputEnd {
    /// The input is known to be complete before this time, ns: intervals and sessions that end
    /// there or earlier are over. None where nothing is known beyond the last trade.
    pub until: Option<i64>,
    /// Whether bars that are still open are closed, with the reason `end`.
    pub flush: bool,
}

/// What is left of a builder at the end of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Name of its specification.
    pub spec: Arc<str>,
    /// Bars it has made, in all runs of its job.
    pub bars: u64,
    /// Trades in the bar that is still open; 0 if there is none.
    pub open_ticks: u64,
    /// Trades that its warm-up still needs.
    pub warmup_left: u64,
}
