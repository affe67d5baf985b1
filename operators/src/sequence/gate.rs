//! Times that the trades behind them contradict.

use std::collections::VecDeque;

use crate::gap::Gap;
use crate::trade::Trade;

/// A trade this much later than the one before it, in ns, waits for those behind it to say whether
/// time has gone on or it is wrong: ten minutes.
pub const FAR_AHEAD: i64 = 600_000_000_000;

/// A time is wrong if so many of the trades behind it lie before it by more than [`FAR_AHEAD`], and
/// right if so many do not.
const VOTES: usize = 3;

/// Holds trades in order for as long as the time of the first of them is in doubt.
///
/// A trade that is more than [`FAR_AHEAD`] later than the trade before it is in doubt. Of the next
/// five trades the majority decides: a quiet market continues at the later time, while after a wrong
/// time the others return. At the end of the input those that are there decide.
///
/// # Contract
/// Trades leave in the order in which they came, each once. What leaves depends on the sequence of
/// trades alone.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeGate {
    /// Event time of the last trade that left as valid, ns; none before the first.
    last: Option<i64>,
    /// The first of them is in doubt.
    held: VecDeque<Held>,
    /// Gaps before the next trade.
    pending: Vec<Gap>,
}

/// A trade in its place in the order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) trade: Trade,
    /// Which row of the input it was, see [`Memory`](super::memory::Memory).
    pub(super) row: u64,
    /// Which batch it came with, counted from 1.
    pub(super) came_with: u64,
    /// The last id settled before it.
    pub(super) before: Option<u64>,
    /// Ids given up as missing before it.
    pub(super) gaps: Vec<Gap>,
}

/// What becomes of a trade.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Passage {
    /// It passes.
    Through(Held),
    /// Its time is this much later than that of the trades behind it, ns.
    FarAhead(Held, i64),
}

impl TimeGate {
    /// Continues after a trade of this time.
    pub(super) fn resume(&mut self, last: Option<i64>) {
        self.last = last;
    }

    /// The trades that are held.
    pub(super) fn held(&self) -> &VecDeque<Held> {
        &self.held
    }

    /// Event time of the last trade that left as valid, ns; none before the first.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Whether trades of these times would all leave at once. Without branches, so that it
    /// vectorises: it runs over every batch.
    #[inline]
    pub(super) fn lets_through(&self, times: &[i64]) -> bool {
        let Some(first) = times.first() else { return true };
        let begins = match self.last {
            Some(last) => first.saturating_sub(last) <= FAR_AHEAD,
            // The first of all is in doubt until three behind it agree.
            None => {
                times.len() > VOTES
                    && times[1..=VOTES].iter().all(|time| first.saturating_sub(*time) <= FAR_AHEAD)
            }
        };
        self.held.is_empty()
            && self.pending.is_empty()
            && begins
            && times
                .windows(2)
                .fold(true, |so_far, pair| so_far & (pair[1].wrapping_sub(pair[0]) <= FAR_AHEAD))
    }

    /// Trades that it [lets through](Self::lets_through) have left.
    pub(super) fn passed(&mut self, times: &[i64]) {
        self.last = times.last().copied().or(self.last);
    }

    /// Whether a trade of this time, with no gap before it, leaves at once; it has left then.
    #[inline]
    pub(super) fn admits(&mut self, time: i64) -> bool {
        let leaves = self.held.is_empty()
            && self.pending.is_empty()
            && self.last.is_some_and(|last| time.saturating_sub(last) <= FAR_AHEAD);
        if leaves {
            self.last = Some(time);
        }
        leaves
    }

    /// Takes the next trade.
    pub(super) fn push(&mut self, mut next: Held, mut leave: impl FnMut(Passage)) {
        next.gaps.append(&mut self.pending);
        self.held.push_back(next);
        while let Some(is_right) = self.verdict(false) {
            self.let_go(is_right, &mut leave);
        }
    }

    /// The input has ended: those that are there decide.
    pub(super) fn finish(&mut self, mut leave: impl FnMut(Passage)) {
        while let Some(is_right) = self.verdict(true) {
            self.let_go(is_right, &mut leave);
        }
    }

    /// Whether the time of the first held trade is right; none if no trade is held, or too few
    /// follow it.
    fn verdict(&self, ended: bool) -> Option<bool> {
        let first = self.held.front()?.trade.event_time;
        if self.last.is_some_and(|last| first.saturating_sub(last) <= FAR_AHEAD) {
            return Some(true);
        }
        let (mut stay, mut lie_before) = (0, 0);
        for next in self.held.iter().skip(1) {
            match first.saturating_sub(next.trade.event_time) > FAR_AHEAD {
                true => lie_before += 1,
                false => stay += 1,
            }
            if stay == VOTES || lie_before == VOTES {
                return Some(stay == VOTES);
            }
        }
        ended.then_some(stay >= lie_before)
    }

    fn let_go(&mut self, is_right: bool, leave: &mut impl FnMut(Passage)) {
        let Some(first) = self.held.pop_front() else { return };
        if is_right {
            self.last = Some(first.trade.event_time);
            leave(Passage::Through(first));
            return;
        }
        let behind = self
            .held
            .iter()
            .map(|next| next.trade.event_time)
            .filter(|time| first.trade.event_time.saturating_sub(*time) > FAR_AHEAD);
        let by = behind.max().map_or(0, |time| first.trade.event_time.saturating_sub(time));
        self.hand_on(0, &first.gaps);
        leave(Passage::FarAhead(first, by));
    }

    /// The gaps before a trade that was held here and is not used come before the next one.
    fn hand_on(&mut self, place: usize, gaps: &[Gap]) {
        let before = match self.held.get_mut(place) {
            Some(next) => &mut next.gaps,
            None => &mut self.pending,
        };
        before.splice(0..0, gaps.iter().copied());
    }

    /// A gap before the next trade.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.pending.push(gap);
    }

    /// The gaps behind the last trade.
    pub(super) fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.pending)
    }

    /// Takes out the trade of this row, if it is held.
    pub(super) fn take_out(&mut self, row: u64) -> bool {
        let Some(place) = self.held.iter().position(|held| held.row == row) else { return false };
        let Some(out) = self.held.remove(place) else { return false };
        self.hand_on(place, &out.gaps);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trade::Aggressor;

    const MINUTE: i64 = 60_000_000_000;

    fn held(row: u64, minute: i64) -> Held {
        let (price, qty, quote, count) = (1.0, 1.0, 1.0, 1);
        let event_time = minute * MINUTE;
        let aggressor = Aggressor::Buyer;
        let trade = Trade { trade_id: row, event_time, price, qty, quote, aggressor, count };
        Held { trade, row, came_with: 1, before: None, gaps: Vec::new() }
    }

    /// The rows whose time is wrong.
    fn wrong(minutes: &[i64]) -> Vec<u64> {
        let (mut gate, mut through, mut wrong) = (TimeGate::default(), Vec::new(), Vec::new());
        let mut leave = |passage| match passage {
            Passage::Through(held) => through.push(held.row),
            Passage::FarAhead(held, _) => wrong.push(held.row),
        };
        for (row, minute) in (0..).zip(minutes) {
            gate.push(held(row, *minute), &mut leave);
        }
        gate.finish(&mut leave);
        assert!(through.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(through.len() + wrong.len(), minutes.len());
        wrong
    }

    #[test]
    fn a_time_that_the_next_trades_contradict_is_wrong() {
        let two_days = 2880;
        assert_eq!(wrong(&[0, 1, two_days, 2, 3, 4, 5]), [2]);
        // The first, one before the last, two and three side by side.
        assert_eq!(wrong(&[two_days, 0, 1, 2, 3]), [0]);
        assert_eq!(wrong(&[0, 1, 2, two_days, 3]), [3]);
        assert_eq!(wrong(&[0, two_days, two_days, 1, 2, 3, 4]), [1, 2]);
        assert_eq!(wrong(&[0, 30, 30, 1, 2, 60, 3, 4, 5]), [1, 2, 5]);
    }

    #[test]
    fn a_market_that_goes_on_later_is_right() {
        assert!(wrong(&[0, 1, 2880, 2881, 2882]).is_empty());
        // Each trade an hour after the other, and only one at the end.
        assert!(wrong(&[0, 60, 120, 180, 240, 300]).is_empty());
        assert!(wrong(&[0, 1, 2880]).is_empty());
        // A late print, whose time is long past.
        assert!(wrong(&[100, 101, 40, 102, 103, 104]).is_empty());
        // Less than ten minutes.
        assert!(wrong(&[0, 1, 11, 2, 3, 4]).is_empty());
    }

    proptest! {
        #[test]
        fn what_leaves_at_once_is_what_would_leave_one_by_one(
            before in prop::collection::vec(0i64..40, 0..6),
            minutes in prop::collection::vec(0i64..16, 1..12),
        ) {
            let mut gate = TimeGate::default();
            for (row, minute) in (0..).zip(&before) {
                gate.push(held(row, *minute), drop);
            }
            let times: Vec<i64> = minutes.iter().map(|minute| minute * MINUTE).collect();
            if gate.lets_through(&times) {
                let mut slow = gate.clone();
                let mut left = 0;
                for (row, minute) in (100..).zip(&minutes) {
                    slow.push(held(row, *minute), |passage| {
                        assert!(matches!(passage, Passage::Through(_)));
                        left += 1;
                    });
                }
                gate.passed(&times);
                prop_assert_eq!(left, minutes.len());
                prop_assert_eq!((slow.last, slow.held), (gate.last, gate.held));
            }
        }

        /// One wrong time anywhere among times that run on is found, and nothing else.
        #[test]
        fn one_wrong_time_is_found_wherever_it_is(
            steps in prop::collection::vec(0i64..5, 5..40),
            at in any::<prop::sample::Index>(),
            by in 60i64..100_000,
        ) {
            let mut minutes: Vec<i64> = Vec::new();
            steps.iter().for_each(|step| minutes.push(minutes.last().unwrap_or(&0) + step));
            let at = at.index(minutes.len() - 1);
            prop_assert_eq!(wrong(&minutes), Vec::<u64>::new());
            minutes[at] += by;
            prop_assert_eq!(wrong(&minutes), [at as u64]);
        }
    }
}
