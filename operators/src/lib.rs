//! Bars as pure state machines, and the dataflow operators that drive them.
//!
//! ```text
//! trade ─► batch ─► order ─► bars ─► bar
//!          (plain machines; dataflow: one thin timely operator each)
//! ```
//!
//! **Invariant:** no network, no files, no Kafka, no clock, no randomness, no hash order. The same
//! trades make the same bytes on every computer.

pub mod bar;
pub mod bars;
pub mod batch;
pub mod builder_set;
pub mod checkpoint;
pub mod convergence;
pub mod dataflow;
pub mod digest;
pub mod end;
pub mod event_time;
pub mod excerpt;
pub mod gap;
pub mod input_batch;
pub mod instrument;
pub mod left_out;
pub mod measure;
pub mod open_bars;
pub mod order;
pub mod parallel;
pub mod pool;
pub mod position;
pub mod progress;
pub mod published;
pub mod quality;
pub mod read_before;
pub mod revision;
mod saved;
pub mod sequence;
pub mod sign;
pub mod spec;
pub mod sweep;
pub mod trade;
pub mod validation;
