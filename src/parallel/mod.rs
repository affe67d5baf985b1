//! Replays one instrument's history on several threads, with the bars of one pass.
//!
//! ```text
//! chunks ─┬─► thread: decode, order, build ahead ─► batches ─┐
//!         └─► thread: …                          ─► batches ─┴─► joiner ─► inlet of the graph
//!           (a file, or row groups of our Parquet)  (bounded)    (in order)
//! ```
//!
//! Threads take chunks in order and work on them with builders that know no past; the joiner
//! ([`barflow_operators::parallel`]) turns what they made into the bars of the sequential run, in
//! its order, and feeds the graph with them. Builders that are not known to fall into step are not
//! built ahead: then only decoding and judging of rows run in parallel, and the builders of the
//! joiner do all the work.
//!
//! What needs every trade in the graph (quality, kept trades, corrections, checkpoints) leaves bars to
//! the graph: the threads only read ahead, and the graph is fed with trades.
//!
//! Instruments of a worker come one after the other, as they do in one pass.
//!
//! **Invariant:** output, quarantine, counts and summary are those of the same run without this.

mod beliefs;
mod budget;
mod run;
mod work;
mod worth;

pub use beliefs::SpecReport;
pub use run::{History, Options, Report, feeders};
pub use worth::is_worth;
