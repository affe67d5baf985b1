//! What a history leaves to the feed that continues it: its last trades, and the ids that it lacks.

use std::collections::BTreeMap;

use barflow_operators::batch::{IdKind, TradeBatch};
use barflow_operators::gap::Gap;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::order::ids::Settled;
use barflow_operators::order::recent::RecentTrades;
use barflow_operators::revision::{ids_of, missing::subtract};
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
        }
    }

    /// Takes in what was read.
    pub(super) fn note(&mut self, input: &InputBatch) {
        let trades = &input.trades;
        self.rows += trades.len() as u64;
        let ids = trades.trade_id.iter().copied();
        self.newest = self.newest.max(ids.zip(trades.event_time.iter().copied()).max());
        for row in trades.len().saturating_sub(RECENT)..trades.len() {
            self.recent.note(&trades.trade(row));
        }
        self.moment.note(trades);
        self.holes.note(input);
    }

    /// The last trade, to continue after; none if nothing was read.
    pub(super) fn last(&self) -> Option<LastTrade> {
        let (id, time) = self.newest?;
        let holes = self.holes().iter().map(|hole| hole.ids);
        Some(LastTrade {
            id,
            time: Some(self.moment.began.map_or(time, |began| time.max(began))),
            names: Vec::new(),
            recent: self.recent.iter().copied().collect(),
            moment: self.moment.whole(),
            gaps: self.known.iter().copied().chain(holes).collect(),
        })
    }

    /// The ids that are missing, oldest first, beyond those that an earlier run found.
    pub(super) fn holes(&self) -> &[Hole] {
        &self.holes.holes
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
    holes: Vec<Hole>,
}

impl Holes {
    fn note(&mut self, input: &InputBatch) {
        let trades = &input.trades;
        if trades.feed.ids == IdKind::Ordinal {
            return;
        }
        for trade in trades.iter() {
            if let Some(ids) = ids_of(&trade, trades.feed.ids) {
                self.came(ids, Some(trade.event_time));
            }
        }
        for id in input.left_out.iter().filter_map(|out| out.id) {
            self.came(Gap { first_missing: id, last_missing: id }, None);
        }
    }

    fn came(&mut self, ids: Gap, time: Option<i64>) {
        let time = time.or(self.last_time);
        let next = self.last.map(|last| last.saturating_add(1));
        if let Some(next) = next.filter(|next| ids.first_missing > *next) {
            let ids = Gap { first_missing: next, last_missing: ids.first_missing - 1 };
            let before = time.unwrap_or_default();
            self.holes.push(Hole { ids, after: self.last_time, before });
        }
        if next.is_none_or(|next| ids.last_missing >= next) {
            (self.last, self.last_time) = (Some(ids.last_missing), time);
        } else {
            self.fill(ids);
        }
    }

    fn fill(&mut self, ids: Gap) {
        let from = self.holes.partition_point(|hole| hole.ids.last_missing < ids.first_missing);
        let touched = |hole: &&Hole| hole.ids.first_missing <= ids.last_missing;
        let to = from + self.holes[from..].iter().take_while(touched).count();
        let left: Vec<Hole> = self.holes[from..to]
            .iter()
            .flat_map(|hole| {
                let mut left = vec![hole.ids];
                subtract(&mut left, ids);
                left.into_iter().map(|ids| Hole { ids, ..*hole })
            })
            .collect();
        self.holes.splice(from..to, left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::batch::Feed;
    use barflow_operators::position::{FilePosition, Position};
    use barflow_operators::trade::Aggressor;

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

    fn ids(trades: &[Trade]) -> Vec<u64> {
        trades.iter().map(|trade| trade.trade_id).collect()
    }

    #[test]
    fn ids_that_came_out_of_order_are_in_no_hole() {
        let mut replayed = Replayed::after(None);
        replayed.note(&input(&[(5, 1), (6, 2), (10, 3), (8, 3), (20, 4)]));
        replayed.note(&input(&[(11, 5), (19, 5), (22, 6)]));
        let hole = |(first_missing, last_missing), after, before| Hole {
            ids: Gap { first_missing, last_missing },
            after: Some(after),
            before,
        };
        let holes = [((7, 7), 2, 3), ((9, 9), 2, 3), ((12, 18), 3, 4), ((21, 21), 4, 6)];
        assert_eq!(replayed.holes(), holes.map(|(ids, after, before)| hole(ids, after, before)));
        let last = replayed.last().unwrap();
        assert_eq!((last.id, last.time, last.gaps.len()), (22, Some(6), 4));
    }

    #[test]
    fn what_an_earlier_run_found_missing_is_no_news() {
        let gap = Gap { first_missing: 3, last_missing: 4 };
        let mut replayed = Replayed::after(Some(&Settled::up_to(Some(9), [gap])));
        replayed.note(&input(&[(8, 1), (9, 2), (12, 3)]));
        assert_eq!(replayed.holes().len(), 1);
        let news = Gap { first_missing: 10, last_missing: 11 };
        assert_eq!(replayed.last().unwrap().gaps, [gap, news]);
    }

    #[test]
    fn of_the_latest_moment_all_trades_are_known_or_none() {
        let ms = 1_000_000;
        let rows = [(1, ms), (2, 2 * ms), (3, 2 * ms + 70), (4, 2 * ms + 50)];
        let mut replayed = Replayed::after(None);
        replayed.note(&input(&rows[..3]));
        replayed.note(&input(&rows[2..]));
        assert_eq!(ids(&replayed.last().unwrap().moment), [2, 3, 4]);
        // An earlier run may have read others of it.
        let earlier = Settled::up_to(Some(1), []);
        let mut replayed = Replayed::after(Some(&earlier));
        replayed.note(&input(&rows[2..]));
        assert!(replayed.last().unwrap().moment.is_empty());
        replayed.note(&input(&[(5, 3 * ms)]));
        assert_eq!(ids(&replayed.last().unwrap().moment), [5]);
        let mut replayed = Replayed::after(Some(&earlier));
        replayed.note(&input(&rows));
        assert_eq!(ids(&replayed.last().unwrap().moment), [2, 3, 4]);
    }
}
