//! Times at which an open bar ends whatever its rule says: UTC midnight, or a time bar's interval.

use serde::{Deserialize, Serialize};

use crate::bar::CloseReason;
use crate::digest::Digest;

/// Nanoseconds in a UTC day (the Unix epoch has no leap seconds).
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Watches event time for the end of a period; the trade beyond it opens the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// Length of a period in ns; none where there are no periods.
    #[serde(with = "crate::saved::period")]
    every: Option<i64>,
    reason: CloseReason,
    /// Last instant of the current period; none before the first trade. Inclusive, so that the
    /// last period of i64 has one too.
    last: Option<i64>,
}

impl Boundary {
    /// None at all.
    pub const NONE: Self = Self { every: None, reason: CloseReason::Interval, last: None };

    /// UTC midnights.
    pub const UTC_DAY: Self =
        Self { every: Some(DAY_NS), reason: CloseReason::Session, last: None };

    /// Multiples of `every` ns since the epoch; `every` must be positive.
    pub fn interval(every: i64) -> Self {
        Self { every: Some(every), reason: CloseReason::Interval, last: None }
    }

    /// Whether there is one to watch.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.every.is_some()
    }

    /// Why a bar ends here.
    pub fn reason(&self) -> CloseReason {
        self.reason
    }

    /// Whether a trade at `time` lies beyond the current period; moves on to its period if so.
    /// The first trade only sets the period. Time running backwards stays in it.
    #[inline]
    pub fn crosses(&mut self, time: i64) -> bool {
        let Some(every) = self.every else { return false };
        if self.last.is_some_and(|last| time <= last) {
            return false;
        }
        let first = self.last.is_none();
        // The difference is in [0, every − 1], so only the sum can overflow.
        let left = every - 1 - time.rem_euclid(every);
        self.last = Some(time.saturating_add(left));
        !first
    }

    /// Whether the current period is over when everything before `time` has come; moves on if so.
    pub fn is_over_by(&mut self, time: i64) -> bool {
        self.last.is_some() && self.crosses(time)
    }

    /// Last instant of the current period; none before the first trade.
    pub fn period_end(&self) -> Option<i64> {
        self.last
    }

    /// Adds the current period: with time running backwards it isn't that of the last trade.
    pub fn digest(&self, digest: &mut Digest) {
        if self.is_set() {
            digest.u64(self.last.unwrap_or(i64::MIN) as u64);
        }
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
        assert!(!boundary.crosses(i64::MIN));
        assert!(boundary.crosses(i64::MAX));
        assert!(!boundary.crosses(i64::MAX));
    }
}
