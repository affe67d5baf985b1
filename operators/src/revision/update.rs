//! What corrections change.

use std::sync::Arc;

use super::correction::{Correction, CorrectionOutcome};
use crate::bar::Bar;
use crate::gap::Gap;

/// A published bar (+1) or a retraction (−1).
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Name of the specification.
    pub spec: Arc<str>,
    /// The bar.
    pub bar: Bar,
    /// +1 or −1.
    pub diff: isize,
}

/// What corrections came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revision {
    /// Bars, per specification in order of their last trade; of two with the same last trade, the
    /// a retraction comes first.
    pub updates: Vec<Update>,
    /// What became of each correction.
    pub outcomes: Vec<(Correction, CorrectionOutcome)>,
    /// Gaps that are (+1) or no longer are (−1).
    pub gaps: Vec<(Gap, isize)>,
    /// Trades fed again.
    pub recomputed: u64,
    /// Whether a builder goes another way from now on: its state is not the one it was.
    pub reaches_present: bool,
}
