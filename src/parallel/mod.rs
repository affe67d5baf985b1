//! One instrument's history on several cores, to the bars of one pass.
//!
//! ```text
//! chunks ─┬─► worker: decode, order, build ahead ─► pieces ─┐
//!         └─► worker: …                          ─► pieces ─┴─► stitcher ─► commits ─► sink
//!           (a file, or row groups of our Parquet)  (bounded)    (in order)
//! ```
//!
//! Workers take chunks in order and work on them with builders that know no past; the stitcher
//! ([`barflow_operators::stitch`]) turns what they made into the bars of the sequential run, in its
//! order. Builders that are not known to fall into step are not built ahead: then only decoding and
//! judging of rows run in parallel, and the builders of the stitcher do all the work.
//!
//! Instruments come one after the other, as they do for one timely worker. There is no dataflow
//! here: what a run with one instrument has to tell goes from the stitcher to the sink in order.
//!
//! **Invariant:** output, quarantine, counts and summary are those of the same run without this.

mod beliefs;
mod budget;
mod run;
mod tell;
mod work;
mod worth;

pub use beliefs::SpecReport;
pub use run::{Options, Report, run};
pub use worth::is_worth;
