//! Evaluates grids of configurations in one pass and ranks them.
//!
//! ```text
//! replay's own graph ─► trades in order ─► workers, each with a part of the grid ─► summaries
//!                                              └─ state, now and then ─► sweep.state
//! ```
//!
//! The bars are those of `barflow replay`: the same validation orders the trades, and
//! [`BuilderBatch`](barflow_operators::sweep::BuilderBatch) makes the bits of single builders.

pub mod folder;
pub mod heat_map;
pub mod output;
pub mod returns;
pub mod state;
pub mod summary;
pub mod worker;
