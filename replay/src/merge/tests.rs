//! Batches in, batches out.

use barflow_operators::batch::Feed;
use barflow_operators::gap::Gap;
use barflow_operators::position::FilePosition;
use barflow_operators::trade::{Aggressor, Trade};
use proptest::prelude::*;

use super::*;

fn feed() -> Arc<Feed> {
    Arc::new(Feed::numbered("a:b:C".parse().unwrap()))
}

/// A trade a second.
fn trades(ids: &[u64]) -> TradeBatch {
    let of = |id: &u64| Trade {
        trade_id: *id,
        event_time: *id as i64 * 1_000_000_000,
        price: 1.0,
        qty: 1.0,
        quote: 1.0,
        aggressor: Aggressor::Buyer,
        count: 1,
    };
    TradeBatch::from_trades(feed(), &ids.iter().map(of).collect::<Vec<_>>())
}

fn at(file: &str, row: usize) -> Position {
    let line = row as u64 + 1;
    let start = FilePosition::start(file.into());
    FilePosition { byte: row as u64, line, ..start }.into()
}

/// A file in batches of `rows`.
fn file(name: &str, ids: &[u64], rows: usize) -> Vec<InputBatch> {
    let batches = ids.chunks(rows).enumerate();
    let of = |(number, ids): (usize, &[u64])| {
        let (from, to) = (number * rows, number * rows + ids.len());
        InputBatch::new(trades(ids), Vec::new(), at(name, from), at(name, to))
    };
    batches.map(of).collect()
}

/// All rows as merged: id, file and line.
fn merged(files: &[Vec<InputBatch>], rows: usize) -> Vec<(u64, String, u64)> {
    let mut files: Vec<_> = files.iter().map(|file| file.clone().into_iter()).collect();
    let mut merger = Merger::default();
    for file in &mut files {
        merger.add(file.next().unwrap(), None);
    }
    let mut all = Vec::new();
    loop {
        let mut out = Merged::new(TradeBatch::with_capacity(feed(), rows), rows, 100);
        let step = loop {
            match merger.step(&mut out) {
                Step::Needs(lane) => {
                    let next = files[lane].next();
                    if next.is_none() {
                        let _ = files.remove(lane);
                    }
                    merger.feed(lane, next);
                }
                step => break step,
            }
        };
        let batch = merger.finish(out, at("", 0));
        assert!(batch.trades.len() <= rows);
        for row in 0..batch.trades.len() {
            let (source, line) = batch.place_of(row);
            all.push((batch.trades.trade_id[row], source.to_string(), line));
        }
        if step == Step::Ended {
            return all;
        }
    }
}

#[test]
fn a_hole_is_filled_in_its_place_and_repeats_stand_side_by_side() {
    let month = file("month", &[1, 2, 6, 7], 3);
    let day = file("day", &[3, 4, 5, 6], 2);
    let rows: Vec<_> = merged(&[month, day], 4);
    let row = |id, file: &str, line| (id, file.to_owned(), line);
    assert_eq!(
        rows,
        [
            row(1, "month", 1),
            row(2, "month", 2),
            row(3, "day", 1),
            row(4, "day", 2),
            row(5, "day", 3),
            row(6, "month", 3),
            row(6, "day", 4),
            row(7, "month", 4),
        ]
    );
}

#[test]
fn rejects_keep_their_places() {
    let reject = |row, line| Reject {
        row,
        source: "b".into(),
        line,
        field: "qty".to_owned(),
        value: "-1".to_owned(),
        reason: "not positive".to_owned(),
        raw: String::new(),
    };
    let mut other = file("b", &[2, 4], 9).remove(0);
    other.rejects = vec![reject(1, 2), reject(2, 4)];
    let mut merger = Merger::default();
    merger.add(file("a", &[1, 3, 5], 9).remove(0), None);
    merger.add(other, None);
    let mut out = Merged::new(trades(&[]), 9, 9);
    while let Step::Needs(lane) = merger.step(&mut out) {
        merger.feed(lane, None);
    }
    let batch = merger.finish(out, at("", 0));
    assert_eq!(batch.trades.trade_id, [1, 2, 3, 4, 5]);
    // After 2 and before 4 of its own file; at the end of it.
    let places: Vec<_> = batch.rejects.iter().map(|reject| (reject.row, reject.line)).collect();
    assert_eq!(places, [(3, 2), (4, 4)]);
}

/// What a run has applied that ended with trade 3.
fn applied(gaps: impl IntoIterator<Item = Gap>) -> Option<Arc<Settled>> {
    Some(Arc::new(Settled::up_to(Some(3), gaps)))
}

#[test]
fn what_an_earlier_run_gave_up_is_not_passed_over() {
    let mut merger = Merger::default();
    let gap = Gap { first_missing: 2, last_missing: 2 };
    merger.add(file("a", &[1, 2, 3, 4], 9).remove(0), applied([gap]));
    let mut out = Merged::new(trades(&[]), 9, 9);
    assert_eq!(merger.step(&mut out), Step::Needs(0));
    assert_eq!(merger.finish(out, at("", 0)).trades.trade_id, [2, 3, 4]);
}

#[test]
fn what_an_earlier_run_applied_is_passed_over() {
    let mut merger = Merger::default();
    merger.add(file("a", &[1, 2, 3, 4], 9).remove(0), applied([]));
    let mut out = Merged::new(trades(&[]), 9, 9);
    assert_eq!(merger.step(&mut out), Step::Needs(0));
    assert!(merger.is_single());
    assert_eq!(merger.finish(out, at("", 0)).trades.trade_id, [4]);
}

#[test]
fn files_overlap_where_ids_meet_at_one_time() {
    let beginning = |id, seconds: i64| Beginning { id, time: seconds * 1_000_000_000 };
    let batch = trades(&[1, 2, 10, 11]);
    // In a hole, at a row, at the first row.
    assert!(overlaps(&batch, None, beginning(5, 5)));
    assert!(overlaps(&batch, None, beginning(11, 11)));
    assert!(overlaps(&batch, None, beginning(1, 1)));
    // Beyond.
    assert!(!overlaps(&batch, None, beginning(12, 12)));
    // Its ids have begun again: the same ids, a day later.
    assert!(!overlaps(&batch, None, beginning(1, 86_401)));
    assert!(!overlaps(&batch, None, beginning(11, 86_411)));
    assert!(!overlaps(
        &trades(&[50_000]),
        Some((49_999, 49_999_000_000_000)),
        beginning(1, 50_001)
    ));
}

proptest! {
    #[test]
    fn files_in_order_merge_into_one_in_order(
        parts in prop::collection::vec(prop::collection::btree_set(1u64..200, 1..60), 1..5),
        (rows, size) in (1usize..20, 1usize..20),
    ) {
        let files: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(number, ids)| {
                let ids: Vec<u64> = ids.iter().copied().collect();
                file(&number.to_string(), &ids, rows)
            })
            .collect();
        let merged = merged(&files, size);
        let mut expected: Vec<(u64, String)> = parts
            .iter()
            .enumerate()
            .flat_map(|(number, ids)| ids.iter().map(move |id| (*id, number.to_string())))
            .collect();
        expected.sort();
        for (id, file, line) in &merged {
            let number: usize = file.parse().unwrap();
            prop_assert_eq!(parts[number].iter().nth(*line as usize - 1), Some(id));
        }
        let ids: Vec<_> = merged.into_iter().map(|(id, file, _)| (id, file)).collect();
        prop_assert_eq!(ids, expected);
    }
}
