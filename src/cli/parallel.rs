//! `barflow replay --parallel`: its result, as text.

use crate::job::report::ParallelReport;
use crate::thousands::grouped;

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
        let chunks = grouped(recomputed.chunks);
        return vec![format!(
            "{threads} threads, {chunks} chunks read ahead; bars were built in one pass because of \
             {reason}"
        )];
    }
    let again = match recomputed.read_again {
        0 => String::new(),
        n => format!(", {n} chunks read again"),
    };
    let mut remarks = vec![format!(
        "{threads} threads, {} chunks; {} trades computed twice{again}",
        grouped(recomputed.chunks),
        grouped(recomputed.trades)
    )];
    for (name, fared) in &report.specs {
        let mut joined = fared.joined.clone();
        joined.sort_unstable();
        remarks.push(match (fared.ahead, joined.get(joined.len() / 2), joined.last()) {
            (0, ..) => {
                format!("{name}: processed sequentially, because such builders do not converge")
            }
            (ahead, Some(median), Some(most)) => format!(
                "{name}: {} of {} chunks converged, after {} trades (median; maximum {})",
                grouped(joined.len() as u64),
                grouped(ahead),
                grouped(*median),
                grouped(*most)
            ),
            (ahead, ..) => format!("{name}: none of {} chunks converged", grouped(ahead)),
        });
    }
    remarks
}
