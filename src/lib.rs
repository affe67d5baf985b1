//! barflow: a streaming dataflow engine for information-driven bars.
//!
//! ```text
//! venue websocket ─ feeds ──┐                                  ┌─ sinks::kafka
//!                           ├─► trade ─► validation ─► bars ─►─┤
//! files, archives ─ replay ─┘   └──────── graph ───────┘       └─ sinks::{parquet, jsonl}
//! ```

pub mod archive;
pub mod backoff;
pub mod bounded;
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
pub mod secrets;
pub mod sinks;
pub mod stop;
pub mod sweep;
pub mod telemetry;
pub mod thousands;
