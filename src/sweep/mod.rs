//! Evaluates grids of configurations in one pass and ranks them.
//!
//! ```text
//! replay's own graph ─► trades in order ─► workers, each with a part of the grid ─► summaries
//!                                              └─ state, now and then ─► sweep.state
//! ```
//!
//! A holdout needs a pass before, which counts the trades; baselines need some more, once it is known how
//! many bars they are to make.
//!
//! The bars are those of `barflow replay`: the same validation orders the trades, and
//! [`BuilderBatch`](barflow_operators::sweep::BuilderBatch) makes the bits of single builders.

pub mod baselines;
pub mod folder;
pub mod heat_map;
pub mod output;
pub mod returns;
pub mod state;
pub mod summary;
pub mod table;
pub mod totals;
pub mod worker;
