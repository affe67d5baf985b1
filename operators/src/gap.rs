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

/// A gap that may still be filled: its trades are waited for, or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenGap {
    /// Since when it is known, ns since the Unix epoch, by the clock of the computer.
    pub since: i64,
    /// Its first id, if the order continues over it; none if the order waits, and nothing passes it.
    pub first_missing: Option<u64>,
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
