//! How far a series of bars is complete, for readers: the record, and what may be said while
//! trades are missing.
//!
//! Bars say what has closed. That nothing has closed, and up to where that is certain, no bar can say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::{Levels, OpenBar};
use crate::batch::Feed;
use crate::convergence::monitor::Synchronised;
use crate::gap::OpenGap;

/// How far the bars of an instrument by a specification are, and the bar that is being gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Name of the specification.
    pub spec: Arc<str>,
    /// Instrument and kind of input.
    pub feed: Arc<Feed>,
    /// Every trade up to this id is applied, or known not to come; where the venue has no ids, the
    /// number that stands in.
    pub complete_trade_id: u64,
    /// Every trade before this event time is applied, ns: that of the last trade, or up to which the
    /// input is known to be complete. Where times run backwards from trade to trade, so does this.
    pub complete_time: i64,
    /// How far its builder is.
    pub builder: BuilderProgress,
    /// Since when the order waits for missing trades, ns since the Unix epoch by the clock of the
    /// computer; none if it waits for none. Meanwhile nothing else here changes.
    pub gap_since: Option<i64>,
}

impl Progress {
    /// What identifies the series: `instrument/spec`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.feed.instrument, self.spec)
    }
}

/// How far a builder is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuilderProgress {
    /// Bars that it has made: the number of the next one.
    pub bars: u64,
    /// The bar that it gathers, if any.
    pub open: Option<OpenBar>,
    /// What its rule expects of the next trade; nothing in the warm-up, or where it has no expectation.
    pub levels: Levels,
    /// How much of its threshold the open bar has reached: 1 closes it; none without one.
    pub reached: Option<f64>,
    /// Trades that the warm-up still needs.
    pub warmup_left: u64,
    /// Whether it is known not to depend on where it began.
    pub synchronised: Synchronised,
}

/// What is to be reported of one instrument, and what may be while a gap is open.
///
/// An order that waits for missing trades lets none pass, so the builders stand still by themselves.
/// Where it does not wait, they continue over the gap: then what they were before is held here until the
/// gap has been closed.
#[derive(Clone, Debug, Default)]
pub struct ProgressGate {
    gap: Option<OpenGap>,
    held: Option<Vec<Progress>>,
    moved: bool,
}

impl ProgressGate {
    /// A batch comes, of trades up to `last_id` if of any; this gap is open then. `before` is the
    /// progress before the batch.
    pub fn on_batch(
        &mut self,
        gap: Option<OpenGap>,
        last_id: Option<u64>,
        before: impl FnOnce() -> Vec<Progress>,
    ) {
        self.moved = true;
        self.gap = gap;
        let first_missing = gap.and_then(|gap| gap.first_missing);
        match (first_missing, last_id) {
            _ if gap.is_none() => self.held = None,
            (Some(missing), Some(last)) if last > missing && self.held.is_none() => {
                self.held = Some(before());
            }
            _ => {}
        }
    }

    /// Whether anything has come since the last report.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// What may be said, given the progress `now`.
    pub fn report(&mut self, now: impl FnOnce() -> Vec<Progress>) -> Vec<Progress> {
        self.moved = false;
        let mut reports = self.held.clone().unwrap_or_else(now);
        for report in &mut reports {
            report.gap_since = self.gap.map(|gap| gap.since);
        }
        reports
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(id: u64) -> Vec<Progress> {
        vec![Progress {
            spec: "x".into(),
            feed: Arc::new(Feed::numbered("a:b:C".parse().unwrap())),
            complete_trade_id: id,
            complete_time: 0,
            builder: BuilderProgress {
                bars: 0,
                open: None,
                levels: Levels::default(),
                reached: None,
                warmup_left: 0,
                synchronised: Synchronised::Unknown,
            },
            gap_since: None,
        }]
    }

    fn gap(since: i64, first_missing: Option<u64>) -> Option<OpenGap> {
        Some(OpenGap { since, first_missing })
    }

    /// Through which trade, and since when a gap is open.
    fn said(gate: &mut ProgressGate, now: u64) -> (u64, Option<i64>) {
        let report = gate.report(|| at(now));
        (report[0].complete_trade_id, report[0].gap_since)
    }

    #[test]
    fn an_order_that_waits_stands_still_by_itself() {
        let mut gate = ProgressGate::default();
        assert!(!gate.has_moved());
        gate.on_batch(None, Some(5), || at(0));
        assert!(gate.has_moved());
        assert_eq!(said(&mut gate, 5), (5, None));
        assert!(!gate.has_moved());
        // Trades before the gap still count.
        gate.on_batch(gap(77, None), Some(8), || at(5));
        assert_eq!(said(&mut gate, 8), (8, Some(77)));
        gate.on_batch(None, Some(12), || at(8));
        assert_eq!(said(&mut gate, 12), (12, None));
    }

    #[test]
    fn an_order_that_does_not_wait_is_held_where_it_was_before_the_gap() {
        let mut gate = ProgressGate::default();
        gate.on_batch(None, Some(5), || at(0));
        // 7 is missing; the batch has 6, 8 and 9.
        gate.on_batch(gap(77, Some(7)), Some(9), || at(5));
        assert_eq!(said(&mut gate, 9), (5, Some(77)));
        gate.on_batch(gap(77, Some(7)), Some(20), || at(9));
        assert_eq!(said(&mut gate, 20), (5, Some(77)));
        // Another one is open by the time the first is closed: what was before it is not known any more.
        gate.on_batch(gap(99, Some(15)), Some(21), || at(20));
        assert_eq!(said(&mut gate, 21), (5, Some(99)));
        gate.on_batch(None, None, || at(21));
        assert_eq!(said(&mut gate, 21), (21, None));
    }

    #[test]
    fn a_gap_that_is_open_before_the_first_trade_lets_nothing_be_said() {
        let mut gate = ProgressGate::default();
        gate.on_batch(gap(77, Some(2)), Some(9), Vec::new);
        assert_eq!(gate.report(|| at(9)), []);
    }

    proptest! {
        /// Whatever comes in whichever batches: nothing is said to be complete beyond a missing trade, what
        /// is said never decreases, and with no gap it is all that has come.
        #[test]
        fn nothing_is_said_beyond_a_missing_trade(
            steps in prop::collection::vec((1_u64..5, 0_u8..4, any::<bool>()), 1..60),
            waits in any::<bool>(),
        ) {
            let mut gate = ProgressGate::default();
            let (mut applied, mut missing, mut before) = (0, None, 0);
            for (now, (trades, kind, reports)) in (0_i64..).zip(steps) {
                let was = applied;
                match kind {
                    // A gap opens after the next trade, unless one is.
                    0 if missing.is_none() => {
                        applied += 1;
                        missing = Some((now, applied + 1));
                        // One that does not wait continues over it with this very batch.
                        applied += if waits { 0 } else { 1 + trades };
                    }
                    1 => missing = None,
                    _ if waits && missing.is_some() => {}
                    _ => applied += trades,
                }
                let first_missing = |first| (!waits).then_some(first);
                let open = missing.map(|(since, first)| OpenGap {
                    since,
                    first_missing: first_missing(first),
                });
                let last = (applied > was).then_some(applied);
                gate.on_batch(open, last, || at(was));
                if reports {
                    let (said, since) = said(&mut gate, applied);
                    prop_assert_eq!(since, missing.map(|(since, _)| since));
                    prop_assert!(missing.is_none_or(|(_, first)| said < first));
                    prop_assert!(said >= before);
                    prop_assert!(missing.is_some() || said == applied);
                    before = said;
                }
            }
        }
    }
}
