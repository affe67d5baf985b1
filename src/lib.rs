//! barflow: a streaming dataflow engine for information-driven bars.
//!
//! ```text
//! venue websocket, REST ─ feeds ─┐                                         ┌─ sinks::kafka
//! recordings ─ recording ────────┼─► batch ─► order ─► bars ─► exit ─► bar ┼─ sinks::parquet
//! files, archives ─ replay ──────┘   └────────── graph ──────────────┘     └─ sinks::text
//! ```
//!
//! A program of its own begins at [`job`]: settings in, a report out (`examples/embed.rs`).

pub mod archive;
pub mod backoff;
pub mod bounded;
pub mod budget;
pub mod checkpoints;
pub mod cli;
pub mod compare;
pub mod config;
pub mod fault_points;
pub mod feeds;
pub mod graph;
pub mod job;
pub mod memory;
pub mod net;
pub mod parallel;
pub mod plot;
pub mod printable;
pub mod quality;
pub mod recording;
pub mod registry;
pub mod schema;
pub mod secrets;
pub mod sinks;
pub mod standard_output;
pub mod stop;
pub mod sweep;
pub mod telemetry;
pub mod thousands;
