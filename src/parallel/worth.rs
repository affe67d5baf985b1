//! Is it worth it? One pass keeps several cores busy as well: files are decoded ahead of the builders.

use barflow_operators::convergence::estimate::expected_trades;
use barflow_operators::spec::BarSpec;
use barflow_replay::plan::{FileKind, Plan};

/// Ns per trade on one core, measured (docs/PERFORMANCE.md). Only their ratios matter.
struct Costs {
    /// Until lines, or columns.
    decode: f64,
    /// From lines to trades.
    rows: f64,
}

const TEXT: Costs = Costs { decode: 66.0, rows: 42.0 };
const PARQUET: Costs = Costs { decode: 15.0, rows: 0.0 };
/// Order, counts, hand-over.
const GRAPH: f64 = 5.0;
/// An adaptive builder.
const BUILDER: f64 = 5.0;
/// What chunks cost more than one pass.
const CHUNKS: f64 = 4.0;

/// What has to be gained to be worth a larger memory.
const GAIN: f64 = 0.95;

/// Whether `threads` are expected to make the bars of a history sooner than one pass does, given
/// whether they may build ahead.
pub fn is_worth(plan: &Plan, specs: &[BarSpec], threads: usize, builds_ahead: bool) -> bool {
    let is_parquet =
        plan.instruments.iter().flat_map(|i| &i.files).all(|file| file.kind == FileKind::Parquet);
    let source = if is_parquet { PARQUET } else { TEXT };
    let is_ahead = |spec: &&BarSpec| builds_ahead && expected_trades(spec).is_some();
    let ahead = specs.iter().filter(is_ahead).count();
    pays(&source, ahead, specs.len() - ahead, threads)
}

/// `ahead` builders can be built ahead, those `behind` only sequentially, after all others.
fn pays(source: &Costs, ahead: usize, behind: usize, threads: usize) -> bool {
    let (ahead, behind) = (ahead as f64 * BUILDER, behind as f64 * BUILDER);
    // The next file is decoded on one core; on the other one its rows and the builders take turns.
    let one_pass = source.decode.max(source.rows + GRAPH + ahead + behind);
    let spread = (source.decode + source.rows + GRAPH + ahead + CHUNKS) / threads as f64;
    spread.max(behind + CHUNKS) < GAIN * one_pass
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(is_parquet: bool, bars: usize, threads: usize, compat: bool) -> bool {
        let source = if is_parquet { PARQUET } else { TEXT };
        let (ahead, behind) = if compat { (0, bars) } else { (bars, 0) };
        pays(&source, ahead, behind, threads)
    }

    #[test]
    fn chunks_are_used_where_one_pass_leaves_threads_idle() {
        assert!(worth(false, 1, 2, false) && worth(false, 8, 2, false));
        assert!(worth(true, 1, 3, false) && worth(true, 8, 2, false));
        // Measured: 0.7 to 0.95 of one pass.
        assert!(!worth(true, 1, 2, false));
        // Eight builders that have to follow one another.
        assert!(!worth(true, 8, 16, true));
    }
}
