//! The recent past of one instrument: trades in columns, states to begin again from, bars made.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::block::{Block, append};
use super::correction::{Change, Correction, CorrectionOutcome, Refusal};
use super::update::Revision;
use super::walk::{Walk, locate};
use crate::bar::Bar;
use crate::batch::TradeBatch;
use crate::builder_set::BuilderSet;
use crate::gap::Gap;
use crate::sequence::FAR_APART;
use crate::spec::BarSpec;
use crate::trade::Trade;

/// How much of the past can be corrected: the less of both limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Trades. Each takes 41 bytes, and the bars made of them 300 bytes each.
    pub trades: u64,
    /// Event time, ns; none for no such limit.
    pub time: Option<i64>,
    /// Trades between two states that can be come back to, where the input comes in small pieces.
    /// A correction feeds half as many more than it has to, on average; a state takes half a
    /// kilobyte per specification of adaptive bars.
    pub every: usize,
}

impl Window {
    /// A good number of trades between two states.
    pub const EVERY: usize = 1024;
}

/// The recent past of one instrument.
///
/// # Contract
/// The net of all updates equals the bars that a fresh run makes of the corrected history, but for
/// their numbers: a bar made by a correction takes the number of the bar within which it closed as
/// that was counted first, so numbers never decrease, and can repeat or be left out.
#[derive(Clone, Debug)]
pub struct Retained {
    window: Window,
    blocks: VecDeque<Block>,
    trades: u64,
    /// Last trade that is not retained any more, or never was.
    forgotten: Option<u64>,
    /// Last id that is settled: of a trade or of a gap.
    last: Option<u64>,
    /// Corrections whose place or time has not come, soonest first.
    pending: Vec<Correction>,
    revisions: u32,
}

impl Retained {
    /// Nothing yet. `forgotten` is the last id applied before, `revisions` how often bars were
    /// corrected before.
    pub fn new(window: Window, forgotten: Option<u64>, revisions: u32) -> Self {
        Self {
            window,
            blocks: VecDeque::new(),
            trades: 0,
            forgotten,
            last: forgotten,
            pending: Vec::new(),
            revisions,
        }
    }

    /// How often bars were corrected.
    pub fn revisions(&self) -> u32 {
        self.revisions
    }

    /// Trades that can be corrected now.
    pub fn len(&self) -> u64 {
        self.trades
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.trades == 0
    }

    /// Notes trades that the builder set is about to take.
    pub(crate) fn on_batch(
        &mut self,
        builder_set: &BuilderSet,
        trades: &Arc<TradeBatch>,
        gaps: &[Gap],
    ) {
        let ends = [gaps.last().map(|gap| gap.last_missing), trades.trade_id.last().copied()];
        self.last = ends.into_iter().flatten().chain(self.last).max();
        let (rows, every) = (trades.len(), self.window.every.max(1));
        let fits = |block: &Block| rows == 0 || block.trades.len() + rows <= every;
        match self.blocks.back_mut() {
            Some(tail) if fits(tail) => append(Arc::make_mut(&mut tail.trades), trades),
            None if rows == 0 => return,
            _ => {
                let states = builder_set.states().cloned();
                // Large pieces are kept as they are; small ones are gathered.
                let kept = if rows >= every / 4 {
                    Arc::clone(trades)
                } else {
                    let feed = Arc::clone(&trades.feed);
                    let mut own = TradeBatch::with_capacity(feed, every);
                    append(&mut own, trades);
                    Arc::new(own)
                };
                self.blocks.push_back(Block::new(kept, states));
            }
        }
        self.trades += rows as u64;
        if let Some(tail) = self.blocks.back_mut() {
            tail.gaps.extend(gaps);
        }
        self.forget();
    }

    /// Notes a bar that the builder set has made of them.
    pub(crate) fn on_bar(&mut self, slot: usize, bar: &Bar) {
        let tail = self.blocks.back_mut().and_then(|tail| tail.slots[slot].as_mut());
        if let Some(past) = tail {
            past.bars.push(bar.clone());
        }
    }

    /// Follows a builder set that takes other specifications.
    pub(crate) fn replace_specs(&mut self, before: &[BarSpec], now: &[BarSpec]) {
        let stays: Vec<_> =
            (now.iter()).map(|spec| before.iter().position(|earlier| earlier == spec)).collect();
        for block in &mut self.blocks {
            let mut slots = std::mem::take(&mut block.slots);
            block.slots = stays.iter().map(|from| slots.get_mut((*from)?)?.take()).collect();
        }
    }

    fn forget(&mut self) {
        let now = self.blocks.back().and_then(|tail| tail.trades.event_time.last().copied());
        while self.blocks.len() > 1
            && let Some(first) = self.blocks.front()
        {
            let rows = first.trades.len() as u64;
            let enough = self.trades - rows >= self.window.trades;
            let time = first.trades.event_time.last().copied();
            let age = now.zip(time).map(|(now, time)| now.saturating_sub(time));
            let old = age.zip(self.window.time).is_some_and(|(age, limit)| age > limit);
            if !enough && !old {
                break;
            }
            self.trades -= rows;
            self.forgotten = first.last_id().or(self.forgotten);
            self.blocks.pop_front();
        }
    }

    /// Takes corrections; those whose time has not come wait.
    pub fn order(&mut self, corrections: impl IntoIterator<Item = Correction>) {
        let now = self.blocks.back().and_then(|tail| tail.trades.event_time.last().copied());
        self.pending.extend(corrections.into_iter().map(|correction| match correction.change {
            // It has no place in the input but this.
            Change::Never { .. } => Correction { known_time: now, ..correction },
            _ => correction,
        }));
        self.pending.sort_by_key(due);
    }

    /// Applies what is due to the past and to the builder set; none if nothing is. `behind` are the
    /// gaps after the last trade.
    pub(crate) fn revise(
        &mut self,
        builder_set: &mut BuilderSet,
        behind: &mut Vec<Gap>,
    ) -> Option<Revision> {
        let due = self.pending.partition_point(|c| self.last.is_some_and(|last| due(c) <= last));
        if due == 0 {
            return None;
        }
        let mut rounds = Rounds::of(self.pending.drain(..due).collect());
        let mut out = Revision::default();
        if let Some(tail) = self.blocks.back_mut() {
            tail.gaps.append(behind);
        }
        while let Some(round) = rounds.next() {
            let runs = round.into_iter().map(|run| &rounds.corrections[run]);
            let applied = runs.filter_map(|run| self.judge_run(run, &mut out));
            let applied: Vec<Correction> = applied.collect();
            if applied.is_empty() {
                continue;
            }
            self.revisions += 1;
            let known_time =
                applied.iter().filter_map(|correction| self.known_time(correction)).max();
            let walk = Walk {
                blocks: &mut self.blocks,
                origin: self.forgotten.is_none(),
                number: self.revisions,
                known_time,
                every: self.window.every.max(1),
                corrections: &applied,
                out: &mut out,
            };
            walk.run(builder_set);
        }
        if let Some(tail) = self.blocks.back_mut() {
            *behind = tail.gaps_behind();
        }
        self.trades = self.blocks.iter().map(|block| block.trades.len() as u64).sum();
        Some(out)
    }

    /// The event time at which a correction becomes known: never before its own trade.
    fn known_time(&self, correction: &Correction) -> Option<i64> {
        let heard = correction.known_time.or_else(|| {
            let id = due(correction);
            let block = &self.blocks[locate(&self.blocks, 0, id)];
            let row = block.row(id).unwrap_or_else(|behind| behind.saturating_sub(1));
            block.trades.event_time.get(row).copied()
        });
        heard.max(correction.trade().map(|trade| trade.event_time))
    }

    /// What becomes of corrections that are applied at once; the one that decides, if any is applied.
    fn judge_run(&self, run: &[Correction], out: &mut Revision) -> Option<Correction> {
        let mut applied: Option<Correction> = None;
        for correction in run {
            let outcome =
                self.judge(correction, applied.and_then(|before| before.trade().copied()));
            out.outcomes.push((*correction, outcome));
            if outcome == CorrectionOutcome::Applied {
                applied = Some(*correction);
            }
        }
        applied
    }

    /// What becomes of a correction, were it applied now; after one that has made the trade there `made`.
    fn judge(&self, correction: &Correction, made: Option<Trade>) -> CorrectionOutcome {
        let id = correction.trade_id;
        if self.blocks.is_empty() || self.forgotten.is_some_and(|forgotten| id <= forgotten) {
            return CorrectionOutcome::Refused(Refusal::BeyondWindow);
        }
        let block = &self.blocks[locate(&self.blocks, 0, id)];
        let there = made.or_else(|| block.row(id).ok().map(|row| block.trades.trade(row)));
        match (there, correction.change) {
            (Some(there), Change::Add(trade) | Change::Replace(trade)) if there == trade => {
                CorrectionOutcome::AlreadySo
            }
            (Some(_), Change::Never { .. }) => CorrectionOutcome::Refused(Refusal::OtherTradeThere),
            (None, Change::Never { .. }) if !block.misses(id) => CorrectionOutcome::AlreadySo,
            (Some(_), Change::Add(_)) => CorrectionOutcome::Refused(Refusal::OtherTradeThere),
            (None, Change::Remove) if block.misses(id) => CorrectionOutcome::AlreadySo,
            (None, Change::Remove | Change::Replace(_)) => {
                CorrectionOutcome::Refused(Refusal::NoSuchTrade)
            }
            _ if correction.trade().is_some_and(|trade| self.is_far(trade, there.as_ref())) => {
                CorrectionOutcome::Refused(Refusal::FarFromNeighbours)
            }
            _ => CorrectionOutcome::Applied,
        }
    }

    /// Whether a trade lies so far before the one before its place, or after the one after it, that both cannot be
    /// right: as of rows of the input. Where there is no such neighbour, the trade that was there takes its place.
    fn is_far(&self, trade: &Trade, there: Option<&Trade>) -> bool {
        let at = locate(&self.blocks, 0, trade.trade_id);
        let block = &self.blocks[at];
        let place = block.row(trade.trade_id);
        let (before, after) = match place {
            Ok(row) => (row, row + 1),
            Err(row) => (row, row),
        };
        let here = &block.trades.event_time;
        let before = before.checked_sub(1).map(|row| here[row]);
        let before = before.or_else(|| {
            self.blocks.iter().take(at).rev().find_map(|b| b.trades.event_time.last().copied())
        });
        let after = here.get(after).copied().or_else(|| {
            self.blocks.iter().skip(at + 1).find_map(|b| b.trades.event_time.first().copied())
        });
        let was = there.map(|there| there.event_time);
        let far = |earlier: i64, later: i64| later.saturating_sub(earlier) > FAR_APART;
        before.or(was).is_some_and(|before| far(trade.event_time, before))
            || after.or(was).is_some_and(|after| far(after, trade.event_time))
    }

    /// The input has ended: what still waits never will be applied.
    pub fn never_reached(&mut self) -> Vec<Correction> {
        std::mem::take(&mut self.pending)
    }
}

/// Corrections of which each round has at most one for an id: the next of them finds the history as this
/// one leaves it. Only replacements that become known together are one change, of which the last decides:
/// nobody could have had what those before it make.
struct Rounds {
    /// By id, and for each as they were told.
    corrections: Vec<Correction>,
    /// Those of each id that are still to come.
    left: Vec<Range<usize>>,
}

impl Rounds {
    fn of(mut corrections: Vec<Correction>) -> Self {
        corrections.sort_by_key(|correction| correction.trade_id);
        let (mut left, mut from) = (Vec::new(), 0);
        for same in corrections.chunk_by(|a, b| a.trade_id == b.trade_id) {
            left.push(from..from + same.len());
            from += same.len();
        }
        Self { corrections, left }
    }
}

impl Iterator for Rounds {
    type Item = Vec<Range<usize>>;

    /// The next of every id that has one, with those that are applied with it; in all that takes no longer
    /// than there are corrections.
    fn next(&mut self) -> Option<Vec<Range<usize>>> {
        let Self { corrections, left } = self;
        let next = |same: &mut Range<usize>| {
            let run = &corrections[same.clone()];
            let length = 1 + run.windows(2).take_while(|two| are_one(&two[0], &two[1])).count();
            let run = same.start..same.start + length;
            same.start = run.end;
            run
        };
        let round: Vec<_> = left.iter_mut().map(next).collect();
        left.retain(|same| !same.is_empty());
        (!round.is_empty()).then_some(round)
    }
}

/// Whether two corrections of one id are one change.
fn are_one(a: &Correction, b: &Correction) -> bool {
    let replace = |c: &Correction| matches!(c.change, Change::Replace(_));
    let known = |c: &Correction| (due(c), c.known_time);
    replace(a) && replace(b) && known(a) == known(b)
}

/// The id after which a correction can be applied.
fn due(correction: &Correction) -> u64 {
    correction.trade_id.max(correction.known_after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trade::Aggressor;

    fn correction(trade_id: u64, told: u64) -> Correction {
        Correction { trade_id, change: Change::Remove, known_after: told, known_time: None }
    }

    fn replacement(trade_id: u64, told: u64, price: f64) -> Correction {
        let (qty, quote, count) = (1.0, price, 1);
        let (event_time, aggressor) = (0, Aggressor::Buyer);
        let trade = Trade { trade_id, event_time, price, qty, quote, aggressor, count };
        Correction { change: Change::Replace(trade), ..correction(trade_id, told) }
    }

    /// The corrections of each round.
    fn rounds(corrections: Vec<Correction>) -> impl Iterator<Item = Vec<Correction>> {
        let mut rounds = Rounds::of(corrections);
        std::iter::from_fn(move || {
            let round = rounds.next()?;
            Some(round.into_iter().flat_map(|run| rounds.corrections[run].to_vec()).collect())
        })
    }

    /// Of rounds that look at everything that still waits, each of these would have to look at a
    /// million: half a million million looks.
    #[test]
    fn many_corrections_of_one_id_are_as_many_rounds() {
        let many = 1_000_000;
        let mut rounds = rounds((0..many).map(|told| correction(7, told)).collect());
        for told in 0..many {
            assert_eq!(rounds.next(), Some(vec![correction(7, told)]));
        }
        assert_eq!(rounds.next(), None);
    }

    #[test]
    fn replacements_that_become_known_together_are_one_change() {
        let together: Vec<_> = (0..1000).map(|n| replacement(7, 0, f64::from(n))).collect();
        let later = [replacement(7, 9, 1.0), replacement(7, 9, 2.0), correction(7, 9)];
        let other = [replacement(8, 0, 3.0), correction(8, 0), replacement(8, 0, 4.0)];
        let all = [&together[..], &later, &other].concat();
        let mut rounds = rounds(all);
        assert_eq!(rounds.next(), Some([&together[..], &other[..1]].concat()));
        assert_eq!(rounds.next(), Some([&later[..2], &other[1..2]].concat()));
        assert_eq!(rounds.next(), Some([&later[2..], &other[2..]].concat()));
        assert_eq!(rounds.next(), None);
    }

    proptest! {
        #[test]
        fn a_round_has_each_id_once_and_the_rounds_keep_their_order(
            ids in prop::collection::vec(0u64..8, 0..60)
        ) {
            let all = || ids.iter().zip(0..).map(|(id, told)| correction(*id, told));
            let rounds: Vec<Vec<Correction>> = rounds(all().collect()).collect();
            for id in 0..8 {
                let of_id = |c: &Correction| c.trade_id == id;
                let came: Vec<Correction> = rounds.iter().flatten().copied().filter(of_id).collect();
                prop_assert_eq!(&came, &all().filter(of_id).collect::<Vec<_>>());
                let first = rounds.iter().take(came.len());
                prop_assert!(first.clone().all(|round| round.iter().filter(|c| of_id(c)).count() == 1));
            }
            let is_sorted = |round: &Vec<Correction>| round.is_sorted_by_key(|c| c.trade_id);
            prop_assert!(rounds.iter().all(|round| !round.is_empty() && is_sorted(round)));
        }
    }
}
