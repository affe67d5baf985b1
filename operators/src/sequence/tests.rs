//! Orders of ids and what comes out of them.

use proptest::prelude::*;

use super::*;
use crate::batch::Feed;
use crate::trade::Aggressor;

fn feed() -> Arc<Feed> {
    Arc::new(Feed::numbered("a:b:C".parse().unwrap()))
}

fn lines() -> Lines {
    Lines::new(Standing { source: "file".into(), line: 1 }, Vec::new(), Vec::new())
}

fn trade(trade_id: u64) -> Trade {
    let event_time = trade_id as i64 * 1000;
    let aggressor = Aggressor::Buyer;
    Trade { trade_id, event_time, price: 1.0, qty: 1.0, quote: 1.0, aggressor, count: 1 }
}

/// Feeds the ids in batches of these lengths; returns released ids and findings.
fn run(window: usize, ids: &[u64], cuts: &[usize]) -> (Vec<u64>, Findings) {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(window);
    let mut findings = Findings::default();
    let mut released = Vec::new();
    let mut rest = ids;
    let mut cuts = cuts.iter().cycle();
    let mut offset = 0;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        let trades: Vec<Trade> = now.iter().copied().map(trade).collect();
        let before = findings.late.len();
        let batch = TradeBatch::from_trades(feed(), &trades);
        released.extend(&sequencer.on_batch(batch, lines(), &pool, &mut findings).trade_id);
        findings.late[before..].iter_mut().for_each(|late| late.row += offset);
        offset += now.len();
        rest = later;
    }
    let mut last = TradeBatch::with_capacity(feed(), 1);
    sequencer.flush(&mut last, &mut findings);
    released.extend(last.trade_id);
    // Every batch of these tests begins at line 1.
    findings.refused.iter_mut().for_each(|refused| refused.place = None);
    (released, findings)
}

#[test]
fn consecutive_ids_pass_untouched() {
    let (released, findings) = run(2, &[5, 6, 7, 8, 9], &[4]);
    assert_eq!(released, [5, 6, 7, 8, 9]);
    assert_eq!(findings, Findings { released: 5, ..Findings::default() });
}

#[test]
fn repeats_are_dropped_and_gaps_noted() {
    let (released, findings) = run(2, &[1, 2, 2, 3, 6, 7, 7, 8, 1, 9], &[3]);
    assert_eq!(released, [1, 2, 3, 6, 7, 8, 9]);
    assert_eq!(findings.duplicates, 3);
    assert_eq!(findings.gaps, [Gap { first_missing: 4, last_missing: 5 }]);
}

#[test]
fn disorder_within_the_window_is_mended_and_beyond_it_is_late() {
    let (released, findings) = run(3, &[2, 1, 3, 6, 5, 4, 7, 10, 11, 12, 13, 14, 8], &[2]);
    assert_eq!(released, [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14]);
    assert_eq!(findings.gaps, [Gap { first_missing: 8, last_missing: 9 }]);
    assert_eq!(
        findings.late.iter().map(|late| (late.row, late.trade.trade_id)).collect::<Vec<_>>(),
        [(12, 8)]
    );
    assert_eq!(findings.reordered, 3);
}

#[test]
fn what_a_feed_knows_of_its_order_is_taken_over() {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(4);
    let mut take = |ids: &[u64], through, gaps: &[(u64, u64)], late: &[u32]| {
        let trades: Vec<Trade> = ids.iter().copied().map(trade).collect();
        let batch = TradeBatch::from_trades(feed(), &trades);
        let gap = |(first_missing, last_missing): &(u64, u64)| Gap {
            first_missing: *first_missing,
            last_missing: *last_missing,
        };
        let gaps = gaps.iter().map(gap).collect();
        let known = FeedOrder {
            received: Some(1),
            begins: None,
            through: Some(through),
            gaps,
            open_gap: None,
            late: late.to_vec(),
        };
        let mut findings = Findings::default();
        let released = sequencer.on_ordered(batch, known, &pool, &mut findings);
        (released.trade_id.clone(), findings, sequencer.last_id())
    };
    let gap = |first_missing, last_missing| Gap { first_missing, last_missing };
    // 6 and 10 are known not to come, so only 8 and 9 are missing.
    let (released, findings, last) = take(&[5, 7], 7, &[], &[]);
    assert_eq!((released, findings.gaps, last), (vec![5, 7], vec![], Some(7)));
    let (released, findings, last) = take(&[], 10, &[(8, 9)], &[]);
    assert_eq!((released, findings.gaps, last), (vec![], vec![gap(8, 9)], Some(10)));
    let (released, findings, _) = take(&[11, 8, 12], 12, &[], &[1]);
    assert_eq!(released, [11, 12]);
    assert_eq!(
        findings.late.iter().map(|late| (late.row, late.trade.trade_id)).collect::<Vec<_>>(),
        [(1, 8)]
    );
    // What was applied before changes nothing.
    let (released, findings, last) = take(&[7, 11, 13, 15], 15, &[(8, 9), (14, 14)], &[]);
    assert_eq!((released, findings.gaps, last), (vec![13, 15], vec![gap(14, 14)], Some(15)));
    assert_eq!(findings.duplicates, 2);
}

#[test]
fn a_row_that_stands_for_several_ids_covers_them_all() {
    let spans = Arc::new(Feed { ids: IdKind::Spans, ..Feed::clone(&feed()) });
    let row = |trade_id, count| Trade { count, ..trade(trade_id) };
    let mut sequencer = Sequencer::new(0);
    let mut findings = Findings::default();
    let rows = [row(10, 3), row(12, 2), row(12, 2), row(16, 2)];
    let batch = TradeBatch::from_trades(spans, &rows);
    let out = sequencer.on_batch(batch, lines(), &BatchPool::new(8, 2), &mut findings);
    let mut out = TradeBatch::clone(&out);
    sequencer.flush(&mut out, &mut findings);
    assert_eq!(out.trade_id, [10, 12, 16]);
    assert_eq!(findings.gaps, [Gap { first_missing: 13, last_missing: 14 }]);
    assert_eq!(findings.duplicates, 1);
}

#[test]
fn rows_without_ids_come_behind_what_waits_for_one() {
    let unnumbered = Arc::new(Feed { ids: IdKind::Ordinal, ..Feed::clone(&feed()) });
    let pool = BatchPool::new(8, 2);
    let batch = |feed: &Arc<Feed>, ids: &[u64]| {
        let trades: Vec<Trade> = ids.iter().copied().map(trade).collect();
        TradeBatch::from_trades(Arc::clone(feed), &trades)
    };
    // At its very beginning, and behind a gap at its end: both wait for more.
    for (first, released) in [(&[1, 2, 3][..], 0), (&[1, 2, 3, 4, 5, 6, 9], 6)] {
        let mut sequencer = Sequencer::new(5);
        // The first of all times would be in doubt.
        sequencer.resume(Resume { settled: Settled::default(), last_time: Some(0) });
        let mut findings = Findings::default();
        let before = sequencer.on_batch(batch(&feed(), first), lines(), &pool, &mut findings);
        assert_eq!(before.trade_id, first[..released]);
        let next = batch(&unnumbered, &[9, 10, 11]);
        assert!(!sequencer.passes(&next));
        let out = sequencer.on_batch(next, lines(), &pool, &mut findings);
        let mut expected = first[released..].to_vec();
        expected.extend([9, 10, 11].iter().filter(|id| !first.contains(id)));
        assert_eq!(out.trade_id, expected);
        assert_eq!(findings.released as usize, released + expected.len());
        assert!(sequencer.passes(&batch(&unnumbered, &[12])));
    }
}

#[test]
fn what_waits_goes_out_before_a_batch_in_order_even_an_empty_one() {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(5);
    let mut findings = Findings::default();
    let batch = |ids: &[u64]| {
        let trades: Vec<Trade> = ids.iter().copied().map(trade).collect();
        TradeBatch::from_trades(feed(), &trades)
    };
    assert!(sequencer.on_batch(batch(&[1, 2, 4]), lines(), &pool, &mut findings).is_empty());
    assert!(sequencer.on_batch(batch(&[]), lines(), &pool, &mut findings).is_empty());
    let known = FeedOrder::default();
    let released = sequencer.on_ordered(batch(&[]), known, &pool, &mut findings);
    assert_eq!(released.trade_id, [1, 2, 4]);
    assert_eq!(findings.gaps, [Gap { first_missing: 3, last_missing: 3 }]);
}

#[test]
fn the_last_id_of_all_does_not_overflow() {
    let (released, _) = run(2, &[u64::MAX - 1, u64::MAX, 3, u64::MAX], &[1]);
    assert_eq!(released, [3, u64::MAX - 1, u64::MAX]);
}

proptest! {
    #[test]
    fn batching_changes_nothing_and_nothing_is_lost(
        ids in proptest::collection::vec(1u64..60, 1..200),
        window in 0usize..12,
        cuts in proptest::collection::vec(1usize..40, 1..5),
    ) {
        let whole = run(window, &ids, &[ids.len()]);
        let cut = run(window, &ids, &cuts);
        prop_assert_eq!(&whole, &cut);
        let (released, findings) = cut;
        prop_assert!(released.windows(2).all(|pair| pair[0] < pair[1]));
        let set_aside = findings.late.len() + findings.refused.len();
        let accounted = (released.len() + set_aside) as u64 + findings.duplicates;
        prop_assert_eq!(accounted, ids.len() as u64);
        let missing: u64 = findings.gaps.iter().map(Gap::len).sum();
        prop_assert_eq!(missing, released[released.len() - 1] - released[0] + 1 - released.len() as u64);
    }
}

#[test]
fn a_feed_that_begins_anew_leaves_a_gap_after_what_was_applied() {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(0);
    let mut take = |ids: &[u64], begins| {
        let trades: Vec<Trade> = ids.iter().copied().map(trade).collect();
        let known = FeedOrder { begins, through: ids.last().copied(), ..FeedOrder::default() };
        let mut findings = Findings::default();
        sequencer.on_ordered(TradeBatch::from_trades(feed(), &trades), known, &pool, &mut findings);
        findings.gaps
    };
    assert_eq!(take(&[5, 6], Some(5)), []);
    assert_eq!(take(&[9], Some(9)), [Gap { first_missing: 7, last_missing: 8 }]);
    // Read again from the beginning, as a recording is.
    assert_eq!(take(&[5, 6], Some(5)), []);
}

#[test]
fn a_late_trade_that_an_earlier_run_applied_is_a_duplicate() {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(0);
    sequencer.resume(Resume { settled: Settled::up_to(Some(8), []), last_time: Some(0) });
    let batch = TradeBatch::from_trades(feed(), &[8, 6, 9].map(trade));
    let known = FeedOrder { through: Some(9), late: vec![1], ..FeedOrder::default() };
    let mut findings = Findings::default();
    let released = sequencer.on_ordered(batch, known, &pool, &mut findings);
    assert_eq!((&released.trade_id, findings.duplicates), (&vec![9], 2));
    assert!(findings.late.is_empty());
}

/// Rows by id, of which some are not trades by rule, through a sequencer in batches of these lengths.
fn run_with_left_out(window: usize, rows: &[(u64, bool)], cuts: &[usize]) -> (Vec<u64>, Findings) {
    let pool = BatchPool::new(8, 2);
    let mut sequencer = Sequencer::new(window);
    let mut findings = Findings::default();
    let (mut released, mut rest, mut cuts) = (Vec::new(), rows, cuts.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        let (mut trades, mut left_out) = (Vec::new(), Vec::new());
        for (id, is_trade) in now {
            let (row, id, reason) = (trades.len() as u32, *id, "rule".into());
            match is_trade {
                true => trades.push(trade(id)),
                false => left_out.push(LeftOut { row, line: 0, id: Some(id), reason }),
            }
        }
        let batch = TradeBatch::from_trades(feed(), &trades);
        released
            .extend(&sequencer.on_rows(batch, &left_out, lines(), &pool, &mut findings).trade_id);
        findings.late.clear();
        rest = later;
    }
    let mut last = TradeBatch::with_capacity(feed(), 1);
    sequencer.flush(&mut last, &mut findings);
    released.extend(last.trade_id);
    (released, findings)
}

#[test]
fn ids_of_rows_that_are_not_trades_leave_no_gap() {
    let rows = [(1, true), (2, false), (3, true), (5, false), (4, true), (8, true), (9, false)];
    let (released, findings) = run_with_left_out(2, &rows, &[3]);
    assert_eq!(released, [1, 3, 4, 8]);
    assert_eq!(findings.gaps, [Gap { first_missing: 6, last_missing: 7 }]);
    assert_eq!(findings.left_out.get("rule"), Some(&3));
}

proptest! {
    #[test]
    fn left_out_rows_change_neither_gaps_nor_order(
        rows in proptest::collection::vec((1u64..60, any::<bool>()), 1..200),
        window in 0usize..12,
        cuts in proptest::collection::vec(1usize..40, 1..5),
    ) {
        // An id is a trade or it is not, however often it comes.
        let rows: Vec<(u64, bool)> = rows.iter().map(|(id, _)| (*id, id % 3 != 0)).collect();
        let all: Vec<(u64, bool)> = rows.iter().map(|(id, _)| (*id, true)).collect();
        let (released, findings) = run_with_left_out(window, &rows, &cuts);
        let (of_all, whole) = run_with_left_out(window, &all, &[all.len()]);
        let trades: Vec<u64> = of_all.into_iter().filter(|id| id % 3 != 0).collect();
        prop_assert_eq!(released, trades);
        prop_assert_eq!(findings.gaps, whole.gaps);
    }
}
