//! What the program says about itself: how long trades take, what was counted, what was logged.
//!
//! **Invariant:** read-only; nothing here influences a bar.

pub mod clock;
pub mod latency;
pub mod names;
