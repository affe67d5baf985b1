//! What a history leaves to the feed that continues it: its last trades, and the ids that it lacks.
//!
//! Of the ids that are missing, the latest [`GAPS_REMEMBERED`] holes are kept, as many as are known one by one
//! later; older ones are handed out as they are pushed out, and what comes of them after that is late.

use std::collections::BTreeMap;

use barflow_operators::batch::{IdKind, TradeBatch};
use barflow_operators::gap::Gap;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::order::ids::{GAPS_REMEMBERED, Settled, joined};
use barflow_operators::order::recent::RecentTrades;
use barflow_operators::revision::ids_of;
use barflow_operators::trade::Trade;

use crate::feeds::last_moment::moment_of;
use crate::feeds::plan::LastTrade;

/// The latest trades of a history that are compared with what repeats their ids.
const RECENT: usize = 256;

/// Trades of one moment that are remembered; beyond, they are not told from others of it.
const MOMENT_ROOM: usize = 1 << 16;

/// What was replayed of a history.
pub(super) struct Replayed {
    pub(super) rows: u64,
    /// Id and event time of the newest trade. Files may be out of order by a little; live continues after it.
    newest: Option<(u64, i64)>,
    recent: RecentTrades,
    moment: Moment,
    holes: Holes,
    /// What an earlier run found to be missing.
    known: Vec<Gap>,
    /// From the first to the last id of what it no longer knew one by one.
    forgotten: Option<Gap>,
}

/// Ids that a history lacks, and the event times of the trades around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) ids: Gap,
    pub(super) after: Option<i64>,
    pub(super) before: i64,
}

impl Replayed {
    /// Nothing yet, from the beginning or after what an earlier run read.
    pub(super) fn after(settled: Option<&Settled>) -> Self {
        Self {
            rows: 0,
            newest: None,
            recent: RecentTrades::new(RECENT),
            moment: Moment::after(settled.is_some()),
            holes: Holes { last: settled.and_then(|settled| settled.last), ..Holes::default() },
            known: settled.map(|settled| settled.gaps().collect()).unwrap_or_default(),
            forgotten: settled.and_then(Settled::forgotten),
        }
    }

    /// Takes in what was read; the oldest of too many holes go to `full`.
    pub(super) fn note(&mut self, input: &InputBatch, full: &mut dyn FnMut(Hole)) {
        let trades = &input.trades;
        self.rows += trades.len() as u64;
        let ids = trades.trade_id.iter().copied();
        self.newest = self.newest.max(ids.zip(trades.event_time.iter().copied()).max());
        for row in trades.len().saturating_sub(RECENT)..trades.len() {
            self.recent.note(&trades.trade(row));
        }
        self.moment.note(trades);
        self.holes.note(input, full);
    }

    /// The last trade, to continue after; none if nothing was read.
    pub(super) fn last(&self) -> Option<LastTrade> {
        let (id, time) = self.newest?;
        let holes = self.holes().map(|hole| hole.ids);
        Some(LastTrade {
            id,
            time: Some(self.moment.began.map_or(time, |began| time.max(began))),
            names: Vec::new(),
            recent: self.recent.iter().copied().collect(),
            moment: self.moment.whole(),
            gaps: self.known.iter().copied().chain(holes).collect(),
            forgotten: joined(self.forgotten, self.holes.pushed_out),
        })
    }

    /// The ids that are missing, oldest first, beyond those that an earlier run found or that were pushed
    /// out.
    pub(super) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.holes.open.values()
    }
}

/// The trades of the latest moment, by id.
struct Moment {
    began: Option<i64>,
    trades: BTreeMap<u64, Trade>,
    /// Whether all of them have been read.
    is_whole: bool,
    /// Whether an earlier run has read what comes before.
    goes_on: bool,
}

impl Moment {
    fn after(goes_on: bool) -> Self {
        Self { began: None, trades: BTreeMap::new(), is_whole: false, goes_on }
    }

    fn note(&mut self, trades: &TradeBatch) {
        let Some(began) = trades.event_time.iter().max().map(|time| moment_of(*time)) else {
            return;
        };
        if self.began.is_some_and(|latest| began < latest) {
            return;
        }
        if self.began != Some(began) {
            let is_first = self.began.is_none();
            // An earlier run may have read the beginning of the first one.
            let earlier = trades.event_time.iter().any(|time| *time < began);
            self.is_whole = !is_first || !self.goes_on || earlier;
            self.began = Some(began);
            self.trades.clear();
        }
        for (row, time) in trades.event_time.iter().enumerate() {
            if moment_of(*time) == began {
                self.trades.insert(trades.trade_id[row], trades.trade(row));
            }
        }
        self.is_whole &= self.trades.len() <= MOMENT_ROOM;
        if !self.is_whole {
            self.trades.clear();
        }
    }

    /// All of its trades; none if some are unknown.
    fn whole(&self) -> Vec<Trade> {
        self.trades.values().copied().collect()
    }
}

/// The ids that are missing so far.
#[derive(Default)]
struct Holes {
    last: Option<u64>,
    last_time: Option<i64>,
    /// By their first ids; none overlaps another. At most [`GAPS_REMEMBERED`] between two ids that come.
    open: BTreeMap<u64, Hole>,
    /// From the first to the last id of those that were pushed out.
    pushed_out: Option<Gap>,
}

impl Holes {
    fn note(&mut self, input: &InputBatch, full: &mut dyn FnMut(Hole)) {
        let trades = &input.trades;
        if trades.feed.ids == IdKind::Ordinal {
            return;
        }
        for trade in trades.iter() {
            if let Some(ids) = ids_of(&trade, trades.feed.ids) {
                self.came(ids, Some(trade.event_time), full);
            }
        }
        for id in input.left_out.iter().filter_map(|out| out.id) {
            self.came(Gap { first_missing: id, last_missing: id }, None, full);
        }
    }

    fn came(&mut self, ids: Gap, time: Option<i64>, full: &mut dyn FnMut(Hole)) {
        let time = time.or(self.last_time);
        let next = self.last.map(|last| last.saturating_add(1));
        if let Some(next) = next.filter(|next| ids.first_missing > *next) {
            let missing = Gap { first_missing: next, last_missing: ids.first_missing - 1 };
            let before = time.unwrap_or_default();
            self.keep(Hole { ids: missing, after: self.last_time, before });
        }
        if next.is_none_or(|next| ids.last_missing >= next) {
            // It may begin before the last one.
            if next.is_some_and(|next| ids.first_missing < next) {
                self.fill(ids);
            }
            (self.last, self.last_time) = (Some(ids.last_missing), time);
        } else {
            self.fill(ids);
        }
        while self.open.len() > GAPS_REMEMBERED
            && let Some((_, oldest)) = self.open.pop_first()
        {
            self.pushed_out = joined(self.pushed_out, Some(oldest.ids));
            full(oldest);
        }
    }

    fn keep(&mut self, hole: Hole) {
        self.open.insert(hole.ids.first_missing, hole);
    }

    /// Takes ids out of the holes that they lie in.
    fn fill(&mut self, ids: Gap) {
        let mut up_to = ids.last_missing;
        // From the last hole that they touch down to the first.
        while let Some((first, hole)) = self.open.range(..=up_to).next_back() {
            let (first, hole) = (*first, *hole);
            if hole.ids.last_missing < ids.first_missing {
                return;
            }
            self.open.remove(&first);
            if hole.ids.last_missing > ids.last_missing {
                let rest = Gap { first_missing: ids.last_missing + 1, ..hole.ids };
                self.keep(Hole { ids: rest, ..hole });
            }
            if first < ids.first_missing {
                let rest = Gap { last_missing: ids.first_missing - 1, ..hole.ids };
                self.keep(Hole { ids: rest, ..hole });
                return;
            }
            let Some(below) = first.checked_sub(1) else { return };
            up_to = below;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use barflow_operators::batch::Feed;
    use barflow_operators::position::{FilePosition, Position};
    use barflow_operators::trade::Aggressor;
    use proptest::prelude::*;

    use super::*;

    /// Trades of these ids and times in ns.
    fn input(rows: &[(u64, i64)]) -> InputBatch {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let mut trades = TradeBatch::with_capacity(feed, rows.len());
        for (trade_id, event_time) in rows.iter().copied() {
            let (price, aggressor) = (trade_id as f64, Aggressor::Buyer);
            trades.push(&Trade {
                trade_id,
                event_time,
                price,
                qty: 1.0,
                quote: price,
                aggressor,
                count: 1,
            });
        }
        let at = Position::File(FilePosition::start("a".into()));
        InputBatch::new(trades, Vec::new(), at.clone(), at)
    }

    /// Takes in what leaves no hole that would be pushed out.
    fn note(replayed: &mut Replayed, input: &InputBatch) {
        replayed.note(input, &mut |hole| panic!("pushed out: {hole:?}"));
    }

    fn ids(trades: &[Trade]) -> Vec<u64> {
        trades.iter().map(|trade| trade.trade_id).collect()
    }

    #[test]
    fn ids_that_came_out_of_order_are_in_no_hole() {
        let mut replayed = Replayed::after(None);
        note(&mut replayed, &input(&[(5, 1), (6, 2), (10, 3), (8, 3), (20, 4)]));
        note(&mut replayed, &input(&[(11, 5), (19, 5), (22, 6)]));
        let hole = |(first_missing, last_missing), after, before| Hole {
            ids: Gap { first_missing, last_missing },
            after: Some(after),
            before,
        };
        let holes = [((7, 7), 2, 3), ((9, 9), 2, 3), ((12, 18), 3, 4), ((21, 21), 4, 6)];
        let found: Vec<Hole> = replayed.holes().copied().collect();
        assert_eq!(found, holes.map(|(ids, after, before)| hole(ids, after, before)));
        let last = replayed.last().unwrap();
        assert_eq!((last.id, last.time, last.gaps.len()), (22, Some(6), 4));
    }

    #[test]
    fn what_an_earlier_run_found_missing_is_no_news() {
        let gap = Gap { first_missing: 3, last_missing: 4 };
        let mut replayed = Replayed::after(Some(&Settled::up_to(Some(9), [gap])));
        note(&mut replayed, &input(&[(8, 1), (9, 2), (12, 3)]));
        assert_eq!(replayed.holes().count(), 1);
        let news = Gap { first_missing: 10, last_missing: 11 };
        assert_eq!(replayed.last().unwrap().gaps, [gap, news]);
    }

    #[test]
    fn of_the_latest_moment_all_trades_are_known_or_none() {
        let ms = 1_000_000;
        let rows = [(1, ms), (2, 2 * ms), (3, 2 * ms + 70), (4, 2 * ms + 50)];
        let mut replayed = Replayed::after(None);
        note(&mut replayed, &input(&rows[..3]));
        note(&mut replayed, &input(&rows[2..]));
        assert_eq!(ids(&replayed.last().unwrap().moment), [2, 3, 4]);
        // An earlier run may have read others of it.
        let earlier = Settled::up_to(Some(1), []);
        let mut replayed = Replayed::after(Some(&earlier));
        note(&mut replayed, &input(&rows[2..]));
        assert!(replayed.last().unwrap().moment.is_empty());
        note(&mut replayed, &input(&[(5, 3 * ms)]));
        assert_eq!(ids(&replayed.last().unwrap().moment), [5]);
        let mut replayed = Replayed::after(Some(&earlier));
        note(&mut replayed, &input(&rows));
        assert_eq!(ids(&replayed.last().unwrap().moment), [2, 3, 4]);
    }

    #[test]
    fn of_many_holes_the_latest_are_kept_and_the_others_handed_out() {
        let (mut replayed, mut out, all) = (Replayed::after(None), Vec::new(), 100_000u64);
        for from in (1..=all).step_by(1000) {
            let even: Vec<(u64, i64)> = (from..from + 1000).map(|n| (2 * n, n as i64)).collect();
            replayed.note(&input(&even), &mut |hole| out.push(hole.ids));
            assert!(replayed.holes().count() <= GAPS_REMEMBERED);
        }
        // Those that were kept are filled; what was handed out stays missing.
        let odd: Vec<(u64, i64)> = (1..all).map(|n| (2 * n + 1, all as i64)).collect();
        replayed.note(&input(&odd), &mut |hole| out.push(hole.ids));
        assert_eq!(replayed.holes().count(), 0);
        let gone = (1..all - GAPS_REMEMBERED as u64).map(|n| 2 * n + 1);
        let gone: Vec<Gap> = gone.map(|id| Gap { first_missing: id, last_missing: id }).collect();
        assert_eq!(out, gone);
        let span = joined(gone.first().copied(), gone.last().copied());
        assert_eq!(replayed.last().unwrap().forgotten, span);
    }

    proptest! {
        /// However trades of several ids each come: as a set of single ids says.
        #[test]
        fn holes_are_the_ids_that_did_not_come(
            came in prop::collection::vec((0u64..120, 0u64..9), 1..80),
            largest in any::<bool>(),
        ) {
            // The same at the end of all numbers.
            let shift = if largest { u64::MAX - 127 } else { 0 };
            let (mut holes, mut missing) = (Holes::default(), BTreeSet::new());
            let mut last = None;
            for (time, (first, more)) in came.into_iter().enumerate() {
                let (first, end) = (first + shift, first + more + shift);
                let ids = Gap { first_missing: first, last_missing: end };
                holes.came(ids, Some(time as i64), &mut |hole| panic!("pushed out: {hole:?}"));
                missing.extend(last.map(|last: u64| last.saturating_add(1)..first).into_iter().flatten());
                missing.retain(|id| !(first..=end).contains(id));
                last = last.max(Some(end));
                let open = holes.open.values().flat_map(|hole| {
                    hole.ids.first_missing..=hole.ids.last_missing
                });
                prop_assert!(open.eq(missing.iter().copied()));
                prop_assert!(holes.open.iter().all(|(first, hole)| *first == hole.ids.first_missing));
                prop_assert!(holes.open.values().all(|hole| hole.after < Some(hole.before)));
            }
        }
    }
}
