//! Items that cover several ids, some of which came otherwise.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const WAITS: Kept = Kept::Waits { instead_of: 0 };

fn begun_at(id: u64) -> IdOrder<(u64, u64)> {
    let mut order = IdOrder::default();
    order.settle(id, id);
    order
}

fn gap(first_missing: u64, last_missing: u64) -> Gap {
    Gap { first_missing, last_missing }
}

#[test]
fn an_item_of_which_a_part_is_settled_comes_neither_next_nor_again() {
    let mut order = begun_at(10);
    assert_eq!(order.place(10, 12), Place::Overlaps);
    assert_eq!(order.missing(), None);
    order.note_existing(12);
    assert_eq!(order.missing(), Some(gap(11, 12)));
    order.settle(11, 11);
    assert_eq!(order.give_up(), Some(gap(12, 12)));
    assert_eq!((order.place(12, 12), order.place(10, 12)), (Place::GivenUp, Place::Overlaps));
    assert_eq!((order.place(10, 11), order.place(13, 15)), (Place::Repeated, Place::Next));
    assert_eq!(order.missing(), None);
}

#[test]
fn a_waiting_item_of_which_a_part_came_otherwise_is_not_settled() {
    let mut order = begun_at(10);
    assert_eq!(order.wait(13, 15, (13, 15)), WAITS);
    order.settle(11, 14);
    assert_eq!(order.next_ready(), Some(Ready::Overlaps((13, 15))));
    assert_eq!((order.next_ready(), order.missing()), (None, Some(gap(15, 15))));
}

#[test]
fn items_that_wait_share_no_ids() {
    let mut order = begun_at(10);
    assert_eq!(order.wait(13, 13, (13, 13)), WAITS);
    assert_eq!(order.wait(15, 15, (15, 15)), WAITS);
    assert_eq!(order.wait(12, 15, (12, 15)), Kept::Waits { instead_of: 2 });
    assert_eq!(order.wait(14, 14, (14, 14)), Kept::Known);
    assert_eq!(order.wait(15, 18, (15, 18)), Kept::Overlaps);
    assert_eq!(order.missing(), Some(gap(11, 11)));
    order.settle(11, 11);
    assert_eq!(order.next_ready(), Some(Ready::Next((12, 15))));
    assert_eq!(order.missing(), Some(gap(16, 18)));
}

#[test]
fn single_items_that_cover_all_of_another_make_it_known() {
    let mut order = begun_at(10);
    for id in [12, 13, 14] {
        assert_eq!(order.wait(id, id, (id, id)), WAITS);
    }
    assert_eq!(order.wait(13, 14, (13, 14)), Kept::Known);
    assert_eq!(order.wait(12, 14, (12, 14)), Kept::Known);
    assert_eq!(order.wait(13, 15, (13, 15)), Kept::Waits { instead_of: 2 });
}

proptest! {
    /// Single items and others over the same ids, in any order: every id counts at most once, and is
    /// settled by what came or by a gap.
    #[test]
    fn every_id_counts_once_or_is_given_up(
        items in prop::collection::vec((1u64..60, 0u64..8, 0u8..6), 1..150),
    ) {
        let (mut order, mut came, mut gaps) = (begun_at(0), BTreeMap::new(), Vec::new());
        let mut reached = 0;
        for (first, more, patience) in items {
            let (first, last) = (first, first + more);
            reached = reached.max(last);
            let mut count = |(first, last)| (first..=last).for_each(|id| {
                *came.entry(id).or_insert(0) += 1;
            });
            match order.place(first, last) {
                Place::Next => {
                    order.settle(first, last);
                    count((first, last));
                }
                Place::Ahead => { order.wait(first, last, (first, last)); }
                Place::Overlaps => order.note_existing(last),
                Place::GivenUp => {
                    order.came_late(gap(first, last));
                    count((first, last));
                }
                _ => {}
            }
            if patience == 0 {
                gaps.extend(order.give_up());
            }
            while let Some(ready) = order.next_ready() {
                if let Ready::Next(ids) = ready { count(ids) }
            }
        }
        while let Some(given_up) = order.give_up() {
            gaps.push(given_up);
            while let Some(ready) = order.next_ready() {
                if let Ready::Next((first, last)) = ready {
                    (first..=last).for_each(|id| *came.entry(id).or_insert(0) += 1);
                }
            }
        }
        prop_assert!(came.values().all(|times| *times == 1), "{:?}", came);
        let open: Vec<Gap> = order.given_up().collect();
        for id in 1..=reached {
            let is_missing = open.iter().any(|gap| gap.first_missing <= id && id <= gap.last_missing);
            prop_assert_ne!(came.contains_key(&id), is_missing, "{}", id);
        }
    }
}
