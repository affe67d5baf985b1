//! `barflow replay --parallel`: its result, as text.

use crate::job::report::ParallelReport;
use crate::thousands::{counted, grouped};

/// Why nothing was cut into chunks.
pub(super) fn one_pass(threads: usize) -> String {
    format!(
        "--parallel made a single pass: with {threads} threads, decoding ahead of the builders is \
         as fast; use more threads or more specifications"
    )
}

/// The result of chunks, each a line.
pub(super) fn remarks(parallel: &ParallelReport) -> Vec<String> {
    let ParallelReport { threads, bars_in_graph, chunks: report } = parallel;
    let recomputed = &report.recomputed;
    if let Some(reason) = bars_in_graph {
        let chunks = counted(recomputed.chunks, "chunk");
        return vec![format!(
            "{threads} threads, {chunks} read ahead; bars were built in one pass because of \
             {reason}"
        )];
    }
    let again = match recomputed.read_again {
        0 => String::new(),
        n => format!(", {} read again", counted(n, "chunk")),
    };
    let mut remarks = vec![format!(
        "{threads} threads, {}; {} computed twice{again}",
        counted(recomputed.chunks, "chunk"),
        counted(recomputed.trades, "trade")
    )];
    for (name, fared) in &report.specs {
        let mut joined = fared.joined.clone();
        joined.sort_unstable();
        remarks.push(match (fared.ahead, joined.get(joined.len() / 2), joined.last()) {
            (0, ..) => {
                format!("{name}: processed sequentially, because such builders do not converge")
            }
            (ahead, Some(median), Some(most)) => format!(
                "{name}: {} of {} converged, after {} (median; maximum {})",
                grouped(joined.len() as u64),
                counted(ahead, "chunk"),
                counted(*median, "trade"),
                grouped(*most)
            ),
            (ahead, ..) => format!("{name}: none of {} converged", counted(ahead, "chunk")),
        });
    }
    remarks
}
