//! What was supposed of ids and may turn out to be wrong: that REST passes over those that are no trades,
//! and that a sequence begins with the id that came first.

use std::collections::VecDeque;

use super::Disposition;
use crate::feeds::print::{Print, UNLISTED};

/// Ids that REST passed over and that are remembered.
const REMEMBERED: usize = 4096;

/// Trades below the first id, in order, and none above it, after which that one is not believed: where it is
/// so far above them that no lag explains it, and where it is not.
const BELOW_A_STRAY: u32 = 3;
const BELOW: u32 = 1_000;
const FAR: u64 = 1_000_000;

/// What was supposed of one instrument's ids.
#[derive(Debug, Default)]
pub(super) struct Supposed {
    unlisted: VecDeque<u64>,
    /// Prints that were released.
    released: u64,
    /// The last of the trades below the first id, by id and event time, and how many came in order.
    below: Option<(u64, i64)>,
    in_order: u32,
}

impl Supposed {
    /// An id is left out.
    pub(super) fn note(&mut self, id: u64, why: &'static str) {
        if why == UNLISTED {
            if self.unlisted.len() >= REMEMBERED {
                self.unlisted.pop_front();
            }
            self.unlisted.push_back(id);
        }
    }

    /// A trade of a settled id comes: whether REST had passed over it. Once.
    pub(super) fn comes(&mut self, id: u64) -> bool {
        let place = self.unlisted.iter().rposition(|unlisted| *unlisted == id);
        place.is_some_and(|place| self.unlisted.remove(place).is_some())
    }

    /// A print was released: what comes above the first id confirms it.
    #[inline]
    pub(super) fn goes_on(&mut self) {
        self.released = self.released.saturating_add(1);
    }

    /// A print below the first id: one from before the beginning, unless time and ids continue there and
    /// nowhere else.
    pub(super) fn before_first(&mut self, print: &Print, first: Option<u64>) -> Disposition {
        let (id, time) = (print.trade.trade_id, print.trade.event_time);
        let follows = self.below.is_none_or(|(last, at)| id > last && time >= at);
        if self.released > 1 || !follows {
            return Disposition::BeforeFirst;
        }
        self.below = Some((id, time));
        self.in_order = self.in_order.saturating_add(1);
        let is_far = first.is_some_and(|first| first.saturating_sub(id) >= FAR);
        match self.in_order > if is_far { BELOW_A_STRAY } else { BELOW } {
            true => Disposition::BelowStray,
            false => Disposition::BeforeFirst,
        }
    }
}
