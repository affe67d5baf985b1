//! Ids that are missing.

use serde::{Deserialize, Serialize};

/// Ids that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// First missing id.
    pub first_missing: u64,
    /// Last missing id.
    pub last_missing: u64,
}

impl Gap {
    /// How many ids are missing.
    pub fn len(&self) -> u64 {
        self.last_missing - self.first_missing + 1
    }

    /// Never: a gap has at least one id.
    pub fn is_empty(&self) -> bool {
        false
    }
}
