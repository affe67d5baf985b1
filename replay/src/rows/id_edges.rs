//! Rows outside the wanted times whose ids lie between those of rows inside.

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::Reject;
use barflow_operators::sequence::{FAR_APART, Objection};

use super::outside::{MOST_BEHIND, Outside};

/// Watches the rows of a source with ids that lie outside the wanted times: one with a wrong time would
/// be left out, and be no more than a missing id.
///
/// A row outside is bad if the rows before and behind it by id are inside, and its time is more than
/// [`FAR_APART`] from theirs. Rows inside cost nothing: they are looked at only when another is outside.
#[derive(Debug, Default)]
pub struct IdEdges {
    /// Id and event time of the last row inside before this batch, ns.
    last: Option<(u64, i64)>,
    held: Option<Held>,
}

/// Rows outside since the last one inside.
#[derive(Debug)]
struct Held {
    /// Id and event time of that one, ns.
    behind: (u64, i64),
    /// The trades of the batch before them: the next one is the next inside.
    at: usize,
    /// They, with their ids: the first [`MOST_BEHIND`].
    rows: Vec<(u64, Outside)>,
    /// How many they are.
    count: usize,
}

impl IdEdges {
    /// Takes a row outside, of this id, after the trades of the batch; returns those before it that are
    /// bad, as is known by now.
    pub fn outside(
        &mut self,
        batch: &TradeBatch,
        id: u64,
        row: impl FnOnce() -> Outside,
    ) -> Vec<Reject> {
        let bad = self.tell(batch);
        let Some(behind) = last_of(batch).or(self.last).filter(|(last, _)| id > *last) else {
            return bad;
        };
        let (at, rows) = (batch.len(), Vec::new());
        let held = self.held.get_or_insert(Held { behind, at, rows, count: 0 });
        held.count += 1;
        if held.rows.len() < MOST_BEHIND {
            held.rows.push((id, row()));
        }
        bad
    }

    /// The batch ends; returns rows that are bad.
    pub fn end_batch(&mut self, batch: &TradeBatch) -> Vec<Reject> {
        let bad = self.tell(batch);
        self.last = last_of(batch).or(self.last);
        if let Some(held) = &mut self.held {
            held.at = 0;
        }
        bad
    }

    /// The rows held that are bad, if the next row inside has come.
    fn tell(&mut self, batch: &TradeBatch) -> Vec<Reject> {
        let Some(held) = self.held.take_if(|held| held.at < batch.len()) else {
            return Vec::new();
        };
        let (last, last_time) = held.behind;
        let (next, next_time) = (batch.trade_id[held.at], batch.event_time[held.at]);
        let objection = |row: &Outside| {
            let behind = last_time.min(next_time).saturating_sub(row.event_time);
            let ahead = row.event_time.saturating_sub(last_time.max(next_time));
            let ahead = (ahead > FAR_APART).then_some(Objection::FarAhead(ahead));
            ahead.or((behind > FAR_APART).then_some(Objection::FarBehind(behind)))
        };
        let between = held.rows.iter().filter(|(id, _)| (last..next).contains(id));
        let bad = between.filter_map(|(_, row)| {
            let reject = row.reject(&objection(row)?);
            Some(Reject { row: held.at as u32, ..reject })
        });
        // Of many, the first stands for all.
        bad.take(if held.count <= MOST_BEHIND { MOST_BEHIND } else { 1 }).collect()
    }
}

fn last_of(batch: &TradeBatch) -> Option<(u64, i64)> {
    batch.trade_id.last().copied().zip(batch.event_time.last().copied())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::batch::Feed;
    use barflow_operators::trade::{Aggressor, Trade};
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// Lines of rows of these ids and hours that are bad if hours 10 to 19 are wanted.
    fn bad(rows: &[(u64, i64)], per_batch: usize) -> Vec<u64> {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let mut edges = IdEdges::default();
        let mut batch = TradeBatch::with_capacity(Arc::clone(&feed), 0);
        let mut bad = Vec::new();
        for (line, (trade_id, hour)) in (1..).zip(rows) {
            let event_time = hour * HOUR;
            if (10..20).contains(hour) {
                let (price, qty, quote, count) = (1.0, 1.0, 1.0, 1);
                let aggressor = Aggressor::Buyer;
                batch.push(&Trade {
                    trade_id: *trade_id,
                    event_time,
                    price,
                    qty,
                    quote,
                    aggressor,
                    count,
                });
            } else {
                let raw = String::new();
                let row = || Outside { source: "x.csv".into(), line, event_time, raw };
                bad.extend(edges.outside(&batch, *trade_id, row));
            }
            if line % per_batch as u64 == 0 {
                bad.extend(edges.end_batch(&batch));
                batch.reset(Arc::clone(&feed));
            }
        }
        bad.extend(edges.end_batch(&batch));
        bad.into_iter().map(|reject| reject.line).collect()
    }

    fn numbered(hours: &[i64]) -> Vec<(u64, i64)> {
        (1..).zip(hours.iter().copied()).collect()
    }

    #[test]
    fn a_row_outside_between_ids_inside_is_bad() {
        for per_batch in 1..8 {
            let bad = |hours: &[i64]| bad(&numbered(hours), per_batch);
            assert!(bad(&[1, 5, 9, 10, 12, 19, 20, 40]).is_empty());
            assert_eq!(bad(&[1, 12, 3, 13, 14]), [3]);
            assert_eq!(bad(&[1, 12, 30, 13, 14, 25]), [3]);
            assert_eq!(bad(&[12, 30, 2, 13, 40, 14]), [2, 3, 5]);
            // At the borders it cannot be told.
            assert!(bad(&[1, 30, 2, 12, 13, 40, 2]).is_empty());
            // Of many the first is named.
            let many: Vec<i64> = [12].into_iter().chain([30; 300]).chain([13]).collect();
            assert_eq!(bad(&many), [2]);
        }
        // Where the ids on both sides are not those inside, it is another place.
        assert!(bad(&[(5, 12), (3, 1), (9, 30), (6, 13)], 9).is_empty());
    }

    proptest! {
        #[test]
        fn rows_in_order_are_never_bad(
            mut hours in prop::collection::vec(0i64..30, 0..60),
            per_batch in 1usize..20,
        ) {
            hours.sort_unstable();
            prop_assert!(bad(&numbered(&hours), per_batch).is_empty());
        }
    }
}
