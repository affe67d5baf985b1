//! Times that the trades behind them contradict.

use std::collections::VecDeque;

use super::votes::{LONGEST_RUN, Verdict, Votes, is_near, lies_before};
use crate::gap::Gap;
use crate::trade::Trade;

/// Trades that wait at most, and the one that decides: two runs and as many others.
pub(super) const MOST_HELD: usize = 4 * LONGEST_RUN;

/// Holds trades in order for as long as the time of the first of them is in doubt.
///
/// A trade more than [`FAR_APART`] before the last one is wrong. One that is later by as much is in
/// doubt until it is known whether time returns: it is right if none of the next [`LONGEST_RUN`]
/// trades lies before it by more than [`FAR_APART`]. Otherwise the trades behind it are counted, see
/// [`Votes`]. So a market that continues after a pause is right, and runs of wrong times, after which
/// as many others return, are wrong, also where few others stand between two runs. At the end of the
/// input those that are there decide.
///
/// # Contract
/// Trades leave in the order in which they came, each once. Of those that pass none is more than
/// [`FAR_APART`] before the one that passed before it. What leaves depends on the sequence of trades
/// alone.
///
/// [`FAR_APART`]: super::votes::FAR_APART
#[derive(Clone, Debug, Default)]
pub(super) struct TimeGate {
    /// Event time of the last trade that left as valid, ns; none before the first.
    last: Option<i64>,
    /// The first of them is in doubt.
    held: VecDeque<Held>,
    /// Gaps before the next trade.
    pending: Vec<Gap>,
    /// Which batch came when the first of them was found, counted from 1.
    pending_with: u64,
}

/// A trade in its place in the order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) trade: Trade,
    /// Which row of the input it was, see [`Memory`](super::memory::Memory).
    pub(super) row: u64,
    /// Which batch it came with, counted from 1, or the first gap before it.
    pub(super) came_with: u64,
    /// The last id settled before it and those gaps.
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
    /// Its time is this much earlier than that of the trade before it, ns.
    FarBehind(Held, i64),
}

/// The last id settled before a gap.
fn before(gap: &Gap) -> Option<u64> {
    gap.first_missing.checked_sub(1)
}

impl TimeGate {
    /// Continues after a trade of this time.
    pub(super) fn resume(&mut self, last: Option<i64>) {
        self.last = last;
    }

    /// Event time of the latest trade in order, ns, in doubt or not; none before the first.
    pub(super) fn latest(&self) -> Option<i64> {
        self.held.back().map(|held| held.trade.event_time).or(self.last)
    }

    /// Whether trades of these times would all leave at once. Without branches, so that it
    /// vectorises: it runs over every batch.
    #[inline]
    pub(super) fn lets_through(&self, times: &[i64]) -> bool {
        let Some(first) = times.first() else { return true };
        let begins = match self.last {
            Some(last) => is_near(last, *first),
            // The first of all is in doubt.
            None => {
                times.len() > LONGEST_RUN
                    && times[1..=LONGEST_RUN].iter().all(|time| !lies_before(*time, *first))
            }
        };
        self.held.is_empty()
            && self.pending.is_empty()
            && begins
            && times.windows(2).fold(true, |so_far, pair| so_far & is_near(pair[0], pair[1]))
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
            && self.last.is_some_and(|last| is_near(last, time));
        if leaves {
            self.last = Some(time);
        }
        leaves
    }

    /// Takes the next trade.
    pub(super) fn push(&mut self, mut next: Held, mut leave: impl FnMut(Passage)) {
        if let Some(gap) = self.pending.first() {
            (next.before, next.came_with) = (before(gap), next.came_with.min(self.pending_with));
            next.gaps.append(&mut self.pending);
        }
        self.held.push_back(next);
        while let Some(verdict) = self.verdict(false) {
            self.let_go(verdict, &mut leave);
        }
    }

    /// The input has ended: those that are there decide.
    pub(super) fn finish(&mut self, mut leave: impl FnMut(Passage)) {
        while let Some(verdict) = self.verdict(true) {
            self.let_go(verdict, &mut leave);
        }
    }

    /// What is known of the time of the first held trade; none if no trade is held, or too few follow
    /// it.
    fn verdict(&self, ended: bool) -> Option<Verdict> {
        let first = self.held.front()?.trade.event_time;
        if let Some(last) = self.last {
            if lies_before(first, last) {
                return Some(Verdict::Behind(last.saturating_sub(first)));
            }
            if is_near(last, first) {
                return Some(Verdict::Right);
            }
        }
        let mut votes = Votes::new(first, self.last);
        let early = self.held.iter().skip(1).find_map(|next| votes.count(next.trade.event_time));
        let all_there = ended || self.held.len() >= MOST_HELD;
        early.or_else(|| all_there.then(|| votes.result(ended)))
    }

    fn let_go(&mut self, verdict: Verdict, leave: &mut impl FnMut(Passage)) {
        let Some(first) = self.held.pop_front() else { return };
        let time = first.trade.event_time;
        let passage = match verdict {
            Verdict::Right => {
                self.last = Some(time);
                leave(Passage::Through(first));
                return;
            }
            Verdict::Behind(by) => Passage::FarBehind(first, by),
            Verdict::Ahead => {
                let behind = self.held.iter().map(|next| next.trade.event_time);
                let latest = behind.filter(|next| lies_before(*next, time)).max();
                Passage::FarAhead(first, latest.map_or(0, |latest| time.saturating_sub(latest)))
            }
        };
        let (Passage::Through(held) | Passage::FarAhead(held, _) | Passage::FarBehind(held, _)) =
            &passage;
        self.hand_on(0, &held.gaps, held.came_with);
        leave(passage);
    }

    /// The gaps before a trade that was held here and is not used come before the next one.
    fn hand_on(&mut self, place: usize, gaps: &[Gap], came_with: u64) {
        let Some(gap) = gaps.first() else { return };
        let Some(next) = self.held.get_mut(place) else {
            gaps.iter().for_each(|gap| self.gap(*gap, came_with));
            return;
        };
        (next.before, next.came_with) = (before(gap), next.came_with.min(came_with));
        next.gaps.splice(0..0, gaps.iter().copied());
    }

    /// A gap before the next trade, found when this batch came.
    pub(super) fn gap(&mut self, gap: Gap, came_with: u64) {
        if self.pending.is_empty() {
            self.pending_with = came_with;
        }
        self.pending.push(gap);
    }

    /// The first batch of what waits here, counted from 1.
    pub(super) fn oldest(&self) -> Option<u64> {
        let pending = (!self.pending.is_empty()).then_some(self.pending_with);
        self.held.iter().map(|held| held.came_with).chain(pending).min()
    }

    /// The last id settled before what waits here; none if nothing does.
    pub(super) fn settled_before(&self) -> Option<Option<u64>> {
        let held = self.held.front().map(|held| held.before);
        held.or_else(|| self.pending.first().map(before))
    }

    /// The gaps behind the last trade.
    pub(super) fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.pending)
    }

    /// Takes out the trade of this row, if it is held.
    pub(super) fn take_out(&mut self, row: u64) -> bool {
        let Some(place) = self.held.iter().position(|held| held.row == row) else { return false };
        let Some(out) = self.held.remove(place) else { return false };
        self.hand_on(place, &out.gaps, out.came_with);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::votes::{FAR_APART, VOTES};
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
            Passage::Through(held) => through.push(held),
            Passage::FarAhead(held, by) | Passage::FarBehind(held, by) => {
                assert!(by > FAR_APART);
                wrong.push(held.row);
            }
        };
        for (row, minute) in (0..).zip(minutes) {
            gate.push(held(row, *minute), &mut leave);
            assert!(gate.held.len() < MOST_HELD);
        }
        gate.finish(&mut leave);
        assert!(through.windows(2).all(|pair| pair[0].row < pair[1].row));
        assert!(
            through
                .windows(2)
                .all(|pair| { !lies_before(pair[1].trade.event_time, pair[0].trade.event_time) })
        );
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
    fn runs_of_wrong_times_with_few_right_ones_between_them_are_wrong() {
        let ahead = 5000;
        let times = [0, 1, ahead, ahead, ahead, 2, ahead, ahead, ahead, 3, 4, 5, 6, 7, 8];
        assert_eq!(wrong(&times), [2, 3, 4, 6, 7, 8]);
        // At the beginning, and ahead by several times.
        assert_eq!(wrong(&[ahead, ahead, 1, ahead, 2, 3, 4]), [0, 1, 3]);
        assert_eq!(wrong(&[0, 60, ahead, 1, 9000, 60, 2, 3, 4, 5]), [1, 2, 4, 5]);
        // Time reaches one of them, or jumps over it.
        assert_eq!(wrong(&[0, 12, 1, 6, 11, 16, 21, 26]), [1]);
        assert_eq!(wrong(&[0, 30, 1, 90, 91, 92, 93]), [1]);
        // The one that returns is wrong: at the beginning, and after a pause.
        assert_eq!(wrong(&[5000, 5001, 1, 5002, 5003]), [2]);
        assert_eq!(wrong(&[5000, 1, 2, 3, 5001, 5002, 5003, 5004]), [1, 2, 3]);
        assert_eq!(wrong(&[0, 60, 75, 90, 5, 105, 120]), [4]);
    }

    #[test]
    fn a_time_before_the_trades_before_it_is_wrong() {
        assert_eq!(wrong(&[100, 101, 40, 102, 103, 104]), [2]);
        assert_eq!(wrong(&[100, 101, 90, 102, 40]), [2, 4]);
        // After a pause, while it is still in doubt whether time has gone on.
        assert_eq!(wrong(&[0, 2880, 2881, 5, 2882, 2883]), [3]);
    }

    #[test]
    fn a_market_that_goes_on_later_is_right() {
        assert!(wrong(&[0, 1, 2880, 2881, 2882]).is_empty());
        // Each trade an hour after the other, and only one at the end.
        assert!(wrong(&[0, 60, 120, 180, 240, 300]).is_empty());
        assert!(wrong(&[0, 1, 2880]).is_empty());
        // Less than ten minutes, ahead and behind.
        assert!(wrong(&[0, 1, 11, 2, 3, 4]).is_empty());
        assert!(wrong(&[100, 101, 92, 102, 103, 104]).is_empty());
    }

    #[test]
    fn a_run_ahead_too_long_to_be_recognised_is_named_at_its_end() {
        let ahead = LONGEST_RUN as i64 + 1;
        let minutes: Vec<i64> = (0..ahead + 3).map(|n| if n < ahead { 5000 } else { n }).collect();
        assert_eq!(wrong(&minutes), [ahead as u64, ahead as u64 + 1, ahead as u64 + 2]);
    }

    #[test]
    fn at_the_beginning_the_most_decide() {
        // Runs of times ahead, and one right time behind each.
        let run = LONGEST_RUN as u64;
        let mixture = |runs: u64| {
            let ahead = [5000].repeat(LONGEST_RUN);
            (0..runs as i64)
                .flat_map(|part| ahead.iter().copied().chain([part]))
                .collect::<Vec<_>>()
        };
        let (right, ahead): (Vec<u64>, Vec<u64>) =
            (0..2 * (run + 1)).partition(|row| row % (run + 1) == run);
        assert_eq!(wrong(&mixture(2)), right);
        let behind = 2..2 * LONGEST_RUN as i64 + VOTES as i64;
        assert_eq!(wrong(&mixture(2).into_iter().chain(behind).collect::<Vec<_>>()), ahead);
        // Twice as many fill what may wait, whatever stands behind them.
        let behind = 4..8 * LONGEST_RUN as i64;
        let found = wrong(&mixture(4).into_iter().chain(behind).collect::<Vec<_>>());
        assert!(!found.contains(&0) && found.contains(&run));
    }

    proptest! {
        #[test]
        fn what_leaves_at_once_is_what_would_leave_one_by_one(
            before in prop::collection::vec(0i64..40, 0..6),
            minutes in prop_oneof![
                prop::collection::vec(0i64..16, 1..12),
                prop::collection::vec(0i64..11, LONGEST_RUN - 2..LONGEST_RUN + 4),
            ],
            resumes in any::<bool>(),
        ) {
            let mut gate = TimeGate::default();
            gate.resume(resumes.then_some(15 * MINUTE));
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
            is_behind in any::<bool>(),
        ) {
            let mut minutes: Vec<i64> = Vec::new();
            steps.iter().for_each(|step| minutes.push(minutes.last().unwrap_or(&0) + step));
            let at = at.index(minutes.len() - 1);
            prop_assert_eq!(wrong(&minutes), Vec::<u64>::new());
            // Before the first one a pause is possible.
            let (at, by) = if is_behind { (at + 1, -by) } else { (at, by) };
            minutes[at] += by;
            prop_assert_eq!(wrong(&minutes), [at as u64]);
        }

        /// However runs of wrong times are mixed among right ones, if as many right ones follow among
        /// those that wait.
        #[test]
        fn mixtures_of_wrong_times_are_found_and_nothing_else(
            begin in prop_oneof![0usize..5, LONGEST_RUN + 1..LONGEST_RUN + 9],
            mixture in prop::collection::vec(
                (prop::collection::vec((1usize..=LONGEST_RUN, 1usize..20), 1..4), 0usize..40),
                1..4,
            ),
            offsets in prop::collection::vec(
                prop_oneof![4 => 3000i64..1_000_000, 1 => -1_000_000i64..-3000],
                1..5,
            ),
        ) {
            let (mut minutes, mut expected): (Vec<i64>, Vec<u64>) = (Vec::new(), Vec::new());
            let mut offsets = offsets.iter().cycle();
            let mut time = 0;
            let mut right = |minutes: &mut Vec<i64>, rows| {
                minutes.extend((0..rows).map(|_| { time += 1; time % 7 + time / 2 }));
            };
            right(&mut minutes, begin);
            let mut left = MOST_HELD / 2;
            for (runs, more) in &mixture {
                // At the beginning they all wait at once, since nothing says which times are right.
                if begin > LONGEST_RUN {
                    left = MOST_HELD / 2;
                }
                let mut wrong = 0;
                for (run, between) in runs {
                    let run = *run.min(&left);
                    left -= run;
                    // A pause before the first of them is possible.
                    let by = offsets.next().unwrap();
                    let by = if begin <= LONGEST_RUN { by.abs() } else { *by };
                    expected.extend(minutes.len() as u64..(minutes.len() + run) as u64);
                    minutes.extend((0..run as i64).map(|row| by + row % 9));
                    wrong += run;
                    right(&mut minutes, *between);
                }
                right(&mut minutes, wrong + VOTES + more);
            }
            prop_assert_eq!(wrong(&minutes), expected);
        }

        /// So is a run of them, if as many trades follow it; a pause of any length is none.
        #[test]
        fn a_run_of_wrong_times_is_found_and_a_pause_is_right(
            begin in 0usize..20,
            run in 1usize..=LONGEST_RUN,
            more in 0usize..200,
            by in 3000i64..1_000_000,
        ) {
            let end = begin + run;
            let mut minutes: Vec<i64> = (0..(end + run + more) as i64).collect();
            minutes[begin..end].iter_mut().for_each(|minute| *minute += by);
            prop_assert_eq!(wrong(&minutes), (begin as u64..end as u64).collect::<Vec<_>>());
            minutes[end..].iter_mut().for_each(|minute| *minute += by);
            prop_assert_eq!(wrong(&minutes), Vec::<u64>::new());
        }
    }
}
