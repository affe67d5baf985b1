//! What is worth knowing about a plan: what was passed over, and how something was understood.

use std::fmt;

/// One thing worth knowing about a plan. Commands print it as a line on standard error; whatever
/// stops a run is a [`ReplayError`](crate::error::ReplayError) instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanNote {
    /// The trade store lacks something that was selected, or has it twice.
    Store(String),
}

impl fmt::Display for PlanNote {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(remark) => to.write_str(remark),
        }
    }
}
