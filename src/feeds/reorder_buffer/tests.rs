use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barflow_operators::batch::Feed;
use barflow_operators::input_batch::lines;
use barflow_operators::order::ids::Settled;
use barflow_operators::pool::BatchPool;
use barflow_operators::position::FilePosition;
use barflow_operators::sequence::{Findings, Resume, Sequencer};
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

use super::*;

pub(super) fn released() -> Released {
    let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
    Released::new(TradeBatch::with_capacity(feed, 16))
}

pub(super) fn print(id: u64) -> Print {
    let event_time = id as i64 * 1_000;
    let (price, aggressor) = (id as f64, Aggressor::Buyer);
    let trade =
        Trade { trade_id: id, event_time, price, qty: 1.0, quote: price, aggressor, count: 1 };
    Print { slot: 0, standing: Standing::Trade, key: id, trade }
}

fn void(id: u64) -> Print {
    Print { standing: Standing::Excluded("insurance fund"), ..print(id) }
}

#[test]
fn later_prints_wait_for_the_missing_one() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    let taken: Vec<Disposition> =
        [5, 6, 9, 8, 9, 6].map(|id| buffer.take(&print(id), &mut out)).to_vec();
    use Disposition::{Released, Repeated, Waits};
    assert_eq!(taken, [Released, Released, Waits, Waits, Repeated, Repeated]);
    let missing = buffer.missing().unwrap();
    assert_eq!(missing.trades, MissingTrades::Ids { first: 7, last: 7 });
    assert_eq!(missing.after, Some(6_000));
    assert_eq!(buffer.take(&print(7), &mut out), Released);
    assert_eq!(out.trades.trade_id, [5, 6, 7, 8, 9]);
    assert_eq!(buffer.missing(), None);
}

#[test]
fn a_gap_given_up_is_named_and_its_trades_are_late_once() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    for id in [1, 5, 6] {
        buffer.take(&print(id), &mut out);
    }
    let given_up = buffer.give_up(&mut out).unwrap();
    assert_eq!(given_up.gap, Some(Gap { first_missing: 2, last_missing: 4 }));
    assert_eq!(buffer.take(&print(3), &mut out), Disposition::Late);
    assert_eq!(buffer.take(&print(3), &mut out), Disposition::Repeated);
    assert_eq!(buffer.take(&print(4), &mut out), Disposition::Late);
    assert_eq!(out.trades.trade_id, [1, 5, 6, 3, 4]);
    assert_eq!(buffer.give_up(&mut out), None);
}

/// A job that restarts before a trade shows the gap asks for it again, and what comes of it until
/// then is not late.
#[test]
fn a_gap_is_told_with_the_trade_that_shows_it() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    let gap = |first_missing, last_missing| Gap { first_missing, last_missing };
    buffer.take(&print(1), &mut out);
    buffer.take(&void(6), &mut out);
    assert_eq!(buffer.give_up(&mut out).unwrap().gap, Some(gap(2, 5)));
    assert_eq!((out.order.through, buffer.last()), (Some(1), Some((6, Some(6_000)))));
    assert_eq!(buffer.take(&print(3), &mut out), Disposition::Late);
    assert_eq!((out.order.through, &out.order.gaps[..]), (Some(3), &[gap(2, 2)][..]));
    buffer.take(&void(4), &mut out);
    assert_eq!(out.order.through, Some(4));
    buffer.take(&void(5), &mut out);
    assert_eq!(out.order.through, Some(6));
    buffer.take(&print(7), &mut out);
    buffer.take(&print(2), &mut out);
    assert_eq!((&out.trades.trade_id[..], &out.order.late[..]), (&[1, 3, 7, 2][..], &[3][..]));
    assert_eq!((out.order.gaps.len(), out.never.len()), (1, 0));
}

#[test]
fn excluded_ids_leave_no_gap() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    buffer.take(&print(1), &mut out);
    buffer.take(&void(2), &mut out);
    buffer.take(&void(3), &mut out);
    buffer.take(&print(4), &mut out);
    assert_eq!(out.trades.trade_id, [1, 4]);
    assert_eq!((out.order.through, out.order.gaps), (Some(4), vec![]));
}

#[test]
fn an_excluded_id_without_a_time_leaves_the_last_one_standing() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    buffer.take(&print(1), &mut out);
    let mut timeless = void(2);
    timeless.trade.event_time = 0;
    buffer.take(&timeless, &mut out);
    assert_eq!(buffer.last(), Some((2, Some(1_000))));
}

#[test]
fn a_span_covers_all_its_ids() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Spans, 10), released());
    let span = |id, count| {
        let mut print = print(id);
        print.trade.count = count;
        print
    };
    buffer.take(&span(10, 1), &mut out);
    assert_eq!(buffer.take(&span(13, 3), &mut out), Disposition::Released);
    assert_eq!(buffer.take(&span(17, 2), &mut out), Disposition::Waits);
    let missing = buffer.missing().unwrap();
    assert_eq!(missing.trades, MissingTrades::Ids { first: 14, last: 15 });
}

fn span(first: u64, last: u64) -> Print {
    let mut print = print(last);
    print.trade.count = (last - first + 1) as u32;
    print
}

/// The ids that released trades stand for, and how often.
fn counted(out: &Released) -> BTreeMap<u64, u32> {
    let mut counted = BTreeMap::new();
    for trade in out.trades.iter() {
        let first = trade.trade_id + 1 - u64::from(trade.count);
        (first..=trade.trade_id).for_each(|id| *counted.entry(id).or_insert(0) += 1);
    }
    counted
}

#[test]
fn an_aggregate_of_which_a_part_came_is_missing_in_the_other_part() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Spans, 10), released());
    for id in 8..=10 {
        buffer.take(&print(id), &mut out);
    }
    assert_eq!(buffer.take(&span(9, 12), &mut out), Disposition::Overlaps);
    let missing = |buffer: &ReorderBuffer| {
        let trades = buffer.missing()?.trades;
        trades.first_id().zip(trades.last_id())
    };
    assert_eq!(missing(&buffer), Some((11, 12)));
    assert_eq!(buffer.take(&print(11), &mut out), Disposition::Released);
    let given_up = buffer.give_up(&mut out).unwrap();
    assert_eq!(given_up.gap, Some(Gap { first_missing: 12, last_missing: 12 }));
    assert_eq!((given_up.before, missing(&buffer)), (12_000, None));
    // Given up in part: it is neither late nor a repeat, and the gap stays.
    assert_eq!(buffer.take(&span(9, 12), &mut out), Disposition::Overlaps);
    assert_eq!(buffer.take(&print(12), &mut out), Disposition::Late);
    assert_eq!(out.trades.trade_id, [8, 9, 10, 11, 12]);
}

#[test]
fn single_trades_that_a_waiting_aggregate_has_are_repeats() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Spans, 10), released());
    buffer.take(&print(10), &mut out);
    use Disposition::{Overlaps, Released, Repeated, Waits};
    assert_eq!(buffer.take(&span(13, 15), &mut out), Waits);
    let taken = [12, 13, 14, 15].map(|id| buffer.take(&print(id), &mut out));
    assert_eq!(taken, [Waits, Repeated, Repeated, Repeated]);
    assert_eq!(buffer.take(&span(15, 17), &mut out), Overlaps);
    assert_eq!(buffer.take(&print(11), &mut out), Released);
    assert_eq!(out.trades.trade_id, [10, 11, 12, 15]);
    assert_eq!(buffer.missing().unwrap().trades.last_id(), Some(17));
}

#[test]
fn a_full_reorder_buffer_keeps_what_comes_first_and_forgets_the_rest() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 2), released());
    let taken: Vec<Disposition> =
        [1, 9, 5, 7, 4].map(|id| buffer.take(&print(id), &mut out)).to_vec();
    use Disposition::{NoRoom, Released, Waits};
    assert_eq!(taken, [Released, Waits, Waits, Waits, Waits]);
    assert_eq!(buffer.take(&print(8), &mut out), NoRoom);
    assert_eq!(buffer.waits(), 2);
    assert_eq!(buffer.missing().unwrap().trades.last_id(), Some(3));
}

/// What a bad connection makes of a stream.
#[derive(Clone, Debug)]
struct Scramble {
    dropped: Vec<bool>,
    unfillable: Vec<bool>,
    repeated: Vec<bool>,
    voids: Vec<bool>,
    swaps: Vec<usize>,
}

fn scramble() -> impl Strategy<Value = Scramble> {
    let flags = |p: f64| proptest::collection::vec(proptest::bool::weighted(p), 120);
    (flags(0.2), flags(0.05), flags(0.2), flags(0.1), proptest::collection::vec(0usize..5, 120))
        .prop_map(|(dropped, unfillable, repeated, voids, swaps)| Scramble {
            dropped,
            unfillable,
            repeated,
            voids,
            swaps,
        })
}

proptest! {
    /// Where nobody can be asked, a reorder buffer that loses patience and a sequencer with that
    /// window are one rule.
    #[test]
    fn a_reorder_buffer_without_rest_orders_as_a_sequencer_does(
        ids in proptest::collection::vec((1u64..60, 0u64..4), 1..150),
        window in 0usize..12,
    ) {
        let ids = (0..).zip(&ids).map(|(at, (id, by))| if *by > 0 { at + by } else { *id });
        let prints: Vec<Print> = ids.map(print).collect();
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, usize::MAX), released());
        buffer.resume_after(&LastTrade { id: 3, ..LastTrade::default() });
        for print in &prints {
            buffer.take(print, &mut out);
            if buffer.waits() > window {
                buffer.give_up(&mut out);
            }
        }
        while buffer.give_up(&mut out).is_some() {}
        let mut sequencer = Sequencer::new(window);
        sequencer.resume(Resume { settled: Settled::up_to(Some(3), []), last_time: Some(0) });
        let trades: Vec<Trade> = prints.iter().map(|print| print.trade).collect();
        let batch = TradeBatch::from_trades(Arc::clone(&out.trades.feed), &trades);
        let mut findings = Findings::default();
        let lines = lines(&FilePosition::start("stream".into()).into(), &[], &[], &[]);
        let in_order = sequencer.on_batch(batch, lines, &BatchPool::new(8, 2), &mut findings);
        let mut in_order = TradeBatch::clone(&in_order);
        sequencer.flush(&mut in_order, &mut findings);
        let is_late = |row: usize| out.order.late.contains(&(row as u32));
        let (late, on): (Vec<_>, Vec<_>) =
            out.trades.trade_id.iter().enumerate().partition(|(row, _)| is_late(*row));
        let on: Vec<u64> = on.into_iter().map(|(_, id)| *id).collect();
        prop_assert_eq!(on, in_order.trade_id);
        prop_assert_eq!(out.order.gaps, findings.gaps);
        // A reorder buffer hands a late trade on once.
        let late: BTreeSet<u64> = late.into_iter().map(|(_, id)| *id).collect();
        prop_assert_eq!(late.len(), out.order.late.len());
        prop_assert_eq!(late, findings.late.iter().map(|late| late.trade.trade_id).collect());
    }

    /// A stream of aggregates in any order, and a REST of single trades that lacks some.
    #[test]
    fn of_aggregates_and_single_trades_every_id_counts_once_or_is_given_up(
        stream in proptest::collection::vec((1u64..80, 0u64..6, 0u8..4), 1..80),
        lacks in proptest::collection::vec(proptest::bool::weighted(0.2), 100),
        room in 1usize..30,
    ) {
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Spans, room), released());
        buffer.take(&print(0), &mut out);
        let backfill = |buffer: &mut ReorderBuffer, out: &mut Released, page: u64| {
            let Some(missing) = buffer.missing() else { return };
            let first = missing.trades.first_id().unwrap();
            let listed = (first..first + page).filter(|id| !lacks[*id as usize % lacks.len()]);
            listed.for_each(|id| { buffer.take(&print(id), out); });
            if buffer.missing() == Some(missing) {
                buffer.give_up(out).unwrap();
            }
        };
        for (first, more, then) in stream {
            buffer.take(&span(first, first + more), &mut out);
            if then == 0 {
                backfill(&mut buffer, &mut out, 1 + more);
            }
        }
        while buffer.missing().is_some() {
            backfill(&mut buffer, &mut out, 7);
        }
        let counted = counted(&out);
        prop_assert!(counted.values().all(|times| *times == 1), "{:?}", counted);
        let missing: Vec<Gap> = buffer.order.given_up().collect();
        for id in 0..=buffer.last().unwrap().0 {
            let is_missing = missing.iter().any(|g| g.first_missing <= id && id <= g.last_missing);
            prop_assert_ne!(counted.contains_key(&id), is_missing, "{}", id);
        }
    }

    #[test]
    fn a_scrambled_stream_with_backfill_comes_out_whole(
        scramble in scramble(),
        room in 1usize..40,
        ask_after in 1usize..6,
    ) {
        let truth: Vec<Print> = (0..120u64)
            .map(|at| if scramble.voids[at as usize] { void(at + 1) } else { print(at + 1) })
            .collect();
        let can_come = |at: usize| at == 0 || at == 119 || !scramble.unfillable[at];
        let mut heard: Vec<Print> = Vec::new();
        for (at, print) in truth.iter().enumerate() {
            let sent = at == 0 || at == 119 || !scramble.dropped[at];
            if can_come(at) && sent {
                let place = heard.len() - scramble.swaps[at].min(heard.len().saturating_sub(1));
                heard.insert(place.max(1).min(heard.len()), *print);
                if scramble.repeated[at] {
                    heard.push(*print);
                }
            }
        }
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, room), released());
        let mut given_up = Vec::new();
        let mut settle = |buffer: &mut ReorderBuffer, out: &mut Released| {
            while let Some(missing) = buffer.missing() {
                let (first, last) = (missing.trades.first_id(), missing.trades.last_id());
                for id in first.unwrap()..=last.unwrap() {
                    if can_come(id as usize - 1) {
                        buffer.take(&truth[id as usize - 1], out);
                    }
                }
                if buffer.missing() == Some(missing) {
                    given_up.push(buffer.give_up(out).unwrap());
                }
            }
        };
        for (at, print) in heard.iter().enumerate() {
            buffer.take(print, &mut out);
            if at % ask_after == 0 {
                settle(&mut buffer, &mut out);
            }
        }
        // The last print may have found no room, or have had to make room for an earlier one; it
        // comes again, as REST would bring it.
        settle(&mut buffer, &mut out);
        while buffer.last().is_none_or(|(id, _)| id < 120) {
            buffer.take(&truth[119], &mut out);
            settle(&mut buffer, &mut out);
        }
        let wanted: Vec<u64> = truth
            .iter()
            .enumerate()
            .filter(|(at, print)| can_come(*at) && print.standing == Standing::Trade)
            .map(|(_, print)| print.trade.trade_id)
            .collect();
        prop_assert_eq!(&out.trades.trade_id, &wanted);
        let missing: u64 = given_up.iter().map(|gap| gap.gap.unwrap().len()).sum();
        let never = (0..120).filter(|at| !can_come(*at)).count() as u64;
        prop_assert_eq!(missing, never);
    }
}
