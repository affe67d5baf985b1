//! When checkpoints are made.

use std::time::{Duration, Instant};

use barflow_operators::dataflow::bars::{CheckpointPolicy, Due, Restored};

/// Bars after which a cut is made however little time has passed: what a sink may have to send a
/// second time, and then keeps in memory, is about 10 MB.
pub const BARS_PER_CUT: u64 = 20_000;

/// How a run keeps checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Builders of an earlier run.
    pub restored: Restored,
    /// Time between two cuts.
    pub interval: Duration,
    /// Bars between two cuts, at most about.
    pub bars: u64,
}

impl Checkpoints {
    /// The settings of a worker.
    pub(super) fn policy(&self) -> CheckpointPolicy {
        let Self { restored, interval, bars } = self.clone();
        let mut next = Instant::now() + interval;
        let mut look: Option<Instant> = None;
        let due = move |sent: u64| {
            let now = Instant::now();
            if now >= next || sent >= bars {
                next = now + interval;
                look = None;
                return Due::Now;
            }
            // One timer for each interval: every look would otherwise leave one behind.
            if look.is_some_and(|look| look > now) {
                return Due::Wait;
            }
            look = Some(next);
            Due::Later(next - now)
        };
        CheckpointPolicy { restored, due: Box::new(due) }
    }
}
