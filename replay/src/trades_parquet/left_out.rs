//! Rows that were not trades, in a file's footer: their ids leave no gap when the file is read again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::LeftOut;
use serde::{Deserialize, Serialize};

/// Key of the ids, as JSON, in the file's metadata, without its prefix.
pub(super) const KEY: &str = "left_out";

/// Ids of rows that were not trades by rule, as ranges, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeftOutIds(BTreeMap<String, Vec<(u64, u64)>>);

impl LeftOutIds {
    /// Adds a row, if it has an id.
    pub fn add(&mut self, row: &LeftOut) {
        let Some(id) = row.id else { return };
        if !self.0.contains_key(&*row.reason) {
            self.0.insert(row.reason.to_string(), Vec::new());
        }
        let Some(ranges) = self.0.get_mut(&*row.reason) else { return };
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => ranges.push((id, id)),
        }
    }

    /// Adds those of another file.
    pub fn extend(&mut self, other: &Self) {
        for (reason, ranges) in &other.0 {
            self.0.entry(reason.clone()).or_default().extend(ranges);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ids(self) -> Vec<(u64, Cow<'static, str>)> {
        let mut ids: Vec<(u64, Cow<'static, str>)> = Vec::new();
        for (reason, ranges) in self.0 {
            for (first, last) in ranges {
                ids.extend((first..=last).map(|id| (id, Cow::Owned(reason.clone()))));
            }
        }
        ids.sort_unstable();
        ids.dedup_by_key(|(id, _)| *id);
        ids
    }
}

/// Hands out the rows that were left out, between the trades of a file.
pub(super) struct Interleave {
    ids: Vec<(u64, Cow<'static, str>)>,
    next: usize,
    /// Whether the trades begin amid the file: then rows before the first of them are those next to it.
    amid: bool,
}

impl Interleave {
    pub(super) fn new(ids: LeftOutIds, amid: bool) -> Self {
        Self { ids: ids.ids(), next: 0, amid }
    }

    /// The rows before and among these trades, the first of which is at this line.
    pub(super) fn among(&mut self, trades: &TradeBatch, line: u64) -> Vec<LeftOut> {
        let (Some(first), Some(last)) = (trades.trade_id.first(), trades.trade_id.last()) else {
            return Vec::new();
        };
        if std::mem::take(&mut self.amid) {
            let at = self.ids.partition_point(|(id, _)| id < first);
            let mut before = *first;
            let near = self.ids[..at].iter().rev().take_while(|(id, _)| {
                let next = id + 1 == before;
                before = *id;
                next
            });
            self.next = at - near.count();
        }
        let end = self.next + self.ids[self.next..].partition_point(|(id, _)| id <= last);
        let rows = self.ids[self.next..end].iter().map(|(id, reason)| {
            let row = trades.trade_id.partition_point(|trade| trade < id);
            // They have no line of their own any more.
            let line = (line + row as u64).saturating_sub(1);
            LeftOut { row: row as u32, line, id: Some(*id), reason: reason.clone() }
        });
        let rows = rows.collect();
        self.next = end;
        rows
    }

    /// The rows after the last trade of the file.
    pub(super) fn rest(&mut self, line: u64) -> Vec<LeftOut> {
        let rows = self.ids.drain(self.next..);
        rows.map(|(id, reason)| LeftOut { row: 0, line, id: Some(id), reason }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::batch::Feed;
    use barflow_operators::trade::{Aggressor, Trade};
    use proptest::prelude::*;

    use super::*;

    fn batch(ids: &[u64]) -> TradeBatch {
        let feed = Feed::numbered("a:b:C".parse().unwrap());
        let (aggressor, event_time) = (Aggressor::Buyer, 1);
        let trade = |trade_id: &u64| Trade {
            trade_id: *trade_id,
            event_time,
            price: 1.0,
            qty: 1.0,
            quote: 1.0,
            aggressor,
            count: 1,
        };
        let trades: Vec<Trade> = ids.iter().map(trade).collect();
        TradeBatch::from_trades(Arc::new(feed), &trades)
    }

    proptest! {
        #[test]
        fn every_row_comes_back_once_and_between_the_right_trades(
            kinds in proptest::collection::vec(any::<bool>(), 1..80),
            cuts in proptest::collection::vec(1usize..9, 1..4),
        ) {
            let all = |is_trade: bool| {
                let of = kinds.iter().zip(1u64..).filter(move |(kind, _)| **kind == is_trade);
                of.map(|(_, id)| id).collect::<Vec<u64>>()
            };
            let (trades, left_out) = (all(true), all(false));
            let mut ids = LeftOutIds::default();
            for id in &left_out {
                ids.add(&LeftOut { row: 0, line: 0, id: Some(*id), reason: "rule".into() });
            }
            let text = serde_json::to_string(&ids).unwrap();
            let mut interleave = Interleave::new(serde_json::from_str(&text).unwrap(), false);
            let (mut rest, mut found, mut cuts) = (&trades[..], Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                for row in interleave.among(&batch(now), 1) {
                    let (at, id) = (row.row as usize, row.id.unwrap());
                    prop_assert!(now[..at].iter().all(|trade| *trade < id));
                    prop_assert!(now[at..].iter().all(|trade| *trade > id));
                    found.push(id);
                }
                rest = later;
            }
            found.extend(interleave.rest(1).iter().filter_map(|row| row.id));
            prop_assert_eq!(found, left_out);
        }
    }
}
