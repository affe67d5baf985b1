//! `barflow replay --parallel`: run, and what it has come to.

use barflow_replay::plan::Plan;
use barflow_replay::stream::ReadOptions;

use super::summary::grouped;
use crate::graph::assemble::GraphOptions;
use crate::graph::sink::{BarSink, SinkReport};
use crate::graph::stop::Cause;
use crate::parallel::{self, Options, Report};

/// Runs; returns what the sink says, and remarks for the summary.
///
/// # Errors
/// As the run without `--parallel`.
pub fn run(
    plan: Plan,
    workers: usize,
    graph: GraphOptions,
    read: ReadOptions,
    mut sinks: Vec<Box<dyn BarSink>>,
) -> Result<(SinkReport, Vec<String>), Cause> {
    let Some(sink) = sinks.pop() else { return Err("there is no sink".into()) };
    let options = Options { graph, read, workers };
    let (delivered, report) = parallel::run(plan, &options, sink)?;
    Ok((delivered, remarks(&report, workers)))
}

/// Why nothing was cut into chunks.
pub fn one_pass(threads: usize) -> String {
    format!(
        "made in one pass: it keeps {threads} threads as busy, decoding ahead of the builders; chunks pay \
         with more threads or more specifications"
    )
}

fn remarks(report: &Report, workers: usize) -> Vec<String> {
    let twice = &report.twice;
    let again = match twice.read_again {
        0 => String::new(),
        n => format!(", {n} chunks read again"),
    };
    let mut remarks = vec![format!(
        "{workers} threads, {} chunks; {} trades computed twice{again}",
        grouped(twice.chunks),
        grouped(twice.trades)
    )];
    for (name, fared) in &report.specs {
        let mut joined = fared.joined.clone();
        joined.sort_unstable();
        remarks.push(match (fared.ahead, joined.get(joined.len() / 2), joined.last()) {
            (0, ..) => format!("{name}: not built ahead, it is not known to fall into step"),
            (ahead, Some(median), Some(most)) => format!(
                "{name}: {} of {} chunks joined, after {} trades (median; at most {})",
                grouped(joined.len() as u64),
                grouped(ahead),
                grouped(*median),
                grouped(*most)
            ),
            (ahead, ..) => format!("{name}: none of {} chunks joined", grouped(ahead)),
        });
    }
    remarks
}
