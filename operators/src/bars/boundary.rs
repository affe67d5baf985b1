//! Times at which an open bar ends whatever its rule says: UTC midnight, or a time bar's interval.

use serde::{Deserialize, Serialize};

use crate::bar::CloseReason;

/// Nanoseconds in a UTC day (the Unix epoch has no leap seconds).
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Watches event time for the end of a period; the trade beyond it opens the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// Length of a period in ns; 0 for none.
    every: i64,
    reason: CloseReason,
    /// First time beyond the current period; `i64::MIN` before the first trade.
    end: i64,
}

impl Boundary {
    /// None at all.
    pub const NONE: Self = Self { every: 0, reason: CloseReason::Interval, end: i64::MIN };

    /// UTC midnights.
    pub const UTC_DAY: Self = Self { every: DAY_NS, reason: CloseReason::Session, end: i64::MIN };

    /// Multiples of `every` ns since the epoch; `every` must be positive.
    pub fn interval(every: i64) -> Self {
        Self { every, reason: CloseReason::Interval, end: i64::MIN }
    }

    /// Whether there is one to watch.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.every > 0
    }

    /// Why a bar ends here.
    pub fn reason(&self) -> CloseReason {
        self.reason
    }

    /// Whether a trade at `time` lies beyond the current period; moves on to its period if so.
    /// The first trade only sets the period. Time running backwards stays in it.
    #[inline]
    pub fn crosses(&mut self, time: i64) -> bool {
        if self.every == 0 || (time < self.end && self.end != i64::MIN) {
            return false;
        }
        let first = self.end == i64::MIN;
        self.end = (time.div_euclid(self.every)).saturating_add(1).saturating_mul(self.every);
        !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_on_the_boundary_belongs_to_the_next_period() {
        let mut boundary = Boundary::interval(10);
        let crossed: Vec<bool> =
            [3, 9, 10, 19, 15, 40, 39].iter().map(|t| boundary.crosses(*t)).collect();
        assert_eq!(crossed, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn times_before_the_epoch_and_at_the_edges_of_i64_do_not_panic() {
        let mut boundary = Boundary::interval(10);
        assert!(!boundary.crosses(-5));
        assert!(!boundary.crosses(-1));
        assert!(boundary.crosses(0));
        let mut boundary = Boundary::UTC_DAY;
        boundary.crosses(i64::MIN);
        boundary.crosses(i64::MAX);
        boundary.crosses(i64::MAX);
    }
}
