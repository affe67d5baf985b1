//! Where to resume an input.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A place in an input at or before which everything has been applied.
///
/// Resuming means: go to `byte` of `member` in `source` and skip rows whose id is at most
/// `trade_id`. The graph carries positions without looking inside; whoever reads an input makes
/// them and understands them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// File (or feed).
    pub source: Arc<str>,
    /// Member of an archive; the same as `source` where there are none.
    pub member: Arc<str>,
    /// Offset into the decoded member, in bytes, of a row start (for Parquet: row number).
    pub byte: u64,
    /// Line number at `byte`, from 1.
    pub line: u64,
    /// Id of the last trade applied; 0 for none.
    pub trade_id: u64,
}
