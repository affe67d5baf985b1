//! Puts what several instruments give into the order of event time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::instrument::InstrumentId;

/// What stands beside each other at one time of one instrument: bars by the names of their specifications, then
/// what is said of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A bar of this specification.
    Bar(Arc<str>),
    /// Something about the bars before it.
    After,
}

/// Merges items of several instruments by time, then instrument, then [`Rank`].
///
/// # Contract
/// Items of one instrument and rank leave in the order in which they came. An item leaves when every instrument
/// that has not ended, its own included, has reached a later time: nothing can come before it any more. So the
/// order depends on the items and their times alone, not on what came when. What comes too late nevertheless
/// leaves next.
#[derive(Clone, Debug)]
pub struct Merge<T> {
    lanes: BTreeMap<InstrumentId, Lane<T>>,
    /// Instruments of which something waits, by the time of the first of it.
    heads: BTreeSet<(i64, InstrumentId)>,
    /// Instruments that have not ended, by the time that they have reached.
    running: BTreeSet<(i64, InstrumentId)>,
    /// Items that came.
    came: u64,
    /// Items that wait.
    waiting: usize,
}

#[derive(Clone, Debug)]
struct Lane<T> {
    /// The number of an item distinguishes those of one time and rank.
    waiting: BTreeMap<(i64, Rank, u64), T>,
    /// The latest item of each rank.
    latest: BTreeMap<Rank, i64>,
    /// Nothing earlier comes, ns.
    reached: i64,
    ended: bool,
}

impl<T> Default for Merge<T> {
    fn default() -> Self {
        let (heads, running) = (BTreeSet::new(), BTreeSet::new());
        Self { lanes: BTreeMap::new(), heads, running, came: 0, waiting: 0 }
    }
}

impl<T> Merge<T> {
    /// An instrument of which nothing comes before `reached`, ns.
    pub fn expect(&mut self, instrument: &InstrumentId, reached: i64) {
        self.change(instrument, |lane| {
            (lane.reached, lane.ended) = (lane.reached.max(reached), false);
        });
    }

    /// The next item of an instrument, which belongs to `time`, ns. One that lies before the item of its rank in
    /// front of it belongs to that one's time; what is said of bars, to that of the latest of them.
    pub fn push(&mut self, instrument: &InstrumentId, time: i64, rank: Rank, item: T) {
        self.came += 1;
        let came = self.came;
        self.waiting += 1;
        self.change(instrument, |lane| {
            let of_bars = lane.latest.values().copied().max().filter(|_| rank == Rank::After);
            let time = of_bars.map_or(time, |of_bars| time.max(of_bars));
            let latest = lane.latest.entry(rank.clone()).or_insert(time);
            *latest = time.max(*latest);
            lane.waiting.insert((*latest, rank, came), item);
        });
    }

    /// Nothing of this instrument comes before `time` any more, ns.
    pub fn reach(&mut self, instrument: &InstrumentId, time: i64) {
        self.change(instrument, |lane| lane.reached = lane.reached.max(time));
    }

    /// Nothing of this instrument comes any more.
    pub fn end(&mut self, instrument: &InstrumentId) {
        self.change(instrument, |lane| lane.ended = true);
    }

    /// Nothing comes any more.
    pub fn end_all(&mut self) {
        self.running.clear();
        self.lanes.values_mut().for_each(|lane| lane.ended = true);
    }

    /// The next item that may leave. If more than `most` wait, it does not wait for its own instrument to reach a
    /// later time: many trades of one instant would gather without limit.
    pub fn pop(&mut self, most: usize) -> Option<T> {
        let (time, instrument) = self.heads.first()?.clone();
        let is_early = match self.waiting > most {
            false => self.running.first().is_some_and(|(reached, _)| *reached <= time),
            true => {
                let mut behind = self.running.range(..(time, instrument.clone()));
                behind.any(|(_, other)| *other != instrument)
            }
        };
        if is_early {
            return None;
        }
        let first = self.change(&instrument, |lane| lane.waiting.pop_first()).flatten()?;
        self.waiting -= 1;
        Some(first.1)
    }

    /// What waits of an instrument, in order: times, ns, and items.
    pub fn waiting(&self, instrument: &InstrumentId) -> impl Iterator<Item = (i64, &T)> + Clone {
        let lane = self.lanes.get(instrument);
        lane.into_iter()
            .flat_map(|lane| lane.waiting.iter().map(|((time, ..), item)| (*time, item)))
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The instrument that the others wait for: of those that have not ended the one that is furthest behind.
    pub fn slowest(&self) -> Option<&InstrumentId> {
        self.running.first().map(|(_, instrument)| instrument)
    }

    /// Changes a lane, and its place among the others.
    fn change<R>(
        &mut self,
        instrument: &InstrumentId,
        change: impl FnOnce(&mut Lane<T>) -> R,
    ) -> Option<R> {
        if !self.lanes.contains_key(instrument) {
            // Of somebody who was not expected nothing holds others up.
            self.lanes.insert(instrument.clone(), Lane::ended());
        }
        let lane = self.lanes.get_mut(instrument)?;
        let (head, runs) = (lane.head(), lane.runs());
        let changed = change(lane);
        let (new_head, now_runs) = (lane.head(), lane.runs());
        replace(&mut self.heads, instrument, head, new_head);
        replace(&mut self.running, instrument, runs, now_runs);
        Some(changed)
    }
}

impl<T> Lane<T> {
    fn ended() -> Self {
        let (waiting, latest) = (BTreeMap::new(), BTreeMap::new());
        Self { waiting, latest, reached: i64::MIN, ended: true }
    }

    fn head(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|((time, ..), _)| *time)
    }

    fn runs(&self) -> Option<i64> {
        (!self.ended).then_some(self.reached)
    }
}

fn replace(
    set: &mut BTreeSet<(i64, InstrumentId)>,
    instrument: &InstrumentId,
    before: Option<i64>,
    after: Option<i64>,
) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        set.remove(&(before, instrument.clone()));
    }
    if let Some(after) = after {
        set.insert((after, instrument.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(instrument: usize) -> InstrumentId {
        format!("a:b:S{instrument}").parse().unwrap()
    }

    fn rank(n: usize) -> Rank {
        Rank::Bar(["x", "y"][n % 2].into())
    }

    /// Time, instrument, specification, number.
    type Item = (i64, usize, usize, usize);

    fn leave(merge: &mut Merge<Item>, out: &mut Vec<Item>) {
        out.extend(std::iter::from_fn(|| merge.pop(usize::MAX)));
    }

    #[test]
    fn an_item_waits_for_all_to_be_later() {
        let mut merge = Merge::default();
        let mut out = Vec::new();
        (0..3).for_each(|i| merge.expect(&id(i), 0));
        let push = |merge: &mut Merge<Item>, time, i, n| {
            merge.push(&id(i), time, rank(n), (time, i, n % 2, n));
        };
        push(&mut merge, 5, 0, 1);
        merge.reach(&id(0), 9);
        merge.reach(&id(1), 6);
        leave(&mut merge, &mut out);
        assert_eq!(out, [], "of the third nothing is known");
        // At the same time another may still come, which leaves first.
        merge.reach(&id(2), 5);
        leave(&mut merge, &mut out);
        assert_eq!(out, []);
        merge.end(&id(2));
        leave(&mut merge, &mut out);
        assert_eq!(out, [(5, 0, 1, 1)]);
        // Too late: next.
        push(&mut merge, 1, 1, 0);
        push(&mut merge, 9, 0, 2);
        leave(&mut merge, &mut out);
        assert_eq!(out[1..], [(1, 1, 0, 0)]);
        // What is said of bars follows them, and bars of one specification keep their order.
        merge.push(&id(0), 9, Rank::After, (9, 0, 9, 9));
        push(&mut merge, 7, 0, 4);
        assert_eq!(merge.waiting(&id(0)).map(|(time, _)| time).collect::<Vec<_>>(), [9, 9, 9]);
        merge.end_all();
        leave(&mut merge, &mut out);
        assert_eq!(out[2..], [(9, 0, 0, 2), (7, 0, 0, 4), (9, 0, 9, 9)]);
    }

    /// As many as there are, they would be in memory until its time continues.
    #[test]
    fn of_one_instant_only_so_many_wait() {
        let mut merge = Merge::default();
        (0..3).for_each(|i| merge.expect(&id(i), 5));
        (0..10).for_each(|n| merge.push(&id(1), 5, rank(0), (5, 1, 0, n)));
        assert_eq!(merge.pop(4), None, "the first instrument may still give some of the same time");
        merge.reach(&id(0), 6);
        let left: Vec<usize> = std::iter::from_fn(|| merge.pop(4)).map(|item| item.3).collect();
        assert_eq!((left, merge.len()), ((0..6).collect(), 4));
    }

    /// For each instrument its items by time, and how many come with each batch.
    type Input = Vec<(Vec<i64>, Vec<usize>)>;

    fn input() -> impl Strategy<Value = Input> {
        let one = (prop::collection::vec(0i64..60, 0..20), prop::collection::vec(0usize..5, 1..8));
        prop::collection::vec(one, 1..5).prop_map(|mut all| {
            all.iter_mut().for_each(|(times, _)| times.sort_unstable());
            all
        })
    }

    proptest! {
        /// Whatever comes when, and in how many pieces: the order is that of time, instrument and place.
        #[test]
        fn the_order_depends_on_the_items_alone(
            input in input(),
            turns in prop::collection::vec(0usize..5, 0..200),
        ) {
            let mut merge = Merge::default();
            let mut out = Vec::new();
            (0..input.len()).for_each(|i| merge.expect(&id(i), -1));
            let mut read = vec![0; input.len()];
            let mut most = 0;
            let mut turns = turns.into_iter().cycle().take(2_000).chain(0..).map(|turn| turn % input.len());
            while read.iter().zip(&input).any(|(read, (times, _))| *read <= times.len()) {
                let i = turns.next().unwrap_or_default();
                let (times, sizes) = &input[i];
                if read[i] > times.len() {
                    continue;
                }
                if read[i] == times.len() {
                    merge.end(&id(i));
                    read[i] += 1;
                } else {
                    let size = sizes[most % sizes.len()].clamp(1, times.len() - read[i]);
                    let batch = read[i]..read[i] + size;
                    // One specification after the other, as builders work.
                    for spec in 0..2 {
                        batch.clone().filter(|n| n % 2 == spec).for_each(|n| {
                            merge.push(&id(i), times[n], rank(n), (times[n], i, spec, n));
                        });
                    }
                    merge.reach(&id(i), times[batch.end - 1]);
                    read[i] = batch.end;
                }
                most += 1;
                leave(&mut merge, &mut out);
            }
            let mut expected: Vec<Item> = Vec::new();
            for (i, (times, _)) in input.iter().enumerate() {
                expected.extend(times.iter().enumerate().map(|(n, time)| (*time, i, n % 2, n)));
            }
            expected.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
