//! Compares two outputs of bars and finds the first difference.
//!
//! **Invariant:** reads what sinks have written, in whatever encoding, and knows nothing of how
//! bars are made.

pub mod audit;
pub mod cell;
pub mod difference;
pub mod mark;
pub mod paired;
mod parquet_bars;
mod schemas;
pub mod source;
