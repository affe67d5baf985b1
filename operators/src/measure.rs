//! The measure v of a trade: what is being counted.

use serde::{Deserialize, Serialize};

/// What one trade contributes (AFML §2.3: ticks, volume or dollars).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// 1 per trade.
    Tick,
    /// Its quantity.
    Volume,
    /// Its quote value.
    Dollar,
}

impl Measure {
    /// v of a trade with this quantity and quote value.
    #[inline(always)]
    pub fn of(self, qty: f64, quote: f64) -> f64 {
        match self {
            Self::Tick => 1.0,
            Self::Volume => qty,
            Self::Dollar => quote,
        }
    }
}
