//! The dataflow that all sources share.
//!
//! ```text
//! inlets ─► source ─► quality (if wanted) ─► counts per day (differential)
//!   (bounded channels)   │
//!                        ▼
//!                     validate ─┬─► bars ─┬─► exit ─► sink handle ─► sink
//!                               │         │     (bars, progress and cuts, in one order)
//!                               │         ├─► facts ─► totals   (differential)
//!                               ├─► rejects
//!                               └─► trades (optional)
//! ```
//!
//! Where threads share a history and build its bars ahead (`src/parallel`), input batches come
//! with their bars and go straight to the exit, the facts and the rejects.
//!
//! The exit hands a bar over as soon as it is decided: bars of an instrument are in order without
//! waiting for the frontier. The frontier after the exit shows which epochs are handed over, and
//! the source keeps within a [`window::Window`] of it, so memory is bounded whatever is slow.
//!
//! Sinks implement [`sink::BarSink`] and depend on the graph, not the graph on them.
//!
//! **Invariant:** nothing here knows venues, file formats or topic names; history and live feeds
//! differ only in who fills the [`flow::Inlet`]s.

pub mod assemble;
pub mod checkpoints;
pub mod cluster;
mod control;
pub mod daily;
pub mod exit;
pub mod flow;
pub mod options;
pub mod quality;
pub mod revised;
pub mod run;
pub mod sink;
pub mod sink_handle;
pub mod tally;
pub mod window;
pub mod workers;
