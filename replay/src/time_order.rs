//! Rows without ids have no order but that of their times.

use std::path::Path;

use barflow_operators::input_batch::InputBatch;
use jiff::Timestamp;

use crate::error::ReplayError;

/// By how much a time may lie before that of an earlier row, ns: venues print fills of one moment in
/// no fixed order, and clocks are set.
const GRACE_NS: i64 = 5_000_000_000;

/// Watches the times of rows without ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOrder {
    /// The latest time so far, ns.
    latest: Option<i64>,
}

impl TimeOrder {
    /// Takes the next rows of `path`.
    ///
    /// # Errors
    /// At the first row whose time jumps back, naming its line.
    pub fn check(&mut self, path: &Path, batch: &InputBatch) -> Result<(), ReplayError> {
        let Some(back) = self.first_jump(&batch.trades.event_time) else { return Ok(()) };
        let (source, line) = batch.place_of(back.row);
        let shown = |ns: i64| {
            let time = Timestamp::from_nanosecond(i128::from(ns));
            time.map_or_else(|_| ns.to_string(), |time| time.to_string())
        };
        let member = source.strip_prefix(&*path.display().to_string()).unwrap_or_default();
        let member = member.strip_prefix('/').map(|m| format!("{m}, ")).unwrap_or_default();
        let reason = format!(
            "{member}line {line}: field \"time\": {} is before {} of an earlier row, and rows \
             without ids have no other order; sort the file by time (oldest first) and replay it \
             again",
            shown(back.time),
            shown(back.latest)
        );
        Err(ReplayError::layout(path, reason))
    }

    fn first_jump(&mut self, times: &[i64]) -> Option<Back> {
        for (row, time) in times.iter().copied().enumerate() {
            let latest = self.latest.map_or(time, |latest| latest.max(time));
            if time < latest.saturating_sub(GRACE_NS) {
                return Some(Back { row, time, latest });
            }
            self.latest = Some(latest);
        }
        None
    }
}

/// A time that jumps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Back {
    row: usize,
    time: i64,
    latest: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_jitter_and_not_jump() {
        let second = 1_000_000_000;
        let mut order = TimeOrder::default();
        assert_eq!(order.first_jump(&[10 * second, 6 * second, 5 * second]), None);
        assert_eq!(order.first_jump(&[11 * second]), None);
        let back = Back { row: 1, time: 7 * second, latest: 13 * second };
        assert_eq!(order.first_jump(&[13 * second, 7 * second]), Some(back));
    }

    #[test]
    fn a_slow_fall_is_a_jump_in_the_end() {
        let times: Vec<i64> = (0..100).map(|second| (1000 - second) * 1_000_000_000).collect();
        assert_eq!(TimeOrder::default().first_jump(&times).map(|back| back.row), Some(6));
    }
}
