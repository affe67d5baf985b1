//! Expectations on trades: whether a history is fit for bars.
//!
//! ```text
//! trades and rejects, as the input has them ─► Judge ─► one DayReport per UTC day ─► score
//! ```
//!
//! A [`suite::Suite`] says what is expected and how much it matters, a [`judge::Judge`] holds one
//! instrument's input against it. Nothing is sequenced before: repeated, late and missing ids are
//! what there is to see.
//!
//! **Invariant:** no clock, no files, no hash order; how the input is cut into batches changes no
//! report.

mod calendar;
mod columns;
pub mod day;
mod ids;
pub mod judge;
mod memory;
mod prices;
pub mod score;
pub mod suite;

pub use calendar::{DAY_NS, day_of};
