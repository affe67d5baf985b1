//! A row outside the wanted times, until it is known whether its time is wrong.

use std::sync::Arc;

use barflow_operators::input_batch::Reject;
use barflow_operators::sequence::Objection;

/// Rows outside that are remembered: more of them are a later time, and what returns from
/// there is wrong.
pub(super) const MOST_BEHIND: usize = 256;

/// A row outside the wanted times.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Names the file.
    pub source: Arc<str>,
    /// Its line, from 1.
    pub line: u64,
    /// Its event time, ns.
    pub event_time: i64,
    /// The row as it stands there.
    pub raw: String,
}

impl Outside {
    pub(super) fn reject(&self, why: &Objection) -> Reject {
        Reject {
            row: 0,
            source: Arc::clone(&self.source),
            line: self.line,
            field: why.field().to_owned(),
            value: self.event_time.to_string(),
            reason: why.to_string(),
            raw: self.raw.clone(),
        }
    }
}
