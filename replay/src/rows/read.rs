//! Which way the rows of a layout are read.

use super::{Layout, Output, Quote, RowRules, careful, fast};

/// Reads lines of `bytes` between `at` and `end` until the output is full; returns where to
/// continue.
pub fn read_rows(
    rules: &RowRules,
    bytes: &[u8],
    at: usize,
    end: usize,
    out: &mut Output<'_>,
) -> usize {
    match &rules.format.layout {
        Layout::Trades { .. } if rules.format.quote != Quote::Source => {
            fast::read::<fast::Trades>(rules, bytes, at, end, out)
        }
        Layout::AggTrades { .. } => fast::read::<fast::AggTrades>(rules, bytes, at, end, out),
        _ => {
            let mut at = at;
            while at < end && !out.is_full() {
                at = careful::read_line(rules, bytes, at, end, out);
            }
            at
        }
    }
}
