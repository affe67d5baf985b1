//! When checkpoints are made, and progress is reported.

use std::time::{Duration, Instant};

use barflow_operators::dataflow::bars::{CutPolicy, Due, Restored};

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

/// When a worker writes down how far it is; none for a run that keeps no checkpoints and reports nothing.
/// Progress is `reported` once in this time.
pub(super) fn policy(
    checkpoints: Option<&Checkpoints>,
    reported: Option<Duration>,
) -> Option<CutPolicy> {
    let reports = reported.is_some();
    let (restored, interval, bars) = match (checkpoints, reported) {
        (Some(checkpoints), _) => {
            let Checkpoints { restored, interval, bars } = checkpoints.clone();
            (Some(restored), interval, bars)
        }
        (None, Some(interval)) => (None, interval, u64::MAX),
        (None, None) => return None,
    };
    let due = due(Instant::now(), interval, bars, reported.unwrap_or_default());
    let due = Box::new({
        let mut due = due;
        move |sent| due(Instant::now(), sent)
    });
    Some(CutPolicy { restored, reports, due })
}

/// Whether a cut is due, given the time and how many bars were sent since the one before; and reports with
/// it, which have an interval of their own.
fn due(
    start: Instant,
    interval: Duration,
    bars: u64,
    reported: Duration,
) -> impl FnMut(Instant, u64) -> Due {
    let (mut next, mut next_reports) = (start + interval, start + reported);
    let mut look: Option<Instant> = None;
    move |now, sent| {
        if now >= next || sent >= bars {
            next = now + interval;
            look = None;
            let reports = now >= next_reports;
            if reports {
                next_reports = now + reported;
            }
            return Due::Now { reports };
        }
        // One timer for each interval: every look would otherwise leave one behind.
        if look.is_some_and(|look| look > now) {
            return Due::Wait;
        }
        look = Some(next);
        Due::Later(next - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_keep_their_interval_however_often_bars_ask_for_a_cut() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let interval = Duration::from_millis(1000);
        let mut due = due(start, interval, 100, interval);
        assert_eq!(due(at(10), 1), Due::Later(Duration::from_millis(990)));
        assert_eq!(due(at(20), 1), Due::Wait);
        assert_eq!(due(at(400), 100), Due::Now { reports: false });
        assert_eq!(due(at(999), 100), Due::Now { reports: false });
        assert_eq!(due(at(1000), 100), Due::Now { reports: true });
        assert_eq!(due(at(1001), 0), Due::Later(Duration::from_millis(999)));
        assert_eq!(due(at(2000), 0), Due::Now { reports: true });
    }
}
