//! Puts what several instruments give into the order of event time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::instrument::InstrumentId;

/// Merges items of several instruments by time, then by instrument.
///
/// # Contract
/// Items of one instrument leave in the order in which they came. An item leaves when no other instrument can
/// give an earlier one: each has something that waits, has reached a later time, or has ended. So the order
/// depends on the items and their times alone, not on what came when. What comes too late nevertheless, from an
/// instrument that had said that it was further, leaves next.
#[derive(Clone, Debug)]
pub struct Merge<T> {
    lanes: BTreeMap<InstrumentId, Lane<T>>,
    /// Instruments of which something waits, by the time of the first of it.
    heads: BTreeSet<(i64, InstrumentId)>,
    /// Instruments of which nothing waits and something may come, by the time before which nothing does.
    quiet: BTreeSet<(i64, InstrumentId)>,
}

#[derive(Clone, Debug)]
struct Lane<T> {
    waiting: VecDeque<(i64, T)>,
    /// Nothing earlier comes, ns.
    reached: i64,
    ended: bool,
}

impl<T> Default for Merge<T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), heads: BTreeSet::new(), quiet: BTreeSet::new() }
    }
}

impl<T> Merge<T> {
    /// An instrument of which nothing comes before `reached`, ns.
    pub fn expect(&mut self, instrument: &InstrumentId, reached: i64) {
        self.change(instrument, |lane| {
            (lane.reached, lane.ended) = (lane.reached.max(reached), false);
        });
    }

    /// The next item of an instrument, which belongs to `time`, ns. One that lies before the item in front of it
    /// belongs to that one's.
    pub fn push(&mut self, instrument: &InstrumentId, time: i64, item: T) {
        self.change(instrument, |lane| {
            let last = lane.waiting.back().map_or(i64::MIN, |(time, _)| *time);
            lane.waiting.push_back((time.max(last), item));
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
        self.quiet.clear();
        self.lanes.values_mut().for_each(|lane| lane.ended = true);
    }

    /// The next item that may leave, with its time, ns.
    pub fn pop(&mut self) -> Option<(i64, T)> {
        let (time, instrument) = self.heads.first()?.clone();
        if self.quiet.first().is_some_and(|(reached, _)| *reached <= time) {
            return None;
        }
        self.change(&instrument, |lane| lane.waiting.pop_front()).flatten()
    }

    /// What waits of an instrument, in order, with times, ns.
    pub fn waiting(&self, instrument: &InstrumentId) -> impl Iterator<Item = &(i64, T)> {
        self.lanes.get(instrument).into_iter().flat_map(|lane| &lane.waiting)
    }

    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Changes a lane, and its place among the others.
    fn change<R>(
        &mut self,
        instrument: &InstrumentId,
        change: impl FnOnce(&mut Lane<T>) -> R,
    ) -> Option<R> {
        let new = || Lane { waiting: VecDeque::new(), reached: i64::MIN, ended: false };
        if !self.lanes.contains_key(instrument) {
            self.lanes.insert(instrument.clone(), new());
        }
        let lane = self.lanes.get_mut(instrument)?;
        let before = lane.place();
        let changed = change(lane);
        let after = lane.place();
        if before != after {
            self.set(before, instrument, false);
            self.set(after, instrument, true);
        }
        Some(changed)
    }

    fn set(&mut self, place: Place, instrument: &InstrumentId, is_there: bool) {
        let (set, time) = match place {
            Place::Head(time) => (&mut self.heads, time),
            Place::Quiet(time) => (&mut self.quiet, time),
            Place::Nowhere => return,
        };
        match is_there {
            true => set.insert((time, instrument.clone())),
            false => set.remove(&(time, instrument.clone())),
        };
    }
}

/// Where a lane stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head(i64),
    Quiet(i64),
    Nowhere,
}

impl<T> Lane<T> {
    fn place(&self) -> Place {
        match self.waiting.front() {
            Some((time, _)) => Place::Head(*time),
            None if self.ended => Place::Nowhere,
            None => Place::Quiet(self.reached),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(instrument: usize) -> InstrumentId {
        format!("a:b:S{instrument}").parse().unwrap()
    }

    fn leave(merge: &mut Merge<(usize, usize)>, out: &mut Vec<(i64, usize, usize)>) {
        while let Some((time, (instrument, n))) = merge.pop() {
            out.push((time, instrument, n));
        }
    }

    #[test]
    fn an_item_waits_for_all_others_to_be_later() {
        let mut merge = Merge::default();
        let mut out = Vec::new();
        (0..3).for_each(|i| merge.expect(&id(i), 0));
        merge.push(&id(0), 5, (0, 0));
        merge.reach(&id(0), 9);
        merge.reach(&id(1), 6);
        leave(&mut merge, &mut out);
        assert_eq!(out, [], "of the third nothing is known");
        // At the same time another may still come, which leaves first if its instrument does.
        merge.reach(&id(2), 5);
        leave(&mut merge, &mut out);
        assert_eq!(out, []);
        merge.end(&id(2));
        leave(&mut merge, &mut out);
        assert_eq!(out, [(5, 0, 0)]);
        assert!(merge.is_empty());
        // Too late: next, and nothing of its instrument overtakes it.
        merge.push(&id(1), 1, (1, 0));
        merge.push(&id(0), 9, (0, 1));
        leave(&mut merge, &mut out);
        assert_eq!(out[1..], [(1, 1, 0)]);
        merge.end_all();
        leave(&mut merge, &mut out);
        assert_eq!(out[2..], [(9, 0, 1)]);
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
                    batch.clone().for_each(|n| merge.push(&id(i), times[n], (i, n)));
                    merge.reach(&id(i), times[batch.end - 1]);
                    read[i] = batch.end;
                }
                most += 1;
                leave(&mut merge, &mut out);
            }
            let mut expected: Vec<(i64, usize, usize)> = Vec::new();
            for (i, (times, _)) in input.iter().enumerate() {
                expected.extend(times.iter().enumerate().map(|(n, time)| (*time, i, n)));
            }
            expected.sort_unstable();
            prop_assert_eq!(out, expected);
        }
    }
}
