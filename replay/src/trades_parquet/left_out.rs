//! Rows that were not trades, in a file's footer: their ids leave no gap when the file is read again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::LeftOut;
use serde::{Deserialize, Serialize};

/// Key of the ids, as JSON, in the file's metadata, without its prefix.
pub(super) const KEY: &str = "left_out";

/// Ids of rows that were not trades which one file may have. They are handed out one by one, between two
/// trades all at once if need be: a million take some 100 MB.
pub const MOST: u64 = 1_000_000;

/// Reasons that a file may give. There are two rules so far.
const REASONS: usize = 16;

/// Bytes of the longest reason.
const REASON: usize = 100;

/// Ids of rows that were not trades by rule, as ranges, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeftOutIds(BTreeMap<String, Vec<(u64, u64)>>);

impl LeftOutIds {
    /// Reads what a footer says.
    ///
    /// # Errors
    /// What is there instead of ranges of ids, at most [`MOST`] of them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|_| format!("\"{text}\""))?;
        if read.0.len() > REASONS {
            return Err(format!("{} reasons, of which there may be {REASONS}", read.0.len()));
        }
        if let Some(reason) = read.0.keys().find(|reason| reason.len() > REASON) {
            let bytes = reason.len();
            return Err(format!("a reason of {bytes} bytes, of which there may be {REASON}"));
        }
        let ranges = || read.0.values().flatten();
        if let Some((first, last)) = ranges().find(|(first, last)| first > last) {
            return Err(format!("a range that ends before it begins: [{first},{last}]"));
        }
        let count = read.count();
        if count > MOST {
            return Err(format!("{count} ids or more, of which there may be {MOST}"));
        }
        Ok(read)
    }

    /// Adds a row, if it has an id.
    pub fn add(&mut self, row: &LeftOut) {
        let Some(id) = row.id else { return };
        if !self.0.contains_key(&*row.reason) {
            self.0.insert(row.reason.to_string(), Vec::new());
        }
        let Some(ranges) = self.0.get_mut(&*row.reason) else { return };
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
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

    /// How many there are; those in two ranges count twice.
    pub fn count(&self) -> u64 {
        let counts =
            self.0.values().flatten().map(|(first, last)| (last - first).saturating_add(1));
        counts.fold(0, u64::saturating_add)
    }

    /// The ranges in order, none of which shares an id with another one.
    fn ranges(self) -> Vec<LeftOutRange> {
        let all = self.0.into_iter().flat_map(|(reason, ranges)| {
            let reason: Arc<str> = reason.into();
            ranges.into_iter().map(move |(first, last)| (first, last, Arc::clone(&reason)))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        let mut ranges: Vec<LeftOutRange> = Vec::new();
        for (first, last, reason) in all {
            let free = ranges.last().map_or(Some(0), |before| before.last.checked_add(1));
            let first = free.map(|free| first.max(free)).filter(|first| *first <= last);
            ranges.extend(first.map(|first| LeftOutRange { first, last, reason }));
        }
        ranges
    }
}

/// Consecutive ids of rows that were left out for one reason.
#[derive(Clone, Debug)]
struct LeftOutRange {
    first: u64,
    last: u64,
    reason: Arc<str>,
}

/// Hands out the rows that were left out, between the trades of a file.
pub(super) struct Interleave {
    /// Those that are still to be handed out, and before them those that never are.
    ranges: Vec<LeftOutRange>,
    next: usize,
    /// Whether the trades begin amid the file: then rows before the first of them are those next to it.
    amid: bool,
}

impl Interleave {
    pub(super) fn new(ids: LeftOutIds, amid: bool) -> Self {
        Self { ranges: ids.ranges(), next: 0, amid }
    }

    /// The rows before and among these trades, the first of which is at this line.
    pub(super) fn among(&mut self, trades: &TradeBatch, line: u64) -> Vec<LeftOut> {
        let (Some(first), Some(last)) = (trades.trade_id.first(), trades.trade_id.last()) else {
            return Vec::new();
        };
        if std::mem::take(&mut self.amid) {
            self.skip_to(*first);
        }
        let mut rows = Vec::new();
        while let Some(range) = self.ranges.get_mut(self.next)
            && range.first <= *last
        {
            let end = range.last.min(*last);
            rows.extend((range.first..=end).map(|id| {
                let row = trades.trade_id.partition_point(|trade| *trade < id);
                // They have no line of their own any more.
                let line = (line + row as u64).saturating_sub(1);
                let reason = Cow::Owned(range.reason.to_string());
                LeftOut { row: row as u32, line, id: Some(id), reason }
            }));
            if range.last > *last {
                // No overflow: this range has an id above it.
                range.first = last + 1;
                break;
            }
            self.next += 1;
        }
        rows
    }

    /// Leaves out the rows before this trade, but for those whose ids lead up to it without a gap.
    fn skip_to(&mut self, trade: u64) {
        let at = self.ranges.partition_point(|range| range.last < trade);
        let mut before = trade;
        let near = self.ranges[..at].iter().rev().take_while(|range| {
            // No overflow: these ranges end before the trade.
            let leads_on = range.last + 1 == before;
            before = range.first;
            leads_on
        });
        self.next = at - near.count();
    }

    /// The rows after the last trade of the file.
    pub(super) fn rest(&mut self, line: u64) -> Vec<LeftOut> {
        let ranges = self.ranges.drain(self.next..);
        let rows = ranges.flat_map(|range| {
            (range.first..=range.last).map(move |id| {
                let reason = Cow::Owned(range.reason.to_string());
                LeftOut { row: 0, line, id: Some(id), reason }
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_no_file_can_have_is_refused() {
        for (text, word) in [
            ("[]", "\"[]\""),
            (r#"{"x":[[1,4611686018427387904]]}"#, "4611686018427387904 ids or more"),
            (r#"{"x":[[0,18446744073709551615],[0,18446744073709551615]]}"#, "ids or more"),
            (r#"{"x":[[1,600000]],"y":[[600001,1200000]]}"#, "1200000 ids or more"),
            (r#"{"x":[[2,1]]}"#, "ends before it begins: [2,1]"),
            (&format!(r#"{{"{}":[[1,1]]}}"#, "x".repeat(101)), "a reason of 101 bytes"),
        ] {
            let said = LeftOutIds::parse(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        let many: BTreeMap<String, [(u64, u64); 1]> =
            (0..17).map(|reason| (reason.to_string(), [(reason, reason)])).collect();
        let said = LeftOutIds::parse(&serde_json::to_string(&many).unwrap()).unwrap_err();
        assert!(said.contains("17 reasons"), "{said}");
    }

    #[test]
    fn ids_at_the_ends_of_their_range_and_in_two_ranges_are_told_once() {
        let top = u64::MAX;
        let text = format!(r#"{{"a":[[0,3],[2,5],[4,4]],"b":[[3,6],[{},{top}]]}}"#, top - 1);
        let mut ids = LeftOutIds::parse(&text).unwrap();
        ids.add(&LeftOut { row: 0, line: 0, id: Some(top), reason: "b".into() });
        ids.add(&LeftOut { row: 0, line: 0, id: Some(0), reason: "b".into() });
        let told = |rows: Vec<LeftOut>| rows.iter().filter_map(|row| row.id).collect::<Vec<_>>();
        let mut interleave = Interleave::new(ids.clone(), false);
        assert_eq!(told(interleave.among(&batch(&[1, 4]), 1)), [0, 1, 2, 3, 4]);
        assert_eq!(told(interleave.among(&batch(&[5]), 1)), [5]);
        assert_eq!(told(interleave.rest(1)), [6, top - 1, top]);
        let mut interleave = Interleave::new(ids.clone(), true);
        assert_eq!(told(interleave.among(&batch(&[7, 8]), 1)), [0, 1, 2, 3, 4, 5, 6]);
        let mut interleave = Interleave::new(ids, true);
        assert_eq!(told(interleave.among(&batch(&[9, top]), 1)), [top - 1, top]);
        assert_eq!(told(interleave.rest(1)), [0u64; 0]);
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
