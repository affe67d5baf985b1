//! One dataflow, whatever the source.
//!
//! ```text
//! inlets ─► source ─► quality (if asked for) ─► counts per day (differential)
//!   (bounded channels)   │
//!                        ▼
//!                     validate ─┬─► bars ──┬─► sink ─► commits (bars + positions per closed frontier)
//!                               │          ├─► facts ─► totals   (differential)
//!                               ├─► rejects └─► lengths of bars  (histograms)
//!                               └─► trades (optional trade sink)
//! ```
//!
//! Frontiers run all the way: the sink hands over an epoch only when no earlier one can still
//! change, together with the input positions that it completes. The source hands in no more than
//! [`flow::WINDOW`] epochs beyond what the sink has handed over, so memory is bounded whatever is
//! slow.
//!
//! **Invariant:** nothing here knows venues, file formats or topic names; history and live feeds
//! differ only in who fills the [`flow::Inlet`]s.

pub mod assemble;
pub mod checkpoints;
pub mod daily;
pub mod flow;
pub mod handover;
pub mod mesh;
mod news;
pub mod outlet;
pub mod quality;
pub mod revised;
pub mod run;
pub mod tally;
pub mod transactions;
pub mod workers;
