//! Rows that are valid, and not trades by rule.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A row that is valid and by a documented rule not a trade between market participants, such as one
/// of quantity 0 in Binance's futures. It makes no bar, and its id leaves no gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many trades of the same batch preceded it.
    pub row: u32,
    /// Line, from 1.
    pub line: u64,
    /// Its id; none where the source has none.
    pub id: Option<u64>,
    /// Which rule.
    pub reason: Cow<'static, str>,
}
