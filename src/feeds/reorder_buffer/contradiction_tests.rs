//! Trades whose ids are settled: repeated, of other content, or of ids that begin anew.

use proptest::prelude::*;

use super::tests::{print, released};
use super::*;

const SECOND: i64 = 1_000_000_000;

/// A trade of this id so many seconds after those of [`print()`].
fn later(id: u64, seconds: i64) -> Print {
    let mut print = print(id);
    print.trade.event_time += seconds * SECOND;
    print
}

fn with_price(id: u64, price: f64) -> Print {
    let mut print = print(id);
    print.trade.price = price;
    print
}

/// A buffer that released these, and what it released.
fn released_ids(ids: impl IntoIterator<Item = u64>) -> (ReorderBuffer, Released) {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 100), released());
    for id in ids {
        buffer.take(&print(id), &mut out);
    }
    (buffer, out)
}

/// REST passes over what it does not have yet.
#[test]
fn a_trade_that_comes_after_rest_passed_over_its_id_is_not_a_repeat() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
    buffer.take(&print(1), &mut out);
    let standing = Standing::Excluded(crate::feeds::print::UNLISTED);
    buffer.take(&Print { standing, ..print(2) }, &mut out);
    buffer.take(&print(3), &mut out);
    assert_eq!(buffer.take(&print(2), &mut out), Disposition::Unlisted);
    assert!(buffer.contradiction(&print(2), Disposition::Unlisted).is_some());
    assert_eq!(buffer.take(&print(2), &mut out), Disposition::Presumed);
    assert_eq!(out.trades.trade_id, [1, 3]);
}

#[test]
fn a_first_id_far_above_all_others_makes_no_repeats_of_them() {
    let far = Print { key: 1 << 40, ..print(1 << 40) };
    for (confirmed, expected) in
        [(false, Disposition::BelowStray), (true, Disposition::BeforeFirst)]
    {
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
        buffer.take(&far, &mut out);
        if confirmed {
            buffer.take(&print((1 << 40) + 1), &mut out);
        }
        let taken: Vec<Disposition> =
            (100..106).map(|id| buffer.take(&print(id), &mut out)).collect();
        assert_eq!((taken[0], taken[5]), (Disposition::BeforeFirst, expected));
    }
}

#[test]
fn a_repeat_has_the_content_of_the_trade_that_came() {
    let (mut buffer, mut out) = released_ids([1, 2, 3, 5, 6]);
    // Released, and waiting.
    for id in [2, 5] {
        assert_eq!(buffer.take(&print(id), &mut out), Disposition::Repeated);
        let other = with_price(id, 0.5);
        let taken = buffer.take(&other, &mut out);
        assert_eq!(taken, Disposition::Conflict);
        let bad = buffer.contradiction(&other, taken).unwrap();
        assert_eq!((bad.field, bad.id), ("id", Some(id)));
        assert!(bad.reason.contains(&format!("(price {id} and 0.5)")), "{bad}");
    }
    buffer.take(&print(4), &mut out);
    assert_eq!(out.trades.price, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "the first one counts");
    // What is not a trade has no content.
    let excluded = Print { standing: Standing::Excluded("block"), ..with_price(2, 0.5) };
    assert_eq!(buffer.take(&excluded, &mut out), Disposition::Repeated);
}

#[test]
fn a_late_trade_counts_once_and_a_later_one_of_its_id_does_not() {
    let (mut buffer, mut out) = released_ids([1, 5]);
    buffer.give_up(&mut out).unwrap();
    assert_eq!(buffer.take(&later(3, 1), &mut out), Disposition::BegunAnew);
    assert_eq!(buffer.take(&print(3), &mut out), Disposition::Late);
    assert_eq!(buffer.take(&print(3), &mut out), Disposition::Repeated);
    assert_eq!(buffer.take(&with_price(3, 0.5), &mut out), Disposition::Conflict);
}

#[test]
fn what_came_before_we_began_is_not_news_unless_its_time_is_later() {
    let (mut fresh, mut out) = released_ids([1_000]);
    let mut resumed = ReorderBuffer::new(Ids::Consecutive, 100);
    resumed.resume_after(&LastTrade { id: 1_000, time: Some(1_000_000), ..LastTrade::default() });
    let early = [(&mut fresh, Disposition::BeforeFirst), (&mut resumed, Disposition::Presumed)];
    for (buffer, early) in early {
        assert_eq!(buffer.take(&print(999), &mut out), early);
        assert_eq!(buffer.take(&print(1), &mut out), early);
        // A clock that steps back by less than 100 ms between neighbours.
        let mut neighbour = print(998);
        neighbour.trade.event_time += 50_000_000;
        assert_eq!(buffer.take(&neighbour, &mut out), early);
        let taken = buffer.take(&later(1, 1), &mut out);
        assert_eq!(taken, Disposition::BegunAnew);
        let bad = buffer.contradiction(&later(1, 1), taken).unwrap();
        assert!(bad.reason.contains("1000, the last one"), "{bad}");
    }
}

#[test]
fn a_history_is_compared_with_the_stream() {
    let mut buffer = ReorderBuffer::new(Ids::Consecutive, 100);
    let recent = vec![print(9).trade, print(10).trade];
    buffer.resume_after(&LastTrade { id: 10, time: Some(10_000), recent, ..LastTrade::default() });
    let mut out = released();
    assert_eq!(buffer.take(&print(10), &mut out), Disposition::Repeated);
    assert_eq!(buffer.take(&with_price(9, 0.5), &mut out), Disposition::Conflict);
}

#[test]
fn a_name_that_comes_again_is_compared_as_an_id_is() {
    let named = |key, price| Print { key, ..with_price(0, price) };
    let at = |key: u64, price| {
        let mut print = named(key, price);
        print.trade.event_time = key as i64 * 1_000_000;
        print
    };
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Names, 100), released());
    for key in 1..=3 {
        assert_eq!(buffer.take(&at(key, 7.0), &mut out), Disposition::Released);
    }
    assert_eq!(buffer.take(&at(2, 7.0), &mut out), Disposition::Repeated);
    let taken = buffer.take(&at(2, 0.5), &mut out);
    assert_eq!(taken, Disposition::Conflict);
    let bad = buffer.contradiction(&at(2, 0.5), taken).unwrap();
    assert!(bad.reason.contains("(price 7 and 0.5)"), "{bad}");
    // A list of REST as well, and while it is uncertain whether others were missed.
    buffer.suspect();
    assert_eq!(buffer.take(&at(3, 0.5), &mut out), Disposition::Conflict);
    assert!(buffer.contradiction_in_list(&at(1, 0.5)).is_some());
    assert_eq!(buffer.contradiction_in_list(&at(1, 7.0)), None);
    assert_eq!(buffer.contradiction_in_list(&at(9, 7.0)), None);
    assert_eq!(out.trades.len(), 3);
    // What came before the start is not remembered.
    let mut resumed = ReorderBuffer::new(Ids::Names, 100);
    let last = LastTrade { id: 3, time: Some(3_000_000), names: vec![3], ..LastTrade::default() };
    resumed.resume_after(&last);
    assert_eq!(resumed.take(&at(3, 0.5), &mut out), Disposition::Presumed);
}

#[test]
fn single_trades_do_not_contradict_the_aggregate_of_their_ids() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Spans, 100), released());
    let mut aggregate = print(12);
    aggregate.trade.count = 3;
    buffer.take(&aggregate, &mut out);
    assert_eq!(buffer.take(&with_price(12, 0.5), &mut out), Disposition::Repeated);
    aggregate.trade.price = 0.5;
    assert_eq!(buffer.take(&aggregate, &mut out), Disposition::Conflict);
}

proptest! {
    /// Wherever ids begin anew: no trade of theirs passes, none passes for a repeated one, and all continue
    /// once they are above the last one.
    #[test]
    fn ids_that_begin_anew_are_told_from_repeated_ones(
        first in 1u64..5_000,
        count in 1u64..3_000,
        again in 1u64..8_000,
        more in 1u64..200,
        later_by in 1i64..100_000,
        resumes: bool,
    ) {
        let last = first + count - 1;
        let (mut buffer, mut out) = released_ids(first..=last);
        if resumes {
            buffer = ReorderBuffer::new(Ids::Consecutive, 100);
            let time = Some(print(last).trade.event_time);
            buffer.resume_after(&LastTrade { id: last, time, ..LastTrade::default() });
        }
        let passed = out.trades.len();
        for id in again.min(last)..again.min(last) + more {
            let taken = buffer.take(&later(id, later_by), &mut out);
            match id <= last {
                true => prop_assert_eq!(taken, Disposition::BegunAnew),
                false => prop_assert_eq!(taken, Disposition::Released),
            }
        }
        let went_on = (again.min(last) + more - 1).saturating_sub(last);
        prop_assert_eq!((out.trades.len() - passed) as u64, went_on);
    }

    /// However often and in whichever order trades come again: nothing contradicts anything.
    #[test]
    fn repeats_contradict_nothing(
        ids in proptest::collection::vec(1u64..60, 1..200),
        gives_up in 0usize..20,
    ) {
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Consecutive, 10), released());
        for (n, id) in ids.iter().enumerate() {
            let taken = buffer.take(&print(*id), &mut out);
            prop_assert!(!matches!(taken, Disposition::Conflict | Disposition::BegunAnew));
            if n % (gives_up + 1) == 0 {
                buffer.give_up(&mut out);
            }
        }
    }
}
